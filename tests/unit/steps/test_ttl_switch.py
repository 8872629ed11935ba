"""Step `ttl-switch`: what `status` calls not armed is armed again by the next `up`."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.aws.memory import Account
from tests.unit.aws.things import instance_facts
from zave.aws.arming import Term, arm
from zave.aws.switch import read_back
from zave.clock import rfc3339
from zave.engine.step import StepRun
from zave.ports.cloud import Schedule
from zave.spec.units import DAY, HOUR
from zave.steps.site import Site
from zave.steps.ttl_switch import TtlSwitch

Change = Callable[[Account, Schedule], None]


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """An account whose checks are real."""
    made = Account(tmp_path)
    made.switchboard.launch = made.prove
    return made


def _step(account: Account, *, record: Any = None) -> TtlSwitch:
    root = account.rendered("demo")
    saved: list[Any] = []
    store = SimpleNamespace(instance=lambda name: record, save_instance=saved.append)
    tools = SimpleNamespace(clock=account.clock, programs=None)
    site = SimpleNamespace(
        instance="demo", tools=tools, store=store, folder=SimpleNamespace(terraform=root), project=None
    )
    nothing = cast(Any, None)
    return TtlSwitch(
        site=cast(Site, site),
        cloud=account,
        root=nothing,
        variables=lambda outputs: {},
        facts=lambda: instance_facts("demo"),
        spec={},
        ttl=48 * HOUR,
        beside=lambda run: nullcontext(),
        maximum=7 * DAY,
        email="alarms@example.org",
    )


def _armed(account: Account) -> dict[str, Any]:
    bundle = account.packed("demo")
    term = Term(48 * HOUR, email="alarms@example.org")
    found = arm(account, account.clock, instance="demo", term=term, bundle=bundle)
    return {"bundle_sha256": found.schedule.bundle_sha256}


def test_a_switch_that_is_as_it_was_proven_is_up_to_date(account: Account) -> None:
    outputs = _armed(account)
    assert _step(account).probe(outputs).ok


def _set(**changes: Any) -> Change:
    def change(account: Account, schedule: Schedule) -> None:
        account.switchboard.set["demo"] = replace(schedule, **changes)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda account, schedule: account.bucket.delete(schedule.bundle), "missing in the bucket: bundle"),
        (_set(flaws=("an end",)), "an end"),
        (_set(flaws=("its role",)), "its role"),
        (_set(every=525600), "its rate"),
        (_set(enabled=False), "switched off"),
        (_set(programs="account/programs-x.tar.gz", programs_sha256="y"), "its programs"),
        (_set(bundle_sha256="0" * 64), "another bundle"),
        (lambda account, schedule: account.switchboard.mails.clear(), "no mail will announce"),
        (lambda account, schedule: account.switchboard.subscribed.clear(), "hears nothing of demo"),
        (lambda account, schedule: account.switchboard.set.clear(), "the switch is gone"),
    ],
)
def test_a_switch_that_is_broken_is_armed_again(change: Change, reason: str, account: Account) -> None:
    outputs = _armed(account)
    before = account.switchboard.set["demo"]
    change(account, before)
    probe = _step(account).probe(outputs)
    assert not probe.ok
    assert reason in probe.reason
    assert _armed(account) == outputs
    assert account.switchboard.set == {"demo": before}
    assert _step(account).probe(outputs).ok
    assert read_back(account, account.clock, instance="demo").armed


@dataclass(frozen=True)
class _Record:
    created_at: datetime
    expires_at: datetime | None


def test_an_instance_that_lost_its_switch_gets_the_rest_of_its_life_and_is_told(
    account: Account, tmp_path: Path
) -> None:
    account.make("demo")
    created = account.clock.now()
    account.clock.sleep(6 * DAY)
    said: list[Any] = []
    run = StepRun("run-1", tmp_path / "log", said.append, {})
    outputs = _step(account, record=_Record(created, expires_at=None)).do(run)
    # not 48 hours from now: the spec lets no instance live longer than its maximum
    ends = created + timedelta(days=7)
    assert account.switchboard.set["demo"].first_fire_at == ends
    assert outputs["expires_at"] == rfc3339(ends)
    assert any(f"its life goes on where it was, until {rfc3339(ends)}" in str(each) for each in said)
