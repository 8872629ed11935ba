"""Networks, and what balances load in them."""

from zave.aws.live.listing import Ask, Kind

_BALANCER_TAGS = "elbv2:describe_tags"
_FIRST_TAGS = "TagDescriptions[0].Tags"

# protocols without ports have -1 for them, which Terraform leaves out
_RULE = {
    "security_group_rule_id": "SecurityGroupRuleId",
    "security_group_id": "GroupId",
    "ip_protocol": "IpProtocol",
    "from_port": "(IpProtocol != '-1' && FromPort) || `null`",
    "to_port": "(IpProtocol != '-1' && ToPort) || `null`",
    "cidr_ipv4": "CidrIpv4",
    "cidr_ipv6": "CidrIpv6",
    "prefix_list_id": "PrefixListId",
    "referenced_security_group_id": "ReferencedGroupInfo.GroupId",
}


def _rule(type_: str, keep: str) -> Kind:
    return Kind(
        type_,
        Ask("ec2:describe_security_group_rules", "SecurityGroupRules"),
        id="SecurityGroupRuleId",
        keep=keep,
        shape=_RULE,
        covers="ec2:security-group-rule",
    )


def _group(type_: str, keep: str) -> Kind:
    return Kind(
        type_,
        Ask("ec2:describe_security_groups", "SecurityGroups"),
        id="GroupId",
        keep=keep,
        shape={"name": "GroupName", "description": "Description", "vpc_id": "VpcId"},
        covers="ec2:security-group",
    )


_ROUTE = Kind(
    "aws_route",
    # what came with the table or from an endpoint is not anybody's to make
    Ask("", "Routes[?Origin == 'CreateRoute' && !starts_with(GatewayId || '', 'vpce-')]"),
    id="join('_', [up.RouteTableId, DestinationCidrBlock || DestinationIpv6CidrBlock || "
    "DestinationPrefixListId || ''])",
    tags="",
    shape={
        "route_table_id": "up.RouteTableId",
        "destination_cidr_block": "DestinationCidrBlock",
        "destination_ipv6_cidr_block": "DestinationIpv6CidrBlock",
        "destination_prefix_list_id": "DestinationPrefixListId",
        "gateway_id": "GatewayId",
        "nat_gateway_id": "NatGatewayId",
    },
)
_ASSOCIATION = Kind(
    "aws_route_table_association",
    Ask("", "Associations[?!Main]"),
    id="RouteTableAssociationId",
    tags="",
    shape={"route_table_id": "RouteTableId", "subnet_id": "SubnetId", "gateway_id": "GatewayId"},
)


def _table(type_: str, keep: str) -> Kind:
    return Kind(
        type_,
        Ask("ec2:describe_route_tables", "RouteTables"),
        id="RouteTableId",
        keep=keep,
        shape={"vpc_id": "VpcId"},
        under=(_ROUTE, _ASSOCIATION),
        covers="ec2:route-table",
    )


BALANCERS = (
    Kind(
        "aws_lb",
        Ask("elbv2:describe_load_balancers", "LoadBalancers"),
        id="LoadBalancerArn",
        more={"t": Ask(_BALANCER_TAGS, _FIRST_TAGS, taken={"ResourceArns": "[LoadBalancerArn]"})},
        tags="t",
        state="State.Code",
        created="CreatedTime",
        shape={
            "arn": "LoadBalancerArn",
            "name": "LoadBalancerName",
            "load_balancer_type": "Type",
            "vpc_id": "VpcId",
            "dns_name": "DNSName",
        },
        under=(
            Kind(
                "aws_lb_listener",
                Ask("elbv2:describe_listeners", "Listeners", taken={"LoadBalancerArn": "LoadBalancerArn"}),
                id="ListenerArn",
                tags="",
                shape={
                    "arn": "ListenerArn",
                    "load_balancer_arn": "LoadBalancerArn",
                    "port": "Port",
                    "protocol": "Protocol",
                },
            ),
        ),
        covers="elasticloadbalancing:loadbalancer",
    ),
    Kind(
        "aws_lb_target_group",
        Ask("elbv2:describe_target_groups", "TargetGroups"),
        id="TargetGroupArn",
        more={"t": Ask(_BALANCER_TAGS, _FIRST_TAGS, taken={"ResourceArns": "[TargetGroupArn]"})},
        tags="t",
        shape={"arn": "TargetGroupArn", "name": "TargetGroupName", "vpc_id": "VpcId"},
        covers="elasticloadbalancing:targetgroup",
    ),
    # what Kubernetes makes by itself where no controller of AWS's is installed
    Kind(
        "aws_elb",
        Ask("elb:describe_load_balancers", "LoadBalancerDescriptions"),
        id="LoadBalancerName",
        more={"t": Ask("elb:describe_tags", _FIRST_TAGS, taken={"LoadBalancerNames": "[LoadBalancerName]"})},
        tags="t",
        created="CreatedTime",
        shape={"name": "LoadBalancerName", "vpc_id": "VPCId", "dns_name": "DNSName"},
        covers="elasticloadbalancing:loadbalancer",
    ),
)

NETWORKS = (
    Kind(
        "aws_nat_gateway",
        Ask("ec2:describe_nat_gateways", "NatGateways"),
        id="NatGatewayId",
        keep="State != 'deleted'",
        state="State",
        created="CreateTime",
        shape={"subnet_id": "SubnetId", "vpc_id": "VpcId", "connectivity_type": "ConnectivityType"},
        covers="ec2:natgateway",
    ),
    Kind(
        "aws_vpc_endpoint",
        Ask("ec2:describe_vpc_endpoints", "VpcEndpoints"),
        id="VpcEndpointId",
        keep="State != 'deleted'",
        state="State",
        created="CreationTimestamp",
        shape={
            "vpc_id": "VpcId",
            "service_name": "ServiceName",
            "vpc_endpoint_type": "VpcEndpointType",
            "subnet_ids": "SubnetIds",
        },
        covers="ec2:vpc-endpoint",
    ),
    Kind(
        "aws_eip",
        Ask("ec2:describe_addresses", "Addresses"),
        id="AllocationId",
        shape={
            "public_ip": "PublicIp",
            "allocation_id": "AllocationId",
            "association_id": "AssociationId",
            "instance_id": "InstanceId",
            "network_interface_id": "NetworkInterfaceId",
        },
        covers="ec2:elastic-ip",
    ),
    Kind(
        "aws_network_interface",
        Ask("ec2:describe_network_interfaces", "NetworkInterfaces"),
        id="NetworkInterfaceId",
        tags="TagSet",
        shape={
            "description": "Description",
            "status": "Status",
            "interface_type": "InterfaceType",
            "subnet_id": "SubnetId",
            "vpc_id": "VpcId",
            "private_ip": "PrivateIpAddress",
            "public_ip": "Association.PublicIp",
            "allocation_id": "Association.AllocationId",
            "instance_id": "Attachment.InstanceId",
        },
        covers="ec2:network-interface",
    ),
    Kind(
        "aws_flow_log",
        Ask("ec2:describe_flow_logs", "FlowLogs"),
        id="FlowLogId",
        created="CreationTime",
        shape={"vpc_id": "ResourceId", "log_group_name": "LogGroupName"},
        covers="ec2:vpc-flow-log",
    ),
    _rule("aws_vpc_security_group_ingress_rule", "!IsEgress"),
    _rule("aws_vpc_security_group_egress_rule", "IsEgress"),
    _group("aws_security_group", "GroupName != 'default'"),
    _group("aws_default_security_group", "GroupName == 'default'"),
    _table("aws_route_table", "!(Associations[?Main])"),
    _table("aws_default_route_table", "Associations[?Main]"),
    Kind(
        "aws_subnet",
        Ask("ec2:describe_subnets", "Subnets"),
        id="SubnetId",
        shape={"vpc_id": "VpcId", "cidr_block": "CidrBlock", "availability_zone": "AvailabilityZone"},
        covers="ec2:subnet",
    ),
    Kind(
        "aws_internet_gateway",
        Ask("ec2:describe_internet_gateways", "InternetGateways"),
        id="InternetGatewayId",
        shape={"vpc_id": "Attachments[0].VpcId"},
        covers="ec2:internet-gateway",
    ),
    Kind(
        "aws_vpc",
        Ask("ec2:describe_vpcs", "Vpcs"),
        id="VpcId",
        shape={"cidr_block": "CidrBlock"},
        covers="ec2:vpc",
    ),
)
