"""What a spec means for its tree: the pieces of each layer, and the values of Flux's variables."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from zave.spec.extras import BIGBANG_PACKAGES

if TYPE_CHECKING:
    from zave.spec.aws import AwsSpec
    from zave.spec.libvirt import LibvirtSpec

LAYERS = ("infrastructure-controllers", "infrastructure-configs", "platform", "apps")
"""In the order in which they depend on one another: controllers before what they reconcile."""

_CONTROLLERS, _CONFIGS = "infrastructure/controllers", "infrastructure/configs"
# extras that AWS has an overlay of
_ON_AWS: Mapping[str, str] = {"velero": "velero-on-aws"}
# the pieces that a kind of registry stands for
_REGISTRIES: Mapping[str, tuple[str, ...]] = {"local": ("registry",), "harbor": ("harbor",), "none": ()}


def layers(spec: "LibvirtSpec | AwsSpec") -> dict[str, tuple[str, ...]]:
    """Layer -> folders of the tree that it consists of."""
    slim = spec.gitops.profile == "slim"
    added = sorted(spec.gitops.extras)
    return {
        LAYERS[0]: (
            f"{_CONTROLLERS}/cert-manager",
            *(f"{_CONTROLLERS}/{piece}" for piece in [*_controllers(spec), *_extras(spec)]),
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


def variables(spec: "LibvirtSpec | AwsSpec", *, instance: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Flux's variables by name. `tags` are those of everything that an instance owns on AWS."""
    found = _lab_variables(spec) if spec.platform == "libvirt-k3s" else _cloud_variables(spec, tags)
    # the spec refuses a variable of the user's that is one of ours
    found |= {
        "cluster": f"zave-{instance}",
        "domain": spec.ingress.domain or f"{instance}.internal",
        **spec.gitops.variables,
    }
    if spec.gitops.profile == "bigbang":
        wanted = spec.gitops.bigbang
        found |= {name: str(package in wanted).lower() for package, name in BIGBANG_PACKAGES.items()}
    return dict(sorted(found.items()))


def _gateway(spec: "LibvirtSpec | AwsSpec") -> str:
    return "gateway" if spec.platform == "libvirt-k3s" else "gateway-on-aws"


def _bigbang(spec: "LibvirtSpec | AwsSpec") -> str:
    return "platform/bigbang" if spec.platform == "libvirt-k3s" else "platform/bigbang-on-aws"


def _controllers(spec: "LibvirtSpec | AwsSpec") -> tuple[str, ...]:
    if spec.platform == "libvirt-k3s":
        return ("nfs",) if spec.storage.class_ == "nfs" else ()
    return ("load-balancer-controller", *(["karpenter"] if spec.eks.karpenter else []))


def _extras(spec: "LibvirtSpec | AwsSpec") -> list[str]:
    overlays = _ON_AWS if spec.platform == "aws-eks" else {}
    return [overlays.get(extra, extra) for extra in sorted(spec.gitops.extras)]


def _configs(spec: "LibvirtSpec | AwsSpec") -> tuple[str, ...]:
    if spec.platform == "libvirt-k3s":
        return ("nfs",) if spec.storage.class_ == "nfs" else ()
    return ("storage-on-aws", *(["karpenter"] if spec.eks.karpenter else []))


def _lab_platform(spec: "LibvirtSpec | AwsSpec") -> tuple[str, ...]:
    if spec.platform != "libvirt-k3s":
        return ()
    tunnel = ["cloudflared"] if spec.ingress.tunnel == "cloudflare" else []
    return (*tunnel, *_REGISTRIES[spec.registry.kind])


def _lab_variables(spec: "LibvirtSpec") -> dict[str, str]:
    found = {
        "gateway_service": "LoadBalancer" if "metallb" in spec.gitops.extras else "NodePort",
        "storage_class": spec.storage.class_,
    }
    if spec.storage.server and spec.storage.path:
        found |= {"nfs_server": spec.storage.server, "nfs_path": spec.storage.path}
    return found


def _cloud_variables(spec: "AwsSpec", tags: Mapping[str, str]) -> dict[str, str]:
    found = {
        "gateway_service": "LoadBalancer",
        "storage_class": spec.storage.class_,
        "region": spec.aws.region,
        "public_cidrs": ",".join(str(cidr) for cidr in spec.eks.public_cidrs),
        # JSON, which is YAML: the values stay texts, whatever they look like
        "node_tags": json.dumps(dict(sorted(tags.items()))),
    }
    zone = spec.ingress.zone if "external-dns" in spec.gitops.extras else None
    return found if zone is None else found | {"dns_zone": zone}
