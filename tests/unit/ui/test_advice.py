"""Advice that is given in a rehearsal stays in it, wherever it is shown."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from zave.cli.lazy import VERBS as COMMANDS
from zave.events import Notice, RunStarted, Stamped
from zave.ui.account import render_account
from zave.ui.advice import VERBS, advice
from zave.ui.doctor import render_doctor
from zave.ui.plain import PlainLines
from zave.ui.style import Style


def test_every_verb_is_known() -> None:
    assert set(VERBS) == set(COMMANDS)


@pytest.mark.parametrize(
    ("told", "rehearsed"),
    [
        ("zave account setup makes them", "zave --rehearse account setup makes them"),
        ("run `zave down a`, then zave sweep", "run `zave --rehearse down a`, then zave --rehearse sweep"),
        ("zave --rehearse status", "zave --rehearse status"),
        ("zave is fine", "zave is fine"),
    ],
)
def test_a_command_in_an_advice_stays_in_the_rehearsal(told: str, rehearsed: str) -> None:
    assert advice(told, rehearsal=True) == rehearsed
    assert advice(told, rehearsal=False) == told


@pytest.mark.parametrize("rehearsal", [True, False])
def test_the_way_on_for_an_account_is_the_rehearsals_own(rehearsal: bool) -> None:
    account: dict[str, Any] = {
        "rehearsal": rehearsal,
        "account": "123456789012",
        "region": "us-east-1",
        "phase": "absent",
        "bucket": None,
        "instances": [],
        "standing": [],
        "missing": [],
        "unread": [],
        "undelivered": 0,
        "subscription_confirmed": False,
    }
    wanted = "zave --rehearse account setup" if rehearsal else "zave account setup"
    assert f"next: {wanted}\n" in render_account(account)


@pytest.mark.parametrize("rehearsal", [True, False])
def test_a_doctors_fix_is_the_rehearsals_own(rehearsal: bool) -> None:
    finding = {"check": "standing parts", "level": "warning", "what": "none", "fix": "zave account setup"}
    document = {"environment": "aws-demo", "rehearsal": rehearsal, "ready": True, "findings": [finding]}
    wanted = "zave --rehearse account setup" if rehearsal else "zave account setup"
    assert f"next: {wanted}\n" in render_doctor(document)


@pytest.mark.parametrize("rehearsal", [True, False])
def test_a_notice_of_a_run_is_the_rehearsals_own(rehearsal: bool, stamp: Callable[..., Stamped]) -> None:
    talk = io.StringIO()
    sink = PlainLines(talk=talk, data=io.StringIO(), style=Style())
    sink.emit(stamp(RunStarted("run-1", "up", "aws-demo", "aws-demo", rehearsal)))
    sink.emit(stamp(Notice("warning", "the rest stands", resolution="zave sweep aws-demo")))
    wanted = "zave --rehearse sweep aws-demo" if rehearsal else "zave sweep aws-demo"
    assert f"(next: {wanted})" in talk.getvalue()
