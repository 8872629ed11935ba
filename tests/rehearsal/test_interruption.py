"""A signal while nothing is being changed ends a run at once, and leaves everything as it was."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.rehearsal.lab import ZAVE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rehearsal.lab import Lab

UP = ("up", "homelab", "--rehearse")


def asked(lab: Lab, then: Callable[[subprocess.Popen[bytes], int], None], *, term: str) -> tuple[int, bytes]:
    """`up` on a terminal; `then` happens to the process and its terminal while the question is open."""
    terminal, child = pty.openpty()
    environment = {**lab.environment(), "TERM": term, "COLUMNS": "200"}
    process = subprocess.Popen([ZAVE, *UP], stdin=child, stdout=child, stderr=child, env=environment)
    os.close(child)
    said = b""
    while b"[y/N]" not in said:
        said += os.read(terminal, 4096)
    then(process, terminal)
    try:
        # no answer comes: a run that goes on waiting is ended by nobody
        return process.wait(20), said
    finally:
        process.kill()
        process.wait()


def phases(lab: Lab) -> list[tuple[str, str]]:
    shown = lab.zave("status", "--rehearse", "-o", "json")
    return [(each["name"], each["phase"]) for each in json.loads(shown.stdout)["environments"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_a_signal_at_the_question_ends_the_run_and_the_phase_stays(lab: Lab, number: signal.Signals) -> None:
    code, _ = asked(lab, lambda process, _terminal: process.send_signal(number), term="dumb")
    assert code == 130
    assert phases(lab) == [("homelab", "absent")]


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_a_terminal_that_is_closed_at_the_question_interrupts_the_run(lab: Lab, term: str) -> None:
    code, _ = asked(lab, lambda _process, terminal: os.close(terminal), term=term)
    assert code == 130
    assert not list(lab.state.rglob("crashes/*"))
    assert phases(lab) == [("homelab", "absent")]


def test_an_up_ends_with_where_the_cluster_answers_and_what_comes_next(standing_lab: Lab) -> None:
    ended = standing_lab.up()
    told = [d for d in ended.documents if d["event"] == "notice"][-1]
    assert told["text"].startswith("homelab is up at https://")
    assert told["resolution"] == "zave exec homelab -- kubectl get nodes"


def test_an_instance_that_stands_stays_ready_after_an_interrupted_question(standing_lab: Lab) -> None:
    lost = standing_lab.zave("rehearse", "lose", "libvirt_domain", "zave-homelab-worker-1")
    assert lost.exit_code == 0, lost.told()
    asked(standing_lab, lambda process, _: process.send_signal(signal.SIGINT), term="dumb")
    assert phases(standing_lab) == [("homelab", "ready")]
