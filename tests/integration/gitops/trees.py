"""Trees for the tests beside this: environments, rendered and built by the real kustomize."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from zave.errors import ToolMissingError
from zave.gitops.kustomize import Built, build_tree
from zave.gitops.tree import tree_of
from zave.process import ProcessRunner
from zave.project import Project
from zave.spec.aws import AwsSpec
from zave.spec.libvirt import LibvirtSpec
from zave.spec.load import load_spec, parse_spec
from zave.tools.kubectl import Kubectl

Spec = LibvirtSpec | AwsSpec

TAGS = {
    "zave:instance": "on",
    "zave:environment": "aws-demo",
    "zave:owner": "me@example.org",
    "zave:creation": "2026-11-23T10:00:00Z",
}
_LAB: Mapping[str, Any] = {"platform": "libvirt-k3s"}
_AWS: Mapping[str, Any] = {
    "platform": "aws-eks",
    "owner": "me@example.org",
    "notify": {"email": "me@example.org"},
    "eks": {"public_cidrs": ["203.0.113.7/32"]},
    "gitops": {"repository": "https://git.example.org/me/platform.git"},
}
_REPOSITORY = "https://git.example.org/me/platform.git"
_BIG = {"repository": _REPOSITORY, "profile": "bigbang"}
_BUCKET = {"velero_bucket": "backups", "velero_region": "us-east-1"}
_LAB_EXTRAS = {
    "extras": ["metallb", "velero"],
    "variables": {"metallb_addresses": "10.17.3.240-10.17.3.250", **_BUCKET},
}
_NAMED = {"domain": "demo.example.org", "zone": "Z0123456789ABCDEFGHIJ"}
_AWS_EXTRAS = {"repository": _REPOSITORY, "extras": ["external-dns", "velero"], "variables": _BUCKET}

# the shipped environments, and what users may make of them
VARIANTS: Mapping[str, Mapping[str, Any] | None] = {
    "homelab": None,
    "aws-demo": None,
    "plain-lab": _LAB,
    "nfs-lab": {**_LAB, "storage": {"class": "nfs", "server": "nas", "path": "/export"}},
    "full-lab": {**_LAB, "gitops": _LAB_EXTRAS},
    "harbor-lab": {**_LAB, "registry": {"kind": "harbor"}},
    "big-lab": {**_LAB, "gitops": _BIG},
    "full-aws": {**_AWS, "gitops": _AWS_EXTRAS, "ingress": _NAMED},
    "bare-aws": {**_AWS, "eks": {**_AWS["eks"], "karpenter": False}},
    "big-aws": {**_AWS, "gitops": {**_BIG, "bigbang": ["gitlab", "kyverno"]}},
}


def spec_of(variant: str) -> Spec:
    """The spec of a variant: a shipped environment's own, or one made here."""
    given = VARIANTS[variant]
    if given is None:
        return load_spec(Project().environment_file(variant))
    return parse_spec(json.dumps(given), where=f"{variant}.yaml")


def render(variant: str, destination: Path) -> None:
    """Write the tree of a variant, as an instance of the same name."""
    tree_of(
        Project(),
        spec_of(variant),
        instance=variant,
        destination=destination,
        tags=TAGS,
    ).write()


def real_kubectl() -> Kubectl:
    """kubectl, or the reason why the test is skipped."""
    try:
        return Kubectl.find(ProcessRunner())
    except ToolMissingError as error:
        pytest.skip(f"{error.brief}: {error.resolution}")


def build(variant: str, destination: Path) -> Built:
    """Render and build a variant."""
    kubectl = real_kubectl()
    render(variant, destination)
    return build_tree(destination, instance=variant, kustomize=kubectl)
