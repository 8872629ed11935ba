"""What a spec means for its tree."""

import json
from typing import Any

import pytest
import yaml

from zave.gitops.pieces import LAYERS, layers, variables
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


def names(spec: LibvirtSpec | AwsSpec) -> set[str]:
    return {piece for pieces in layers(spec).values() for piece in pieces}


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


BUCKET = {"velero_bucket": "backups", "velero_region": "us-east-1"}


def test_extras_are_added_where_they_are_wanted() -> None:
    assert not {piece for piece in names(lab()) | names(aws()) if "velero" in piece or "metallb" in piece}
    balanced = lab(gitops={"extras": ["metallb"], "variables": {"metallb_addresses": "10.17.3.240/28"}})
    assert {"infrastructure/controllers/metallb", "infrastructure/configs/metallb"} <= names(balanced)
    saved = aws(gitops={**AWS["gitops"], "extras": ["velero"], "variables": BUCKET})  # type: ignore[dict-item]
    # with a role of AWS's in place of the credentials of a home lab
    assert "infrastructure/controllers/velero-on-aws" in names(saved)
    assert "infrastructure/controllers/velero" not in names(saved)
    kept = lab(gitops={"extras": ["velero"], "variables": BUCKET})
    assert "infrastructure/controllers/velero" in names(kept)


def test_external_dns_is_told_its_zone_and_nothing_else_is() -> None:
    ingress = {"domain": "demo.example.org", "zone": "Z0123456789ABCDEFGHIJ"}
    extras = {**AWS["gitops"], "extras": ["external-dns"]}  # type: ignore[dict-item]
    found = variables(aws(gitops=extras, ingress=ingress), instance="demo", tags={})
    assert (found["dns_zone"], found["domain"]) == (ingress["zone"], ingress["domain"])
    assert "dns_zone" not in variables(aws(ingress=ingress), instance="demo", tags={})


def test_a_lab_with_metallb_has_a_load_balancer_and_its_addresses() -> None:
    spec = lab(gitops={"extras": ["metallb"], "variables": {"metallb_addresses": "10.17.3.240/28"}})
    found = variables(spec, instance="lab", tags={})
    assert (found["gateway_service"], found["metallb_addresses"]) == ("LoadBalancer", "10.17.3.240/28")


def test_variables_of_ones_own_are_passed_on() -> None:
    spec = lab(gitops={"variables": {"team": "blue"}})
    assert variables(spec, instance="lab", tags={})["team"] == "blue"


@pytest.mark.parametrize(
    ("kind", "pieces"), [("local", {"platform/registry"}), ("harbor", {"platform/harbor"}), ("none", set())]
)
def test_the_registry_is_the_one_that_is_wanted(kind: str, pieces: set[str]) -> None:
    both = {"platform/registry", "platform/harbor"}
    assert names(lab(registry={"kind": kind})) & both == pieces


def test_big_bang_installs_what_is_switched_on_and_nothing_else() -> None:
    found = variables(lab(gitops={"profile": "bigbang", "bigbang": ["gitlab"]}), instance="lab", tags={})
    switches = {name: value for name, value in found.items() if name.startswith("bigbang_")}
    assert [name for name, value in switches.items() if value == "true"] == ["bigbang_gitlab"]
    assert set(switches.values()) == {"true", "false"}
    assert not any(name.startswith("bigbang_") for name in variables(lab(), instance="lab", tags={}))


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


def test_a_demo_serves_names_under_its_domain() -> None:
    assert variables(aws(), instance="on", tags={})["domain"] == "on.internal"
    spec = aws(ingress={"domain": "demo.example.org"})
    assert variables(spec, instance="on", tags={})["domain"] == "demo.example.org"


def test_the_variables_of_an_aws_environment() -> None:
    tags = {"zave:instance": "on", "zave:creation": "2026-11-23T10:00:00Z", "zave:owner": "me@example.org"}
    found = variables(aws(), instance="on", tags=tags)
    assert found["public_cidrs"] == "203.0.113.7/32,198.51.100.0/24"
    assert found["region"] == "us-east-1"
    # names and times that YAML would read as something else stay texts
    assert yaml.safe_load(found["node_tags"]) == tags
