"""Forms of names and addresses in networks and in AWS, parsed strictly."""

import ipaddress
import re
from collections.abc import Iterable
from ipaddress import IPv4Network

from zave.errors import UsageError
from zave.spec.shown import shown

# RFC 1918
PRIVATE_RANGES = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))

# what no address on the internet comes from: RFC 1918, 6598, 1122, 3927, multicast and above
_NEVER_PUBLIC = (
    *PRIVATE_RANGES,
    *(IPv4Network(text) for text in ("100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")),
)

_CIDR = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}/[0-9]{1,2}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_MAILBOX = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,63}")
_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]{4,10}-[1-9]")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
# an ID such as Z0123456789ABCDEFGHIJ (Route 53 API reference: ResourceId, 32 characters at most)
_ZONE = re.compile(r"Z[0-9A-Z]{3,31}")
# IAM's paths and names but for characters that no tag may have, since one names the principal
_PRINCIPAL = re.compile(
    r"arn:aws[a-z-]*:iam::[0-9]{12}:(?:role|user)/(?:[A-Za-z0-9_+=.@/-]{1,510}/)?[A-Za-z0-9_+=.@-]{1,64}"
)
_INSTANCE_TYPE = re.compile(
    r"[a-z][a-z0-9-]{0,12}[0-9][a-z0-9-]{0,12}\.(?:nano|micro|small|medium|large|xlarge|[1-9][0-9]{0,2}xlarge|metal)"
)
_ARM_FAMILY = re.compile(r"a1|[a-z]+[0-9]+g[a-z]*")


def parse_cidr(value: object) -> IPv4Network:
    """A network such as `10.17.3.0/24`: IPv4, host bits zero. Raises UsageError."""
    form = "write an IPv4 network with its prefix, such as 10.17.3.0/24"
    if not isinstance(value, str) or _CIDR.fullmatch(value) is None:
        brief = f"{shown(value)} is not an IPv4 network"
        if isinstance(value, str) and _is_ipv6(value):
            brief = f"{shown(value)} is IPv6; zave works with IPv4 networks"
        if isinstance(value, str) and _is_address(value):
            form = f"write its prefix as well: {value}/32 is this address alone"
        raise UsageError(brief, resolution=form)
    try:
        interface = ipaddress.IPv4Interface(value)
    except ValueError as error:
        raise UsageError(f"{shown(value)} is not an IPv4 network", resolution=form) from error
    if interface.ip != interface.network.network_address:
        raise UsageError(
            f"{shown(value)} is an address, not a network: host bits are set",
            resolution=f"the network is {interface.network}",
        )
    return interface.network


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Interface(text)
    except ValueError:
        return False
    return True


def parse_private_cidr(value: object, *, widest: int, narrowest: int) -> IPv4Network:
    """A network of RFC 1918 whose prefix is from `widest` to `narrowest`. Raises UsageError."""
    network = parse_cidr(value)
    if not any(network.subnet_of(private) for private in PRIVATE_RANGES):
        raise UsageError(
            f"{shown(value)} is not private: it would hide a part of the internet",
            resolution="take it from 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
        )
    if not widest <= network.prefixlen <= narrowest:
        size = "large" if network.prefixlen < widest else "small"
        raise UsageError(
            f"{shown(value)} is too {size} a network",
            resolution=f"take a prefix from /{widest} to /{narrowest}",
        )
    return network


def parse_public_cidr(value: object) -> IPv4Network:
    """A network from which people reach an endpoint over the internet. Raises UsageError."""
    network = parse_cidr(value)
    if any(network.subnet_of(reserved) for reserved in _NEVER_PUBLIC):
        raise UsageError(
            f"{shown(value)} never appears on the internet, so it lets nobody in",
            resolution="write the public address of your network, such as 203.0.113.7/32",
        )
    return network


def first_overlap(network: IPv4Network, others: Iterable[IPv4Network]) -> IPv4Network | None:
    """The first of `others` that shares addresses with `network`."""
    return next((other for other in others if network.overlaps(other)), None)


def parse_domain(value: object) -> str:
    """A DNS name such as `lab.example.org`: lower case, two labels or more. Raises UsageError."""
    labels = value.split(".") if isinstance(value, str) and len(value) <= 253 else []
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise UsageError(
            f"{shown(value)} is not a DNS name",
            resolution="write a name such as lab.example.org: lower-case letters, digits, hyphens, dots",
        )
    return str(value)


def parse_email(value: object) -> str:
    """An e-mail address such as `me@example.org`. Raises UsageError."""
    mailbox, at, host = value.partition("@") if isinstance(value, str) else ("", "", "")
    well_formed = at and _MAILBOX.fullmatch(mailbox) and ".." not in mailbox and not mailbox.endswith(".")
    if not well_formed or not _is_domain(host.lower()):
        raise UsageError(
            f"{shown(value)} is not an e-mail address", resolution="write one such as me@example.org"
        )
    return str(value)


def _is_domain(text: str) -> bool:
    try:
        parse_domain(text)
    except UsageError:
        return False
    return True


def parse_account(value: object) -> str:
    """An AWS account: twelve digits, as text. Raises UsageError."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise UsageError(
            "the account is a number: unquoted, leading zeros are lost",
            resolution='put its twelve digits in quotes, such as "012345678901"',
        )
    if not isinstance(value, str) or _ACCOUNT.fullmatch(value) is None:
        raise UsageError(
            f"{shown(value)} is not an AWS account",
            resolution="write its twelve digits in quotes, without hyphens",
        )
    return value


def parse_region(value: object) -> str:
    """An AWS region such as `us-east-1`; only its form is checked. Raises UsageError."""
    if not isinstance(value, str) or _REGION.fullmatch(value) is None:
        resolution = "write a region such as us-east-1 or eu-west-1"
        if isinstance(value, str) and _REGION.fullmatch(value[:-1]) and value[-1] in "abcdef":
            resolution = f"that is a zone; its region is {value[:-1]}"
        raise UsageError(f"{shown(value)} is not an AWS region", resolution=resolution)
    return value


def parse_bucket(value: object) -> str:
    """A bucket name, in which `{account}` and `{region}` stand for what they are. Raises UsageError."""
    form = "3 to 63 lower-case letters, digits and hyphens, such as zave-state-{account}"
    filled = (
        value.replace("{account}", "0" * 12).replace("{region}", "us-east-1")
        if isinstance(value, str)
        else ""
    )
    # S3 keeps xn-- and sthree- for itself; dots would break its certificate
    if _BUCKET.fullmatch(filled) is None or filled.startswith(("xn--", "sthree-")):
        raise UsageError(f"{shown(value)} is not a bucket name", resolution=form)
    return str(value)


def parse_zone(value: object) -> str:
    """The ID of a hosted zone of Route 53; only its form is checked. Raises UsageError."""
    if not isinstance(value, str) or _ZONE.fullmatch(value) is None:
        resolution = "`aws route53 list-hosted-zones` shows it; write it without `/hostedzone/`"
        raise UsageError(f"{shown(value)} is not the ID of a hosted zone", resolution=resolution)
    return value


def parse_principal(value: object) -> str:
    """The ARN of an IAM role or user; only its form is checked. Raises UsageError."""
    if not isinstance(value, str) or _PRINCIPAL.fullmatch(value) is None:
        session = isinstance(value, str) and ":assumed-role/" in value
        raise UsageError(
            f"{shown(value)} is not the ARN of an IAM role or user",
            resolution="that is a session: name its role, as `aws iam get-role --query Role.Arn` shows it"
            if session
            else "write one such as arn:aws:iam::123456789012:role/admin",
        )
    return value


def parse_instance_type(value: object) -> str:
    """An EC2 instance type such as `t3.large`; only its form is checked. Raises UsageError."""
    if not isinstance(value, str) or _INSTANCE_TYPE.fullmatch(value) is None:
        raise UsageError(
            f"{shown(value)} is not an instance type", resolution="write one such as t3.large or m6i.large"
        )
    return value


def architecture_of(instance_type: str) -> str:
    """`arm64` for Graviton families (`t4g`, `m7g`, `c6gn`, `a1`), `amd64` for all others."""
    family = instance_type.partition(".")[0]
    return "arm64" if _ARM_FAMILY.fullmatch(family) else "amd64"
