"""What an EKS demo leaves behind, in moto: with zave's tag, and with nothing but a controller's or a name."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.integration.aws_live.standing import pairs
from zave.aws.live.api import Api

_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
        ],
    }
)
_RIGHTS = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
)


@dataclass
class Leftovers:
    """Everything of one instance. `tags` are zave's; without them it is somebody's who is not zave."""

    api: Api
    instance: str
    tags: dict[str, str] = field(default_factory=dict)
    cluster: str = ""
    cidr: str = "10.42"

    def __post_init__(self) -> None:
        self.cluster = self.cluster or f"zave-{self.instance}"
        self.owned = {f"kubernetes.io/cluster/{self.cluster}": "owned"}

    def make(self) -> None:
        """All of it."""
        self.network()
        self.balancers()
        self.machines()
        self.clusters()
        self.identities()
        self.services()
        self.databases()

    def ec2(self, operation: str, **parameters: Any) -> dict[str, Any]:
        return self.api.call("ec2", operation, **parameters)

    def tagged(self, kind: str, tags: dict[str, str]) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": pairs(tags)}] if tags else []

    def spec(self, kind: str) -> dict[str, Any]:
        return {"TagSpecifications": self.tagged(kind, self.tags)}

    def network(self) -> None:
        """Terraform's tags are on these."""
        self.vpc = self.ec2("create_vpc", CidrBlock=f"{self.cidr}.0.0/16", **self.spec("vpc"))["Vpc"]["VpcId"]
        here = {"VpcId": self.vpc}
        self.subnets = [
            self.ec2(
                "create_subnet",
                CidrBlock=f"{self.cidr}.{number}.0/24",
                AvailabilityZone=f"us-east-1{'ab'[number]}",
                **here,
                **self.spec("subnet"),
            )["Subnet"]["SubnetId"]
            for number in range(2)
        ]
        gateway = self.ec2("create_internet_gateway", **self.spec("internet-gateway"))["InternetGateway"]
        self.ec2("attach_internet_gateway", InternetGatewayId=gateway["InternetGatewayId"], **here)
        table = self.ec2("create_route_table", **here, **self.spec("route-table"))["RouteTable"][
            "RouteTableId"
        ]
        self.ec2(
            "create_route",
            RouteTableId=table,
            DestinationCidrBlock="0.0.0.0/0",
            GatewayId=gateway["InternetGatewayId"],
        )
        self.ec2("associate_route_table", RouteTableId=table, SubnetId=self.subnets[0])
        self.group = self.ec2(
            "create_security_group",
            GroupName=f"{self.cluster}-nodes",
            Description="nodes",
            **here,
            **self.spec("security-group"),
        )["GroupId"]
        self.address = self.ec2("allocate_address", Domain="vpc", **self.spec("elastic-ip"))["AllocationId"]
        self.ec2(
            "create_nat_gateway",
            SubnetId=self.subnets[0],
            AllocationId=self.address,
            **self.spec("natgateway"),
        )
        self.ec2(
            "create_vpc_endpoint",
            VpcEndpointType="Gateway",
            ServiceName="com.amazonaws.us-east-1.s3",
            **here,
            **self.spec("vpc-endpoint"),
        )

    def balancers(self) -> None:
        """The controller's: its own tag alone. Its group refers to that of the nodes."""
        tags = pairs({"elbv2.k8s.aws/cluster": self.cluster})
        made = self.api.call(
            "elbv2",
            "create_load_balancer",
            Name=f"k8s-{self.instance}"[:32],
            Type="network",
            Subnets=self.subnets,
            Tags=tags,
        )["LoadBalancers"][0]["LoadBalancerArn"]
        target = self.api.call(
            "elbv2",
            "create_target_group",
            Name=f"t-{self.instance}"[:32],
            Protocol="TCP",
            Port=80,
            VpcId=self.vpc,
            Tags=tags,
        )["TargetGroups"][0]["TargetGroupArn"]
        self.api.call(
            "elbv2",
            "create_listener",
            LoadBalancerArn=made,
            Protocol="TCP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": target}],
        )
        traffic = self.ec2(
            "create_security_group",
            GroupName=f"k8s-traffic-{self.cluster}",
            Description="traffic",
            VpcId=self.vpc,
            TagSpecifications=self.tagged("security-group", {"elbv2.k8s.aws/cluster": self.cluster}),
        )["GroupId"]
        rule = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}
        for group, other in ((self.group, traffic), (traffic, self.group)):
            self.ec2(
                "authorize_security_group_ingress",
                GroupId=group,
                IpPermissions=[{**rule, "UserIdGroupPairs": [{"GroupId": other}]}],
            )
        self.api.call(
            "elb",
            "create_load_balancer",
            LoadBalancerName=f"a{self.instance}"[:32],
            Listeners=[{"Protocol": "TCP", "LoadBalancerPort": 80, "InstancePort": 80}],
            Subnets=self.subnets,
            Tags=pairs(self.owned),
        )

    def machines(self) -> None:
        """Karpenter's machine and template, a claim's volume, an interface of the CNI: without zave's tag."""
        made = {**self.owned, "karpenter.sh/nodepool": "default"}
        self.ec2(
            "create_launch_template",
            LaunchTemplateName=f"karpenter.k8s.aws/{self.cluster}",
            LaunchTemplateData={"InstanceType": "t3.large"},
            TagSpecifications=self.tagged("launch-template", made),
        )
        images = self.ec2("describe_images", Owners=["self"])["Images"]
        image = images[0] if images else self.ec2("register_image", Name="any", RootDeviceName="/dev/xvda")
        self.ec2(
            "run_instances",
            ImageId=image["ImageId"],
            MinCount=1,
            MaxCount=1,
            InstanceType="t3.large",
            SubnetId=self.subnets[0],
            TagSpecifications=self.tagged("instance", made),
        )
        volume = self.ec2(
            "create_volume",
            AvailabilityZone="us-east-1a",
            Size=9,
            VolumeType="gp3",
            TagSpecifications=self.tagged("volume", {**self.owned, "CSIVolumeName": "pvc-1"}),
        )["VolumeId"]
        self.ec2(
            "create_snapshot",
            VolumeId=volume,
            TagSpecifications=self.tagged("snapshot", {**self.owned, "CSIVolumeSnapshotName": "s-1"}),
        )
        self.ec2(
            "create_network_interface",
            SubnetId=self.subnets[1],
            Description="aws-K8S-i-0123456789",
            TagSpecifications=self.tagged(
                "network-interface", {"node.k8s.amazonaws.com/instance_id": "i-gone"}
            ),
        )

    def clusters(self) -> None:
        """The cluster with its nodes; its log group, which EKS writes anew, has no tag."""
        self.api.call(
            "eks",
            "create_cluster",
            name=self.cluster,
            roleArn="arn:aws:iam::123456789012:role/zave/none",
            resourcesVpcConfig={"subnetIds": self.subnets},
            tags=self.tags,
        )
        self.api.call(
            "eks",
            "create_nodegroup",
            clusterName=self.cluster,
            nodegroupName=f"{self.cluster}-nodes",
            nodeRole="arn:aws:iam::123456789012:role/zave/none",
            subnets=self.subnets,
            tags=self.tags,
        )
        for name in (f"/aws/eks/{self.cluster}/cluster", f"/zave/{self.instance}/flow"):
            self.api.call("logs", "create_log_group", logGroupName=name)

    def identities(self) -> None:
        """Roles lie in a folder of the instance; Karpenter's profile has the cluster's name."""
        role = f"{self.cluster}-nodes"
        self.api.call(
            "iam",
            "create_role",
            RoleName=role,
            Path=f"/zave/{self.instance}/",
            AssumeRolePolicyDocument=_TRUST,
            Tags=pairs(self.tags),
        )
        self.api.call("iam", "put_role_policy", RoleName=role, PolicyName="own", PolicyDocument=_RIGHTS)
        policy = self.api.call(
            "iam",
            "create_policy",
            PolicyName=f"{self.cluster}-more",
            Path=f"/zave/{self.instance}/",
            PolicyDocument=_RIGHTS,
        )["Policy"]["Arn"]
        self.api.call("iam", "attach_role_policy", RoleName=role, PolicyArn=policy)
        profile = f"{self.cluster}_4067990795380418201"
        self.api.call("iam", "create_instance_profile", InstanceProfileName=profile, Tags=pairs(self.owned))
        self.api.call("iam", "add_role_to_instance_profile", InstanceProfileName=profile, RoleName=role)
        self.api.call(
            "iam",
            "create_open_id_connect_provider",
            Url=f"https://oidc.eks.us-east-1.amazonaws.com/id/{self.instance.upper()}",
            ThumbprintList=["0" * 40],
            Tags=pairs({"alpha.eksctl.io/cluster-name": self.cluster}),
        )

    def services(self) -> None:
        """What Terraform made beside the cluster, without what needs a network."""
        tags = pairs(self.tags)
        name = f"zave-{self.instance}"
        key = self.api.call(
            "kms", "create_key", Tags=[{"TagKey": k, "TagValue": v} for k, v in self.tags.items()]
        )["KeyMetadata"]["KeyId"]
        self.api.call("kms", "create_alias", AliasName=f"alias/{name}-secrets", TargetKeyId=key)
        url = self.api.call("sqs", "create_queue", QueueName=f"{name}-interruptions", tags=self.tags)
        queue = f"arn:aws:sqs:us-east-1:123456789012:{name}-interruptions"
        assert url["QueueUrl"].endswith(f"{name}-interruptions")
        self.api.call(
            "events", "put_rule", Name=f"{name}-spot", EventPattern='{"source": ["aws.ec2"]}', Tags=tags
        )
        self.api.call("events", "put_targets", Rule=f"{name}-spot", Targets=[{"Id": "queue", "Arn": queue}])
        self.api.call("ecr", "create_repository", repositoryName=f"{name}/apps", tags=tags)

    def databases(self) -> None:
        """A database in the network."""
        tags = pairs(self.tags)
        name = f"zave-{self.instance}"
        self.api.call(
            "rds",
            "create_db_subnet_group",
            DBSubnetGroupName=f"{name}-db",
            DBSubnetGroupDescription="db",
            SubnetIds=self.subnets,
            Tags=tags,
        )
        self.api.call(
            "rds",
            "create_db_instance",
            DBInstanceIdentifier=f"{name}-db",
            DBInstanceClass="db.t4g.micro",
            Engine="postgres",
            AllocatedStorage=20,
            MasterUsername="platform",
            MasterUserPassword="not-a-secret",
            DBSubnetGroupName=f"{name}-db",
            Tags=tags,
        )
