import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from zave.clock import SystemClock
from zave.state.directory import StateDirectory
from zave.state.lock import Holder, InstanceLock
from zave.state.records import InstanceRecord, StepEnd
from zave.state.store import StateStore

Zave = Callable[..., Any]
RUN = "import sys; from zave.cli.app import main; sys.exit(main(sys.argv[1:]))"
AT = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
NODE = {"name": "homelab-worker-1", "role": "worker", "address": "10.17.3.21", "state": "Ready"}


@pytest.fixture
def directory(state: Path) -> StateDirectory:
    return StateDirectory.locate({"ZAVE_STATE_DIR": str(state)}, rehearsal=False)


@pytest.fixture
def run_id(directory: StateDirectory) -> str:
    """A recorded instance `homelab` with one finished run; the run's id."""
    store = StateStore.open(directory, clock=SystemClock())
    outputs = {"endpoint": "https://10.17.3.11:6443", "kubeconfig": "/k", "nodes": [NODE]}
    record = InstanceRecord("homelab", "homelab", "libvirt-k3s", "ready", AT, outputs=outputs)
    store.save_instance(record)
    run = store.begin_run(instance="homelab", command="up", arguments=["up", "homelab"])
    store.begin_step("homelab", "infra", run_id=run.id, fingerprint="f", verb="do")
    store.finish_step("homelab", "infra", StepEnd("done", seconds=2.5, virtual_seconds=60.0))
    store.finish_run(run.id, outcome="done", exit_code=0, seconds=3.0, virtual_seconds=61.0)
    store.close()
    directory.instance("homelab").prepare_run(run.id)
    return run.id


# status


def test_status_of_nothing_says_how_to_begin(zave: Zave) -> None:
    result = zave("status")
    assert result.status == 0
    assert "zave up homelab --rehearse" in result.out


@pytest.mark.usefixtures("run_id")
def test_status_tells_the_story_of_one_instance(zave: Zave) -> None:
    text = zave("status", "homelab").out
    for part in (
        "ready",
        "2026-11-23 10:15Z",
        "https://10.17.3.11:6443",
        "homelab-worker-1",
        "infra",
        "2.5 s",
    ):
        assert part in text


@pytest.mark.usefixtures("run_id")
def test_status_names_who_works_on_an_instance(zave: Zave, directory: StateDirectory) -> None:
    assert zave("status", "--json").document["environments"][0]["lock"] is None
    lock = InstanceLock(directory.instance("homelab").lock)
    with lock.acquire(Holder.here(command="up", run_id="r", since=AT)):
        found = zave("status", "--json").document["environments"][0]["lock"]
    assert (found["command"], found["pid"]) == ("up", os.getpid())
    assert zave("status", "--json").document["environments"][0]["lock"] is None


@pytest.mark.usefixtures("run_id")
def test_a_lock_file_that_a_killed_run_left_is_no_lock(zave: Zave, directory: StateDirectory) -> None:
    directory.instance("homelab").lock.write_text('{"pid": 1, "command": "up"}')
    assert zave("status", "--json").document["environments"][0]["lock"] is None


@pytest.mark.usefixtures("run_id")
def test_a_rehearsal_sees_none_of_the_real_records(zave: Zave) -> None:
    assert zave("status", "--rehearse", "--json").document["environments"] == []


@pytest.mark.usefixtures("run_id")
def test_an_unknown_instance_gets_the_nearest_name(zave: Zave) -> None:
    for words in (["status", "homelb"], ["history", "homelb"], ["kubeconfig", "homelb"], ["logs", "homelb"]):
        result = zave(*words)
        assert result.status == 2
        assert "homelab" in result.err


@pytest.mark.parametrize("name", ["../x", "-rf", "a/b", "A", "x" * 60, "a\nb"])
@pytest.mark.parametrize("verb", ["status", "history", "logs", "kubeconfig", "exec", "doctor"])
def test_no_name_leaves_the_state_directory(zave: Zave, verb: str, name: str) -> None:
    words = [verb, "--", name, *(["true"] if verb == "exec" else [])]
    assert zave(*words).status == 2


# history


def test_history_lists_runs(zave: Zave, run_id: str) -> None:
    assert run_id in zave("history").out
    (run,) = zave("history", "homelab", "--json").document["runs"]
    assert (run["id"], run["command"], run["outcome"], run["exit_code"]) == (run_id, "up", "done", 0)


# logs


def test_logs_show_the_end_of_each_step_of_the_newest_run(
    zave: Zave, directory: StateDirectory, run_id: str
) -> None:
    folder = directory.instance("homelab")
    folder.run_log(run_id, "render").write_text("drawn\n")
    folder.run_log(run_id, "infra").write_text("".join(f"line {number}\n" for number in range(1000)))
    text = zave("logs", "homelab", "-n", "2").out
    assert text == "==> render <==\ndrawn\n==> infra <==\nline 998\nline 999\n"
    assert len(zave("logs", "homelab", "infra", "-n", "0").out.splitlines()) == 1000


def test_logs_are_harmless_unless_raw(zave: Zave, directory: StateDirectory, run_id: str) -> None:
    hostile = b"\x1b]0;owned\x07\x1b[2J\xff\xfe red\n"
    directory.instance("homelab").run_log(run_id, "infra").write_bytes(hostile)
    assert "\x1b" not in zave("logs", "homelab").out
    done = subprocess.run(
        [sys.executable, "-c", RUN, "logs", "homelab", "--raw"], capture_output=True, check=True
    )
    assert done.stdout == hostile


def test_terraforms_json_is_shown_as_what_it_says(zave: Zave, directory: StateDirectory, run_id: str) -> None:
    log = directory.instance("homelab").run_log(run_id, "infra")
    log.write_text('{"@level":"info","@message":"Apply complete!"}\n{"@level":broken\n')
    assert zave("logs", "homelab").out == 'info: Apply complete!\n{"@level":broken\n'


def test_logs_of_what_is_not_there_name_what_is(zave: Zave, directory: StateDirectory, run_id: str) -> None:
    assert "no log of steps" in zave("logs", "homelab").err
    directory.instance("homelab").run_log(run_id, "infra").write_text("x\n")
    result = zave("logs", "homelab", "gitops")
    assert result.status == 2
    assert "it has: infra" in result.err
    assert zave("logs", "homelab", "../../x").status == 2
    assert zave("logs", "homelab", "--run", "../..").status == 2


def test_following_ends_with_the_run_and_misses_nothing(
    zave: Zave, directory: StateDirectory, run_id: str
) -> None:
    folder = directory.instance("homelab")
    folder.run_log(run_id, "infra").write_text("early\n")
    with InstanceLock(folder.lock).acquire(Holder.here(command="up", run_id=run_id, since=AT)):
        child = subprocess.Popen(
            [sys.executable, "-c", RUN, "logs", "homelab", "-f"], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert [child.stdout.readline(), child.stdout.readline()] == ["==> infra <==\n", "early\n"]
        with folder.run_log(run_id, "infra").open("a") as log:
            log.write("late\nunfinished")
        folder.run_log(run_id, "gitops").write_text("new\n")
        assert child.stdout.readline() == "late\n"
    rest = child.stdout.read()
    child.stdout.close()
    assert child.wait(timeout=20) == 0
    assert sorted(rest.split("\n")) == ["", "==> gitops <==", "==> infra <==", "new", "unfinished"]


def test_a_huge_log_takes_little_memory(directory: StateDirectory, run_id: str, tmp_path: Path) -> None:
    log = directory.instance("homelab").run_log(run_id, "infra")
    with log.open("wb") as stream:
        stream.truncate(300_000_000)  # one endless line of zeros, sparse
        stream.seek(0, 2)
        stream.write(b"\nthe end\n")
    peak = tmp_path / "peak"
    code = (
        f"import sys; from zave.cli.app import main; main(sys.argv[1:]);"
        # not ru_maxrss, which counts the process that was forked as well
        f"open({str(peak)!r}, 'w').write(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "logs", "homelab", "-n", "5"], capture_output=True, check=True
    )
    assert done.stdout.endswith(b"\nthe end\n")
    assert int(peak.read_text()) < 200 * 1024
    assert len(done.stdout) < 100_000


# names and drift


@pytest.mark.usefixtures("run_id")
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("aws-demo", "zave up aws-demo makes one; zave status shows all"),
        ("homelap", "did you mean homelab? zave status shows all"),
        ("quite-another", "zave status shows all"),
    ],
)
def test_a_name_that_is_not_recorded_is_advised_to_be_made_only_where_it_can_be(
    zave: Zave, name: str, advice: str
) -> None:
    result = zave("drift", name)
    assert f"no instance {name} is recorded" in result.err
    assert f"next: {advice}\n" in result.err


@pytest.mark.usefixtures("run_id")
def test_what_a_run_has_not_done_yet_is_no_drift(zave: Zave, directory: StateDirectory) -> None:
    lock = InstanceLock(directory.instance("homelab").lock)
    with lock.acquire(Holder.here(command="up", run_id="r", since=AT)):
        result = zave("drift", "homelab")
    assert result.status == 4
    assert f"up works on homelab, pid {os.getpid()}" in result.err
    assert "zave up" not in result.err


# kubeconfig and exec


def test_kubeconfig_prints_the_path_or_the_text(zave: Zave, directory: StateDirectory, run_id: str) -> None:
    path = directory.instance("homelab").kubeconfig
    missing = zave("kubeconfig", "homelab")
    assert (missing.status, missing.out) == (5, "")
    path.write_text("apiVersion: v1\n")
    assert zave("kubeconfig", "homelab").out == f"{path}\n"
    assert zave("kubeconfig", "homelab", "--content").out == "apiVersion: v1\n"
    assert run_id


@pytest.mark.usefixtures("run_id")
def test_exec_sets_the_variables_and_passes_the_exit_status_on(directory: StateDirectory) -> None:
    path = directory.instance("homelab").kubeconfig
    path.write_text("apiVersion: v1\n")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", RUN, "exec", "homelab", "--", *words],
            capture_output=True,
            text=True,
            check=False,
        )

    done = run("sh", "-c", 'echo "$KUBECONFIG $ZAVE_INSTANCE"; exit 9')
    assert (done.returncode, done.stdout) == (9, f"{path} homelab\n")
    assert run("printf", "%s|", "-o", "json", "a b", "$HOME").stdout == "-o|json|a b|$HOME|"
    absent = run("no-such-program")
    assert absent.returncode == 5
    assert "no-such-program was not found" in absent.stderr
    path.unlink()
    assert run("true").returncode == 5


# init, config, schema, doctor


def test_init_makes_a_project_once(zave: Zave, tmp_path: Path) -> None:
    made = zave("init", "lab", "--json").document
    assert "environments/homelab/environment.yaml" in made["files"]
    spec = tmp_path / "lab" / "environments" / "homelab" / "environment.yaml"
    spec.write_text("mine\n")
    again = zave("init", "lab")
    assert again.status == 2
    assert "--force" in again.err
    assert spec.read_text() == "mine\n"
    assert zave("init", "lab", "--force").status == 0
    assert spec.read_text() != "mine\n"


def test_init_into_a_place_that_cannot_be_written_says_so(zave: Zave) -> None:
    result = zave("init", "/dev/null/lab")
    assert result.status == 2
    assert "Traceback" not in result.err


def test_config_names_the_origin_of_each_value(
    zave: Zave, monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    monkeypatch.setenv("ZAVE_SPEED", "60")
    document = zave("config", "--json").document
    rows = {row["name"]: row for row in document["settings"]}
    assert (rows["speed"]["value"], rows["speed"]["origin"]) == (60.0, "ZAVE_SPEED")
    assert rows["output"]["origin"] == "flag --output"
    assert rows["parallelism"]["origin"] == "default"
    folders = {row["name"]: row for row in document["folders"]}
    assert (folders["state"]["path"], folders["state"]["origin"]) == (str(state), "ZAVE_STATE_DIR")


def test_schema_lists_prints_and_suggests(zave: Zave) -> None:
    kinds = zave("schema").out.split()
    assert {"status", "plan", "receipt", "inventory", "event", "libvirt-k3s", "aws-eks"} <= set(kinds)
    for kind in kinds:
        assert json.loads(zave("schema", kind).out)
    result = zave("schema", "reciept")
    assert result.status == 2
    assert "did you mean `receipt`?" in result.err


def test_doctor_for_a_rehearsal_wants_only_what_a_rehearsal_needs(zave: Zave) -> None:
    document = zave("doctor", "--rehearse", "--json").document
    assert {each["check"] for each in document["findings"]} >= {"python", "terraform", "simulated provider"}
    assert not {each["check"] for each in document["findings"]} & {"kvm", "libvirt", "packer", "flux"}


def test_doctor_exits_5_when_something_needed_is_missing(zave: Zave, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAVE_TERRAFORM", "/nonexistent/terraform")
    result = zave("doctor", "--rehearse", "--json")
    assert result.status == 5
    assert result.document["ready"] is False
    (finding,) = [each for each in result.document["findings"] if each["check"] == "terraform"]
    assert (finding["level"], finding["needed"]) == ("missing", True)
    assert finding["fix"]


@pytest.mark.parametrize("content", [b"\x00\xff\xfe", b"- a\n- b\n", b"platform: nope\n"])
def test_doctor_finds_a_spec_of_the_users_own_that_cannot_be_read(
    zave: Zave, tmp_path: Path, content: bytes
) -> None:
    zave("init", "lab")
    spec = tmp_path / "lab" / "environments" / "homelab" / "environment.yaml"
    spec.write_bytes(content)
    result = zave("doctor", "--rehearse", "--project", "lab", "--json")
    assert result.status == 5
    (found,) = [each for each in result.document["findings"] if each["level"] == "missing"]
    assert (found["check"], found["needed"]) == ("project", True)
    assert "lab/environments/homelab/environment.yaml" in found["what"]


def test_doctor_warns_of_what_an_example_says_in_a_project_of_ones_own(zave: Zave, tmp_path: Path) -> None:
    zave("init", "lab")

    def told() -> list[str]:
        findings = zave("doctor", "--project", "lab", "--json").document["findings"]
        return [each["what"] for each in findings if "example says" in each["what"]]

    shipped = "".join(told())
    assert all(each in shipped for each in ("me@example.org", "203.0.113.7/32", "git.example.org"))
    for spec in (tmp_path / "lab" / "environments").glob("*/environment.yaml"):
        text = (
            spec.read_text()
            .replace("me@example.org", "me@lab.example")
            .replace("203.0.113.7", "198.51.100.9")
        )
        spec.write_text(text.replace("git.example.org", "git.lab.example"))
    assert told() == []


def test_doctor_tells_of_a_state_directory_that_others_can_change(zave: Zave, state: Path) -> None:
    state.mkdir()
    state.chmod(0o777)
    result = zave("doctor", "--rehearse")
    assert result.status == 5
    assert "chmod 700" in result.out


def test_doctor_of_an_unknown_environment_is_a_usage_error(zave: Zave) -> None:
    assert zave("doctor", "homelb").status == 2
