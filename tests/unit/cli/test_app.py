import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zave import __version__

Zave = Callable[..., Any]
RUN = "import sys; from zave.cli.app import main; status = main(sys.argv[1:])"


def modules_of(*words: str) -> set[str]:
    """The modules that a fresh interpreter has imported after one command."""
    code = f"{RUN}; sys.stderr.write('MODULES ' + ' '.join(sys.modules)); sys.exit(status)"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    return set(done.stderr.rpartition("MODULES ")[2].split())


HEAVY = {"rich", "pydantic", "jinja2", "yaml", "grpc", "sqlite3", "zave.cli.context"}


def test_help_imports_no_verb_and_nothing_heavy() -> None:
    modules = modules_of("--help")
    assert not modules & HEAVY
    verbs = {"status", "up", "down", "plan", "doctor", "logs", "rehearse", "exec_", "schema", "init"}
    assert not modules & {f"zave.cli.{verb}" for verb in verbs}


def test_a_verb_imports_only_its_own_module_and_no_pydantic() -> None:
    modules = modules_of("status")
    assert "zave.cli.status" in modules
    assert not modules & (HEAVY - {"sqlite3", "zave.cli.context"})
    assert not modules & {f"zave.cli.{verb}" for verb in ("up", "down", "plan", "logs", "rehearse", "doctor")}


def test_zave_alone_shows_the_help(zave: Zave) -> None:
    assert zave().out == zave("--help").out
    assert zave().status == 0


def test_help_lists_every_verb_and_shows_examples(zave: Zave) -> None:
    text = zave("--help").out
    verbs = (
        "init doctor plan up status down sweep drift history logs config kubeconfig exec build-image schema"
    )
    for verb in [*verbs.split(), "rehearse"]:
        assert f"\n  {verb} " in text
    assert "Examples:" in text


def test_version(zave: Zave) -> None:
    assert zave("--version").out == f"zave {__version__}\n"


def test_global_options_work_before_and_after_the_verb(zave: Zave) -> None:
    before, after = zave("-o", "json", "config"), zave("config", "-o", "json")
    assert before.document == after.document
    assert before.document["schema"] == "zave/config/v1"


def test_an_option_before_the_verb_is_not_undone_by_its_default_after_it(zave: Zave) -> None:
    values = {
        row["name"]: row["value"] for row in zave("--no-input", "--json", "config", "-q").document["settings"]
    }
    assert values["no_input"] is True


def test_the_later_of_two_values_wins(zave: Zave) -> None:
    assert "zave/config/v1" not in zave("-o", "json", "config", "-o", "text").out


def test_verbs_and_instances_are_completed_without_a_database(
    zave: Zave, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (state / "instances" / "homelab-2").mkdir(parents=True)

    def complete(words: str) -> list[str]:
        monkeypatch.setenv("_ZAVE_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
        with pytest.raises(SystemExit):
            zave()
        return capsys.readouterr().out.split()

    assert complete("zave st") == ["status"]
    assert complete("zave status ho") == ["homelab-2"]
    assert complete("zave up home") == ["homelab", "homelab-2"]
    assert complete("zave --rehearse status ho") == []
    assert complete("zave ssh homelab-2 w") == []
    root = state / "instances" / "homelab-2" / "terraform"
    root.mkdir()
    told: dict[str, Any] = {
        "nodes": {f"homelab-2-{name}": {} for name in ("control-plane-1", "worker-1", "worker-2")}
    }
    (root / "zave.auto.tfvars.json").write_text(json.dumps(told))
    assert complete("zave ssh homelab-2 w") == ["worker-1", "worker-2"]
    assert complete("zave console homelab-2 c") == ["control-plane-1"]
    assert complete("zave ssh ../x w") == []
    assert complete("zave schema rec") == ["receipt"]
    assert complete("zave config --no-c") == ["--no-color"]


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", f"{RUN}; sys.exit(status)", "schema", "event"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 1


def test_a_terminal_that_cannot_show_a_sign_gets_no_traceback(tmp_path: Path) -> None:
    folder = tmp_path / "übung→"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", f"{RUN}; sys.exit(status)", "config"],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "ZAVE_STATE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\\u2192" in done.stdout


def test_ctrl_c_while_watching_exits_130(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", f"{RUN}; sys.exit(status)", "status", "--watch"],
        stdout=slave,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(slave)
    seen = b""
    while b"nothing is recorded" not in seen:
        seen += os.read(master, 1000)
    time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=10)
    os.close(master)
    assert child.returncode == 130
    assert errors == "interrupted\n"


def test_json_on_a_terminal_is_still_one_document(zave: Zave) -> None:
    assert json.loads(zave("schema", "-o", "json").out)["schema"] == "zave/schemas/v1"
