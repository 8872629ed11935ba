"""The mails that announce an end: set when the switch is armed, moved with it, missed when they are gone."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.unit.aws.memory import Account
from zave.aws.arming import Armed, Term, arm
from zave.aws.locks import Worker
from zave.aws.switch import Extension, extend, read_back
from zave.errors import StepFailedError
from zave.spec.units import HOUR

WORKER = Worker("extend-1", "up", "here:/state")


@pytest.fixture
def armed(account: Account) -> Callable[..., Armed]:
    def arm_(*, hours: float = 48, warn: tuple[int, ...] = (6 * HOUR, HOUR)) -> Armed:
        account.switchboard.launch = account.prove
        bundle = account.packed("demo")
        return arm(account, account.clock, instance="demo", term=Term(hours * HOUR, warn), bundle=bundle)

    return arm_


def silences(account: Account, *, warn: tuple[int, ...] = (6 * HOUR, HOUR)) -> list[str]:
    status = read_back(account, account.clock, instance="demo", warn=warn)
    assert status.armed  # a mail that is missing does not weaken the switch
    return [warning.text for warning in status.warnings if warning.kind == "silent"]


def test_arming_sets_what_the_spec_wants(account: Account, armed: Callable[..., Armed]) -> None:
    end = armed(warn=(12 * HOUR, 2 * HOUR)).expires_at
    assert account.switchboard.mails["demo"] == [end - timedelta(hours=12), end - timedelta(hours=2)]
    assert silences(account, warn=(12 * HOUR, 2 * HOUR)) == []


def test_an_extension_moves_them(account: Account, armed: Callable[..., Armed]) -> None:
    before = armed()
    end = before.expires_at + timedelta(hours=10)
    extension = Extension(until=end, armed_at=account.clock.now(), maximum=168 * HOUR, warn=(HOUR,))
    extend(account, account.clock, instance="demo", extension=extension, worker=WORKER)
    assert account.switchboard.mails["demo"] == [end - timedelta(hours=1)]


def test_a_mail_that_will_not_come_is_told(account: Account, armed: Callable[..., Armed]) -> None:
    end = armed().expires_at
    account.switchboard.mails["demo"] = [end - timedelta(hours=6)]
    (text,) = silences(account)
    assert "no mail will announce the end of demo" in text


def test_a_mail_whose_moment_is_past_is_not_missed(account: Account, armed: Callable[..., Armed]) -> None:
    armed(hours=5)  # less than the six hours of the first warning
    assert silences(account) == []


# who hears of it


def _told(account: Account, email: str | None) -> dict[str, str]:
    status = read_back(account, account.clock, instance="demo", email=email)
    assert status.armed
    return {warning.kind: warning.text for warning in status.warnings}


def test_arming_subscribes_the_instances_own_address(account: Account) -> None:
    bundle, term = account.packed("demo"), Term(48 * HOUR, email="Me@example.org")
    arm(account, account.clock, instance="demo", term=term, bundle=bundle)
    assert account.switchboard.subscribed == {"alarms@example.org": True, "me@example.org": False}
    # that somebody else confirmed his address says nothing of this one
    assert "Me@example.org for alarms is not confirmed" in _told(account, "Me@example.org")["unconfirmed"]
    account.switchboard.subscribed["me@example.org"] = True
    assert _told(account, "Me@example.org") == {}


def test_an_address_that_is_not_subscribed_is_told(account: Account, armed: Callable[..., Armed]) -> None:
    armed()
    assert "zave up demo subscribes it" in _told(account, "me@example.org")["unsubscribed"]
    assert _told(account, "ALARMS@example.org") == {}


def test_an_address_that_cannot_be_subscribed_does_not_keep_the_switch_from_being_armed(
    account: Account,
) -> None:
    def refused(email: str) -> None:
        raise StepFailedError("AWS refused sns:subscribe")

    account.switchboard.subscribe = refused  # type: ignore[method-assign]
    bundle, term = account.packed("demo"), Term(48 * HOUR, email="me@example.org")
    arm(account, account.clock, instance="demo", term=term, bundle=bundle)
    assert "unsubscribed" in _told(account, "me@example.org")


def test_they_go_with_the_switch(account: Account, armed: Callable[..., Armed]) -> None:
    armed()
    account.switchboard.remove_schedule("demo")
    assert account.switchboard.warnings("demo") == []
