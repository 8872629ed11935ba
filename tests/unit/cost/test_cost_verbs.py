"""`zave cost` and `zave savings` on the command line."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from zave.cli import lazy
from zave.cli.app import main
from zave.clock import SystemClock
from zave.cost.ledger import keep_spans, settle
from zave.ports import Item
from zave.schemas import load_schema
from zave.state.directory import StateDirectory
from zave.state.records import InstanceRecord
from zave.state.store import StateStore

AT = datetime(2026, 11, 23, 10, tzinfo=UTC)
EXPIRY = AT + timedelta(hours=48)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    verbs = {name: lazy.Verb(name, "A bill.") for name in ("cost", "savings")}
    monkeypatch.setattr(lazy, "VERBS", {**lazy.VERBS, **verbs})
    monkeypatch.setenv("ZAVE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(list(words))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def past_demo(tmp_path: Path) -> None:
    """A demo of 48 hours that is gone, and a home lab that stands."""
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(tmp_path / "state")}, rehearsal=False)
    store = StateStore.open(directory, clock=SystemClock())
    spec: dict[str, Any] = {"aws": {"region": "us-east-1"}}
    demo = InstanceRecord("aws-demo", "aws-demo", "aws-eks", "destroyed", AT, EXPIRY, spec)
    store.save_instance(demo)
    store.save_instance(InstanceRecord("homelab", "homelab", "libvirt-k3s", "ready", AT))
    cluster = Item("aws_eks_cluster", "c", "zave-c", attributes={"version": "1.35"}, owner="aws-demo")
    keep_spans(store, demo, [cluster], now=AT)
    settle(store, demo, at=EXPIRY)
    store.close()


@pytest.mark.usefixtures("past_demo")
def test_the_bill_of_a_demo_that_is_gone_needs_no_cloud(run: Run) -> None:
    status, out, _ = run("cost", "aws-demo", "-o", "json")
    assert status == 0
    document = json.loads(out)
    Draft202012Validator(load_schema("cost")).validate(document)
    assert document["spent"]["expected"] == pytest.approx(4.80)
    assert "$4.80" in run("cost", "aws-demo")[1]


@pytest.mark.usefixtures("past_demo")
def test_a_home_lab_is_billed_by_nobody(run: Run) -> None:
    # the only one that stands need not be named
    status, out, _ = run("cost")
    assert status == 0
    assert "homelab" in out
    assert "nobody bills it" in out


@pytest.mark.usefixtures("past_demo")
def test_an_unknown_instance_is_a_usage_error(run: Run) -> None:
    status, _, error = run("cost", "aws-demp")
    assert status == 2
    assert "did you mean aws-demo?" in error


@pytest.mark.usefixtures("past_demo")
def test_savings_are_a_document_and_a_text(run: Run) -> None:
    status, out, _ = run("savings", "--json")
    assert status == 0
    Draft202012Validator(load_schema("savings")).validate(json.loads(out))
    assert run("savings")[1] == "no demo is recorded yet\n"


@pytest.mark.parametrize("yes", [(), ("--yes",)])
@pytest.mark.usefixtures("past_demo")
def test_where_nobody_bills_nobody_is_asked_about_a_bill(
    run: Run, tmp_path: Path, yes: tuple[str, ...]
) -> None:
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(tmp_path / "state")}, rehearsal=True)
    store = StateStore.open(directory, clock=SystemClock())
    spec: dict[str, Any] = {"aws": {"region": "us-east-1"}}
    store.save_instance(InstanceRecord("aws-demo", "aws-demo", "aws-eks", "destroyed", AT, EXPIRY, spec))
    store.close()
    for words, reason in (
        (("aws-demo", "--rehearse"), "a rehearsal has no bill"),
        (("homelab",), "a home lab has no bill"),
    ):
        status, out, err = run("cost", *words, "--actual", *yes)
        assert (status, out) == (2, "")
        assert reason in err
        assert "--yes" not in err
