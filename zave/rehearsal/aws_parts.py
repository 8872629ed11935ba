"""Drafts of what AWS and a cluster's controllers make by themselves: ids, addresses, tags.

Descriptions and tags: `aws.md` of 2026-11-23, section 3, with the sources named there.
"""

import hashlib
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zave.rehearsal.aws_family import CLUSTER_TAG, tags_of
from zave.rehearsal.ledger import Ledger
from zave.rehearsal.things import MADE_BY, WITH, Draft, Thing
from zave.rehearsal.values import find, first

# the public addresses of a rehearsal: TEST-NET-3 (RFC 5737), which belongs to nobody
_PUBLIC = "203.0.113"
# AWS keeps the first four addresses of a subnet (VPC user guide, subnet sizing)
_FIRST_HOST = 10
_PREFIXES = {
    "aws_ebs_volume": "vol",
    "aws_instance": "i",
    "aws_launch_template": "lt",
    "aws_network_interface": "eni",
    "aws_security_group": "sg",
}


@dataclass(frozen=True)
class Maker:
    """Who makes something: `cause` is the thing that it belongs to, `by` what made it."""

    ledger: Ledger
    cause: Thing
    by: str
    ready_at: float

    def make(
        self,
        type_: str,
        name: str,
        attributes: Mapping[str, Any],
        *,
        unique: str | None = None,
        carrier: str | None = None,
    ) -> Thing:
        """Put one thing into the world. It goes with the thing whose key is `carrier`."""
        body = {**attributes, MADE_BY: self.by}
        if carrier is not None:
            body[WITH] = carrier
        draft = Draft("aws", type_, name, unique, body)
        made = self.ledger.find(self.ledger.make(draft, ready_at=self.ready_at))
        if made is None:
            raise RuntimeError("what was just made is not there")
        return made

    def id_of(self, type_: str) -> str:
        """A new id as AWS gives it: a prefix and 17 hexadecimal digits."""
        digest = hashlib.sha256(f"{type_}/{self.ledger.counter(type_)}".encode()).hexdigest()
        return f"{_PREFIXES[type_]}-0{digest[:16]}"

    def regional(self, name: str) -> str:
        """What the catalogue keeps unique for a name that holds in one region."""
        return f"{region_and_account(self.cause)[0]}/{name}"

    def arn(self, service: str, rest: str) -> str:
        """The ARN of something in the same account and region as the cause."""
        region, account = region_and_account(self.cause)
        return f"arn:aws:{service}:{region}:{account}:{rest}"


def region_and_account(thing: Thing) -> tuple[str, str]:
    """Where a thing is, by its ARN."""
    parts = str(thing.attributes.get("arn") or "").split(":")
    return (parts[3], parts[4]) if len(parts) > 5 else ("us-east-1", "123456789012")


def subnets(ledger: Ledger, identities: Sequence[Any]) -> Sequence[Thing]:
    """The subnets with these ids, in their order."""
    known = {thing.attributes.get("id"): thing for thing in ledger.things("aws_subnet")}
    return [known[identity] for identity in identities if identity in known]


def interface(
    maker: Maker, subnet: Thing, description: str, *, carrier: str, more: Mapping[str, Any] | None = None
) -> Thing:
    """A network interface in `subnet`, with a private address and, by `more`, whatever else."""
    identity = maker.id_of("aws_network_interface")
    attributes = {
        "id": identity,
        "arn": maker.arn("ec2", f"network-interface/{identity}"),
        "description": description,
        "subnet_id": subnet.attributes.get("id"),
        "vpc_id": subnet.attributes.get("vpc_id"),
        "availability_zone": subnet.attributes.get("availability_zone"),
        "private_ip": private_address(maker.ledger, subnet),
        "status": "in-use",
        **(more or {}),
    }
    return maker.make("aws_network_interface", description or identity, attributes, carrier=carrier)


def private_address(ledger: Ledger, subnet: Thing) -> str | None:
    """The next address of a subnet."""
    cidr = subnet.attributes.get("cidr_block")
    if not isinstance(cidr, str):
        return None
    network = ipaddress.ip_network(cidr)
    number = ledger.counter(f"address/{subnet.attributes.get('id')}")
    return str(network[(_FIRST_HOST + number) % network.num_addresses])


def public_address(ledger: Ledger) -> str:
    """The next public address."""
    return f"{_PUBLIC}.{1 + ledger.counter('address/public') % 254}"


def cluster_named(ledger: Ledger, name: object) -> Thing | None:
    """The cluster of this name."""
    return next((each for each in ledger.things("aws_eks_cluster") if each.name == name), None)


def cluster_group(cluster: Thing) -> str | None:
    """The id of the security group that EKS makes for a cluster."""
    found = first(cluster.attributes, "vpc_config.*.cluster_security_group_id")
    return found if isinstance(found, str) else None


def owned(cluster: Thing) -> dict[str, str]:
    """The tag by which what belongs to a cluster is found."""
    return {f"{CLUSTER_TAG}{cluster.name}": "owned"}


def extra_tags(ledger: Ledger, cluster: Thing, addon: str, path: Sequence[str]) -> dict[str, str]:
    """The tags that an add-on was told to put on what it makes; `path` leads to them in its settings."""
    for thing in ledger.things("aws_eks_addon"):
        values = thing.attributes
        if (values.get("cluster_name"), values.get("addon_name")) != (cluster.name, addon):
            continue
        found: Any = values.get("configuration_values")
        for step in ("", *path):
            found = json.loads(found) if isinstance(found, str) and found else found
            found = found.get(step) if step and isinstance(found, Mapping) else found
        found = json.loads(found) if isinstance(found, str) and found else found
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, Mapping) else {}
    return {}


def template_tags(template: Thing | None, kind: str) -> dict[str, str]:
    """The tags that a launch template puts on instances, volumes or interfaces."""
    if template is None:
        return {}
    for _, given in find(template.attributes, "tag_specifications.*"):
        if given.get("resource_type") == kind:
            return dict(given.get("tags") or {})
    return {}


def owner_tags(thing: Thing) -> dict[str, str]:
    """The marks of zave's among the tags of a thing."""
    return {name: value for name, value in tags_of(thing).items() if name.startswith("zave:")}
