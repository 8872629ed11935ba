"""Which nodes are too small for Big Bang, and what is said of them."""

import json
from typing import Any

import pytest
import yaml

from zave.gitops.capacity import KARPENTER, Room, instance_room, too_small
from zave.gitops.quantity import quantity
from zave.project import Project
from zave.spec.aws import AwsSpec
from zave.spec.libvirt import LibvirtSpec
from zave.spec.load import parse_spec

GIB = 2**30


def lab(profile: str, *packages: str, **worker: Any) -> LibvirtSpec:
    gitops = {"profile": profile, "bigbang": packages}
    parts = {"platform": "libvirt-k3s", "gitops": gitops, "nodes": {"worker": worker}}
    spec = parse_spec(json.dumps(parts), where="environment.yaml")
    assert isinstance(spec, LibvirtSpec)
    return spec


def demo(profile: str, *packages: str, karpenter: bool = True, **nodes: Any) -> AwsSpec:
    parts = {
        "platform": "aws-eks",
        "owner": "me@example.org",
        "notify": {"email": "me@example.org"},
        "eks": {"public_cidrs": ["203.0.113.7/32"], "karpenter": karpenter, "nodes": nodes},
        "gitops": {"repository": "https://host/me/a.git", "profile": profile, "bigbang": packages},
    }
    spec = parse_spec(json.dumps(parts), where="environment.yaml")
    assert isinstance(spec, AwsSpec)
    return spec


@pytest.mark.parametrize(
    "worker",
    [{}, {"count": 0, "memory": "64GiB"}, {"count": 1, "memory": "16GiB"}, {"vcpu": 1, "memory": "16GiB"}],
)
def test_a_lab_that_is_too_small_for_big_bang_is_told(worker: dict[str, Any]) -> None:
    found = too_small(lab("bigbang", **worker))
    assert found is not None
    assert str(found.wants) == "8 vCPU and 32 GB"
    assert found.key == "nodes"
    assert "slim" in found.fix


@pytest.mark.parametrize(
    ("profile", "worker"),
    [("bigbang", {"memory": "16GiB"}), ("bigbang", {"count": 3}), ("slim", {}), ("none", {"count": 0})],
)
def test_a_lab_that_is_large_enough_is_let_through(profile: str, worker: dict[str, Any]) -> None:
    assert too_small(lab(profile, **worker)) is None


def test_gitlab_wants_its_own_room() -> None:
    assert too_small(lab("bigbang", memory="16GiB")) is None
    found = too_small(lab("bigbang", "gitlab", memory="16GiB"))
    assert found is not None
    assert str(found.wants) == "16 vCPU and 62 GB"


def test_what_is_advised_is_enough() -> None:
    for packages in ((), ("gitlab",)):
        found = too_small(lab("bigbang", *packages, count=0))
        assert found is not None
        cores, memory = found.fix.split("(")[1].split(" for")[0].split(" vCPU and ")
        size = {"count": 3, "vcpu": int(cores), "memory": memory}
        assert too_small(lab("bigbang", *packages, **size)) is None


@pytest.mark.parametrize(
    ("spec", "has"),
    [
        (demo("bigbang", karpenter=False), "4 vCPU and 17.18 GB"),
        (demo("bigbang", "gitlab"), "12 vCPU and 51.54 GB"),
        (demo("bigbang", karpenter=False, minimum=4, maximum=4, instance_types=["t3.medium"]), "8 vCPU"),
        # the market may give the smaller of them
        (demo("bigbang", karpenter=False, instance_types=["m6i.2xlarge", "m6i.large"]), "4 vCPU"),
    ],
)
def test_a_demo_that_is_too_small_for_big_bang_is_told(spec: AwsSpec, has: str) -> None:
    found = too_small(spec)
    assert found is not None
    assert str(found.has).startswith(has)
    assert found.key == "eks.nodes"
    assert ("karpenter" in found.fix) is not spec.eks.karpenter


@pytest.mark.parametrize(
    "spec",
    [
        demo("bigbang"),
        demo("slim", karpenter=False, minimum=1),
        demo("bigbang", karpenter=False, instance_types=["m6i.2xlarge"]),
        # nobody knows how large these are
        demo("bigbang", "gitlab", karpenter=False, minimum=1, instance_types=["u-6tb1.metal"]),
    ],
)
def test_a_demo_that_is_large_enough_is_let_through(spec: AwsSpec) -> None:
    assert too_small(spec) is None


@pytest.mark.parametrize(
    ("name", "room"),
    [
        ("t3.medium", Room(2, 4 * GIB)),
        ("t3.large", Room(2, 8 * GIB)),
        ("m7g.medium", Room(1, 4 * GIB)),
        ("m6i.xlarge", Room(4, 16 * GIB)),
        ("c6gn.4xlarge", Room(16, 32 * GIB)),
        ("r5.2xlarge", Room(8, 64 * GIB)),
        ("t3.micro", None),
        ("p5.48xlarge", None),
        ("m6i.metal", None),
    ],
)
def test_an_instance_types_name_tells_its_size(name: str, room: Room | None) -> None:
    assert instance_room(name) == room


def test_karpenter_may_add_what_its_node_pool_says() -> None:
    file = Project().path("templates/gitops/infrastructure/configs/karpenter/nodes.yaml")
    [pool] = [each for each in yaml.safe_load_all(file.read_text()) if each["kind"] == "NodePool"]
    limits = pool["spec"]["limits"]
    assert Room(int(quantity(limits["cpu"])), int(quantity(limits["memory"]))) == KARPENTER
