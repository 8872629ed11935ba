"""What keeps an AWS object from being deleted, in AWS's own words.

Time-outs and codes: the provider's sources and the reports named in `durations.json`
(aws_subnet 20 min, aws_security_group 15 min, aws_internet_gateway 20 min: TP and LG).
"""

from collections.abc import Callable, Mapping, Sequence

from zave.rehearsal.aws_family import child_types, children, named
from zave.rehearsal.effects import Block
from zave.rehearsal.ledger import Ledger
from zave.rehearsal.things import Thing
from zave.rehearsal.values import find

_MINUTE = 60.0
# content of a repository: a document of the world, as no image is a thing of Terraform's
IMAGES = "ecr.images"


def block(ledger: Ledger, thing: Thing, *, force: bool) -> Block | None:
    """Why AWS refuses to delete `thing` now; with `force` its content is deleted along with it."""
    if not force:
        refused = _content(ledger, thing)
        if refused is not None:
            return refused
    look = _BLOCKS.get(thing.type)
    return look(ledger, thing) if look is not None else None


def _content(ledger: Ledger, thing: Thing) -> Block | None:
    name = thing.name
    if thing.type == "aws_ecr_repository" and not thing.attributes.get("force_delete"):
        if (ledger.document(IMAGES, name) or {}).get("count"):
            return Block(
                f"ECR Repository ({name}) not empty, consider using force_delete: "
                f"RepositoryNotEmptyException: The repository with name '{name}' cannot be deleted because "
                "it still contains images"
            )
    elif thing.type == "aws_s3_bucket" and not thing.attributes.get("force_destroy"):
        held = children(thing, ledger.things("aws_s3_object"), goes=True)
        if held or (ledger.document("bucket", "contents") or {}).get(name):
            return Block(
                f"deleting S3 Bucket ({name}): BucketNotEmpty: The bucket you tried to delete is not empty"
            )
    return None


def _interfaces(ledger: Ledger, attribute: str, value: object) -> Sequence[Thing]:
    """The network interfaces that have `value` at `attribute`, which may be a path."""
    return [
        thing
        for thing in ledger.things("aws_network_interface")
        if any(found == value for _, found in find(thing.attributes, attribute))
    ]


def _shown(things: Sequence[Thing]) -> str:
    shown = [
        f"{thing.type} {thing.attributes.get('id')} {thing.attributes.get('description', '')}".strip()
        for thing in things[:5]
    ]
    more = [f"and {len(things) - 5} more"] if len(things) > 5 else []
    return "in the way: " + ", ".join(shown + more)


def _subnet(ledger: Ledger, thing: Thing) -> Block | None:
    identity = thing.attributes.get("id")
    held = _interfaces(ledger, "subnet_id", identity)
    if not held:
        return None
    return Block(
        f"deleting EC2 Subnet ({identity}): DependencyViolation: The subnet '{identity}' has dependencies "
        "and cannot be deleted.",
        _shown(held),
        patience=20 * _MINUTE,
    )


def _security_group(ledger: Ledger, thing: Thing) -> Block | None:
    identity = thing.attributes.get("id")
    held = _interfaces(ledger, "security_groups.*", identity)
    if not held:
        return None
    return Block(
        f"deleting Security Group ({identity}): DependencyViolation: resource {identity} has a "
        "dependent object",
        _shown(held),
        patience=15 * _MINUTE,
    )


def _internet_gateway(ledger: Ledger, thing: Thing) -> Block | None:
    vpc = thing.attributes.get("vpc_id")
    held = [each for each in _interfaces(ledger, "vpc_id", vpc) if each.attributes.get("public_ip")]
    if not held:
        return None
    return Block(
        f"deleting EC2 Internet Gateway ({thing.attributes.get('id')}): DependencyViolation: Network "
        f"{vpc} has some mapped public address(es). Please unmap those before detaching the gateway.",
        _shown(held),
        patience=20 * _MINUTE,
    )


_IN_A_VPC = (
    "aws_internet_gateway",
    "aws_nat_gateway",
    "aws_network_interface",
    "aws_security_group",
    "aws_subnet",
    "aws_vpc_endpoint",
)


def _vpc(ledger: Ledger, thing: Thing) -> Block | None:
    identity = thing.attributes.get("id")
    held = [each for each in ledger.things(*_IN_A_VPC) if each.attributes.get("vpc_id") == identity]
    if not held:
        return None
    return Block(
        f"deleting EC2 VPC ({identity}): DependencyViolation: The vpc '{identity}' has dependencies and "
        "cannot be deleted.",
        _shown(held),
        # the provider tries again for five minutes (vpc.go: Delete's time-out), as reported for years
        patience=5 * _MINUTE,
    )


def _by_children(code: str, reason: str) -> Callable[[Ledger, Thing], Block | None]:
    def look(ledger: Ledger, thing: Thing) -> Block | None:
        types = child_types(thing.type, goes=False)
        held = children(thing, ledger.things(*types), goes=False)
        if not held:
            return None
        return Block(f"deleting {thing.type} ({thing.name}): {code}: {reason}", _shown(held))

    return look


def _role(ledger: Ledger, thing: Thing) -> Block | None:
    held = children(thing, ledger.things(*child_types(thing.type, goes=False)), goes=False)
    if not held:
        return None
    profiles = any(each.type == "aws_iam_instance_profile" for each in held)
    todo = "remove roles from instance profile" if profiles else "detach all policies"
    return Block(
        f"deleting IAM Role ({thing.name}): DeleteConflict: Cannot delete entity, must {todo} first.",
        _shown(held),
    )


def _volume(_ledger: Ledger, thing: Thing) -> Block | None:
    if thing.attributes.get("attached_to") is None:
        return None
    identity, machine = thing.attributes.get("id"), thing.attributes["attached_to"]
    return Block(
        f"deleting EBS Volume ({identity}): VolumeInUse: Volume {identity} is currently attached to {machine}"
    )


def _interface(_ledger: Ledger, thing: Thing) -> Block | None:
    if thing.attributes.get("status") != "in-use":
        return None
    identity = thing.attributes.get("id")
    return Block(
        f"deleting EC2 Network Interface ({identity}): InvalidParameterValue: Network interface "
        f"'{identity}' is currently in use.",
        str(thing.attributes.get("description", "")),
    )


def _address(ledger: Ledger, thing: Thing) -> Block | None:
    gateways = ledger.things("aws_nat_gateway")
    if not any(named(thing, each.attributes.get("allocation_id")) for each in gateways):
        return None
    identity = thing.attributes.get("id")
    return Block(
        f"releasing EC2 EIP ({identity}): InvalidIPAddress.InUse: The address is in use.",
        patience=_MINUTE,
    )


_BLOCKS: Mapping[str, Callable[[Ledger, Thing], Block | None]] = {
    "aws_cloudwatch_event_rule": _by_children(
        "ValidationException", "Rule can't be deleted since it has targets."
    ),
    "aws_ebs_volume": _volume,
    "aws_eip": _address,
    "aws_eks_cluster": _by_children("ResourceInUseException", "Cluster has nodegroups attached"),
    "aws_iam_policy": _by_children("DeleteConflict", "Cannot delete a policy attached to entities."),
    "aws_iam_role": _role,
    "aws_internet_gateway": _internet_gateway,
    "aws_network_interface": _interface,
    "aws_security_group": _security_group,
    "aws_subnet": _subnet,
    "aws_vpc": _vpc,
}
