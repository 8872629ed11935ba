"""What a spec means for its tree."""

import json
from typing import Any

import pytest
import yaml

from zave.errors import UsageError
from zave.gitops.pieces import EXTRAS, LAYERS, Extras, layers, variables
from zave.spec.aws import AwsSpec
from zave.spec.libvirt import LibvirtSpec
from zave.spec.load import parse_spec

AWS = {
    "platform": "aws-eks",
    "owner": "me@example.org",
    "notify": {"email": "me@example.org"},
    "eks": {"public_cidrs": ["203.0.113.7/32", "198.51.100.0/24"]},
    "gitops": {"repository": "https://git.example.org/me/platform.git"},
}


def lab(**parts: Any) -> LibvirtSpec:
    spec = parse_spec(json.dumps({"platform": "libvirt-k3s", **parts}), where="environment.yaml")
    assert isinstance(spec, LibvirtSpec)
    return spec


def aws(**parts: Any) -> AwsSpec:
    spec = parse_spec(json.dumps({**AWS, **parts}), where="environment.yaml")
    assert isinstance(spec, AwsSpec)
    return spec


def names(spec: LibvirtSpec | AwsSpec, *extras: str) -> set[str]:
    return {piece for pieces in layers(spec, extras=Extras(extras)).values() for piece in pieces}


def test_every_layer_has_pieces_in_both_profiles() -> None:
    for spec in (lab(), aws(), lab(gitops={"profile": "bigbang"})):
        found = layers(spec)
        assert tuple(found) == LAYERS
        assert all(found.values())


def test_what_is_for_one_platform_only_stays_there() -> None:
    only_lab = {"platform/registry", "infrastructure/configs/gateway"}
    only_aws = {
        "infrastructure/controllers/load-balancer-controller",
        "infrastructure/configs/gateway-on-aws",
        "infrastructure/configs/storage-on-aws",
    }
    assert only_lab <= names(lab())
    assert only_aws <= names(aws())
    assert not only_lab & names(aws())
    assert not only_aws & names(lab())


@pytest.mark.parametrize("wanted", [True, False])
def test_karpenter_follows_the_spec(wanted: bool) -> None:
    spec = aws(eks={**AWS["eks"], "karpenter": wanted})  # type: ignore[dict-item]
    assert {p for p in names(spec) if "karpenter" in p} == (
        {"infrastructure/controllers/karpenter", "infrastructure/configs/karpenter"} if wanted else set()
    )


def test_the_tunnel_follows_the_spec() -> None:
    assert "platform/cloudflared" not in names(lab())
    with_tunnel = lab(ingress={"domain": "lab.example.org", "tunnel": "cloudflare"})
    assert "platform/cloudflared" in names(with_tunnel)


def test_big_bang_brings_its_own_mesh_and_monitoring() -> None:
    found = names(lab(gitops={"profile": "bigbang"}))
    assert "platform/bigbang" in found
    assert "platform/bigbang-on-aws" in names(aws(gitops={**AWS["gitops"], "profile": "bigbang"}))  # type: ignore[dict-item]
    assert not any("istio" in piece or "gateway" in piece or "slim" in piece for piece in found)


def test_nfs_brings_its_driver_and_its_class() -> None:
    spec = lab(storage={"class": "nfs", "server": "nas.example.org", "path": "/export/zave"})
    assert {"infrastructure/controllers/nfs", "infrastructure/configs/nfs"} <= names(spec)
    found = variables(spec, instance="lab", tags={})
    assert (found["nfs_server"], found["nfs_path"]) == ("nas.example.org", "/export/zave")


def test_extras_are_added_where_they_fit() -> None:
    assert "infrastructure/configs/metallb" in names(lab(), "metallb")
    assert "infrastructure/controllers/velero" in names(aws(), "velero")
    for extra, platforms in EXTRAS.items():
        for spec in (lab(), aws()):
            if spec.platform not in platforms:
                with pytest.raises(UsageError, match=extra):
                    layers(spec, extras=Extras([extra]))


def test_an_extra_that_wants_a_variable_says_so() -> None:
    with pytest.raises(UsageError, match="metallb wants the variable metallb_addresses"):
        variables(lab(), instance="lab", tags={}, extras=Extras(["metallb"]))
    extras = Extras(["metallb"], {"metallb_addresses": "10.17.3.240/28"})
    found = variables(lab(), instance="lab", tags={}, extras=extras)
    assert found["gateway_service"] == "LoadBalancer"


def test_the_variables_of_a_home_lab() -> None:
    assert variables(lab(), instance="mine", tags={}) == {
        "cluster": "zave-mine",
        "domain": "mine.internal",
        "gateway_service": "NodePort",
        "storage_class": "local-path",
    }
    assert variables(lab(ingress={"domain": "a.example.org"}), instance="mine", tags={})["domain"] == (
        "a.example.org"
    )


def test_the_variables_of_an_aws_environment() -> None:
    tags = {"zave:instance": "on", "zave:creation": "2026-11-23T10:00:00Z", "zave:owner": "me@example.org"}
    found = variables(aws(), instance="on", tags=tags)
    assert found["public_cidrs"] == "203.0.113.7/32,198.51.100.0/24"
    assert found["region"] == "us-east-1"
    # names and times that YAML would read as something else stay texts
    assert yaml.safe_load(found["node_tags"]) == tags
