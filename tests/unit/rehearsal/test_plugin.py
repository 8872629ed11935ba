import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import grpc  # type: ignore[import-untyped]
import pytest
from tf.gen import tfplugin_pb2 as pb  # type: ignore[import-untyped]

from zave.rehearsal import schema
from zave.rehearsal.mirror import install_mirror
from zave.rehearsal.plugin import COOKIE

SECONDS = 20.0


class Started:
    """A plugin that has said where it listens."""

    def __init__(self, mirror: Path, scratch: Path, world: Path) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(scratch),
            "ZAVE_WORLD": str(world),
            COOKIE[0]: COOKIE[1],
        }
        self.process = subprocess.Popen(
            [str(mirror / "run"), "libvirt"], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.fields = self.process.stdout.readline().strip().split("|")
        self.socket = Path(self.fields[3])
        certificate = (mirror / "certificate.pem").read_bytes()
        certificate = certificate[certificate.index(b"-----BEGIN CERTIFICATE") :]
        self.channel = grpc.secure_channel(
            f"unix:{self.socket}",
            grpc.ssl_channel_credentials(certificate),
            options=[("grpc.ssl_target_name_override", "localhost")],
        )

    def call(self, name: str, message: type, **values: object) -> object:
        method = self.channel.unary_unary(
            f"/tfplugin6.Provider/{name}",
            request_serializer=message.Request.SerializeToString,  # type: ignore[attr-defined]
            response_deserializer=message.Response.FromString,  # type: ignore[attr-defined]
        )
        return method(message.Request(**values), timeout=SECONDS)  # type: ignore[attr-defined]

    def end(self) -> None:
        self.channel.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def scratch() -> Iterator[Path]:
    # short: a socket's path holds a hundred bytes
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def plugin(tmp_path: Path, scratch: Path) -> Iterator[Started]:
    install_mirror(tmp_path / "mirror")
    started = Started(tmp_path / "mirror", scratch, tmp_path / "world.db")
    yield started
    started.end()


def gone(process: subprocess.Popen[str]) -> int:
    return process.wait(timeout=SECONDS)


def test_the_handshake_says_where_to_connect(plugin: Started) -> None:
    core, protocol, network, socket, kind, certificate = plugin.fields
    assert (core, protocol, network, kind) == ("1", "6", "unix", "grpc")
    assert len(certificate) > 300
    assert Path(socket).parent.stat().st_mode & 0o777 == 0o700


def test_it_serves_the_schema(plugin: Started) -> None:
    answer = plugin.call("GetProviderSchema", pb.GetProviderSchema)
    assert "libvirt_domain" in answer.resource_schemas  # type: ignore[attr-defined]


def test_nothing_of_a_connected_plugin_can_be_left_behind_by_a_kill(plugin: Started, scratch: Path) -> None:
    assert list(scratch.iterdir())
    plugin.call("GetProviderSchema", pb.GetProviderSchema)
    assert list(scratch.iterdir()) == []


def test_it_obeys_shutdown_at_once(plugin: Started) -> None:
    plugin.call("GetProviderSchema", pb.GetProviderSchema)
    before = time.monotonic()
    shutdown = plugin.channel.unary_unary("/plugin.GRPCController/Shutdown")
    with pytest.raises(grpc.RpcError):
        shutdown(b"", timeout=SECONDS)
    assert gone(plugin.process) == 0
    assert time.monotonic() - before < 1


def test_an_interrupt_from_the_terminal_is_left_to_terraform(plugin: Started) -> None:
    plugin.process.send_signal(signal.SIGINT)
    plugin.call("GetProviderSchema", pb.GetProviderSchema)
    assert plugin.process.poll() is None


def test_a_termination_ends_it(plugin: Started) -> None:
    plugin.process.terminate()
    assert gone(plugin.process) == -signal.SIGTERM


def test_it_ends_when_whoever_started_it_is_killed(tmp_path: Path, scratch: Path) -> None:
    install_mirror(tmp_path / "mirror")
    code = (
        "import subprocess, sys;"
        "child = subprocess.Popen([sys.argv[1], 'libvirt'], stdout=subprocess.PIPE, text=True);"
        "child.stdout.readline(); print(child.pid, flush=True); sys.stdin.read()"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(scratch),
        "ZAVE_WORLD": str(tmp_path / "world.db"),
        COOKIE[0]: COOKIE[1],
    }
    command = [sys.executable, "-c", code, str(tmp_path / "mirror" / "run")]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + SECONDS
    while _lives(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(child)
    assert list(scratch.iterdir()) == []


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("arguments", "cookie", "words"),
    [
        pytest.param(["libvirt"], False, "Terraform starts it", id="started by a person"),
        pytest.param(["absent", "none", str(schema.FOLDER)], True, "absent.json", id="unknown catalogue"),
        pytest.param(
            ["libvirt", "/nonexistent", str(schema.FOLDER)], True, "nonexistent", id="no certificate"
        ),
        pytest.param([], True, "cannot start", id="no arguments"),
    ],
)
def test_it_says_why_it_cannot_start(arguments: list[str], cookie: bool, words: str, tmp_path: Path) -> None:
    environment = {"ZAVE_WORLD": str(tmp_path / "world.db"), **({COOKIE[0]: COOKIE[1]} if cookie else {})}
    done = subprocess.run(
        [sys.executable, "-I", "-m", "zave.rehearsal.plugin", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
