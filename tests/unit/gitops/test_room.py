import json
from typing import Any

import pytest

from zave.errors import PreconditionError
from zave.gitops.capacity import require_room
from zave.spec.libvirt import LibvirtSpec
from zave.spec.load import parse_spec


def lab(profile: str, **worker: Any) -> LibvirtSpec:
    parts = {"platform": "libvirt-k3s", "gitops": {"profile": profile}, "nodes": {"worker": worker}}
    spec = parse_spec(json.dumps(parts), where="environment.yaml")
    assert isinstance(spec, LibvirtSpec)
    return spec


@pytest.mark.parametrize(
    "worker",
    [{}, {"count": 0, "memory": "64GiB"}, {"count": 1, "memory": "16GiB"}, {"vcpu": 1, "memory": "16GiB"}],
)
def test_big_bang_is_refused_where_the_nodes_are_too_small(worker: dict[str, Any]) -> None:
    with pytest.raises(PreconditionError, match="too small for Big Bang") as caught:
        require_room(lab("bigbang", **worker))
    assert "8 vCPU and 32 GB" in (caught.value.details or "")
    assert "slim" in (caught.value.resolution or "")


@pytest.mark.parametrize(
    ("profile", "worker"),
    [("bigbang", {"memory": "16GiB"}), ("bigbang", {"count": 3}), ("slim", {}), ("none", {"count": 0})],
)
def test_what_fits_is_let_through(profile: str, worker: dict[str, Any]) -> None:
    require_room(lab(profile, **worker))
