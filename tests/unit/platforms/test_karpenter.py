"""What is read of Karpenter's NodePools: those that are shipped, and a user's own."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from zave.cost.catalogue import Catalogue
from zave.cost.karpenter import NodePool, worst_case
from zave.platforms.karpenter import karpenter_limit, node_pools
from zave.project import Project

NODES = "templates/gitops/infrastructure/configs/karpenter/nodes.yaml"
SHIPPED = NodePool(vcpu=8, families=("t3", "t3a", "m6i"), architectures=("amd64",), smallest=2, disk_gib=30.0)


def own(folder: Path, *changes: tuple[str, str]) -> Project:
    """A project folder whose NodePool is another one."""
    file = folder / NODES
    file.parent.mkdir(parents=True)
    shutil.copy(Project().path(NODES), file)
    text = file.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    file.write_text(text)
    return Project(folder)


def test_the_shipped_pool_is_read_whole() -> None:
    assert node_pools(Project()) == (SHIPPED,)
    assert SHIPPED.nodes() == 4


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_whatever_the_shipped_pool_allows_has_a_price(region: str) -> None:
    found = list(worst_case(node_pools(Project()), Catalogue.load(region), addresses=True))
    assert len(found) == 4
    assert not [each for each in found if isinstance(each, str) or each.part.rate is None]


@pytest.mark.parametrize(
    ("changes", "read"),
    [
        ([("cpu: 8", "cpu: 8500m")], replace(SHIPPED, vcpu=9)),
        ([("    cpu: 8\n", "")], replace(SHIPPED, vcpu=None)),
        ([('values: ["2", "4"]', 'values: ["4", "8"]')], replace(SHIPPED, smallest=4)),
        ([("values: [amd64]", "values: [amd64, arm64]")], replace(SHIPPED, architectures=("amd64", "arm64"))),
        # a wider key allows families that are not named, and so does another operator
        (
            [
                (
                    "instance-family, operator: In, values: [t3, t3a, m6i]",
                    "instance-category, operator: Exists",
                )
            ],
            replace(SHIPPED, families=None),
        ),
        (
            [("instance-family, operator: In", "instance-family, operator: NotIn")],
            replace(SHIPPED, families=None),
        ),
        ([("volumeSize: 30Gi", "volumeSize: 1Ti")], replace(SHIPPED, disk_gib=1024.0)),
        ([("volumeType: gp3", "volumeType: io2")], replace(SHIPPED, disk_gib=None)),
        ([("name: default}", "name: other}")], replace(SHIPPED, disk_gib=None)),
    ],
)
def test_a_pool_of_ones_own_is_read_as_it_is(
    tmp_path: Path, changes: list[tuple[str, str]], read: NodePool
) -> None:
    assert node_pools(own(tmp_path, *changes)) == (read,)


def test_a_file_that_is_no_yaml_tells_of_no_pool(tmp_path: Path) -> None:
    pools = node_pools(own(tmp_path, ("limits:", "limits: ]")))
    assert pools == ()
    assert karpenter_limit(pools) is None


def test_limits_add_up_unless_one_is_missing() -> None:
    assert karpenter_limit((SHIPPED, SHIPPED)) == 16
    assert karpenter_limit((SHIPPED, replace(SHIPPED, vcpu=None))) is None
