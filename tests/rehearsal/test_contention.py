"""Many at once: one run changes an instance, the others are turned away and told by whom."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.rehearsal.lab import Lab

RIVALS = 50
# seconds, for all of them together. Ten is what an otherwise idle machine of two cores must keep; the bound
# here only tells turned away from made to wait for the winner
TURNED_AWAY_WITHIN = 100.0


def test_of_fifty_ups_one_runs_and_the_others_name_it(lab: Lab) -> None:
    # virtual time at this pace keeps the winner busy until the last rival has started
    arguments = ("up", "homelab", "--rehearse", "--yes", "-o", "json", "--speed", "20")
    began = time.monotonic()
    processes = [lab.start(*arguments) for _ in range(RIVALS)]
    ended: dict[int, tuple[int, str, str, float]] = {}

    def follow(number: int) -> None:
        process = processes[number]
        with process:
            stdout, stderr = process.communicate(timeout=150)
        ended[number] = (process.returncode, stdout, stderr, time.monotonic() - began)

    with ThreadPoolExecutor(RIVALS) as pool:
        list(pool.map(follow, range(RIVALS)))

    codes = [code for code, *_ in ended.values()]
    assert sorted(codes) == [0] + [4] * (RIVALS - 1), [end for end in ended.values() if end[0] not in (0, 4)]
    winner = next(number for number, end in ended.items() if end[0] == 0)
    for code, stdout, stderr, seconds in ended.values():
        if code == 4:
            assert str(processes[winner].pid) in stdout + stderr, stdout + stderr
            assert seconds < TURNED_AWAY_WITHIN
    assert json.loads(ended[winner][1].splitlines()[-1])["outcome"] == "done"
    # one run was recorded as having worked, and the rivals left nothing half done
    drift = lab.zave("drift", "homelab", "--rehearse")
    assert drift.exit_code == 0, drift.told()


def test_a_killed_holder_does_not_lock_anybody_out(lab: Lab) -> None:
    holder = lab.start("up", "homelab", "--rehearse", "--yes", "-o", "json", "--speed", "20")
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()  # the run has started, so the lock is held
        rival = lab.up()
        assert rival.exit_code == 4, rival.told()
        holder.kill()
    ended = lab.up("--speed", "0")
    assert ended.exit_code == 0, ended.told()
