"""The switch's last act with nobody at hand: an empty machine, moto for AWS, and what the bucket holds."""

import json

import pytest

from tests.integration.aws_bundle.demo import Demo
from zave.aws.keys import bundle_key, programs_key, state_key
from zave.aws.live.builds import environment

ABSENT = "0" * 64


def test_the_demo_was_proven_by_a_machine_that_has_nothing(demo: Demo) -> None:
    assert "could destroy" in demo.said[0]
    assert demo.things()
    schedule = demo.schedule()
    assert schedule.programs == programs_key(schedule.programs_sha256)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ZAVE_BUNDLE", bundle_key("demo", ABSENT), "cannot be fetched"),
        ("ZAVE_BUNDLE_SHA256", ABSENT, "is not what was armed"),
        ("ZAVE_PROGRAMS", programs_key(ABSENT), "cannot be fetched"),
        ("ZAVE_PROGRAMS_SHA256", ABSENT, "was armed with other programs"),
        ("ZAVE_PROGRAMS", "", "the schedule does not say ZAVE_PROGRAMS"),
    ],
)
def test_a_fire_that_names_something_else_runs_nothing(name: str, value: str, said: str, demo: Demo) -> None:
    told = {**environment(demo.schedule(), mode="destroy"), name: value}
    _refused(demo, told, said)


@pytest.mark.parametrize("which", ["bundle", "programs"])
def test_an_altered_archive_is_not_unpacked(which: str, demo: Demo) -> None:
    schedule = demo.schedule()
    key = {"bundle": schedule.bundle, "programs": schedule.programs}[which]
    whole = demo.cloud.bucket.get(key)
    assert whole is not None
    demo.cloud.bucket.put(key, whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        _refused(demo, environment(schedule, mode="destroy"), "is not what was armed")
    finally:
        demo.cloud.bucket.put(key, whole)


def _refused(demo: Demo, told: dict[str, str], said: str) -> None:
    before = demo.things(), demo.receipts()
    code, words = demo.machine.build(told, run="zave-destroyer:by-hand")
    assert code != 0
    assert f"{said}" in words
    assert "nothing was destroyed" in words
    assert (demo.things(), demo.receipts()) == before


def test_an_empty_machine_destroys_the_demo_from_the_bucket_alone(demo: Demo) -> None:
    demo.leave("demo", cidr="10.42")
    demo.leave("demo-b", cidr="10.2")
    theirs = demo.items("demo-b")
    early = demo.cloud.switchboard.start("demo", mode="destroy")
    assert (early.state, "lives until" in early.reason) == ("failed", True)
    assert demo.things()
    assert demo.items("demo")

    demo.let_it_expire()
    fired = demo.cloud.switchboard.start("demo", mode="destroy")
    assert (fired.state, fired.reason) == ("succeeded", "")
    assert "terraform destroy of" in demo.said[-1]
    # Terraform destroyed what its state in S3 named, the sweep what the account showed beside it
    assert [thing for thing in demo.things() if "kms" not in thing] == []
    assert demo.items("demo") == []
    assert demo.items("demo-b") == theirs
    assert demo.cloud.switchboard.schedules() == []
    (receipt,) = demo.receipts()
    told = json.loads(receipt)
    assert told["leaks"] == []
    assert {each["type"] for each in told["deleted"]} >= {"aws_ebs_volume", "aws_lb", "aws_network_interface"}
    assert json.loads(demo.cloud.bucket.get(state_key("demo")) or b"{}")["resources"] == []
