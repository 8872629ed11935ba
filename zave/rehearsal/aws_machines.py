"""The machines of EKS: those of node groups and of Karpenter, with their volumes and interfaces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zave.rehearsal import aws_parts
from zave.rehearsal.aws_family import cluster_of
from zave.rehearsal.aws_parts import Maker
from zave.rehearsal.ledger import Ledger
from zave.rehearsal.things import MADE_BY, WITH, Thing, WorldError
from zave.rehearsal.values import find, first

NODE_POOL = "karpenter.sh/nodepool"
# AWS's default for a node group without a launch template (EKS API reference, CreateNodegroup)
_DISK_GIB = 20
_DEFAULT_TYPE = "t3.medium"
# the default of Karpenter's EC2NodeClass is the AMI's root volume of 20 GiB (Karpenter documentation)
_SECONDARY = "aws-K8S-"


@dataclass(frozen=True)
class Machine:
    """What a machine is made of. `carrier` is the key of the thing with which it goes, if any."""

    instance_type: str
    spot: bool
    disk_gib: int
    tags: Mapping[str, str]
    volume_tags: Mapping[str, str]
    interface_tags: Mapping[str, str]
    carrier: str | None = None


def scale_node_group(ledger: Ledger, group: Thing) -> None:
    """Make or end machines until the group has as many as it wants. Raises WorldError, as EKS does."""
    _require_sizes(group)
    cluster = aws_parts.cluster_named(ledger, group.attributes.get("cluster_name"))
    wanted = first(group.attributes, "scaling_config.*.desired_size")
    if cluster is None or not isinstance(wanted, int | float):
        return
    running = [each for each in ledger.things("aws_instance") if each.attributes.get(WITH) == group.key]
    for surplus in running[int(wanted) :]:
        end_machine(ledger, surplus)
    missing = int(wanted) - len(running)
    if missing <= 0:
        return
    zones = aws_parts.subnets(ledger, group.attributes.get("subnet_ids") or [])
    maker = Maker(ledger, cluster, "eks", max(ledger.now, group.ready_at.timestamp()))
    template = _template_of(ledger, group)
    machine = _node(group, cluster, template)
    extra = aws_parts.extra_tags(ledger, cluster, "vpc-cni", ("env", "ADDITIONAL_ENI_TAGS"))
    for number in range(missing if zones else 0):
        _launch(maker, machine, zones[(len(running) + number) % len(zones)], extra)


def _require_sizes(group: Thing) -> None:
    """In EKS's words: UpdateNodegroupConfig and CreateNodegroup, InvalidParameterException."""
    fewest, wanted, most = (
        first(group.attributes, f"scaling_config.*.{name}_size") for name in ("min", "desired", "max")
    )
    if not all(isinstance(size, int | float) for size in (fewest, wanted, most)):
        return
    refused = ""
    if fewest > wanted:
        refused = f"Minimum capacity {fewest:g} can't be greater than desired size {wanted:g}"
    elif wanted > most:
        refused = f"desired capacity {wanted:g} can't be greater than max size {most:g}"
    if refused:
        raise WorldError(f"EKS node group '{group.name}': InvalidParameterException: {refused}")


def launch_karpenter_nodes(ledger: Ledger, cluster: Thing, *, count: int) -> None:
    """Have Karpenter make machines, with the launch template and the profile that it wants for them."""
    identities = [found for _, found in find(cluster.attributes, "vpc_config.*.subnet_ids.*")]
    groups = [
        each
        for each in ledger.things("aws_eks_node_group")
        if each.attributes.get("cluster_name") == cluster.name
    ]
    # where the node group's machines are, since Karpenter selects subnets by the same tags
    zones = aws_parts.subnets(ledger, groups[0].attributes.get("subnet_ids") or [] if groups else identities)
    if not zones:
        return
    instance_type = _instance_types(groups[0])[0] if groups else _DEFAULT_TYPE
    tags = {**aws_parts.owned(cluster), **aws_parts.owner_tags(cluster), NODE_POOL: "default"}
    maker = Maker(ledger, cluster, "karpenter", ledger.now)
    _karpenter_template(maker, tags)
    _karpenter_profile(maker, tags)
    machine = Machine(instance_type, True, _DISK_GIB, tags, tags, tags)
    extra = aws_parts.extra_tags(ledger, cluster, "vpc-cni", ("env", "ADDITIONAL_ENI_TAGS"))
    for number in range(count):
        _launch(maker, machine, zones[number % len(zones)], extra)


def karpenter_parts(things: Sequence[Thing], cluster: str) -> Sequence[Thing]:
    """What Karpenter made for a cluster: machines first, then what they were made from."""
    order = ("aws_instance", "aws_launch_template", "aws_iam_instance_profile")
    made = [
        each for each in things if each.attributes.get(MADE_BY) == "karpenter" and cluster_of(each) == cluster
    ]
    return sorted((each for each in made if each.type in order), key=lambda each: order.index(each.type))


def end_machine(ledger: Ledger, machine: Thing, *, leave_interface: bool = False) -> None:
    """Terminate a machine: its root volume and interfaces go along, or one interface is forgotten."""
    ledger.drop(machine, verb="delete")
    for thing in ledger.things("aws_ebs_volume", "aws_network_interface"):
        if thing.attributes.get(WITH) == machine.key:
            if leave_interface and thing.attributes.get("description", "").startswith(_SECONDARY):
                forget_interface(ledger, thing)
            else:
                ledger.drop(thing, verb="delete")
        elif thing.attributes.get("attached_to") == machine.attributes.get("id"):
            # a volume of a PVC: the machine's end detaches it
            detached = {name: value for name, value in thing.attributes.items() if name != "attached_to"}
            ledger.change(thing, {**detached, "state": "available"}, verb="detach")


def forget_interface(ledger: Ledger, interface: Thing) -> None:
    """Detach an interface that nobody deletes any more: the CNI died before it could."""
    loose = {
        name: value
        for name, value in interface.attributes.items()
        if name not in (WITH, "instance_id", "public_ip")
    }
    ledger.change(interface, {**loose, "status": "available"}, verb="leave")


def _node(group: Thing, cluster: Thing, template: Thing | None) -> Machine:
    size = first(template.attributes, "block_device_mappings.*.ebs.*.volume_size") if template else None
    marks = {
        **aws_parts.owned(cluster),
        "eks:cluster-name": cluster.name,
        "eks:nodegroup-name": str(group.attributes.get("node_group_name") or group.name),
    }
    return Machine(
        instance_type=_instance_types(group)[0],
        spot=group.attributes.get("capacity_type") == "SPOT",
        disk_gib=int(size or group.attributes.get("disk_size") or _DISK_GIB),
        tags={**aws_parts.template_tags(template, "instance"), **marks},
        volume_tags={**aws_parts.template_tags(template, "volume"), **marks},
        interface_tags={**aws_parts.template_tags(template, "network-interface"), **marks},
        carrier=group.key,
    )


def _instance_types(group: Thing) -> Sequence[str]:
    return group.attributes.get("instance_types") or [_DEFAULT_TYPE]


def _template_of(ledger: Ledger, group: Thing) -> Thing | None:
    names = {first(group.attributes, f"launch_template.*.{name}") for name in ("id", "name")} - {None}
    for thing in ledger.things("aws_launch_template"):
        if thing.attributes.get("id") in names or thing.name in names:
            return thing
    return None


def _launch(maker: Maker, machine: Machine, subnet: Thing, cni_tags: Mapping[str, str]) -> None:
    """One machine with its root volume, its own interface and the one that the VPC CNI adds."""
    identity = maker.id_of("aws_instance")
    address = aws_parts.private_address(maker.ledger, subnet)
    public = subnet.attributes.get("map_public_ip_on_launch") is True
    groups = [group for group in (aws_parts.cluster_group(maker.cause),) if group]
    region, _ = aws_parts.region_and_account(maker.cause)
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    attributes: dict[str, Any] = {
        "id": identity,
        "arn": maker.arn("ec2", f"instance/{identity}"),
        "instance_type": machine.instance_type,
        "instance_lifecycle": "spot" if machine.spot else None,
        "instance_state": "running",
        "availability_zone": subnet.attributes.get("availability_zone"),
        "subnet_id": subnet.attributes.get("id"),
        "vpc_id": subnet.attributes.get("vpc_id"),
        "vpc_security_group_ids": groups,
        "private_ip": address,
        "private_dns": f"ip-{(address or identity).replace('.', '-')}.{domain}",
        "public_ip": aws_parts.public_address(maker.ledger) if public else None,
        "tags": dict(machine.tags),
    }
    made = maker.make("aws_instance", identity, attributes, carrier=machine.carrier)
    _root_volume(maker, machine, made)
    _interfaces(maker, machine, made, subnet, cni_tags)


def _root_volume(maker: Maker, machine: Machine, made: Thing) -> None:
    volume = maker.id_of("aws_ebs_volume")
    root = {
        "id": volume,
        "arn": maker.arn("ec2", f"volume/{volume}"),
        "availability_zone": made.attributes.get("availability_zone"),
        "size": machine.disk_gib,
        "type": "gp3",
        "state": "in-use",
        "attached_to": made.attributes.get("id"),
        "tags": dict(machine.volume_tags),
    }
    maker.make("aws_ebs_volume", volume, root, carrier=made.key)


def _interfaces(
    maker: Maker, machine: Machine, made: Thing, subnet: Thing, cni_tags: Mapping[str, str]
) -> None:
    """A machine's own interface, with its addresses, and the one that the VPC CNI adds for pods."""
    identity = made.attributes["id"]
    common = {"instance_id": identity, "security_groups": made.attributes["vpc_security_group_ids"]}
    first_one = {
        **common,
        "private_ip": made.attributes["private_ip"],
        "public_ip": made.attributes["public_ip"],
        "tags": dict(machine.interface_tags),
    }
    aws_parts.interface(maker, subnet, "", carrier=made.key, more=first_one)
    marks = {
        "cluster.k8s.amazonaws.com/name": maker.cause.name,
        "node.k8s.amazonaws.com/instance_id": identity,
    }
    second = {**common, "tags": {**cni_tags, **marks}, MADE_BY: "vpc-cni"}
    aws_parts.interface(
        Maker(maker.ledger, maker.cause, "vpc-cni", maker.ready_at),
        subnet,
        f"{_SECONDARY}{identity}",
        carrier=made.key,
        more=second,
    )


def _karpenter_template(maker: Maker, tags: Mapping[str, str]) -> None:
    name = f"karpenter.k8s.aws/{maker.cause.name}"
    if any(each.name == name for each in maker.ledger.things("aws_launch_template")):
        return
    identity = maker.id_of("aws_launch_template")
    arn = maker.arn("ec2", f"launch-template/{identity}")
    attributes = {"id": identity, "arn": arn, "name": name, "tags": dict(tags)}
    maker.make("aws_launch_template", name, attributes, unique=maker.regional(name))


def _karpenter_profile(maker: Maker, tags: Mapping[str, str]) -> None:
    """Karpenter makes a profile only where its node class names a role instead of a profile."""
    belonging = aws_parts.owner_tags(maker.cause)
    for profile in maker.ledger.things("aws_iam_instance_profile"):
        marks = aws_parts.owner_tags(profile)
        if cluster_of(profile) == maker.cause.name or (belonging and marks.items() >= belonging.items()):
            return
    roles = [
        each
        for each in maker.ledger.things("aws_iam_role")
        if aws_parts.owner_tags(each).items() >= belonging.items() and "ec2." in str(each.attributes)
    ]
    name = f"{maker.cause.name}_{maker.ledger.counter('karpenter.profile')}"
    _, account = aws_parts.region_and_account(maker.cause)
    attributes = {
        "id": name,
        "arn": f"arn:aws:iam::{account}:instance-profile/{name}",
        "name": name,
        "role": roles[0].name if roles else None,
        "tags": dict(tags),
    }
    maker.make("aws_iam_instance_profile", name, attributes, unique=name)
