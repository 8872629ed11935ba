"""The jobs of the pipeline that `zave init --ci gitlab` writes, run line by line on a simulated account."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.rehearsal.lab import ZAVE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rehearsal.aws_lab import AwsLab


class _Loader(yaml.SafeLoader):
    """YAML with GitLab's `!reference`, which no script has."""


_Loader.add_constructor("!reference", lambda _loader, _node: None)


class Runner:
    """Runs scripts as GitLab's runner does: a shell that stops at the first failure, and no record kept."""

    def __init__(self, lab: AwsLab, folder: Path) -> None:
        self._lab = lab
        self._project = folder / "project"
        self.spec = self._project / "environments" / "aws-demo" / "environment.yaml"
        assert lab.zave("init", str(self._project), "--ci", "gitlab").exit_code == 0
        text = (self._project / ".gitlab-ci.yml").read_text()
        self.pipeline: dict[str, Any] = yaml.load(text, _Loader)
        programs = folder / "bin"
        programs.mkdir()
        # real verbs would ask a real account
        (programs / "zave").write_text(f'#!/bin/sh\nexec {ZAVE} --rehearse "$@"\n')
        (programs / "zave").chmod(0o755)
        names = {k: v for k, v in self.pipeline["variables"].items() if k.startswith("ZAVE_")}
        self._environment = {
            **lab.environment(),
            **names,
            "ZAVE_PROJECT": str(self._project),
            "ZAVE_STATE_DIR": str(lab.state),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }

    def run(self, job: str) -> subprocess.CompletedProcess[str]:
        """One job on a fresh machine: the account is as it was, records are gone."""
        root = self._lab.state / "rehearsal"
        for file in (*root.glob("state.db*"), root / "state.sequence"):
            file.unlink(missing_ok=True)
        for folder in ("backups", "instances"):
            shutil.rmtree(root / folder, ignore_errors=True)
        script = "\n".join(self.pipeline[job]["script"])
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self._project,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def ok(self, job: str) -> str:
        done = self.run(job)
        assert done.returncode == 0, f"{job}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout


@pytest.fixture
def runner(account_lab: AwsLab, tmp_path: Path) -> Runner:
    return Runner(account_lab, tmp_path)


def test_a_demo_is_begun_kept_and_ended_by_jobs_that_know_nothing_of_one_another(
    runner: Runner, account_lab: AwsLab
) -> None:
    runner.ok("plan")
    assert account_lab.parts() == []
    runner.ok("demo")
    made = account_lab.parts()
    assert len(made) >= 60
    runner.ok("demo")  # again: the same demo, the same end
    assert account_lab.parts() == made
    runner.ok("reap")  # not before its end
    assert account_lab.parts() == made
    runner.ok("end demo")
    assert account_lab.parts() == []
    runner.ok("end demo")  # nothing is there: no failure
    runner.ok("reap")


def test_a_broken_file_fails_the_jobs_that_should_end_a_demo(runner: Runner, account_lab: AwsLab) -> None:
    runner.ok("demo")
    made, shipped = account_lab.parts(), runner.spec.read_text()
    runner.spec.write_text(shipped + "nonsense: true\n")
    for job in ("end demo", "reap"):
        done = runner.run(job)
        assert done.returncode == 2, f"{job}: {done.stdout}{done.stderr}"
        assert "nonsense" in done.stderr
    assert account_lab.parts() == made
    runner.spec.write_text(shipped)
    runner.ok("end demo")
    assert account_lab.parts() == []


def test_what_is_on_record_is_taken_down_if_any_is_said(demo_lab: AwsLab) -> None:
    """Nothing is an end that is told; what stands is not passed over."""
    nothing = demo_lab.end("--if-any", instance="another")
    assert (nothing.exit_code, nothing.finished["outcome"]) == (0, "done"), nothing.told()
    assert "no instance another is recorded" in nothing.told()
    assert demo_lab.end(instance="another").exit_code == 2
    again = demo_lab.zave("adopt", "aws-demo", "--if-any", "--rehearse", "-o", "json")
    assert (again.exit_code, again.finished["outcome"]) == (0, "done"), again.told()
    assert "recorded already" in again.told()
    assert demo_lab.end("--if-any").receipt["leaks"] == []
    assert demo_lab.parts() == []


def test_a_teardown_that_leaves_something_fails_its_job(runner: Runner, account_lab: AwsLab) -> None:
    runner.ok("demo")
    account_lab.ok("rehearse", "faults", "add", "refuse delete aws_vpc")
    assert runner.run("end demo").returncode != 0
    account_lab.ok("rehearse", "faults", "clear")
    runner.ok("end demo")
    assert account_lab.parts() == []
