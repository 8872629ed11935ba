"""The switch: nothing counts as armed that was not proven, and an expiry only moves as asked."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.unit.aws.memory import Account
from tests.unit.aws.things import instance_facts
from zave.aws.arming import Armed, Term, arm
from zave.aws.bundle import build_bundle, load_bundle, unpack
from zave.aws.keys import PROGRAMS_PREFIX, bundle_prefix, check_key, programs_key
from zave.aws.locks import RunLock, Work, Worker
from zave.aws.switch import (
    Extension,
    extend,
    later,
    next_fire,
    read_back,
    switch_document,
)
from zave.errors import LockedError, PreconditionError, UsageError
from zave.ports.cloud import DestroyerRun, Schedule, StoredPrograms
from zave.schemas import load_schema
from zave.spec.units import DAY, HOUR, MINUTE
from zave.ui.switch import render_switch

LAPTOP = Worker("extend-1", "up", "laptop")


def _arm(account: Account, **facts: Any) -> Schedule:
    bundle = account.packed("demo", **facts)
    return arm(account, account.clock, instance="demo", term=Term(48 * HOUR), bundle=bundle).schedule


def test_armed_means_set_checked_and_read_back(account: Account) -> None:
    bundle = account.packed("demo")
    armed = arm(account, account.clock, instance="demo", term=Term(48 * HOUR), bundle=bundle)
    assert armed.expires_at == account.clock.now() + timedelta(hours=48)
    assert account.switchboard.set["demo"] == armed.schedule
    assert armed.schedule.every == 30
    assert (armed.proof.mode, armed.proof.state) == ("check", "succeeded")
    assert account.bucket.get(armed.schedule.bundle) == bundle.content
    assert not armed.kept


def test_fractions_of_a_second_never_cut_a_life_short(account: Account) -> None:
    account.clock.moment += timedelta(microseconds=1)
    expires = _arm(account).first_fire_at
    assert expires.microsecond == 0
    assert expires >= account.clock.now() + timedelta(hours=48)


def test_a_rerun_keeps_the_expiry_and_proves_the_new_bundle(account: Account) -> None:
    first = _arm(account)
    account.clock.sleep(3600)
    bundle = account.packed("demo", creation="x")
    again = arm(account, account.clock, instance="demo", term=Term(10 * HOUR), bundle=bundle)
    assert again.expires_at == first.first_fire_at
    assert again.kept
    assert again.schedule.bundle_sha256 != first.bundle_sha256
    assert [found.key for found in account.bucket.list(bundle_prefix("demo"))] == [again.schedule.bundle]


def test_a_rerun_after_the_expiry_is_refused(account: Account) -> None:
    before = _arm(account)
    account.clock.sleep(48 * HOUR)
    with pytest.raises(PreconditionError, match="past its TTL"):
        _arm(account)
    assert account.switchboard.set["demo"] == before


def test_without_the_standing_parts_nothing_is_set(account: Account) -> None:
    account.switchboard.missing = ("schedule group",)
    with pytest.raises(PreconditionError) as refused:
        _arm(account)
    assert "schedule group" in (refused.value.details or "")
    assert "account setup" in (refused.value.resolution or "")
    assert not account.switchboard.set


def _doing(account: Account, change: Callable[[DestroyerRun, Schedule], str]) -> None:
    account.switchboard.launch = change


def test_a_check_that_fails_is_no_proof(account: Account) -> None:
    _doing(account, lambda run, schedule: "no permission")
    with pytest.raises(PreconditionError, match="not proven: its check failed") as refused:
        _arm(account)
    assert refused.value.details == "no permission\nno schedule was set"
    # there is nothing that it could end: it would fail every half hour
    assert account.switchboard.set == {}


def test_a_rerun_whose_proof_fails_leaves_the_proven_switch_as_it_was(account: Account) -> None:
    before = _arm(account)
    _doing(account, lambda run, schedule: "no permission")
    with pytest.raises(PreconditionError, match="not proven") as refused:
        _arm(account, creation="x")
    assert account.switchboard.set == {"demo": before}
    assert account.bucket.get(before.bundle) is not None
    assert "stays as it was" in (refused.value.details or "")
    assert read_back(account, account.clock, instance="demo").armed


def test_the_check_is_told_what_the_schedule_will_tell(account: Account) -> None:
    told: list[Schedule] = []

    def look(run: DestroyerRun, schedule: Schedule) -> str:
        told.append(schedule)
        return account.prove(run, schedule)

    _doing(account, look)
    first, second = _arm(account), _arm(account, creation="x")
    assert [replace(each, first_fire_at=first.first_fire_at) for each in told] == [first, second]


def test_an_extension_during_the_proof_counts(account: Account) -> None:
    before = _arm(account)
    later_on = replace(before, first_fire_at=before.first_fire_at + timedelta(hours=9))

    def extended(run: DestroyerRun, schedule: Schedule) -> str:
        account.switchboard.set["demo"] = later_on
        return account.prove(run, schedule)

    _doing(account, extended)
    assert _arm(account, creation="x").first_fire_at == later_on.first_fire_at


def test_a_switch_that_fires_during_the_proof_is_not_set_again(account: Account) -> None:
    before = _arm(account)
    account.clock.sleep(48 * HOUR - 60)

    def slow(run: DestroyerRun, schedule: Schedule) -> str:
        account.clock.sleep(120)
        return account.prove(run, schedule)

    _doing(account, slow)
    with pytest.raises(PreconditionError, match="past its TTL"):
        _arm(account, creation="x")
    assert account.switchboard.set == {"demo": before}


# an instance that stands and lost its switch


def _lost(account: Account, **term: Any) -> Armed:
    return arm(
        account, account.clock, instance="demo", term=Term(48 * HOUR, **term), bundle=account.packed("demo")
    )


def test_a_lost_switch_is_set_again_to_the_expiry_on_record(account: Account) -> None:
    account.make("demo")
    now = account.clock.now()
    ends, latest = now + timedelta(hours=3), now + timedelta(days=2)
    armed = _lost(account, recorded=ends, latest=latest)
    assert (armed.expires_at, armed.restored) == (ends, True)


@pytest.mark.parametrize(
    ("recorded", "latest", "expected"),
    [
        (None, 20 * HOUR, 20 * HOUR),  # never longer than the spec allows, without a record either
        (None, 70 * HOUR, 48 * HOUR),
        (30 * HOUR, 20 * HOUR, 20 * HOUR),
        (-HOUR, 20 * HOUR, 5 * MINUTE),  # its time is over: as soon as the cloud takes one
        (None, -HOUR, 5 * MINUTE),
        (30 * HOUR, None, 30 * HOUR),
        (None, None, 48 * HOUR),
    ],
)
def test_a_lost_switch_begins_no_new_life(
    recorded: int | None, latest: int | None, expected: int, account: Account
) -> None:
    account.make("demo")
    now = account.clock.now()
    moments = {
        name: None if after is None else now + timedelta(seconds=after)
        for name, after in (("recorded", recorded), ("latest", latest))
    }
    assert _lost(account, **moments).expires_at == now + timedelta(seconds=expected)


def test_a_life_that_begins_has_its_whole_ttl(account: Account) -> None:
    now = account.clock.now()
    armed = _lost(account, recorded=now + timedelta(hours=3), latest=now + timedelta(hours=4))
    assert (armed.expires_at, armed.restored) == (now + timedelta(hours=48), False)


def test_what_stands_is_not_left_without_an_end_by_a_proof_that_fails(account: Account) -> None:
    account.make("demo")
    _doing(account, lambda run, schedule: "no permission")
    with pytest.raises(PreconditionError, match="not proven") as refused:
        _lost(account)
    assert "demo" in account.switchboard.set
    assert "was set and stays" in (refused.value.details or "")


def test_a_check_that_never_ends_is_no_proof(account: Account) -> None:
    start = account.switchboard.start

    def hang(instance: str, *, mode: Any, candidate: Schedule | None = None) -> DestroyerRun:
        run = start(instance, mode=mode, candidate=candidate)
        return account.switchboard.end(run.id, "running")

    account.switchboard.start = hang  # type: ignore[method-assign]
    with pytest.raises(PreconditionError, match="did not end in time"):
        _arm(account)


def test_a_check_that_ends_later_is_waited_for(account: Account) -> None:
    start = account.switchboard.start

    def slow(instance: str, *, mode: Any, candidate: Schedule | None = None) -> DestroyerRun:
        run = start(instance, mode=mode, candidate=candidate)
        ends = account.clock.now() + timedelta(minutes=3)

        def time_passes() -> None:
            if account.clock.now() >= ends:
                account.switchboard.end(run.id, "succeeded")

        account.clock.on_sleep.append(time_passes)
        return account.switchboard.end(run.id, "running")

    account.switchboard.start = slow  # type: ignore[method-assign]
    assert _arm(account)


def test_a_green_run_without_a_finding_is_no_proof(account: Account) -> None:
    _doing(account, lambda run, schedule: "")
    with pytest.raises(PreconditionError, match="left no finding"):
        _arm(account)


@pytest.mark.parametrize("field", ["instance", "run", "manifest_sha256"])
def test_the_finding_of_another_instance_run_or_bundle_is_no_proof(field: str, account: Account) -> None:
    def lie(run: DestroyerRun, schedule: Schedule) -> str:
        account.prove(run, schedule)
        key = check_key("demo", run.id)
        finding = json.loads(account.bucket.get(key) or b"")
        account.bucket.put(key, json.dumps({**finding, field: "other"}).encode())
        return ""

    _doing(account, lie)
    with pytest.raises(PreconditionError, match="another bundle"):
        _arm(account)


def test_an_archive_that_was_altered_in_the_bucket_is_no_proof(account: Account) -> None:
    def alter(run: DestroyerRun, schedule: Schedule) -> str:
        account.bucket.put(schedule.bundle, account.packed("demo", creation="forged").content)
        return account.prove(run, schedule)

    _doing(account, alter)
    with pytest.raises(PreconditionError, match="not proven"):
        _arm(account)


@pytest.mark.parametrize(
    "change",
    [
        {"enabled": False},
        {"every": 60},
        {"bundle_sha256": "0" * 64},
        {"bundle": "elsewhere"},
        {"first_fire_at": None},
    ],
    ids=str,
)
def test_a_schedule_that_reads_back_otherwise_is_no_proof(change: dict[str, Any], account: Account) -> None:
    set_schedule = account.switchboard.set_schedule

    def alter(schedule: Schedule) -> None:
        moved = {"first_fire_at": schedule.first_fire_at + timedelta(days=1)}
        set_schedule(replace(schedule, **(moved if "first_fire_at" in change else change)))

    account.switchboard.set_schedule = alter  # type: ignore[method-assign]
    with pytest.raises(PreconditionError, match="another schedule"):
        _arm(account)
    assert account.switchboard.set == {}


# reading back


def test_an_armed_switch_reads_back_without_warnings(account: Account) -> None:
    schedule = _arm(account)
    status = read_back(account, account.clock, instance="demo")
    assert status.armed
    assert status.expires_at == status.next_fire_at == schedule.first_fire_at
    assert status.warnings == ()


@pytest.mark.parametrize(
    ("passed", "told"),
    [(41 * HOUR, []), (42 * HOUR, ["6h"]), (46 * HOUR, ["6h"]), (47 * HOUR + 1, ["1h"])],
)
def test_warnings_begin_six_hours_and_one_hour_before(passed: int, told: list[str], account: Account) -> None:
    _arm(account)
    account.clock.sleep(passed)
    status = read_back(account, account.clock, instance="demo")
    assert [w.kind for w in status.warnings] == ["expires-soon"] * len(told)
    assert all(word in w.text for word, w in zip(told, status.warnings, strict=True))


def test_past_the_expiry_the_next_fire_is_told(account: Account) -> None:
    schedule = _arm(account)
    account.clock.sleep(48 * HOUR + 31 * MINUTE)
    status = read_back(account, account.clock, instance="demo")
    assert [w.kind for w in status.warnings] == ["expired"]
    assert status.next_fire_at == schedule.first_fire_at + timedelta(minutes=60)


def test_no_switch_is_told(account: Account) -> None:
    status = read_back(account, account.clock, instance="demo")
    assert not status.armed
    assert [w.kind for w in status.warnings] == ["disarmed"]


def test_a_switch_that_could_not_fire_is_not_armed(account: Account) -> None:
    schedule = _arm(account)
    account.switchboard.set["demo"] = replace(schedule, enabled=False)
    off = read_back(account, account.clock, instance="demo")
    assert (off.armed, off.next_fire_at) == (False, None)
    account.switchboard.set["demo"] = schedule
    account.bucket.delete(schedule.bundle)
    assert not read_back(account, account.clock, instance="demo").armed


@pytest.mark.parametrize(
    "change",
    [
        {"every": 525600},
        {"bundle_sha256": "0" * 64},
        {"programs": programs_key("0" * 64)},
        {"programs_sha256": "0" * 64},
    ],
    ids=str,
)
def test_a_schedule_that_does_not_run_what_was_proven_is_not_armed(
    change: dict[str, Any], account: Account
) -> None:
    account.switchboard.set["demo"] = replace(_arm(account), **change)
    status = read_back(account, account.clock, instance="demo")
    assert not status.armed
    assert {w.kind for w in status.warnings} == {"altered"}


def test_an_unconfirmed_address_is_a_warning_but_the_switch_fires(account: Account) -> None:
    _arm(account)
    account.switchboard.confirmed = False
    status = read_back(account, account.clock, instance="demo")
    assert status.armed
    assert [w.kind for w in status.warnings] == ["unconfirmed"]


def test_altered_machinery_is_not_armed(account: Account) -> None:
    _arm(account)
    account.switchboard.missing = ("destroyer project",)
    status = read_back(account, account.clock, instance="demo")
    assert not status.armed
    assert [w.kind for w in status.warnings] == ["machinery"]


def test_fires_come_every_half_hour_without_an_end(account: Account) -> None:
    schedule = _arm(account)
    first = schedule.first_fire_at
    assert next_fire(schedule, first) == first + timedelta(minutes=30)
    assert next_fire(schedule, first + timedelta(days=30, seconds=1)) == first + timedelta(
        days=30, minutes=30
    )


def test_the_document_fits_its_schema_and_is_read_by_people(account: Account) -> None:
    schedule = _arm(account)
    account.clock.sleep(47 * HOUR)
    account.switchboard.confirmed = False
    status = read_back(account, account.clock, instance="demo")
    document = switch_document(status, instance="demo", rehearsal=True, previous=schedule.first_fire_at)
    Draft202012Validator(load_schema("switch")).validate(document)
    text = render_switch(document)
    assert "armed" in text
    assert "1 h 00 min left" in text
    assert "not confirmed" in text


def test_the_document_of_no_switch_fits_its_schema(account: Account) -> None:
    status = read_back(account, account.clock, instance="demo")
    document = switch_document(status, instance="demo", rehearsal=False)
    Draft202012Validator(load_schema("switch")).validate(document)
    assert "NOT ARMED" in render_switch(document)


# extending


def _extend(account: Account, hours: float, *, force: bool = False, maximum: int = 7 * DAY) -> Schedule:
    armed_at = account.switchboard.set["demo"].first_fire_at - timedelta(hours=48)
    until = account.clock.now() + timedelta(hours=hours)
    extension = Extension(until, armed_at, maximum, force)
    return extend(account, account.clock, instance="demo", extension=extension, worker=LAPTOP)


def test_an_extension_moves_the_expiry_and_nothing_else(account: Account) -> None:
    before = _arm(account)
    account.clock.sleep(47 * HOUR + 59 * MINUTE)
    after = _extend(account, 24)
    assert after.first_fire_at == account.clock.now() + timedelta(hours=24)
    assert account.switchboard.set["demo"] == after == replace(before, first_fire_at=after.first_fire_at)


@pytest.mark.parametrize("hours", [-1, 0, 0.05])
def test_a_moment_that_is_past_or_nearly_is_refused(hours: float, account: Account) -> None:
    before = _arm(account)
    with pytest.raises(UsageError, match="past or less than"):
        _extend(account, hours, force=True)
    assert account.switchboard.set["demo"] == before


def test_the_maximum_holds_from_the_arming_on_and_can_be_forced(account: Account) -> None:
    before = _arm(account)
    account.clock.sleep(24 * HOUR)
    with pytest.raises(UsageError, match=r"ttl\.maximum is 7d"):
        _extend(account, 6 * 24 + 1)
    assert account.switchboard.set["demo"] == before
    assert _extend(account, 6 * 24)
    assert _extend(account, 20 * 24, force=True)


def test_without_a_switch_nothing_can_be_extended(account: Account) -> None:
    extension = Extension(account.clock.now() + timedelta(days=1), account.clock.now(), 7 * DAY)
    with pytest.raises(PreconditionError, match="no switch"):
        extend(account, account.clock, instance="demo", extension=extension, worker=LAPTOP)


@pytest.mark.parametrize("work", ["destroyer", "down"])
def test_once_somebody_takes_it_away_it_is_too_late(work: Work, account: Account) -> None:
    before = _arm(account)
    lock = RunLock(account.bucket, account.clock, instance="demo", worker=Worker("r", work, "elsewhere"))
    lock.acquire()
    with pytest.raises(LockedError, match="too late"):
        _extend(account, 60)
    assert account.switchboard.set["demo"] == before
    lock.release()
    assert _extend(account, 60)


def test_a_destroyer_that_began_meanwhile_gets_its_schedule_back(account: Account) -> None:
    before = _arm(account)
    lock = RunLock(
        account.bucket, account.clock, instance="demo", worker=Worker("r", "destroyer", "destroyer r")
    )
    set_schedule = account.switchboard.set_schedule

    def race(schedule: Schedule) -> None:
        set_schedule(schedule)
        if schedule.first_fire_at > before.first_fire_at:
            lock.acquire()

    account.switchboard.set_schedule = race  # type: ignore[method-assign]
    with pytest.raises(LockedError):
        _extend(account, 60)
    assert account.switchboard.set["demo"] == before


def test_a_cloud_that_does_not_keep_the_extension_is_told(account: Account) -> None:
    _arm(account)
    account.switchboard.set_schedule = lambda schedule: None  # type: ignore[method-assign]
    with pytest.raises(PreconditionError, match="another schedule"):
        _extend(account, 60)


def test_a_ttl_counts_from_now_and_never_shortens(account: Account) -> None:
    schedule = _arm(account)
    with pytest.raises(UsageError, match="later than that"):
        later(schedule, account.clock, ttl=24 * HOUR)
    assert later(schedule, account.clock, ttl=49 * HOUR) == account.clock.now() + timedelta(hours=49)


# what the destroyer runs


def _programs(account: Account, name: str, content: bytes = b"programs") -> StoredPrograms:
    found = StoredPrograms(programs_key(name), name, len(content))
    account.bucket.put(found.key, content)
    return found


def _arm_with(account: Account, instance: str, programs: StoredPrograms) -> Schedule:
    packed = build_bundle(
        account.rendered(instance), spec={}, facts=instance_facts(instance), programs=programs
    )
    return arm(account, account.clock, instance=instance, term=Term(48 * HOUR), bundle=packed).schedule


def test_the_schedule_and_the_bundle_name_what_the_destroyer_runs(account: Account, tmp_path: Path) -> None:
    schedule = _arm_with(account, "demo", _programs(account, "a" * 64))
    assert (schedule.programs, schedule.programs_sha256) == (programs_key("a" * 64), "a" * 64)
    unpack(account.bucket.get(schedule.bundle) or b"", tmp_path / "out")
    facts = load_bundle(tmp_path / "out", work=tmp_path / "copy").facts
    assert (facts.programs, facts.programs_sha256) == (programs_key("a" * 64), "a" * 64)


def test_a_switch_whose_programs_are_gone_is_told(account: Account) -> None:
    schedule = _arm_with(account, "demo", _programs(account, "a" * 64))
    assert read_back(account, account.clock, instance="demo", warn=()).armed
    account.bucket.delete(schedule.programs)
    status = read_back(account, account.clock, instance="demo", warn=())
    assert not status.armed
    assert [w.text for w in status.warnings] == [
        f"missing in the bucket: programs of demo, {schedule.programs}"
    ]


def test_old_programs_go_when_no_schedule_names_them(account: Account) -> None:
    old, shared = _programs(account, "a" * 64), _programs(account, "b" * 64)
    _arm_with(account, "one", old)
    _arm_with(account, "two", shared)
    account.clock.sleep(2 * HOUR)
    # somebody else's, whose switch is about to be set
    fresh = _programs(account, "c" * 64)
    account.clock.sleep(DAY - HOUR)
    _arm_with(account, "one", _programs(account, "d" * 64))
    kept = {stored.key for stored in account.bucket.list(PROGRAMS_PREFIX)}
    assert kept == {shared.key, fresh.key, programs_key("d" * 64)}
