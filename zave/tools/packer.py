"""Packer, driven by typed verbs and read through its `-machine-readable` lines.

Packer 1.6.6 is the oldest that works (Debian 12's): HCL2 with both builders inside. Since 1.7 builders
are plugins, which `packer init` fetches and the template names; 1.6 knows neither.
"""

import os
import re
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zave.errors import InterruptedRunError, ToolFailedError, ToolMissingError
from zave.ports import Outcome, Request, Runner
from zave.text import clean
from zave.tools.child_environment import CERTIFICATES, PROXIES, inherited

OLDEST = (1, 6, 6)
# the first version whose builders are plugins
PLUGINS_SINCE = (1, 7, 0)

QEMU_PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils"}
"""What the builder `qemu` starts, and the package of Debian's and Ubuntu's that has it."""

_RESOLUTION = "install Packer 1.6.6 or later: Debian's package packer, or HashiCorp's"
# what Packer and QEMU need from the user's surroundings; AWS_* beside them where AMIs are built
_INHERITED = (*("PATH", "HOME", "USER", "LANG", "TMPDIR", *CERTIFICATES, *PROXIES),)
_SECRET = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
# no update check, no colours in what a machine reads
_FIXED = {"CHECKPOINT_DISABLE": "1", "PACKER_NO_COLOR": "1"}
_VERSION_TIMEOUT = 30.0
_TEXT_LIMIT = 2000
_LAST_WORDS = 20
_ARTIFACT_KEYS = 100
_QEMU = "Qemu stderr:"
_DEBUG_TAIL = 64 * 1024
_VERSION = re.compile(r"v?([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})")


@dataclass(frozen=True)
class Limits:
    """Real seconds after which Packer is interrupted, and until it is then killed.

    A build takes 2 min without KVM where little has to be updated (facts of 2026-11-23), and much
    longer over a slow network.
    """

    init: float = 900.0
    validate: float = 120.0
    build: float = 7200.0
    interrupt_grace: float = 60.0


@dataclass(frozen=True)
class PackerEvent:
    """One machine-readable line. `target` is the build it is about, empty for Packer itself.

    `kind` is `say`, `message`, `error` or `artifact`; an artifact's `key` and `text` are its name and
    value. All of it is what a tool said: clean, bounded, and never to be believed blindly.
    """

    kind: str
    text: str
    target: str = ""
    key: str = ""


@dataclass(frozen=True)
class Job:
    """Where Packer works: it runs in `folder`, its words go to `log`.

    `variables` are var-files; `survivors` is the file that it holds a lock on while it lives. `debug`
    takes its stderr: what it writes for its developers, where alone it tells why QEMU did not start.
    """

    folder: Path
    log: Path
    debug: Path
    survivors: Path
    only: str
    variables: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Packer:
    """The program at `program`.

    Every verb raises ToolFailedError when Packer fails or takes too long, InterruptedRunError when the
    user interrupted it. `environment` is the user's; of it Packer gets what it needs, and AWS_* with
    `amazon`. `plugins` is the folder in which plugins are kept.
    """

    program: Path
    version: tuple[int, int, int]
    runner: Runner
    environment: Mapping[str, str] = field(repr=False)
    plugins: Path
    amazon: bool = False
    limits: Limits = Limits()

    @classmethod
    def find(
        cls, *, runner: Runner, environment: Mapping[str, str], plugins: Path, amazon: bool = False
    ) -> "Packer":
        """The one on PATH. Raises ToolMissingError when there is none, or one that is too old."""
        found = shutil.which("packer", path=environment.get("PATH", os.defpath))
        if found is None:
            raise ToolMissingError("packer was not found", resolution=_RESOLUTION)
        program = Path(found).absolute()
        version = _ask(program, runner=runner, environment=environment)
        if version is None:
            # Red Hat's cracklib brings a `packer` of its own
            raise ToolMissingError(f"{program} is not HashiCorp's Packer", resolution=_RESOLUTION)
        if version < OLDEST:
            shown = ".".join(map(str, version))
            raise ToolMissingError(f"{program} is {shown}: too old", resolution=_RESOLUTION)
        return cls(program, version, runner, environment, plugins, amazon)

    def require_qemu(self) -> None:
        """Raise ToolMissingError where a program that the builder `qemu` starts is not on PATH."""
        path = self.environment.get("PATH", os.defpath)
        missing = [name for name in QEMU_PROGRAMS if shutil.which(name, path=path) is None]
        if missing:
            packages = " and ".join(QEMU_PROGRAMS[name] for name in missing)
            raise ToolMissingError(
                f"{' and '.join(missing)} {'were' if len(missing) > 1 else 'was'} not found",
                resolution=f"Packer builds the image in QEMU: install Debian's or Ubuntu's {packages}",
            )

    @property
    def title(self) -> str:
        """What to call it in messages and manifests."""
        return f"Packer {'.'.join(map(str, self.version))}"

    @property
    def has_plugins(self) -> bool:
        """Whether its builders are plugins, and its templates name them."""
        return self.version >= PLUGINS_SINCE

    def init(self, job: Job) -> None:
        """Fetch the plugins that the template names. Nothing to do where the builders are inside."""
        if self.has_plugins:
            self.plugins.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._run(job, ("init", "."), limit=self.limits.init)

    def validate(self, job: Job) -> None:
        """See that the template and the variables are right."""
        self._run(job, ("validate", *_choice(job), "."), limit=self.limits.validate)

    def build(self, job: Job, *, on_event: Callable[[PackerEvent], None]) -> Mapping[str, str]:
        """Build; returns what Packer says of the artifact, such as `id` -> `us-east-1:ami-...`."""
        artifact: dict[str, str] = {}

        def take(event: PackerEvent) -> None:
            if event.kind == "artifact" and len(artifact) < _ARTIFACT_KEYS:
                artifact.setdefault(event.key, event.text)
            on_event(event)

        self._run(job, ("build", *_choice(job), "."), limit=self.limits.build, on_event=take)
        return artifact

    def _run(
        self,
        job: Job,
        arguments: Sequence[str],
        *,
        limit: float,
        on_event: Callable[[PackerEvent], None] = lambda _: None,
    ) -> None:
        said: deque[str] = deque(maxlen=_LAST_WORDS)

        def take(line: str) -> None:
            event = parse_line(line)
            if event is None:
                return
            if event.kind == "error":
                said.append(event.text)
            on_event(event)

        verb, *rest = arguments
        request = Request(
            # -I: nothing in the template's folder may change what is imported
            argv=(
                *(sys.executable, "-I", "-m", "zave.tools.packer_launch", str(self.program)),
                *(verb, "-machine-readable", *rest),
            ),
            cwd=job.folder,
            log=job.log,
            errors=job.debug,
            environment=self._environment(),
            timeout=limit,
            interrupt_grace=self.limits.interrupt_grace,
            survivors=job.survivors,
            secrets=frozenset(self.environment[name] for name in _SECRET if self.environment.get(name)),
        )
        self._judge(verb, self.runner.run(request, on_line=take), said, job)

    def _judge(self, verb: str, outcome: Outcome, said: Sequence[str], job: Job) -> None:
        if outcome.interrupted:
            raise InterruptedRunError(
                f"packer {verb} was interrupted", resolution="run the same command again: it starts over"
            )
        if outcome.timed_out:
            raise ToolFailedError(
                f"packer {verb} did not end in time ({outcome.seconds:.0f} s)",
                details="\n".join(said) or None,
                where=str(job.log),
                resolution="the log tells what it waited for; then run the same command again",
            )
        if outcome.exit_code != 0:
            raise ToolFailedError(
                f"packer {verb} failed (exit code {outcome.exit_code})",
                details="\n".join(dict.fromkeys([*said, *_qemus_words(job.debug)])) or None,
                where=str(job.log),
                resolution="the log has all that Packer and the scripts said",
            )

    def _environment(self) -> dict[str, str]:
        wanted = inherited(_INHERITED, environ=self.environment)
        if self.amazon:
            wanted |= {name: value for name, value in self.environment.items() if name.startswith("AWS_")}
        return {**wanted, **_FIXED, "PACKER_PLUGIN_PATH": str(self.plugins)}


def parse_line(line: str) -> PackerEvent | None:
    """One line of `-machine-readable`: time, target, type, data. None for what is of no interest."""
    fields = line.split(",")
    if len(fields) < 4 or not fields[0].isdecimal():
        return None
    _, target, kind, *data = (_unescaped(text) for text in fields)
    if kind == "ui" and len(data) >= 2 and data[0] in ("say", "message", "error"):
        return PackerEvent(data[0], ",".join(data[1:]), target)
    if kind == "error":
        return PackerEvent("error", ",".join(data), target)
    if kind == "artifact" and len(data) >= 3 and data[0] == "0":
        return PackerEvent("artifact", ",".join(data[2:]), target, key=data[1])
    return None


def _qemus_words(debug: Path) -> list[str]:
    """What QEMU said last, from Packer's own log: `Qemu failed to start` tells nobody why."""
    try:
        with debug.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _DEBUG_TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    found = [line.partition(_QEMU)[2] for line in lines if _QEMU in line]
    return [f"QEMU: {_unescaped(text)}" for text in found[-5:]]


def _unescaped(text: str) -> str:
    """A field as it was before Packer escaped it, made harmless and short."""
    text = text[:_TEXT_LIMIT].replace("%!(PACKER_COMMA)", ",").replace("\\r", "").replace("\\n", "\n")
    return clean(text).strip()


def _choice(job: Job) -> tuple[str, ...]:
    return (f"-only={job.only}", *(f"-var-file={file}" for file in job.variables))


def _ask(program: Path, *, runner: Runner, environment: Mapping[str, str]) -> tuple[int, int, int] | None:
    with tempfile.TemporaryDirectory(prefix="zave-packer-") as scratch:
        log = Path(scratch, "stdout")
        outcome = runner.run(
            Request(
                argv=(str(program), "version", "-machine-readable"),
                cwd=Path(scratch),
                log=log,
                errors=Path(scratch, "stderr"),
                environment={
                    **{name: environment[name] for name in ("PATH", "HOME") if name in environment},
                    **_FIXED,
                },
                timeout=_VERSION_TIMEOUT,
                interrupt_grace=1.0,
            )
        )
        with log.open("rb") as file:
            said = file.read(64 * 1024).decode("utf-8", "replace")
    if outcome.exit_code != 0:
        return None
    for line in said.splitlines():
        fields = line.split(",")
        if len(fields) >= 4 and fields[2] == "version" and (found := _VERSION.match(fields[3])):
            return int(found[1]), int(found[2]), int(found[3])
    return None
