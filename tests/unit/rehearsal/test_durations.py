import json
from pathlib import Path

import pytest

import zave.rehearsal.durations
from zave.rehearsal.durations import ASSUMED, duration_of, seconds_for

TABLE = json.loads(Path(zave.rehearsal.durations.__file__).with_name("durations.json").read_text())
ROWS = [(type_, action) for type_, actions in TABLE["types"].items() for action in actions]


@pytest.mark.parametrize(("type_", "action"), ROWS)
def test_every_row_is_ordered_and_names_its_source(type_: str, action: str) -> None:
    duration = duration_of(type_, action)
    assert 0 <= duration.minimum <= duration.typical <= duration.maximum
    assert duration.source
    assert duration.minimum <= seconds_for(type_, action, "zave-homelab-worker-1") <= duration.maximum


def test_table_carries_its_date_and_explains_its_sources() -> None:
    assert TABLE["as_of"] == "2026-11-23"
    for key in ("TP", "LC", "LG", "FS", "assumed"):
        assert TABLE["sources"][key]


def test_known_durations_are_those_of_the_table() -> None:
    cluster = duration_of("aws_eks_cluster", "create")
    # 8m23 / 9m22 / 11m03
    assert (cluster.minimum, cluster.typical, cluster.maximum) == (503, 562, 663)


def test_unknown_type_takes_an_assumed_second_and_says_so() -> None:
    duration = duration_of("libvirt_unheard_of", "create")
    assert (duration.typical, duration.source) == (ASSUMED, "assumed")
    assert seconds_for("libvirt_unheard_of", "create", "x") == ASSUMED


def test_duration_is_the_same_each_time_and_spread_around_the_typical_one() -> None:
    names = [f"node-{number}" for number in range(400)]
    taken = [seconds_for("aws_eks_cluster", "create", name) for name in names]
    assert taken == [seconds_for("aws_eks_cluster", "create", name) for name in names]
    below = sum(1 for seconds in taken if seconds < 562)
    assert 150 < below < 250
    assert max(taken) - min(taken) > 100
