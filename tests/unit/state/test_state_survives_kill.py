"""kill -9 in the middle of write storms: what was acknowledged is there, and the record is sound."""

import random
import subprocess
import sys
from collections.abc import Callable

import pytest

from zave.state.directory import StateDirectory
from zave.state.integrity import examine
from zave.state.store import StateStore

# says a number as soon as what it stands for was acknowledged
WRITER = """
import os, sys
from zave.clock import SystemClock
from zave.state.directory import StateDirectory
from zave.state.records import ResourceRecord
from zave.state.store import StateStore

directory = StateDirectory.locate({"ZAVE_STATE_DIR": sys.argv[1]}, rehearsal=False)
number = int(sys.argv[2])
while True:
    store = StateStore.open(directory, clock=SystemClock())
    assert store.notices == [], store.notices
    run = store.begin_run(instance="homelab", command="up", arguments=[])
    for _ in range(40):
        number += 1
        store.begin_step("homelab", f"step-{number}", run_id=run.id, fingerprint="f", verb="do")
        store.intend_resources("homelab", [ResourceRecord(f"r-{number}", "t", "x" * 2000)], run.id)
        store.put_fact("homelab", f"fact-{number}", number)
        os.write(1, b"%d\\n" % number)
    store.backup()
    store.close()
"""


@pytest.mark.parametrize("seed", range(6))
def test_every_acknowledged_write_outlives_the_kill(
    directory: StateDirectory, open_store: Callable[[], StateStore], seed: int
) -> None:
    chance = random.Random(seed)
    acknowledged = 0
    for _ in range(4):
        first = acknowledged
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(directory.root), str(first)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        for _ in range(chance.randrange(5, 130)):
            acknowledged = int(writer.stdout.readline())
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(timeout=chance.uniform(0, 0.01))
        writer.kill()
        rest = writer.communicate()[0].split()
        acknowledged = int(rest[-1]) if rest else acknowledged

        examine(directory.database, thorough=True)
        store = open_store()
        assert store.notices == []
        steps = store.steps("homelab")
        addresses = {resource.address for resource in store.resources("homelab")}
        for number in range(first + 1, acknowledged + 1):
            assert steps[f"step-{number}"].state == "running"
            assert f"r-{number}" in addresses
            assert store.fact("homelab", f"fact-{number}") == number
        assert store.unfinished_runs("homelab")
        store.close()
        # one write may have been durable before it could be acknowledged
        acknowledged += 1
    assert acknowledged > 20


@pytest.mark.parametrize("seed", range(10))
def test_kill_during_the_first_start_leaves_nothing_or_a_sound_record(
    directory: StateDirectory, open_store: Callable[[], StateStore], seed: int
) -> None:
    script = (
        "import sys\n"
        "from zave.clock import SystemClock\n"
        "from zave.state.directory import StateDirectory\n"
        "from zave.state.store import StateStore\n"
        "directory = StateDirectory.locate({'ZAVE_STATE_DIR': sys.argv[1]}, rehearsal=False)\n"
        "print('ready', flush=True)\n"
        "StateStore.open(directory, clock=SystemClock())\n"
        "sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(directory.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=random.Random(seed).uniform(0, 0.008))
    process.kill()
    process.communicate()
    assert open_store().notices == []
