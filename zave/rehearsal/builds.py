"""The rehearsed CodeBuild project: runs the destroyer as the cloud would, with nothing of the user's.

A build gets the bundle, an empty HOME, a state directory of its own and its credentials; what ties it to
the rehearsal is the world that it acts on, and that world's time.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from zave.aws.bundle import unpack
from zave.errors import InterruptedRunError, StepFailedError, ZaveError
from zave.ports.cloud import DestroyerRun, Mode, Schedule
from zave.rehearsal.bucket import bucket_folder
from zave.rehearsal.durations import seconds_for
from zave.rehearsal.operations import Process, this_process
from zave.rehearsal.viewpoint import CALLER_VARIABLE, SKEW_VARIABLE
from zave.rehearsal.world import World
from zave.text import clean
from zave.tools.child_environment import CERTIFICATES, inherited

_KIND = "destroyer_run"
# what CodeBuild tells a build about itself
_RUN_VARIABLE = "CODEBUILD_BUILD_ID"
_FOLDER = "builds"
# what one archive may hold at most: a bundle without programs is below a megabyte
_LARGEST_BUNDLE = 64 * 1024 * 1024
_LAST_WORDS = 4096
# of the machine that runs a rehearsal: the way to Terraform, and the language
_INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", *CERTIFICATES)


class Launch(Protocol):
    """Starts a program, waits for its end and tells its exit status."""

    def __call__(self, argv: Sequence[str], environment: Mapping[str, str], *, cwd: Path, log: Path) -> int:
        """Run `argv` in `cwd` with exactly this environment; its words go to `log`."""
        ...


@dataclass(frozen=True)
class Builds:
    """The builds of one project. `skew`: seconds by which the clocks of its machines are wrong."""

    world: World
    project: str
    launch: Launch
    skew: float = 0.0

    def run(self, schedule: Schedule, *, mode: Mode) -> DestroyerRun:
        """One build from start to end. Recorded as running before anything starts.

        Whatever happens to the child, the outcome is a run that succeeded or failed.
        """
        record = self._begin(schedule, mode)
        # until now the machine was being provided; the run counts from its start
        try:
            self.world.clock.sleep(seconds_for("codebuild.build", "start", record["id"]))
            reason = self._build(schedule, mode, record["id"])
        except InterruptedRunError:
            self._end(record, "stopped with zave")
            raise
        except (ZaveError, OSError) as error:
            reason = str(error)
        except BaseException:
            self._end(record, "its machine died")
            raise
        return _run_of(self._end(record, reason))

    def found(self, run_id: str) -> DestroyerRun:
        """One run. Raises StepFailedError for one that is not known."""
        record = self.world.get_document(_KIND, run_id)
        if record is None:
            raise StepFailedError(f"there is no run {run_id} of the destroyer", where=self.project)
        return _run_of(record)

    def all(self, instance: str) -> Sequence[DestroyerRun]:
        """The instance's runs, newest first."""
        records = [each for each in self.world.documents(_KIND).values() if each["instance"] == instance]
        return [_run_of(each) for each in sorted(records, key=lambda each: each["number"], reverse=True)]

    def _begin(self, schedule: Schedule, mode: Mode) -> dict[str, Any]:
        process = this_process()
        with self.world.transaction() as ledger:
            number = ledger.counter("codebuild.build")
            token = hashlib.sha256(f"{self.project}/{number}".encode()).hexdigest()
            uuid = f"{token[:8]}-{token[8:12]}-4{token[13:16]}-8{token[17:20]}-{token[20:32]}"
            record: dict[str, Any] = {
                "id": f"{self.project}:{uuid}",
                "number": number,
                "instance": schedule.instance,
                "mode": mode,
                "state": "running",
                "started_at": ledger.now,
                "finished_at": None,
                "reason": "",
                "pid": process.pid,
                "started": process.started,
            }
            ledger.put_document(_KIND, record["id"], record)
            ledger.log("build", "destroyer", schedule.instance, key=record["id"], detail=f"{mode}: started")
        return record

    def _end(self, record: Mapping[str, Any], reason: str) -> dict[str, Any]:
        """Record the outcome; no reason means success."""
        state = "failed" if reason else "succeeded"
        with self.world.transaction() as ledger:
            ended = {**record, "state": state, "finished_at": ledger.now, "reason": reason}
            ledger.put_document(_KIND, ended["id"], ended)
            told = f"{record['mode']}: {state} {reason}".strip()
            ledger.log("build", "destroyer", record["instance"], key=ended["id"], detail=told)
        return ended

    def _build(self, schedule: Schedule, mode: Mode, run_id: str) -> str:
        """What the project's build specification does; why it failed, or nothing."""
        failing = self.world.faults.take("run", "destroyer", schedule.instance, verbs=("fail",)).fault
        if failing is not None:
            return failing.message or "the build failed (an injected fault of this rehearsal)"
        folder = self._fresh_folder(run_id)
        try:
            unpack(self._fetch(schedule), folder / "bundle")
            argv = (sys.executable, "-I", "-m", "zave", "reap", "--rehearse")
            exit_code = self.launch(
                (*argv, "--from-bundle", str(folder / "bundle"), "--mode", mode),
                self._environment(schedule, mode, run_id, folder),
                cwd=folder / "home",
                log=folder / "log",
            )
            return "" if exit_code == 0 else f"exit code {exit_code}: {_last_words(folder / 'log')}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _fetch(self, schedule: Schedule) -> bytes:
        path = bucket_folder(self.world) / schedule.bundle
        try:
            with path.open("rb") as file:
                content = file.read(_LARGEST_BUNDLE + 1)
        except OSError as error:
            raise StepFailedError(f"the bundle {schedule.bundle} is not in the bucket") from error
        if hashlib.sha256(content).hexdigest() != schedule.bundle_sha256:
            raise StepFailedError(f"the bundle {schedule.bundle} is not the one of the schedule")
        return content

    def _fresh_folder(self, run_id: str) -> Path:
        """A private folder for one build; those of builds whose machine died are cleared away."""
        root = self.world.folder / _FOLDER
        root.mkdir(mode=0o700, exist_ok=True)
        for left in root.iterdir():
            record = self.world.get_document(_KIND, f"{self.project}:{left.name}")
            if record is None or _state(record) != "running":
                shutil.rmtree(left, ignore_errors=True)
        folder = root / run_id.rpartition(":")[2]
        for path in (folder, folder / "bundle", folder / "home", folder / "state"):
            path.mkdir(mode=0o700)
        return folder

    def _environment(self, schedule: Schedule, mode: Mode, run_id: str, folder: Path) -> dict[str, str]:
        kept = inherited(_INHERITED, environ=os.environ)
        own = {
            "HOME": str(folder / "home"),
            "ZAVE_STATE_DIR": str(folder / "state"),
            "ZAVE_WORLD": str(self.world.path),
            CALLER_VARIABLE: "switch",
            # as the schedule and CodeBuild set them
            _RUN_VARIABLE: run_id,
            "ZAVE_INSTANCE": schedule.instance,
            "ZAVE_BUNDLE": schedule.bundle,
            "ZAVE_BUNDLE_SHA256": schedule.bundle_sha256,
            "ZAVE_MODE": mode,
        }
        return {**kept, **own, **({SKEW_VARIABLE: str(self.skew)} if self.skew else {})}


def _run_of(record: Mapping[str, Any]) -> DestroyerRun:
    state, finished = _state(record), record["finished_at"]
    lost = state == "failed" and record["state"] == "running"
    return DestroyerRun(
        id=record["id"],
        instance=record["instance"],
        mode=record["mode"],
        state=state,
        started_at=datetime.fromtimestamp(record["started_at"], UTC),
        finished_at=None if finished is None else datetime.fromtimestamp(finished, UTC),
        reason="its machine died" if lost else record["reason"],
    )


def _state(record: Mapping[str, Any]) -> Any:
    """The state of a run; one that cannot end any more has failed."""
    if record["state"] != "running":
        return record["state"]
    launcher = Process(record["pid"], record["started"])
    return "running" if launcher.life() != "dead" or _child_lives(record["id"]) else "failed"


def _child_lives(run_id: str) -> bool:
    """Whether a build outlived its launcher, as one in the cloud does: it is known by its environment."""
    mark = f"{_RUN_VARIABLE}={run_id}".encode()
    # no glob of `*/environ`: pathlib raises where a process ends between its listing and the look at it
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                return True
    return False


def _last_words(log: Path) -> str:
    """What a child said went wrong, else the last line that it wrote; made harmless."""
    with suppress(OSError), log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LAST_WORDS))
        lines = [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error: ")]
        if lines:
            return clean((errors or lines)[-1])[:300]
    return "it said nothing"
