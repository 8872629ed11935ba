"""Terraform's verbs: what is run, with what, and what becomes of the answers."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from zave.errors import InterruptedRunError, PreconditionError, StepFailedError, ToolFailedError, UsageError
from zave.ports import Outcome, Request
from zave.tools.terraform import Limits, Terraform
from zave.tools.terraform_engine import Engine
from zave.tools.terraform_json import TerraformEvent
from zave.tools.terraform_shell import terraform_environment

ENGINE = Engine("terraform", ("/opt/terraform",), "1.11.4", Path("/opt/terraform"))


@dataclass
class Answer:
    """What the pretended Terraform says to one verb."""

    stdout: str = ""
    exit_code: int = 0
    stderr: str = ""
    timed_out: bool = False
    interrupted: bool = False


@dataclass
class PretendedRunner:
    """Answers by verb and remembers what it was asked."""

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    var_files: list[Any] = field(default_factory=list)

    def run(self, request: Request, *, on_line: Callable[[str], None] | None = None) -> Outcome:
        self.asked.append(request)
        verb = request.argv[1]
        answer = self.answers.get(verb, Answer())
        for argument in request.argv:
            if argument.startswith("-out="):
                (request.cwd / argument.removeprefix("-out=")).write_text("a plan")
            if argument.startswith("-var-file="):
                file = Path(argument.removeprefix("-var-file="))
                self.var_files.append((file, json.loads(file.read_text()), file.stat().st_mode & 0o777))
        with request.log.open("a") as log:
            log.write(answer.stdout)
        with (request.errors or request.log).open("a") as errors:
            errors.write(answer.stderr)
        for line in answer.stdout.splitlines() if on_line else ():
            on_line(line)  # type: ignore[misc]
        return Outcome(
            answer.exit_code, 1.5, start=0, timed_out=answer.timed_out, interrupted=answer.interrupted
        )

    def arguments(self, verb: str) -> list[tuple[str, ...]]:
        return [request.argv[1:] for request in self.asked if request.argv[1] == verb]


@pytest.fixture
def runner() -> PretendedRunner:
    return PretendedRunner()


@pytest.fixture
def terraform(runner: PretendedRunner, tmp_path: Path) -> Terraform:
    root = tmp_path / "root"
    root.mkdir()
    (root / "main.tf").write_text("# nothing\n")
    return Terraform(engine=ENGINE, runner=runner, root=root, log=tmp_path / "step.log")


def error_line(summary: str = "Bad", file: str = "main.tf") -> str:
    place = {"filename": file, "start": {"line": 3}}
    diagnostic = {"severity": "error", "summary": summary, "detail": "because", "range": place}
    return json.dumps({"type": "diagnostic", "@message": "e", "diagnostic": diagnostic}) + "\n"


def changes(*actions: str) -> str:
    items = [
        {"address": f"a.{n}", "mode": "managed", "type": "a", "name": str(n), "change": {"actions": [action]}}
        for n, action in enumerate(actions)
    ]
    return json.dumps({"resource_changes": items, "resource_drift": items[:1]})


def test_plan_asks_for_events_and_no_questions(terraform: Terraform, runner: PretendedRunner) -> None:
    terraform.plan()

    assert runner.arguments("plan") == [
        (
            "plan",
            "-input=false",
            "-no-color",
            "-json",
            "-lock-timeout=60s",
            "-out=zave.tfplan",
            "-detailed-exitcode",
        )
    ]


def test_a_plan_without_changes_is_not_looked_into(terraform: Terraform, runner: PretendedRunner) -> None:
    plan = terraform.plan()

    assert not plan.has_changes
    assert plan.resources == ()
    assert runner.arguments("show") == []


def test_a_plan_with_changes_is_explained(terraform: Terraform, runner: PretendedRunner) -> None:
    runner.answers = {"plan": Answer(exit_code=2), "show": Answer(changes("create", "no-op"))}

    plan = terraform.plan(destroy=True, targets=["a.b", 'module.c["d"].e.f'])

    assert plan.has_changes
    assert plan.destroy
    assert [resource.action for resource in plan.resources] == ["create"]
    assert [resource.address for resource in plan.drift] == ["a.0"]
    assert runner.arguments("plan")[0][-3:] == ("-destroy", "-target=a.b", '-target=module.c["d"].e.f')
    assert runner.arguments("show") == [("show", "-no-color", "-json", str(plan.path))]


def test_variables_travel_in_a_private_file_that_does_not_stay(
    terraform: Terraform, runner: PretendedRunner
) -> None:
    hostile = {"name": '${file("/etc/passwd")}', "list": ["%{x}"]}

    terraform.plan(variables=hostile)

    ((file, content, mode),) = runner.var_files
    assert (content, mode) == (hostile, 0o600)
    assert not file.exists()
    assert "passwd" not in str(runner.arguments("plan"))


def test_no_state_file_is_read_to_build_arguments(
    terraform: Terraform, runner: PretendedRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # python-terraform would parse it on construction
    (tmp_path / "terraform.tfstate").write_text("garbage")
    monkeypatch.chdir(tmp_path)

    assert terraform.init()


def test_a_target_that_is_no_address_is_refused(terraform: Terraform, runner: PretendedRunner) -> None:
    with pytest.raises(StepFailedError, match="no address"):
        terraform.plan(targets=["-destroy"])

    assert runner.asked == []


def test_apply_takes_the_saved_plan(terraform: Terraform, runner: PretendedRunner) -> None:
    counts = {"add": 1, "change": 0, "remove": 0, "operation": "apply"}
    runner.answers["apply"] = Answer(json.dumps({"type": "change_summary", "changes": counts}))
    plan = terraform.plan()

    done = terraform.apply(plan)

    assert done is not None
    assert done.add == 1
    assert runner.arguments("apply") == [
        (
            *("apply", "-input=false", "-no-color", "-json", "-lock-timeout=60s", "-parallelism=10"),
            str(plan.path),
        )
    ]


def test_an_apply_works_on_as_few_things_at_once_as_it_is_told(
    terraform: Terraform, runner: PretendedRunner
) -> None:
    terraform.apply(terraform.plan(), parallelism=1)
    assert "-parallelism=1" in runner.arguments("apply")[0]


@pytest.mark.parametrize("damage", ["changed", "removed"])
def test_a_plan_file_that_is_not_the_planned_one_is_refused(
    terraform: Terraform, runner: PretendedRunner, damage: str
) -> None:
    plan = terraform.plan()
    plan.path.write_text("another") if damage == "changed" else plan.path.unlink()

    with pytest.raises(StepFailedError, match="saved plan was changed or removed"):
        terraform.apply(plan)

    assert runner.arguments("apply") == []


def test_a_full_disk_stops_an_apply_before_it_starts(
    terraform: Terraform, runner: PretendedRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    (terraform.root / "terraform.tfstate").write_bytes(b"x" * 2**20)
    plan = terraform.plan()
    needed = 64 * 2**20 + 4 * 2**20
    free = [needed - 1, needed]
    usage = type("Usage", (), {"free": property(lambda _: free.pop(0))})
    monkeypatch.setattr("zave.tools.terraform.shutil.disk_usage", lambda _: usage())

    with pytest.raises(PreconditionError, match="67 MiB free, 68 MiB needed"):
        terraform.apply(plan)
    assert runner.arguments("apply") == []

    terraform.apply(plan)
    assert len(runner.arguments("apply")) == 1


def test_events_are_passed_on_as_they_come(runner: PretendedRunner, tmp_path: Path) -> None:
    seen: list[TerraformEvent] = []
    runner.answers["init"] = Answer('{"type":"log","@message":"one"}\nnot json\n{"type":"unknown"}\n')
    terraform = Terraform(
        engine=ENGINE, runner=runner, root=tmp_path, log=tmp_path / "log", on_event=seen.append
    )

    terraform.init()

    assert [(event.kind, event.text) for event in seen] == [("log", "one"), ("text", "not json")]


def test_a_failure_tells_terraforms_first_error(terraform: Terraform, runner: PretendedRunner) -> None:
    runner.answers["plan"] = Answer(error_line("Bad") + error_line("Worse"), exit_code=1)

    with pytest.raises(ToolFailedError, match="terraform plan failed \\(exit code 1\\): Bad") as caught:
        terraform.plan()

    assert caught.value.where == "main.tf:3"
    assert "Error: Worse" in (caught.value.details or "")
    assert str(terraform.log) in (caught.value.resolution or "")


def test_the_exit_code_decides_and_not_the_text(terraform: Terraform, runner: PretendedRunner) -> None:
    runner.answers["plan"] = Answer(error_line("Only talk"), exit_code=0)

    assert not terraform.plan().has_changes


def test_last_words_stand_in_for_diagnostics(terraform: Terraform, runner: PretendedRunner) -> None:
    runner.answers["init"] = Answer("\n".join(f"line {n}" for n in range(100)), exit_code=2)

    with pytest.raises(ToolFailedError) as caught:
        terraform.init()

    assert (caught.value.details or "").endswith("line 98\nline 99")
    assert "line 50" not in (caught.value.details or "")


def test_an_interruption_a_time_out_and_a_signal_are_told_apart(
    terraform: Terraform, runner: PretendedRunner
) -> None:
    runner.answers["init"] = Answer(exit_code=1, interrupted=True)
    with pytest.raises(InterruptedRunError, match="terraform init was interrupted"):
        terraform.init()

    runner.answers["init"] = Answer(exit_code=1, timed_out=True)
    with pytest.raises(ToolFailedError, match="did not end in time"):
        terraform.init()

    runner.answers["init"] = Answer(exit_code=-9)
    with pytest.raises(ToolFailedError, match="terraform init was ended by SIGKILL"):
        terraform.init()


def test_outputs_come_by_name_and_stay_out_of_the_log(terraform: Terraform, runner: PretendedRunner) -> None:
    document = {"token": {"sensitive": True, "value": "s3cret"}, "nodes": {"value": {"a": 1}}}
    runner.answers["output"] = Answer(json.dumps(document))

    assert terraform.outputs() == {"token": "s3cret", "nodes": {"a": 1}}

    assert "s3cret" not in terraform.log.read_text()
    assert sorted(path.name for path in terraform.root.iterdir()) == ["main.tf"]


@pytest.mark.parametrize("answer", ["", "nonsense", "[]", '{"x": 1}', "[" * 100_000])
def test_an_answer_that_is_none_is_an_error(
    terraform: Terraform, runner: PretendedRunner, answer: str
) -> None:
    runner.answers["output"] = Answer(answer)

    with pytest.raises(ToolFailedError, match="terraform output printed something"):
        terraform.outputs()


def test_an_endless_answer_is_not_read_to_its_end(
    terraform: Terraform, runner: PretendedRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zave.tools.terraform_shell._DOCUMENT_LIMIT", 1000)
    runner.answers["output"] = Answer(json.dumps({"x": {"value": "y" * 1000}}))

    with pytest.raises(ToolFailedError, match="printed something"):
        terraform.outputs()


def test_a_query_that_fails_tells_what_went_to_stderr(terraform: Terraform, runner: PretendedRunner) -> None:
    runner.answers["show"] = Answer(exit_code=1, stderr="Error: Failed to load state\n")

    with pytest.raises(ToolFailedError) as caught:
        terraform.show_state()

    assert caught.value.details == "Error: Failed to load state"


def test_the_log_says_what_was_run(terraform: Terraform) -> None:
    terraform.init()

    said = json.loads(terraform.log.read_text())
    assert said["@message"] == "Terraform 1.11.4 init -input=false -no-color -json"
    assert terraform.log.stat().st_mode & 0o777 == 0o600


def test_validation_errors_are_returned_and_a_crash_is_not(
    terraform: Terraform, runner: PretendedRunner
) -> None:
    diagnostic = {"severity": "error", "summary": "s"}
    runner.answers["validate"] = Answer(json.dumps({"diagnostics": [diagnostic]}), exit_code=1)
    assert [item.summary for item in terraform.validate()] == ["s"]

    runner.answers["validate"] = Answer(exit_code=2)
    with pytest.raises(ToolFailedError):
        terraform.validate()


def test_unformatted_files_are_listed(terraform: Terraform, runner: PretendedRunner) -> None:
    runner.answers["fmt"] = Answer("main.tf\nmodules/x.tf\n", exit_code=3)

    assert terraform.format_check() == ("main.tf", "modules/x.tf")
    assert runner.arguments("fmt") == [("fmt", "-check", "-recursive", "-no-color")]


def test_imports_are_written_and_taken_back(terraform: Terraform) -> None:
    path = terraform.write_imports([('module.vm["a-1"].libvirt_domain.this[0]', 'id-"${x}"')])

    assert path.read_text().startswith(
        'import {\n  to = module.vm["a-1"].libvirt_domain.this[0]\n  id = "id-'
    )
    assert "${" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600

    terraform.write_imports([])
    assert not path.exists()
    terraform.write_imports([])


@pytest.mark.parametrize(
    "address", ["", "a", "a.b\n}", 'a.b["${x}"]', 'a.b["x"', "a.b.c", "data.a.b c", 'a.b["x\n"]']
)
def test_an_address_that_could_carry_code_is_refused(terraform: Terraform, address: str) -> None:
    with pytest.raises(StepFailedError, match="no address"):
        terraform.write_imports([(address, "id")])


def test_an_import_id_with_a_nul_is_refused(terraform: Terraform) -> None:
    with pytest.raises(UsageError):
        terraform.write_imports([("a.b", "x\0y")])


def test_each_kind_of_command_has_its_time_limit(runner: PretendedRunner, tmp_path: Path) -> None:
    limits = Limits(query=1, init=2, plan=3, apply=4, interrupt_grace=5)
    survivors = tmp_path / "survivors"
    terraform = Terraform(
        engine=ENGINE, runner=runner, root=tmp_path, log=tmp_path / "log", limits=limits, survivors=survivors
    )
    runner.answers = {"output": Answer("{}")}
    terraform.init()
    terraform.apply(terraform.plan())
    terraform.outputs()

    assert {request.argv[1]: request.timeout for request in runner.asked} == {
        "init": 2,
        "plan": 3,
        "apply": 4,
        "output": 1,
    }
    assert {(request.interrupt_grace, request.survivors) for request in runner.asked} == {(5, survivors)}


def test_what_could_change_terraforms_ways_is_scrubbed(tmp_path: Path) -> None:
    config = tmp_path / "cli.tfrc"
    config.touch()
    user = {
        "PATH": "/bin",
        "HOME": "/h",
        "EDITOR": "vi",
        "TF_CLI_ARGS": "-x",
        "HTTPS_PROXY": "p",
    }
    given = {
        "AWS_PROFILE": "a",
        "TF_CLI_ARGS_plan": "-x",
        "TF_VAR_name": "x",
        "TF_WORKSPACE": "w",
        "TF_DATA_DIR": "/d",
        "TF_LOG": "trace",
        "TF_REATTACH_PROVIDERS": "{}",
        "TF_CLI_CONFIG_FILE": str(config),
    }

    assert terraform_environment(given, base=user) == {
        "PATH": "/bin",
        "HOME": "/h",
        "HTTPS_PROXY": "p",
        "AWS_PROFILE": "a",
        "TF_CLI_CONFIG_FILE": str(config),
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
    }


def test_a_cli_configuration_that_is_not_there_is_not_passed_on() -> None:
    assert "TF_CLI_CONFIG_FILE" not in terraform_environment({"TF_CLI_CONFIG_FILE": "/no/such"}, base={})


def test_terraforms_own_log_is_switched_on_by_name() -> None:
    assert terraform_environment({"ZAVE_TF_LOG": "debug"}, base={})["TF_LOG"] == "debug"


# init


def test_init_is_skipped_when_nothing_changed(terraform: Terraform, runner: PretendedRunner) -> None:
    assert [terraform.init(), terraform.init(), terraform.init(force=True)] == [True, False, True]
    assert len(runner.arguments("init")) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "main.tf").write_text("# other\n"),
        lambda root: (root / "extra.tf").touch(),
        lambda root: (root / "module" / "x.tf").write_text("# other\n"),
        lambda root: (root / ".terraform.lock.hcl").write_text("# other\n"),
        lambda root: (root / ".terraform" / "zave-init").unlink(),
        lambda root: os.utime(root.parent / "mirror" / "terraform-provider-x", (1, 1)),
        lambda root: (root.parent / "mirror" / "terraform-provider-x").unlink(),
        lambda root: (root.parent / "cli.tfrc").write_text("# other\n"),
    ],
)
def test_init_runs_again_when_anything_it_reads_or_made_changed(
    runner: PretendedRunner, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    root, mirror = tmp_path / "root", tmp_path / "mirror"
    installed = root / ".terraform/providers/registry.terraform.io/a/x/1.0.0"
    for folder in (root / "module", mirror, installed):
        folder.mkdir(parents=True)
    for file in (root / "main.tf", root / "module" / "x.tf", root / ".terraform.lock.hcl"):
        file.write_text("# one\n")
    (mirror / "terraform-provider-x").touch()
    (installed / "linux_amd64").symlink_to(mirror)
    (tmp_path / "cli.tfrc").touch()
    terraform = Terraform(
        engine=ENGINE,
        runner=runner,
        root=root,
        log=tmp_path / "log",
        environment={"TF_CLI_CONFIG_FILE": str(tmp_path / "cli.tfrc")},
    )
    assert [terraform.init(), terraform.init()] == [True, False]

    change(root)

    assert terraform.init()


def test_values_and_state_do_not_make_init_run_again(terraform: Terraform) -> None:
    terraform.init()
    (terraform.root / "zave.auto.tfvars.json").write_text("{}")
    (terraform.root / "terraform.tfstate").write_text("{}")

    assert not terraform.init()


def test_another_engine_makes_init_run_again(terraform: Terraform, runner: PretendedRunner) -> None:
    terraform.init()
    newer = Engine("terraform", ENGINE.argv, "1.12.0", ENGINE.path)

    assert Terraform(engine=newer, runner=runner, root=terraform.root, log=terraform.log).init()


def test_a_failed_init_is_not_taken_for_done(terraform: Terraform, runner: PretendedRunner) -> None:
    runner.answers["init"] = Answer(exit_code=1)
    with pytest.raises(ToolFailedError):
        terraform.init()
    runner.answers.clear()

    assert terraform.init()


def test_relock_makes_the_lock_file_anew(runner: PretendedRunner, tmp_path: Path) -> None:
    lock = tmp_path / ".terraform.lock.hcl"
    for relock, stays in ((False, True), (True, False)):
        lock.touch()
        terraform = Terraform(
            engine=ENGINE, runner=runner, root=tmp_path, log=tmp_path / "log", relock=relock
        )
        terraform.init(force=True)
        assert lock.exists() == stays
