"""What a spec means for its tree: the pieces of each layer, and the values of Flux's variables."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zave.errors import UsageError

if TYPE_CHECKING:
    from zave.spec.aws import AwsSpec
    from zave.spec.libvirt import LibvirtSpec

LAYERS = ("infrastructure-controllers", "infrastructure-configs", "platform", "apps")
"""In the order in which they depend on one another: controllers before what they reconcile."""

EXTRAS: Mapping[str, frozenset[str]] = {
    "external-dns": frozenset({"aws-eks"}),
    "metallb": frozenset({"libvirt-k3s"}),
    "velero": frozenset({"libvirt-k3s", "aws-eks"}),
}
"""What is installed only when it is asked for, and the platforms that it is for."""


@dataclass(frozen=True)
class Extras:
    """What is added to a tree: names out of `EXTRAS`, and values for the variables that they want."""

    names: Collection[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


NOTHING = Extras()
"""A tree without extras."""

_CONTROLLERS, _CONFIGS = "infrastructure/controllers", "infrastructure/configs"
# what must be said with a piece: nothing in the spec tells it
_OWN_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "metallb": ("metallb_addresses",),
    "velero": ("velero_bucket", "velero_region"),
}


def layers(spec: "LibvirtSpec | AwsSpec", *, extras: Extras = NOTHING) -> dict[str, tuple[str, ...]]:
    """Layer -> folders of the tree that it consists of. Raises UsageError for an extra that is not for it."""
    for extra in extras.names:
        if spec.platform not in EXTRAS.get(extra, ()):
            fitting = sorted(name for name, platforms in EXTRAS.items() if spec.platform in platforms)
            raise UsageError(
                f"{extra!r} cannot be added to an environment of {spec.platform}",
                resolution=f"what can be: {', '.join(fitting)}",
            )
    slim = spec.gitops.profile == "slim"
    added = sorted(extras.names)
    return {
        LAYERS[0]: (
            f"{_CONTROLLERS}/cert-manager",
            *(f"{_CONTROLLERS}/{piece}" for piece in [*_controllers(spec), *added]),
            *([f"{_CONTROLLERS}/istio"] if slim else []),
        ),
        LAYERS[1]: (
            f"{_CONFIGS}/issuers",
            *(f"{_CONFIGS}/{piece}" for piece in _configs(spec)),
            *(f"{_CONFIGS}/{piece}" for piece in added if piece == "metallb"),
            *([f"{_CONFIGS}/{_gateway(spec)}", f"{_CONFIGS}/ingress"] if slim else []),
        ),
        LAYERS[2]: (
            *(["platform/slim/monitoring", "platform/slim/argocd"] if slim else [_bigbang(spec)]),
            *(f"platform/{piece}" for piece in _lab_platform(spec)),
        ),
        LAYERS[3]: (
            "apps/namespace",
            *(["apps/monitors", "apps/podinfo"] if slim else []),
        ),
    }


def variables(
    spec: "LibvirtSpec | AwsSpec",
    *,
    instance: str,
    tags: Mapping[str, str],
    extras: Extras = NOTHING,
) -> dict[str, str]:
    """Flux's variables by name. `tags` are those of everything that an instance owns on AWS.

    Raises UsageError when an extra wants one that is not there.
    """
    found = _lab_variables(spec, extras) if spec.platform == "libvirt-k3s" else _cloud_variables(spec, tags)
    found = {"cluster": f"zave-{instance}", **found, **extras.variables}
    found.setdefault("domain", f"{instance}.internal")
    for extra in extras.names:
        for name in _OWN_VARIABLES.get(extra, ()):
            if not found.get(name):
                raise UsageError(
                    f"{extra} wants the variable {name}",
                    resolution="docs/parity.md says what each of them is",
                )
    return dict(sorted(found.items()))


def _gateway(spec: "LibvirtSpec | AwsSpec") -> str:
    return "gateway" if spec.platform == "libvirt-k3s" else "gateway-on-aws"


def _bigbang(spec: "LibvirtSpec | AwsSpec") -> str:
    return "platform/bigbang" if spec.platform == "libvirt-k3s" else "platform/bigbang-on-aws"


def _controllers(spec: "LibvirtSpec | AwsSpec") -> tuple[str, ...]:
    if spec.platform == "libvirt-k3s":
        return ("nfs",) if spec.storage.class_ == "nfs" else ()
    return ("load-balancer-controller", *(["karpenter"] if spec.eks.karpenter else []))


def _configs(spec: "LibvirtSpec | AwsSpec") -> tuple[str, ...]:
    if spec.platform == "libvirt-k3s":
        return ("nfs",) if spec.storage.class_ == "nfs" else ()
    return ("storage-on-aws", *(["karpenter"] if spec.eks.karpenter else []))


def _lab_platform(spec: "LibvirtSpec | AwsSpec") -> tuple[str, ...]:
    if spec.platform != "libvirt-k3s":
        return ()
    return (*(["cloudflared"] if spec.ingress.tunnel == "cloudflare" else []), "registry")


def _lab_variables(spec: "LibvirtSpec", extras: Extras) -> dict[str, str]:
    found = {
        "gateway_service": "LoadBalancer" if "metallb" in extras.names else "NodePort",
        "storage_class": spec.storage.class_,
    }
    if spec.ingress.domain:
        found["domain"] = spec.ingress.domain
    if spec.storage.server and spec.storage.path:
        found |= {"nfs_server": spec.storage.server, "nfs_path": spec.storage.path}
    return found


def _cloud_variables(spec: "AwsSpec", tags: Mapping[str, str]) -> dict[str, str]:
    return {
        "gateway_service": "LoadBalancer",
        "storage_class": spec.storage.class_,
        "region": spec.aws.region,
        "public_cidrs": ",".join(str(cidr) for cidr in spec.eks.public_cidrs),
        # JSON, which is YAML: the values stay texts, whatever they look like
        "node_tags": json.dumps(dict(sorted(tags.items()))),
    }
