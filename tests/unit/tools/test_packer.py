"""Packer: which one is used, what its lines mean, and what happens when it fails, hangs or floods."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from zave.errors import InterruptedRunError, ToolFailedError, ToolMissingError
from zave.process import ProcessRunner
from zave.survivors import find
from zave.tools.packer import Job, Limits, Packer, PackerEvent, parse_line

# stands in for Packer: says what it is told to, and keeps what it was given
FAKE = """#!{python} -I
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
told = json.loads((here / "told.json").read_text())
if sys.argv[1] == "version":
    print(told["version"])
    sys.exit(told.get("version_code", 0))
with (here / "calls.jsonl").open("a") as file:
    call = {{"argv": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ)}}
    file.write(json.dumps(call) + "\\n")
sys.stdout.write(told.get("says", ""))
sys.stdout.flush()
sys.stderr.write(told.get("mutters", ""))
if told.get("hangs"):
    import signal
    signal.pause()
sys.exit(told.get("code", 0))
"""


class Bench:
    """A PATH with a made-up Packer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        program = self.bin / "packer"
        program.write_text(FAKE.format(python=sys.executable))
        program.chmod(0o755)
        self.runner = ProcessRunner()
        self.environment = {"PATH": str(self.bin), "HOME": str(folder)}
        self.told(version="1795450100,,version,1.6.6\n")

    def told(self, **told: object) -> None:
        file = self.bin / "told.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**known, **told}))

    def calls(self) -> list[dict[str, object]]:
        file = self.bin / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def packer(self, **more: object) -> Packer:
        return Packer.find(
            runner=self.runner,
            environment=self.environment,
            plugins=self.folder / "plugins",
            **more,  # type: ignore[arg-type]
        )

    @property
    def job(self) -> Job:
        return Job(
            folder=self.folder,
            log=self.folder / "log",
            debug=self.folder / "debug.log",
            survivors=self.folder / "survivors",
            only="qemu.k3s-base",
            variables=(Path("debian-12.pkrvars.hcl"), self.folder / "zave.pkrvars.json"),
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# which one


@pytest.mark.parametrize(
    ("said", "version", "plugins"),
    [
        ("1795450100,,version,1.6.6\n1795450100,,ui,say,Packer v1.6.6\n", (1, 6, 6), False),
        ("noise\n1,,version,1.7.0-dev\n", (1, 7, 0), True),
        ("1,,version,1.14.2\n", (1, 14, 2), True),
    ],
)
def test_version_says_whether_builders_are_plugins(
    bench: Bench, said: str, version: tuple[int, int, int], plugins: bool
) -> None:
    bench.told(version=said)
    packer = bench.packer()
    assert (packer.version, packer.has_plugins) == (version, plugins)
    assert packer.title == f"Packer {'.'.join(map(str, version))}"


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({"version": "1,,version,1.6.5\n"}, "too old"),
        ({"version": "1,,version,0.12.3\n"}, "too old"),
        # Red Hat's cracklib has a program of that name
        ({"version": "0 0\n"}, "not HashiCorp's"),
        ({"version": "1,,version,1.6.6\n", "version_code": 1}, "not HashiCorp's"),
    ],
)
def test_what_is_too_old_or_no_packer_is_refused(bench: Bench, told: dict[str, object], problem: str) -> None:
    bench.told(**told)
    with pytest.raises(ToolMissingError, match=problem) as caught:
        bench.packer()
    assert caught.value.exit_code == 5
    assert "1.6.6" in (caught.value.resolution or "")


def test_a_machine_without_packer_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match="packer was not found"):
        Packer.find(runner=ProcessRunner(), environment={"PATH": str(tmp_path)}, plugins=tmp_path)


# what it is given


def test_build_names_builder_and_files_and_no_value(bench: Bench) -> None:
    bench.packer().build(bench.job, on_event=lambda _: None)
    [call] = bench.calls()
    assert call["argv"] == [
        *("build", "-machine-readable", "-only=qemu.k3s-base"),
        "-var-file=debian-12.pkrvars.hcl",
        f"-var-file={bench.folder / 'zave.pkrvars.json'}",
        ".",
    ]
    assert call["cwd"] == str(bench.folder)


def test_plugins_are_fetched_only_where_there_are_any(bench: Bench) -> None:
    bench.packer().init(bench.job)
    assert bench.calls() == []
    bench.told(version="1,,version,1.11.0\n")
    bench.packer().init(bench.job)
    [call] = bench.calls()
    assert call["argv"] == ["init", "-machine-readable", "."]
    assert call["env"]["PACKER_PLUGIN_PATH"] == str(bench.folder / "plugins")  # type: ignore[index]


def test_credentials_are_for_amis_alone_and_nothing_else_passes(bench: Bench) -> None:
    bench.environment |= {
        "AWS_SECRET_ACCESS_KEY": "very-secret-words",
        "AWS_PROFILE": "me",
        "PKR_VAR_memory": "1",
        "PACKER_LOG": "1",
        "https_proxy": "http://proxy.example.org:3128",
    }
    bench.packer().validate(bench.job)
    bench.told(says="1,,ui,say,the key is very-secret-words\n")
    events: list[PackerEvent] = []
    bench.packer(amazon=True).build(bench.job, on_event=events.append)

    without, amazon = (call["env"] for call in bench.calls())
    assert isinstance(without, dict)
    assert isinstance(amazon, dict)
    assert not [name for name in without if name.startswith(("AWS_", "PKR_"))]
    assert {"AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} <= set(amazon)
    assert not {"PKR_VAR_memory", "PACKER_LOG"} & set(amazon)
    assert amazon["https_proxy"]
    # in its own length where the file was masked before it was read
    assert events[0].text.startswith("the key is ***")
    assert "secret" not in events[0].text
    assert "very-secret-words" not in bench.job.log.read_text()


# what it says


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("1795,,ui,say,==> qemu.x: Starting VM", PackerEvent("say", "==> qemu.x: Starting VM")),
        ("1795,,ui,message,a%!(PACKER_COMMA) b", PackerEvent("message", "a, b")),
        ("1795,,ui,error,one\\ntwo\\r", PackerEvent("error", "one\ntwo")),
        ("1795,qemu.x,error,it failed", PackerEvent("error", "it failed", "qemu.x")),
        (
            "1795,amazon-ebs.x,artifact,0,id,us-east-1:ami-0123",
            PackerEvent("artifact", "us-east-1:ami-0123", "amazon-ebs.x", "id"),
        ),
        ("1795,,ui,say,\x1b]0;title\x07\x1b[31mred", PackerEvent("say", "red")),
        ("1795,,ui,say", None),
        ("1795,,ui,shout,x", None),
        ("1795,,version,1.6.6", None),
        ("1795,x,artifact,1,id,second", None),
        ("now,,ui,say,x", None),
        ("plain words, with, some, commas", None),
        ("", None),
        (",,,", None),
    ],
)
def test_lines_are_read_and_made_harmless(line: str, event: PackerEvent | None) -> None:
    assert parse_line(line) == event


def test_a_flood_is_cut_short(bench: Bench) -> None:
    flood = (
        "1,,ui,say,"
        + "x" * 1_000_000
        + "\n"
        + "".join(f"1,q,artifact,0,key{n},{'v' * 10_000}\n" for n in range(1000))
    )
    bench.told(says=flood)
    events: list[PackerEvent] = []
    artifact = bench.packer().build(bench.job, on_event=events.append)
    assert len(artifact) == 100
    assert max(len(event.text) for event in events) <= 2000


def test_the_first_word_on_an_artifact_counts(bench: Bench) -> None:
    bench.told(
        says="1,a,artifact,0,id,us-east-1:ami-1\n1,a,artifact,0,id,us-east-1:ami-2\n1,a,artifact,0,end\n"
    )
    assert bench.packer().build(bench.job, on_event=lambda _: None) == {"id": "us-east-1:ami-1"}


# how it ends


def test_a_failure_tells_what_packer_said_and_where_the_rest_is(bench: Bench) -> None:
    says = "1,,ui,error,Build 'qemu.x' errored: no SSH\n1,,error,no SSH\n1,,ui,say,done\n"
    bench.told(says=says, code=1)
    with pytest.raises(ToolFailedError, match=r"packer build failed \(exit code 1\)") as caught:
        bench.packer().build(bench.job, on_event=lambda _: None)
    assert caught.value.details == "Build 'qemu.x' errored: no SSH\nno SSH"
    assert caught.value.where == str(bench.job.log)


def test_a_failure_to_start_qemu_tells_what_qemu_said(bench: Bench) -> None:
    bench.told(says="1,,ui,error,Qemu failed to start\n", code=1)
    bench.told(mutters="2026/11/23 plugin: Qemu stderr: drive \x1b[31mexists\nother words\n")
    with pytest.raises(ToolFailedError) as caught:
        bench.packer().build(bench.job, on_event=lambda _: None)
    assert caught.value.details == "Qemu failed to start\nQEMU: drive exists"
    assert "other words" not in bench.job.log.read_text()


def test_a_build_that_hangs_is_ended(bench: Bench) -> None:
    bench.told(hangs=True)
    packer = bench.packer()
    quick = Packer(
        packer.program,
        packer.version,
        packer.runner,
        packer.environment,
        packer.plugins,
        limits=Limits(build=0.3, interrupt_grace=5.0),
    )
    with pytest.raises(ToolFailedError, match="did not end in time"):
        quick.build(bench.job, on_event=lambda _: None)


def test_an_interrupted_build_says_so(bench: Bench) -> None:
    bench.told(hangs=True, says="1,,ui,say,working\n")
    with pytest.raises(InterruptedRunError):
        bench.packer().build(bench.job, on_event=lambda _: bench.runner.interrupt())


# a build that does nothing for minutes, without any machine
_WAITING = """
source "null" "x" {
  communicator = "none"
}
build {
  sources = ["source.null.x"]
  provisioner "shell-local" {
    inline = ["echo begun", "exec sleep 300"]
  }
}
"""


@pytest.fixture
def debians(bench: Bench) -> Packer:
    packer = Path("/usr/bin/packer")
    if not os.access(packer, os.X_OK):
        pytest.skip("Debian's package packer is not installed")
    (bench.folder / "x.pkr.hcl").write_text(_WAITING)
    return Packer.find(runner=bench.runner, environment={"PATH": os.environ["PATH"]}, plugins=bench.folder)


def test_a_real_packer_hears_of_the_interruption(bench: Bench, debians: Packer) -> None:
    job = replace(bench.job, only="null.x", variables=())

    def interrupt(event: PackerEvent) -> None:
        if "begun" in event.text:
            # whatever it started is found by its lock, should zave be killed now
            assert {"packer", "sleep"} <= {survivor.command for survivor in find(job.survivors)}
            bench.runner.interrupt()

    with pytest.raises(InterruptedRunError):
        debians.build(job, on_event=interrupt)
    # not `receiving terminated`, which comes after a minute in which its wrapper ignored the interrupt
    assert "receiving interrupt" in job.log.read_text()
    assert find(job.survivors) == []


def test_debians_packer_is_one_that_works() -> None:
    packer = Path("/usr/bin/packer")
    if not os.access(packer, os.X_OK):
        pytest.skip("Debian's package packer is not installed")
    found = Packer.find(runner=ProcessRunner(), environment={"PATH": "/usr/bin"}, plugins=Path("/nowhere"))
    assert found.program == packer
    assert found.version >= (1, 6, 6)
