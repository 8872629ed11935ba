"""What AWS does by itself when Terraform makes, changes or deletes something."""

from collections.abc import Mapping
from typing import Any

from zave.rehearsal import aws_blocks, aws_machines, aws_parts
from zave.rehearsal.aws_family import child_types, children
from zave.rehearsal.aws_parts import Maker
from zave.rehearsal.effects import Block
from zave.rehearsal.ledger import Ledger
from zave.rehearsal.things import PENDING_UNTIL, WITH, Draft, Thing
from zave.rehearsal.values import find

_DAY = 86400.0
# KMS: 30 days unless the key says otherwise (KMS API reference, ScheduleKeyDeletion)
_WINDOW_DAYS = 30
# EKS puts its interfaces into two of the subnets (EKS user guide, network requirements)
_CONTROL_PLANE_INTERFACES = 2
_LOGS = ("/aws/eks/", "/cluster")
# what goes with a thing of the type although no attribute of Terraform's says so
_CARRIED: Mapping[str, tuple[str, ...]] = {
    "aws_eks_cluster": ("aws_network_interface", "aws_security_group"),
    "aws_lb": ("aws_lb_listener", "aws_network_interface"),
}


class AwsEffects:
    """Implements `zave.rehearsal.effects.Effects`."""

    def wanted(self, draft: Draft) -> str:
        """Spot instances, for a node group that wants them."""
        if draft.type == "aws_eks_node_group" and draft.attributes.get("capacity_type") == "SPOT":
            return "spot"
        return ""

    def made(self, ledger: Ledger, thing: Thing) -> None:
        """A cluster brings its interfaces, its group and its logs; a node group its machines."""
        if thing.type == "aws_eks_cluster":
            _make_control_plane(ledger, thing)
        elif thing.type == "aws_eks_node_group":
            aws_machines.scale_node_group(ledger, thing)

    def changed(self, ledger: Ledger, thing: Thing) -> None:
        """A node group that was scaled has other machines."""
        if thing.type == "aws_eks_node_group":
            aws_machines.scale_node_group(ledger, thing)

    def blocked(self, ledger: Ledger, thing: Thing, *, force: bool) -> Block | None:
        """AWS's own reason to refuse a deletion."""
        return aws_blocks.block(ledger, thing, force=force)

    def instead(self, ledger: Ledger, thing: Thing) -> Mapping[str, Any] | None:
        """A key waits for its deletion, disabled; so does whatever Terraform made of it."""
        if thing.type != "aws_kms_key":
            return None
        days = float(thing.attributes.get("deletion_window_in_days") or _WINDOW_DAYS)
        return {**thing.attributes, "is_enabled": False, PENDING_UNTIL: ledger.now + days * _DAY}

    def leavings(self, thing: Thing) -> tuple[str, ...]:
        """What may be forgotten when a node group or a log group goes."""
        return {
            "aws_eks_node_group": ("interface", "instance"),
            "aws_cloudwatch_log_group": ("log-group",) if _cluster_of_logs(thing) else (),
        }.get(thing.type, ())

    def gone(self, ledger: Ledger, thing: Thing, *, left: frozenset[str]) -> None:
        """What belongs to the thing goes along, but for what is `left`; a cluster's logs come back."""
        if thing.type == "aws_eks_node_group":
            _end_machines(ledger, thing, left)
        if thing.type == "aws_instance":
            aws_machines.end_machine(ledger, thing)
        carried = _CARRIED.get(thing.type)
        for other in ledger.things(*carried) if carried else ():
            if other.attributes.get(WITH) == thing.key:
                ledger.drop(other, verb="delete")
        types = child_types(thing.type, goes=True)
        for child in children(thing, ledger.things(*types), goes=True) if types else ():
            ledger.drop(child, verb="delete")
        if thing.type == "aws_ecr_repository":
            ledger.delete_document(aws_blocks.IMAGES, thing.name)
        cluster = _cluster_of_logs(thing)
        if cluster is not None:
            _write_logs_again(ledger, thing, cluster, left="log-group" in left)


def _make_control_plane(ledger: Ledger, cluster: Thing) -> None:
    maker = Maker(ledger, cluster, "eks", cluster.ready_at.timestamp())
    identities = [found for _, found in find(cluster.attributes, "vpc_config.*.subnet_ids.*")]
    places = aws_parts.subnets(ledger, identities)[:_CONTROL_PLANE_INTERFACES]
    group = aws_parts.cluster_group(cluster)
    if group is not None:
        name = f"eks-cluster-sg-{cluster.name}-{cluster.key[-8:]}"
        attributes = {
            "id": group,
            "arn": maker.arn("ec2", f"security-group/{group}"),
            "name": name,
            "description": "EKS created security group applied to ENI that is attached to EKS Control Plane "
            "master nodes, as well as any managed workloads.",
            "vpc_id": places[0].attributes.get("vpc_id") if places else None,
            "tags": {**aws_parts.owned(cluster), "aws:eks:cluster-name": cluster.name},
        }
        maker.make("aws_security_group", name, attributes, carrier=cluster.key)
    groups = [group] if group is not None else []
    for place in places:
        aws_parts.interface(
            maker,
            place,
            f"Amazon EKS {cluster.name}",
            carrier=cluster.key,
            more={"security_groups": groups, "tags": {}},
        )
    logs = cluster.name.join(_LOGS)
    known = {thing.name for thing in ledger.things("aws_cloudwatch_log_group")}
    if cluster.attributes.get("enabled_cluster_log_types") and logs not in known:
        _make_log_group(maker, logs)


def _make_log_group(maker: Maker, name: str) -> None:
    attributes = {"id": name, "arn": maker.arn("logs", f"log-group:{name}"), "name": name, "tags": {}}
    maker.make("aws_cloudwatch_log_group", name, attributes, unique=maker.regional(name))


def _cluster_of_logs(thing: Thing) -> str | None:
    """The name of the cluster whose control plane writes to a log group."""
    begin, end = _LOGS
    if thing.type != "aws_cloudwatch_log_group" or not thing.name.startswith(begin):
        return None
    return thing.name.removeprefix(begin).removesuffix(end) if thing.name.endswith(end) else None


def _write_logs_again(ledger: Ledger, group: Thing, name: str, *, left: bool) -> None:
    """The control plane writes on: EKS makes the group anew, without retention and without tags.

    `left`: the service-linked role writes its last lines after the cluster is gone
    (terraform-aws-eks issues 2763 and 2446).
    """
    cluster = aws_parts.cluster_named(ledger, name)
    logging = cluster is not None and bool(cluster.attributes.get("enabled_cluster_log_types"))
    if logging or left:
        _make_log_group(Maker(ledger, cluster or group, "eks", ledger.now), group.name)


def _end_machines(ledger: Ledger, group: Thing, left: frozenset[str]) -> None:
    machines = [each for each in ledger.things("aws_instance") if each.attributes.get(WITH) == group.key]
    for number, machine in enumerate(machines):
        if number == 0 and "instance" in left:
            loose = {name: value for name, value in machine.attributes.items() if name != WITH}
            ledger.change(machine, loose, verb="leave")
            continue
        forget = "interface" in left and number == len(machines) - 1
        aws_machines.end_machine(ledger, machine, leave_interface=forget)
