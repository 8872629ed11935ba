"""SSH to machines whose host keys are pinned: no other host is ever spoken to.

Nothing of the user's own configuration applies but the agent, and the keys that the environment names.
What a command prints never touches this machine's disk: it comes through a pipe, as it may be a secret.
"""

import os
import select
import shlex
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from zave.errors import InterruptedRunError
from zave.ports import Outcome, Request, Runner
from zave.process import open_private
from zave.text import clean
from zave.tools.child_environment import inherited

# OpenSSH's own exit code for "no connection, or lost it"; every other one is the command's
LOST = 255

# for connection and key exchange together: a machine without KVM that is just booting is slow at both
_CONNECT_SECONDS = 20

_OUTPUT_LIMIT = 8 * 1024 * 1024
_ERRORS_LIMIT = 16 * 1024
_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK")
# which signatures a pinned key allows (ssh_config(5), HostKeyAlgorithms): an RSA key by SHA-2 only
_SIGNATURES: Mapping[str, str] = {"ssh-rsa": "rsa-sha2-512,rsa-sha2-256"}

Trouble = Literal["host-key", "login", "connection"]


@dataclass(frozen=True)
class Host:
    """A machine to speak to: `name` is what its host keys are pinned under, whatever its address."""

    name: str
    address: str
    port: int = 22


@dataclass(frozen=True)
class Answer:
    """What a command gave: its exit code, output, and harmless text of its errors.

    `whole` is False when there was more output than is taken.
    """

    exit_code: int
    output: bytes
    errors: str
    timed_out: bool = False
    whole: bool = True

    @property
    def text(self) -> str:
        """The output as text."""
        return self.output.decode("utf-8", "replace")

    @property
    def trouble(self) -> Trouble | None:
        """Why there was no connection; None when there was one.

        The exit code alone says that there was none; OpenSSH tells the reason in words only.
        """
        if self.exit_code != LOST:
            return None
        if "Host key verification failed" in self.errors or "no matching host key type" in self.errors:
            return "host-key"
        if "Permission denied" in self.errors or "Too many authentication failures" in self.errors:
            return "login"
        return "connection"


@dataclass(frozen=True)
class Ssh:
    """Runs commands as root on machines of one instance.

    `folder` is where ssh runs, `known_hosts` the file of the pinned keys, `log` what ssh complains
    into. `keys` are files of public keys: the private halves beside them are named to ssh, and never
    read here. `jump` is the libvirt host (`[user@]host[:port]`) behind which the machines are, None
    when they are near. `patience` is how many seconds a machine may take to answer.
    """

    runner: Runner
    folder: Path
    known_hosts: Path
    log: Path
    keys: tuple[Path, ...]
    user: str = "zave"
    jump: str | None = None
    patience: int = _CONNECT_SECONDS

    def run(
        self,
        host: Host,
        script: str,
        *arguments: str,
        limit: float,
        input: bytes | Path | None = None,  # noqa: A002 - what it is called where it goes
    ) -> Answer:
        """Run a shell script as root, with `arguments` as $1 and so on.

        Neither script nor arguments may be secret: they are visible on both machines. `input` may.
        """
        with self._pipes() as pipes:
            request = self._request(host, script, arguments, limit=limit, pipes=pipes)
            outcome = self.runner.run(replace(request, input=input))
        return self._answer(host, outcome, *pipes)

    def fetch(self, host: Host, script: str, *arguments: str, limit: float, destination: Path) -> Answer:
        """Like `run`; the output is appended to the file `destination` (made 0600)."""
        with self._pipes() as pipes:
            request = self._request(host, script, arguments, limit=limit, pipes=pipes)
            outcome = self.runner.run(replace(request, log=destination))
        return self._answer(host, outcome, *pipes)

    def shell(self, host: Host, command: Sequence[str]) -> tuple[str, ...]:
        """The argument list that opens a shell for a person, or runs `command` as the user there."""
        terminal = "-t" if not command else "-T"
        words = [shlex.join(command)] if command else []
        return ("ssh", terminal, *self._options(host, batch=False), "--", self._target(host), *words)

    def _request(
        self,
        host: Host,
        script: str,
        arguments: Sequence[str],
        *,
        limit: float,
        pipes: tuple["_Pipe", "_Pipe"],
    ) -> Request:
        # -c and not stdin, which belongs to the script
        command = shlex.join(["sudo", "-n", "--", "/bin/sh", "-euc", script, "zave", *arguments])
        return Request(
            argv=("ssh", "-T", *self._options(host, batch=True), "--", self._target(host), command),
            cwd=self.folder,
            log=pipes[0].path,
            errors=pipes[1].path,
            environment=_environment(),
            timeout=limit,
            interrupt_grace=2.0,
        )

    def _target(self, host: Host) -> str:
        return f"{self.user}@{host.address}"

    def _options(self, host: Host, *, batch: bool) -> list[str]:
        options = {
            "UserKnownHostsFile": quoted(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            # a server may announce more keys; only the console's count
            "UpdateHostKeys": "no",
            "HostKeyAlias": host.name,
            "CheckHostIP": "no",
            "HostKeyAlgorithms": self._algorithms(host),
            "PreferredAuthentications": "publickey",
            # otherwise an agent with many keys uses up the attempts before the right one is tried
            "IdentitiesOnly": "yes",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "PermitLocalCommand": "no",
            "ConnectTimeout": str(self.patience),
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "6",
            "LogLevel": "ERROR",
        }
        if batch:
            options |= {"BatchMode": "yes", "ClearAllForwardings": "yes"}
        if self.jump is not None:
            options["ProxyCommand"] = _through(self.jump, self.patience)
        words = ["-F", "/dev/null", "-p", str(host.port)]
        for name, value in options.items():
            words += ["-o", f"{name}={value}"]
        for key in self.keys:
            private = key.with_suffix("")
            # with the public half alone, the agent is asked for its other half
            words += ["-i", str(private if private.exists() else key)]
        return words

    def _algorithms(self, host: Host) -> str:
        types = [line.split()[1] for line in _lines(self.known_hosts) if line.split()[0] == host.name]
        # none pinned: no list may be empty, and an unknown host is refused whatever its key
        return ",".join(_SIGNATURES.get(each, each) for each in types) or "ssh-ed25519"

    def _answer(self, host: Host, outcome: Outcome, output: "_Pipe", errors: "_Pipe") -> Answer:
        said = clean(errors.content.decode("utf-8", "replace")).strip()
        if said:
            self._note(host, said)
        if outcome.interrupted:
            raise InterruptedRunError(
                f"interrupted while {host.name} was at work",
                resolution="run the same command again: it goes on from what is done",
            )
        return Answer(
            # a negative one: ssh itself was killed, by its time limit or by somebody
            LOST if outcome.timed_out or outcome.exit_code < 0 else outcome.exit_code,
            output.content,
            said,
            timed_out=outcome.timed_out,
            whole=output.whole,
        )

    def _note(self, host: Host, said: str) -> None:
        text = "".join(f"{host.name}: {line}\n" for line in said.splitlines())
        with os.fdopen(open_private(self.log, os.O_WRONLY | os.O_APPEND), "ab") as log:
            log.write(text.encode("utf-8", "replace"))

    @contextmanager
    def _pipes(self) -> Iterator[tuple["_Pipe", "_Pipe"]]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="zave-ssh-") as place:
            output = _Pipe(Path(place, "output"), limit=_OUTPUT_LIMIT)
            errors = _Pipe(Path(place, "errors"), limit=_ERRORS_LIMIT, end=True)
            try:
                yield output, errors
            finally:
                output.finish()
                errors.finish()


class _Pipe:
    """A named pipe and the thread that empties it; keeps `limit` bytes: the first, or with `end` the last."""

    def __init__(self, path: Path, *, limit: int, end: bool = False) -> None:
        self.path = path
        self.whole = True
        self._limit = limit
        self._end = end
        self._kept = bytearray()
        os.mkfifo(path, 0o600)
        # before the writer, which would wait for a reader otherwise
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._empty, daemon=True)
        self._thread.start()

    @property
    def content(self) -> bytes:
        """What came through; all of it once `finish` has returned."""
        return bytes(self._kept)

    def finish(self) -> None:
        """Take what is left; the program has ended. May be called again."""
        if not self._done.is_set():
            self._done.set()
            self._thread.join()
            self._take()
            os.close(self._reader)

    def _empty(self) -> None:
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        while not self._done.is_set():
            ready = poll.poll(20)
            if ready and ready[0][1] & select.POLLIN:
                self._take()
            elif ready:
                # no writer yet, or none any more: the poll would return at once for ever
                self._done.wait(0.02)

    def _take(self) -> None:
        while True:
            try:
                chunk = os.read(self._reader, 65536)
            except BlockingIOError:
                return
            if not chunk:
                return
            self._kept += chunk
            if len(self._kept) > self._limit:
                self.whole = False
                self._kept = self._kept[-self._limit :] if self._end else self._kept[: self._limit]


def jump_of(uri: str) -> str | None:
    """The host behind which the machines of the libvirt host `uri` are; None for this machine.

    `qemu+ssh://me@host:2222/system` gives `me@host:2222`. A `qemu+tls` host cannot be jumped through;
    its machines must be reachable from here.
    """
    parts = urlsplit(uri)
    return parts.netloc if parts.scheme == "qemu+ssh" and parts.netloc else None


def _through(jump: str, patience: int) -> str:
    """The ProxyCommand that goes through the libvirt host as libvirt itself does.

    Not ProxyJump: with `-F /dev/null` that would drop the user's own settings for the host, which
    libvirt obeys. Its host key is the user's to know, and is never accepted here.
    """
    host, _, port = jump.partition(":")
    words = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    words += ["-o", f"ConnectTimeout={patience}"]
    words += ["-p", port] if port else []
    return shlex.join(words).replace("%", "%%") + " -W [%h]:%p -- " + shlex.quote(host).replace("%", "%%")


def _environment() -> dict[str, str]:
    kept = inherited(_INHERITED, environ=os.environ)
    # the reasons are told apart by OpenSSH's own words
    return kept | {"LC_ALL": "C"}


def quoted(path: Path) -> str:
    """`path` as ssh's configuration wants it: quoted, `%` doubled."""
    return '"' + str(path).replace("%", "%%") + '"'


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text().splitlines() if len(line.split()) == 3]
    except FileNotFoundError:
        return []
