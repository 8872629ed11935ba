"""The destroyer goes by the cloud's time, whatever its machine's clock says and however long it waited."""

from datetime import datetime, timedelta

import pytest

from tests.unit.aws.memory import Account
from tests.unit.aws.things import TTL
from zave.aws.destroyer import Verdict
from zave.aws.locks import RunLock, Worker
from zave.aws.switch import Extension, extend
from zave.errors import LockedError, PreconditionError, StepFailedError
from zave.spec.units import DAY, MINUTE

LAPTOP = Worker("extend-1", "up", "laptop")


@pytest.mark.parametrize("skew", [-7200, -90, 90, 7200])
def test_a_wrong_clock_neither_destroys_early_nor_lets_live(skew: int, armed: Account) -> None:
    armed.clock.sleep(TTL - 60)
    assert isinstance(armed.fire("demo", skew=skew), PreconditionError)
    assert not armed.inventory.deleted
    armed.clock.sleep(60)
    result = armed.fire("demo", skew=skew)
    assert isinstance(result, Verdict)
    assert result.outcome == "destroyed"


@pytest.mark.parametrize("skew", [-7200, 0, 7200])
def test_a_run_by_hand_goes_by_the_clouds_clock_as_well(skew: int, armed: Account) -> None:
    archive = armed.bucket.objects[armed.switchboard.set["demo"].bundle][0]
    armed.clock.sleep(TTL - 60)
    with pytest.raises(PreconditionError):
        armed.destroyer("by-hand", archive, skew=skew).destroy()
    armed.clock.sleep(60)
    assert armed.destroyer("by-hand", archive, skew=skew).destroy().outcome == "destroyed"


def test_a_cloud_that_does_not_tell_the_time_is_no_reason_to_let_live(expired: Account) -> None:
    def untold() -> datetime:
        raise StepFailedError("AWS did not tell the time")

    expired.now = untold  # type: ignore[method-assign]
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert any("going by this machine's clock" in text for text in expired.said)


# builds wait their turn


def test_a_run_that_was_queued_is_not_old(expired: Account) -> None:
    """CodeBuild dates a build by its submission: what it waited since is no error of any clock."""
    ages: list[timedelta] = []

    def look() -> None:
        holder = RunLock(expired.bucket, expired.clock, instance="demo", worker=LAPTOP).holder()
        if holder is not None:
            ages.append(expired.clock.now() - holder.heartbeat)

    expired.clock.on_sleep.append(look)
    assert isinstance(expired.fire("demo", queued=40 * MINUTE), Verdict)
    assert ages
    assert max(ages) < timedelta(minutes=15)
    assert not any("clock is off" in text for text in expired.said)


def test_an_extension_does_not_pass_over_a_destroyer_that_was_queued(expired: Account) -> None:
    refused: list[LockedError] = []

    def extend_it() -> None:
        if expired.applies and not refused:
            until = expired.clock.now() + timedelta(hours=24)
            extension = Extension(until, expired.clock.now(), 7 * DAY)
            with pytest.raises(LockedError, match="too late") as error:
                extend(expired, expired.clock, instance="demo", extension=extension, worker=LAPTOP)
            refused.append(error.value)

    expired.clock.on_sleep.append(extend_it)
    assert isinstance(expired.fire("demo", queued=40 * MINUTE), Verdict)
    assert refused


def test_a_run_that_was_submitted_early_and_begins_late_is_due(armed: Account) -> None:
    armed.clock.sleep(TTL - 10 * MINUTE)
    result = armed.fire("demo", queued=20 * MINUTE)
    assert isinstance(result, Verdict)
    assert result.outcome == "destroyed"
