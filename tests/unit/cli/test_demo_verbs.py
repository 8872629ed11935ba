"""`demo`, `extend`, `reap` and `account`: what they refuse before anything is made."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from zave.cli.demo import warn_of_end
from zave.clock import SystemClock
from zave.lifecycle.place import Place
from zave.state.directory import StateDirectory
from zave.state.records import InstanceRecord, Phase
from zave.state.store import StateStore

Zave = Callable[..., Any]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("demo", "aws", "--ttl", "30m"), "too short"),
        (("demo", "aws", "--ttl", "8d"), "longer than the spec's ttl.maximum 7d"),
        (("demo", "aws", "--ttl", "48"), "not a duration"),
        (("demo", "gcp"), "gcp"),
        (("extend", "aws-demo"), "say --ttl or --until"),
        (("extend", "aws-demo", "--ttl", "24h", "--until", "2026-12-01T18:00Z"), "say --ttl or --until"),
        (("reap", "aws-demo", "--all"), "say ENV or --all"),
        (("account", "setup", "--for", "homelab"), "in no AWS account"),
        (("account", "setup", "--for", "nowhere"), "no environment `nowhere`"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_a_usage_error(words: tuple[str, ...], told: str, zave: Zave) -> None:
    result = zave(*words, "--rehearse", "--yes") if words[0] == "demo" else zave(*words, "--rehearse")
    assert result.status == 2, result.err
    assert told in result.err


def test_without_what_flux_needs_a_real_demo_is_refused(zave: Zave) -> None:
    result = zave("demo", "aws", "--yes")
    assert result.status == 5


def test_without_credentials_a_real_account_is_not_looked_at(zave: Zave) -> None:
    pytest.importorskip("boto3", reason="the extra `aws` is not installed")
    result = zave("account", "status")
    assert result.status == 5
    assert "there are no usable AWS credentials" in result.err


def test_reap_of_nothing_ends_as_every_run_does(zave: Zave) -> None:
    result = zave("reap", "--rehearse", "-o", "json")
    assert result.status == 0
    last = json.loads(result.out.splitlines()[-1])
    assert (last["event"], last["command"], last["exit_code"]) == ("run.finished", "reap", 0)


def test_a_folder_that_is_no_bundle_is_refused(zave: Zave, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = zave("reap", "--from-bundle", str(tmp_path / "empty"), "--mode", "destroy", "--rehearse")
    assert result.status == 5
    assert "bundle cannot be used" in result.err


@pytest.mark.parametrize(("phase", "warned"), [("ready", True), ("destroyed", False)])
def test_a_life_asked_of_a_demo_that_stands_is_told_to_change_nothing(
    capsys: pytest.CaptureFixture[str], phase: Phase, *, warned: bool
) -> None:
    end = datetime(2026, 12, 1, 18, tzinfo=UTC)
    record = InstanceRecord("demo", "aws-demo", "aws-eks", phase, end, expires_at=end)
    place = SimpleNamespace(instance="demo", record=lambda: record, journal=SimpleNamespace(rehearsal=False))
    warn_of_end(cast(Place, place))
    told = (
        "warning: demo stands: its end stays 2026-12-01T18:00:00.000Z; zave extend demo --ttl TIME moves it\n"
    )
    assert capsys.readouterr().err == (told if warned else "")


def test_demo_says_so_before_it_judges_the_life_that_was_asked_for(zave: Zave, state: Path) -> None:
    end = datetime(2026, 12, 1, 18, tzinfo=UTC)
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(state)}, rehearsal=True)
    directory.prepare()
    store = StateStore.open(directory, clock=SystemClock())
    store.save_instance(InstanceRecord("aws-demo", "aws-demo", "aws-eks", "ready", end, expires_at=end))
    store.close()
    result = zave("demo", "aws", "--ttl", "8d", "--rehearse", "--yes")
    assert result.status == 2
    assert "its end stays 2026-12-01T18:00:00.000Z; zave --rehearse extend aws-demo --ttl TIME" in result.err
