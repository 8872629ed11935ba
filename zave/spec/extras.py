"""Optional pieces of the tree, and the values that they want: known without the models."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from re import compile as pattern

from zave.errors import UsageError
from zave.spec.network import parse_bucket, parse_region
from zave.spec.shown import shown

EXTRAS: Mapping[str, frozenset[str]] = {
    "external-dns": frozenset({"aws-eks"}),
    "metallb": frozenset({"libvirt-k3s"}),
    "velero": frozenset({"libvirt-k3s", "aws-eks"}),
}
"""What is installed only when it is asked for, and the platforms that it is for."""

WANTED_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "metallb": ("metallb_addresses",),
    "velero": ("velero_bucket", "velero_region"),
}
"""What must be said with an extra: nothing else in the spec tells it."""

BIGBANG_PACKAGES: Mapping[str, str] = {
    "alloy": "bigbang_alloy",
    "argocd": "bigbang_argocd",
    "bbctl": "bigbang_bbctl",
    "gitlab": "bigbang_gitlab",
    "kiali": "bigbang_kiali",
    "kyverno": "bigbang_kyverno",
    "loki": "bigbang_loki",
    "neuvector": "bigbang_neuvector",
    "tempo": "bigbang_tempo",
}
"""What Big Bang installs beyond its smallest set when it is asked for, and the variable that says so."""

# variables whose values follow from other keys
_FOLLOWS: Mapping[str, str] = {
    "cluster": "the instance's name",
    "dns_zone": "ingress.zone",
    "domain": "ingress.domain",
    "gateway_service": "ingress.service, or the extra metallb",
    "nfs_path": "storage.path",
    "nfs_server": "storage.server",
    "node_tags": "the instance and its owner",
    "public_cidrs": "eks.public_cidrs",
    "region": "aws.region",
    "storage_class": "storage.class",
    **dict.fromkeys(BIGBANG_PACKAGES.values(), "gitops.bigbang"),
}
# as Flux has it: envsubst of its kustomize-controller
_NAME = pattern(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_LONGEST = 1024


@dataclass(frozen=True)
class Complaint:
    """What is wrong with a variable, and what to do."""

    brief: str
    resolution: str


def parse_variable(value: object) -> str:
    """The value of a variable: one line of text. Raises UsageError."""
    if not isinstance(value, str):
        raise UsageError(f"{shown(value)} is not a text", resolution='write it in quotes, such as "8"')
    if not value or len(value) > _LONGEST or not value.isprintable():
        raise UsageError(
            f"{shown(value)} is not the value of a variable",
            resolution=f"write one line of 1 to {_LONGEST} characters",
        )
    return value


def complaints(variables: Mapping[str, str], extras: Sequence[str]) -> Iterator[tuple[str, Complaint]]:
    """(variable, what is wrong with it) for each that no piece of these extras can use as it is."""
    homes = {name: extra for extra, names in WANTED_VARIABLES.items() for name in names}
    for name, value in variables.items():
        if name in _FOLLOWS:
            brief = f"{name} is not free: its value is made of {_FOLLOWS[name]}"
            yield name, Complaint(brief, "remove it here, and change that")
        elif name in homes:
            if homes[name] not in extras:
                extra = homes[name]
                brief = f"{name} is for the extra {extra}, which is not in gitops.extras"
                yield name, Complaint(brief, f"add {extra} to gitops.extras, or remove the variable")
            elif found := _refused(_PARSERS[name], value):
                yield name, found
        elif _NAME.fullmatch(name) is None:
            brief = f"{shown(name)} is not the name of a variable"
            yield name, Complaint(brief, "use letters, digits and underscores; start with a letter")
        elif near := get_close_matches(name.lower(), [*homes, *_FOLLOWS], n=1, cutoff=0.8):
            brief = f"{name} is no variable of zave's tree"
            hint = f"did you mean `{near[0]}`? A variable of your own needs a name that is less alike"
            yield name, Complaint(brief, hint)


def parse_addresses(value: object) -> tuple[IPv4Address, IPv4Address]:
    """The first and the last address of `10.17.3.240/28` or `10.17.3.240-10.17.3.250`."""
    form = "write a range such as 10.17.3.240-10.17.3.250, or a network such as 10.17.3.240/28"
    text = value if isinstance(value, str) else ""
    try:
        if "/" in text:
            network = IPv4Network(text)
            return network[0], network[-1]
        first, last = (IPv4Address(end.strip()) for end in text.split("-", 1))
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise UsageError(f"{shown(value)} is not a range of addresses", resolution=form) from error
    if first > last:
        raise UsageError(f"{shown(value)} ends before it begins", resolution=form)
    return first, last


_PARSERS: Mapping[str, Callable[[object], object]] = {
    "metallb_addresses": parse_addresses,
    "velero_bucket": parse_bucket,
    "velero_region": parse_region,
}


def _refused(parse: Callable[[object], object], value: str) -> Complaint | None:
    try:
        parse(value)
    except UsageError as error:
        return Complaint(error.brief, error.resolution or "see docs/parity.md")
    return None
