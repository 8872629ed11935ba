"""Clusters, and machines with what they run on."""

from zave.aws.live.listing import Ask, Kind

# asked of the cluster that they are under
_NAMED = {"clusterName": "it"}


def _described(operation: str, parameter: str, path: str) -> dict[str, Ask]:
    """What completes something that is listed by name within a cluster."""
    return {"d": Ask(f"eks:{operation}", path, taken={"clusterName": "up.it", parameter: "it"})}


_NODE_GROUP = Kind(
    "aws_eks_node_group",
    Ask("eks:list_nodegroups", "nodegroups", taken=_NAMED),
    id="d && join(':', [d.clusterName, d.nodegroupName])",
    more=_described("describe_nodegroup", "nodegroupName", "nodegroup"),
    tags="d.tags",
    state="d.status",
    created="d.createdAt",
    shape={
        "arn": "d.nodegroupArn",
        "cluster_name": "d.clusterName",
        "node_group_name": "d.nodegroupName",
        "capacity_type": "d.capacityType",
        "instance_types": "d.instanceTypes",
        "version": "d.version",
    },
)
_ADDON = Kind(
    "aws_eks_addon",
    Ask("eks:list_addons", "addons", taken=_NAMED),
    id="d && join(':', [d.clusterName, d.addonName])",
    more=_described("describe_addon", "addonName", "addon"),
    tags="d.tags",
    state="d.status",
    created="d.createdAt",
    shape={
        "arn": "d.addonArn",
        "cluster_name": "d.clusterName",
        "addon_name": "d.addonName",
        "addon_version": "d.addonVersion",
    },
)
_POLICY = Kind(
    "aws_eks_access_policy_association",
    Ask(
        "eks:list_associated_access_policies",
        "associatedAccessPolicies",
        taken={"clusterName": "d.clusterName", "principalArn": "d.principalArn"},
    ),
    id="join('#', [up.d.clusterName, up.d.principalArn, policyArn])",
    tags="",
    shape={
        "cluster_name": "up.d.clusterName",
        "principal_arn": "up.d.principalArn",
        "policy_arn": "policyArn",
    },
)
_ACCESS = Kind(
    "aws_eks_access_entry",
    Ask("eks:list_access_entries", "accessEntries", taken=_NAMED),
    id="d && join(':', [d.clusterName, d.principalArn])",
    more=_described("describe_access_entry", "principalArn", "accessEntry"),
    tags="d.tags",
    created="d.createdAt",
    shape={
        "cluster_name": "d.clusterName",
        "principal_arn": "d.principalArn",
        "type": "d.type",
    },
    under=(_POLICY,),
)
_POD_IDENTITY = Kind(
    "aws_eks_pod_identity_association",
    Ask("eks:list_pod_identity_associations", "associations", taken=_NAMED),
    id="associationId",
    more={
        "d": Ask(
            "eks:describe_pod_identity_association",
            "association",
            taken={"clusterName": "up.it", "associationId": "associationId"},
        )
    },
    tags="d.tags",
    created="d.createdAt",
    shape={
        "cluster_name": "clusterName",
        "association_id": "associationId",
        "namespace": "namespace",
        "service_account": "serviceAccount",
    },
)

CLUSTERS = (
    Kind(
        "aws_eks_cluster",
        Ask("eks:list_clusters", "clusters"),
        id="d.name",
        more={"d": Ask("eks:describe_cluster", "cluster", taken={"name": "it"})},
        tags="d.tags",
        state="d.status",
        created="d.createdAt",
        shape={
            "arn": "d.arn",
            "name": "d.name",
            "version": "d.version",
            "upgrade_policy": "d.upgradePolicy.supportType",
            "vpc_id": "d.resourcesVpcConfig.vpcId",
            "cluster_security_group_id": "d.resourcesVpcConfig.clusterSecurityGroupId",
            "issuer": "d.identity.oidc.issuer",
            "deletion_protection": "d.deletionProtection",
        },
        under=(_ADDON, _POD_IDENTITY, _ACCESS, _NODE_GROUP),
        covers="eks",
    ),
)

MACHINES = (
    Kind(
        "aws_autoscaling_group",
        Ask("autoscaling:describe_auto_scaling_groups", "AutoScalingGroups"),
        id="AutoScalingGroupName",
        created="CreatedTime",
        state="Status && 'deleting'",
        shape={
            "name": "AutoScalingGroupName",
            "arn": "AutoScalingGroupARN",
            "subnet_ids": "VPCZoneIdentifier",
        },
        covers="autoscaling:autoScalingGroup",
    ),
    Kind(
        "aws_instance",
        Ask("ec2:describe_instances", "Reservations[].Instances[]"),
        id="InstanceId",
        keep="State.Name != 'terminated'",
        state="State.Name",
        created="LaunchTime",
        shape={
            "instance_type": "InstanceType",
            "instance_lifecycle": "InstanceLifecycle",
            "subnet_id": "SubnetId",
            "vpc_id": "VpcId",
            "public_ip": "PublicIpAddress",
            "private_ip": "PrivateIpAddress",
        },
        covers="ec2:instance",
    ),
    Kind(
        "aws_launch_template",
        Ask("ec2:describe_launch_templates", "LaunchTemplates"),
        id="LaunchTemplateId",
        created="CreateTime",
        shape={"name": "LaunchTemplateName"},
        covers="ec2:launch-template",
    ),
    Kind(
        "aws_ebs_volume",
        Ask("ec2:describe_volumes", "Volumes"),
        id="VolumeId",
        state="State",
        created="CreateTime",
        shape={
            "size": "Size",
            "type": "VolumeType",
            "iops": "Iops",
            "availability_zone": "AvailabilityZone",
            "instance_id": "Attachments[0].InstanceId",
            "snapshot_id": "SnapshotId",
        },
        covers="ec2:volume",
    ),
    # images first: a snapshot under one cannot go
    Kind(
        "aws_ami",
        Ask("ec2:describe_images", "Images", given={"Owners": ["self"]}),
        id="ImageId",
        created="CreationDate",
        shape={"name": "Name", "snapshot_ids": "BlockDeviceMappings[].Ebs.SnapshotId"},
        covers="ec2:image",
    ),
    Kind(
        "aws_ebs_snapshot",
        Ask("ec2:describe_snapshots", "Snapshots", given={"OwnerIds": ["self"]}),
        id="SnapshotId",
        created="StartTime",
        shape={"volume_id": "VolumeId", "size": "VolumeSize", "description": "Description"},
        covers="ec2:snapshot",
    ),
)
