"""The rehearsed AWS account as the provider's configuration names it: region, tags, who asks."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from zave.rehearsal.schema import Kind
from zave.rehearsal.values import UNKNOWN, find, has_unknown

DEFAULT_ACCOUNT = "123456789012"
DOCUMENT = ("aws_account", "default")

# by the beginning of a region's name: partition and DNS suffix (AWS's general reference on endpoints)
_PARTITIONS = {
    "cn-": ("aws-cn", "amazonaws.com.cn"),
    "us-gov-": ("aws-us-gov", "amazonaws.com"),
    "": ("aws", "amazonaws.com"),
}


class Documents(Protocol):
    """The part of the world that knows about the account."""

    def get_document(self, kind: str, name: str) -> dict[str, Any] | None:
        """One document, or None."""
        ...


class ConfigurationError(Exception):
    """The provider block cannot be used: `summary` in a line, `detail` with what to do."""

    def __init__(self, summary: str, detail: str) -> None:
        super().__init__(summary)
        self.summary = summary
        self.detail = detail


@dataclass(frozen=True)
class Account:
    """What every resource of one provider block shares. `facts` is what templates call `provider`."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    default_tags: Any = field(default_factory=dict)

    def complete(self, kind: Kind, proposed: Mapping[str, Any]) -> dict[str, Any]:
        """`proposed` with what the provider block decides: the region, and all tags.

        Both are known before anything is made, as with the real provider.
        """
        known = dict(proposed)
        region = self.facts.get("region")
        if region and "region" in kind.fields and known.get("region") is None:
            known["region"] = region
        if "tags_all" in kind.fields and "tags" in kind.fields:
            known["tags_all"] = self._all_tags(known.get("tags"))
        return known

    def _all_tags(self, tags: Any) -> Any:
        if has_unknown(tags) or has_unknown(self.default_tags):
            return UNKNOWN
        merged = {**self.default_tags, **(tags or {})}
        return {name: value for name, value in merged.items() if value is not None}


def account(config: Mapping[str, Any], world: Documents) -> Account:
    """The account that a configured provider works in.

    The region comes from the provider block or the environment. Raises ConfigurationError without
    one, and for an account that the block does not allow.
    """
    region = _known(config.get("region"))
    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        raise ConfigurationError(
            "Invalid provider configuration",
            "invalid AWS Region: no region is set. Set `region` in the provider block or AWS_REGION.",
        )
    document = world.get_document(*DOCUMENT) or {}
    number = str(document.get("id", DEFAULT_ACCOUNT))
    allowed = config.get("allowed_account_ids")
    if isinstance(allowed, list) and allowed and number not in allowed and not has_unknown(allowed):
        raise ConfigurationError(
            "Invalid provider configuration",
            f"AWS account ID not allowed: {number}. allowed_account_ids names {', '.join(allowed)}: use the "
            "credentials of one of those.",
        )
    partition, suffix = next(names for start, names in _PARTITIONS.items() if region.startswith(start))
    tags: Any = {}
    for _, value in find(config, "default_tags.*.tags"):
        tags = value if value is UNKNOWN else {**tags, **(value or {})}
    facts = {
        "region": region,
        "account": number,
        "partition": partition,
        "dns_suffix": suffix,
        "reverse_dns_prefix": ".".join(reversed(suffix.split("."))),
    }
    return Account(facts=facts, default_tags=tags)


def _known(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def zone_id(zone: str) -> str:
    """The id of an availability zone: `use1-az1` for us-east-1a.

    AWS shuffles letters for each account; a rehearsed one has them in order.
    """
    region, letter = zone[:-1], zone[-1:]
    area, *middle, number = region.split("-")
    short = {"northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw"}
    names = "".join(short.get(word, word[:1]) for word in middle)
    return f"{area}{names}{number}-az{ord(letter) - ord('a') + 1}"


def host(cidr: str) -> str:
    """An address in a range of IPv4: the eleventh, since AWS keeps the first ones for itself."""
    network, _, _ = cidr.partition("/")
    number = int.from_bytes(bytes(int(part) for part in network.split("."))) + 10
    return ".".join(str(part) for part in number.to_bytes(4))
