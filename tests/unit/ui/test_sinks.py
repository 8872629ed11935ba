import io
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zave.errors import StateError
from zave.events import (
    Notice,
    PlannedStep,
    PlanShown,
    ReceiptIssued,
    ResourceChanged,
    RunFinished,
    RunStarted,
    Stamped,
    StepFinished,
    StepProgress,
    StepStarted,
)
from zave.settings import default_settings
from zave.ui.eventfile import EventFile, keep_newest
from zave.ui.jsonlines import JsonLines
from zave.ui.plain import PlainLines
from zave.ui.sinks import sink_for
from zave.ui.style import Style

Stamp = Callable[..., Stamped]
RECEIPT: dict[str, Any] = {
    "environment": "homelab",
    "rehearsal": True,
    "at": "2026-11-23T10:15:00.000Z",
    "deleted": [],
    "accepted": [],
    "leaks": [],
    "usd_per_day_leaking": 0.0,
    "inventory_sources": ["simulated libvirt"],
    "sha256": "0" * 64,
}
PLAN: dict[str, Any] = {
    "environment": "homelab",
    "rehearsal": True,
    "actions": [{"step": "render", "action": "run", "reason": "never done"}],
}


class Streams:
    """A plain sink with the two streams it writes to."""

    def __init__(self, **options: bool) -> None:
        self.talk, self.data = io.StringIO(), io.StringIO()
        self.sink = PlainLines(talk=self.talk, data=self.data, style=Style(), **options)


def test_plain_lines_carry_virtual_time_one_line_an_event(stamp: Stamp) -> None:
    streams = Streams()
    events = [
        RunStarted("r1", "up", "homelab", "homelab", rehearsal=True),
        StepStarted("infra", "run", "/log", estimate_seconds=62.0),
        StepProgress("infra", "terraform\nplan"),
        ResourceChanged("infra", "libvirt_domain.a", "libvirt_domain", "create", "done", 3.5),
        StepFinished("infra", "done", 4.0, 80.0),
        Notice("warning", "look out", "do this"),
        RunFinished("r1", "up", "homelab", "done", 0, 4.1, 81.0),
    ]
    for number, event in enumerate(events):
        streams.sink.emit(stamp(event, after=number * 60))
    assert streams.talk.getvalue().splitlines() == [
        "2026-11-23T10:15:00Z  up homelab  run r1  REHEARSAL",
        "2026-11-23T10:16:00Z  infra: run, usually 1 min 02 s",
        "2026-11-23T10:17:00Z  infra: terraform plan",
        "2026-11-23T10:18:00Z  infra: libvirt_domain.a create done after 3.5 s",
        "2026-11-23T10:19:00Z  infra: done in 4.0 s (virtual 1 min 20 s)",
        "2026-11-23T10:20:00Z  warning: look out (next: do this)",
        "2026-11-23T10:21:00Z  up homelab: done in 4.1 s (virtual 1 min 21 s)",
    ]
    assert streams.data.getvalue() == ""


def test_results_are_data_and_plans_are_talk(stamp: Stamp) -> None:
    streams = Streams()
    streams.sink.emit(stamp(PlanShown(PLAN)))
    streams.sink.emit(stamp(ReceiptIssued(RECEIPT)))
    assert "never done" in streams.talk.getvalue()
    assert "Receipt of homelab" in streams.data.getvalue()


def test_quiet_keeps_warnings_and_receipts_only(stamp: Stamp) -> None:
    streams = Streams(quiet=True)
    for event in (
        StepStarted("infra", "run", "/log"),
        Notice("info", "hm"),
        PlanShown(PLAN),
        Notice("error", "ouch"),
    ):
        streams.sink.emit(stamp(event))
    streams.sink.emit(stamp(ReceiptIssued(RECEIPT)))
    assert streams.talk.getvalue() == "2026-11-23T10:15:00Z  error: ouch\n"
    assert "Receipt" in streams.data.getvalue()


def test_a_resource_in_progress_is_told_only_to_who_wants_it(stamp: Stamp) -> None:
    event = ResourceChanged("infra", "a.b", "a", "create", "progress", 10.0)
    terse, verbose = Streams(), Streams(verbose=True)
    for streams in (terse, verbose):
        streams.sink.emit(stamp(event))
    assert terse.talk.getvalue() == ""
    assert "create progress" in verbose.talk.getvalue()


def test_hostile_words_stay_words(stamp: Stamp) -> None:
    streams = Streams()
    hostile = "[/foo] \x1b]0;owned\x07\x1b[2J{}%s\r\n" + "x" * 10_000
    streams.sink.emit(stamp(StepProgress("infra", hostile)))
    line = streams.talk.getvalue()
    assert "\x1b" not in line
    assert line.count("\n") == 1
    assert "[/foo] {}%s" in line
    assert len(line) < 700


def test_json_lines_are_one_object_a_line_flushed_at_once(stamp: Stamp) -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream, os.fdopen(read, "rb", buffering=0) as reader:
        sink = JsonLines(stream)
        sink.emit(stamp(StepProgress("infra", "a\u2028b\nc", 0.5)))
        line = reader.read(10_000)
    assert line.count(b"\n") == 1
    assert line.isascii()
    document = json.loads(line)
    assert (document["event"], document["text"], document["at"]) == (
        "step.progress",
        "a\u2028b\nc",
        "2026-11-23T10:15:00.000Z",
    )


def test_a_run_outlives_its_audience(stamp: Stamp) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        sink = JsonLines(stream)
        for _ in range(3):
            sink.emit(stamp(Notice("info", "anybody there?")))
        sink.close()


def test_the_event_file_is_private_and_appended_to(stamp: Stamp, tmp_path: Path) -> None:
    path = tmp_path / "events" / "r1.jsonl"
    for text in ("one", "two"):
        sink = EventFile(path)
        sink.emit(stamp(Notice("info", text)))
        sink.close()
    assert [json.loads(line)["text"] for line in path.read_text().splitlines()] == ["one", "two"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_event_file_does_not_follow_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "r1.jsonl").symlink_to(victim)
    with pytest.raises(StateError):
        EventFile(tmp_path / "r1.jsonl")
    assert victim.read_text() == "mine"


def test_only_the_newest_runs_are_kept(tmp_path: Path) -> None:
    for name in ("20261101T000000-a", "20261102T000000-b", "20261103T000000-c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "infra.log").write_text("x")
    assert [path.name for path in keep_newest(tmp_path, keep=2)] == ["20261101T000000-a"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20261102T000000-b", "20261103T000000-c"]
    assert keep_newest(tmp_path / "absent", keep=2) == []


def test_off_a_terminal_there_is_no_screen(capsys: pytest.CaptureFixture[str]) -> None:
    settings = default_settings()
    assert isinstance(sink_for(settings), PlainLines)
    assert isinstance(sink_for(settings.with_flags({"output": "json"})), JsonLines)
    assert capsys.readouterr().out == ""


def test_planned_steps_reach_programs(stamp: Stamp) -> None:
    stream = io.StringIO()
    steps = (PlannedStep("infra", "run", "never done", 3.0),)
    JsonLines(stream).emit(stamp(RunStarted("r1", "up", "a", "b", rehearsal=False, steps=steps)))
    assert json.loads(stream.getvalue())["steps"][0]["estimate_seconds"] == 3.0
