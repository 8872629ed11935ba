"""The AWS demo's life under its switch: nobody at the keyboard when it ends."""

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.rehearsal.audit import billable_spans, uncovered
from tests.rehearsal.aws_lab import INSTANCE, AwsLab
from zave.aws.keys import state_lock_key
from zave.aws.locks import LONGEST_APPLY
from zave.clock import from_rfc3339
from zave.receipt import receipt_digest
from zave.rehearsal.bucket import write_object
from zave.rehearsal.things import Draft
from zave.rehearsal.world import Thing

# what is left to a destroyer after the expiry, in virtual time (issue 4, item 4)
GRACE = timedelta(minutes=45)
RECEIPTS = f"instances/{INSTANCE}/receipts"


def test_the_switch_ends_the_demo_while_nobody_is_there(demo_lab: AwsLab) -> None:
    before = demo_lab.status()
    expiry = from_rfc3339(before["expires_at"])
    made = demo_lab.parts()
    assert len(made) >= 60

    demo_lab.ok("rehearse", "advance", "47h")
    assert demo_lab.status()["phase"] == "ready"
    assert demo_lab.parts() == made

    seen = demo_lab.log()[-1].seq
    advancing = demo_lab.start("rehearse", "advance", "2h")
    stdout, stderr = advancing.communicate(timeout=120)
    assert advancing.returncode == 0, stdout + stderr
    assert demo_lab.parts() == []

    log = demo_lab.log()
    spans = billable_spans(log, standing=demo_lab.standing_parts)
    assert len(spans) >= 10
    ends = [span.ended_at for span in spans if span.ended_at is not None]
    assert len(ends) == len(spans)
    assert expiry < max(ends) < expiry + GRACE
    assert uncovered(log, standing=demo_lab.standing_parts) == []
    _assert_nothing_of_the_users_did_it(log[seen:], advancing.pid)

    after = demo_lab.status()
    assert (after["phase"], after["switch"]["armed"], after["usd_per_hour"]) == ("destroyed", False, 0.0)
    (told,) = demo_lab.in_bucket(RECEIPTS).values()
    _assert_clean_receipt(told, by="zave reap (switch)")
    assert {part.type for part in made} <= {thing["type"] for thing in told["deleted"] + told["accepted"]}
    # the user's own record has learned it from the bucket
    (history,) = demo_lab.ok("history").documents
    assert [each["receipt"] for each in history["receipts"]] == [told]


def test_a_terraform_that_died_at_the_expiry_delays_the_end_no_longer_than_an_apply_takes(
    demo_lab: AwsLab,
) -> None:
    expiry = from_rfc3339(demo_lab.status()["expires_at"])
    lock = demo_lab.state / "rehearsal" / "bucket" / state_lock_key(INSTANCE)
    write_object(lock, b'{"ID": "abc"}', at=expiry.timestamp())
    demo_lab.ok("rehearse", "advance", "54h")
    assert demo_lab.status()["phase"] == "destroyed"
    (receipt,) = demo_lab.in_bucket(RECEIPTS).values()
    took = from_rfc3339(receipt["at"]) - expiry
    assert timedelta() <= took - timedelta(seconds=LONGEST_APPLY) < timedelta(minutes=18)
    assert not lock.exists()


def _make_again(lab: AwsLab, part: Thing) -> None:
    """As a Terraform does that slept over the end in the middle of its apply."""
    with lab.world() as world, world.transaction() as ledger:
        draft = Draft(
            provider=part.provider, type=part.type, name=part.name, unique=None, attributes=part.attributes
        )
        ledger.make(draft, ready_at=ledger.now)


def test_what_is_made_after_the_receipt_is_found_and_taken_down(demo_lab: AwsLab) -> None:
    """Receipts tell what was; that something stands again only the account shows."""
    (network,) = [part for part in demo_lab.parts() if part.type == "aws_vpc"]
    demo_lab.ok("rehearse", "advance", "50h")
    assert demo_lab.parts() == []
    _make_again(demo_lab, network)
    told = demo_lab.zave("status", INSTANCE, "--rehearse")
    assert f"1 things of it stand again, without a switch: aws_vpc {network.name}" in told.stderr, told.told()
    assert demo_lab.status()["phase"] != "destroyed"
    assert demo_lab.end().receipt["leaks"] == []
    assert demo_lab.parts() == []
    assert demo_lab.status()["phase"] == "destroyed"
    # on record as destroyed, and nothing asks the account for it any more: others are looked for
    _make_again(demo_lab, network)
    (document,) = demo_lab.ok("status", "--others").documents
    assert [each["name"] for each in document["unrecorded"]] == [INSTANCE]


def test_roles_of_a_demo_of_the_same_name_in_another_region_are_nothing_that_stands_again(
    demo_lab: AwsLab,
) -> None:
    """IAM is one for all regions: what the account shows there may be another life's."""
    role = next(part for part in demo_lab.parts() if part.type == "aws_iam_role")
    demo_lab.ok("rehearse", "advance", "50h")
    tags = {**role.attributes["tags_all"], "zave:creation": "2026-01-02T03:04:05.678Z"}
    _make_again(demo_lab, replace(role, attributes={**role.attributes, "tags": tags, "tags_all": tags}))
    assert [part.name for part in demo_lab.parts()] == [role.name]
    assert demo_lab.status()["phase"] == "destroyed"


def _assert_nothing_of_the_users_did_it(events: Any, advancing: int) -> None:
    """The process that moves the clock fires the schedule; all else is done by the destroyer's."""
    by_us = {event.verb for event in events if event.pid == advancing}
    assert by_us <= {"fire", "build"}, by_us
    assert os.getpid() not in {event.pid for event in events}
    assert any(event.verb == "delete" for event in events)


def _assert_clean_receipt(receipt: Mapping[str, Any], *, by: str) -> None:
    assert receipt["destroyed_by"] == by
    assert receipt["leaks"] == []
    assert receipt["sha256"] == receipt_digest(dict(receipt))
    # a KMS key cannot be deleted at once, and costs nothing while it waits
    assert [thing["type"] for thing in receipt["accepted"]] == ["aws_kms_key"]
    assert from_rfc3339(receipt["accepted"][0]["until"]) > from_rfc3339(receipt["at"])


def test_a_second_demo_keeps_the_expiry_and_changes_nothing(demo_lab: AwsLab) -> None:
    before, made = demo_lab.status(), demo_lab.parts()
    seen = demo_lab.log()[-1].seq
    again = demo_lab.demo("--ttl", "24h")
    assert again.exit_code == 0, again.told()
    after = demo_lab.status()
    assert (after["expires_at"], after["switch"]) == (before["expires_at"], before["switch"])
    assert demo_lab.parts() == made
    # it only told others that it was at work
    touched = {event.name for event in demo_lab.log(since=seen)}
    assert touched <= {f"instances/{INSTANCE}/run.lock"}


def test_extend_moves_the_expiry_and_touches_no_resource(demo_lab: AwsLab) -> None:
    before, made = demo_lab.status(), demo_lab.parts()
    (moved,) = demo_lab.ok("extend", INSTANCE, "--ttl", "60h").documents
    after = demo_lab.status()
    assert after["expires_at"] == after["switch"]["next_fire_at"] == moved["expires_at"]
    assert moved["previous_expires_at"] == before["expires_at"]
    left = from_rfc3339(after["expires_at"]) - demo_lab.now()
    assert timedelta(hours=60) - timedelta(minutes=1) < left < timedelta(hours=60) + timedelta(minutes=1)
    # tags among them: the expiry is in the schedule alone
    assert demo_lab.parts() == made

    # the old end is no end any more
    demo_lab.ok("rehearse", "advance", "49h")
    assert demo_lab.status()["phase"] == "ready"
    assert demo_lab.parts() == made


def test_reap_refuses_before_the_end_and_destroys_after_it(demo_lab: AwsLab) -> None:
    made = demo_lab.parts()
    early = demo_lab.zave("reap", INSTANCE, "--rehearse", "-o", "json")
    assert early.exit_code == 2, early.told()
    assert "not past its TTL" in early.stdout
    assert "Z)" in early.documents[-1]["brief"]
    assert demo_lab.parts() == made

    # five fires, none of which can do anything
    demo_lab.ok("rehearse", "faults", "add", "fail destroyer always")
    advanced = demo_lab.ok("rehearse", "advance", "50h")
    assert advanced.documents
    expired = demo_lab.status()
    assert (expired["phase"], expired["switch"]["armed"]) == ("expired", True)
    assert demo_lab.parts() == made
    # that it is armed must not read as well
    told = demo_lab.zave("status", INSTANCE, "--rehearse")
    assert told.exit_code == 6, told.told()
    tries = expired["switch"]["fires"]
    assert tries["failed"] >= 3
    assert tries["last"] == "failed"
    assert tries["failing_since"] >= expired["expires_at"]
    assert f"{tries['failed']} failed since" in told.stdout
    assert f"next: zave --rehearse reap {INSTANCE}" in told.stderr
    # from the third on each one alarms
    fires = [event for event in demo_lab.log() if event.verb == "fire"]
    alarms = [event for event in demo_lab.log() if event.verb == "alarm"]
    assert len(fires) >= 3
    assert len(alarms) == len(fires) - 2

    reaped = demo_lab.ok("reap")
    assert reaped.receipt["leaks"] == []
    assert demo_lab.parts() == []
    assert demo_lab.status()["phase"] == "destroyed"


def test_down_takes_the_switch_away_last_of_all(demo_lab: AwsLab) -> None:
    ended = demo_lab.end()
    assert ended.exit_code == 0, ended.told()
    _assert_clean_receipt(ended.receipt, by="zave down")
    assert demo_lab.parts() == []
    assert list(demo_lab.in_bucket(RECEIPTS).values()) == [ended.receipt]

    log = demo_lab.log()
    assert uncovered(log, standing=demo_lab.standing_parts) == []
    removed = [event for event in log if event.verb == "unschedule"]
    assert len(removed) == 1
    # nothing happens in the account after it but the release of the lock
    assert {event.type for event in log if event.seq > removed[0].seq} <= {"aws_s3_object"}

    # nothing fires any more
    demo_lab.ok("rehearse", "advance", "72h")
    assert not [event for event in demo_lab.log() if event.verb == "fire"]


def test_the_expiry_counts_from_arming(demo_lab: AwsLab) -> None:
    armed = next(event for event in demo_lab.log() if event.verb == "schedule")
    expiry: datetime = from_rfc3339(demo_lab.status()["expires_at"])
    assert abs(expiry - armed.virtual_at - timedelta(hours=48)) < timedelta(seconds=2)
