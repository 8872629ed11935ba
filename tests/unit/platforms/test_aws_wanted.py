"""What an AWS environment's spec wants of its account."""

from typing import Any

import pytest

from tests.unit.platforms.test_aws_values import PLAIN, spec_of
from zave.cost.catalogue import Catalogue
from zave.platforms.aws_eks import wanted_by
from zave.platforms.karpenter import karpenter_limit, node_pools
from zave.project import Project


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"eks": {"karpenter": False}}, False),
        # nothing installs it
        ({"gitops": {"profile": "none"}}, False),
    ],
)
def test_what_karpenter_may_add_is_wanted_where_it_runs(changes: dict[str, Any], counts: bool) -> None:
    project, catalogue = Project(), Catalogue.load("us-east-1")
    spec = spec_of(**{name: PLAIN[name] | more for name, more in changes.items()})
    wanted = wanted_by(spec, instance="demo", project=project, catalogue=catalogue, stands=False)
    limit = karpenter_limit(node_pools(project))
    assert limit
    assert wanted.karpenter == (limit if counts else 0)
