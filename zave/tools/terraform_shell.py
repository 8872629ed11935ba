"""Running Terraform: its environment, its streams and documents, and its failures as errors."""

import json
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zave.errors import InterruptedRunError, ToolFailedError, ZaveError
from zave.ports import Outcome, Request, Runner
from zave.process import open_private
from zave.tools.child_environment import CERTIFICATES, PROXIES, inherited
from zave.tools.terraform_engine import Engine
from zave.tools.terraform_json import ChangeCounts, Diagnostic, TerraformEvent, failure, parse_line

# set for every command: no questions, no update check
_FIXED = {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
# what a program needs from the user's surroundings beyond what zave gives it
_INHERITED = ("PATH", "HOME", "USER", "LANG", "TMPDIR", *CERTIFICATES, *PROXIES)
# documents of `show -json` larger than this are no answer; 67 AWS resources take about 1 MB
_DOCUMENT_LIMIT = 32 * 1024 * 1024
# kept from a command that floods its output
_DIAGNOSTICS_LIMIT = 200
_LAST_WORDS = 20
_LAST_WORDS_BYTES = 8192
_SCRATCH = ".zave-output"


@dataclass(frozen=True)
class Limits:
    """Real seconds after which a command is interrupted; `interrupt_grace` until it is killed.

    `query` is for all that only reads files. An EKS control plane alone may take 21 minutes (as
    users report, 2026-10), so `apply` is generous.
    """

    query: float = 120.0
    init: float = 900.0
    plan: float = 1800.0
    apply: float = 7200.0
    interrupt_grace: float = 60.0


@dataclass(frozen=True)
class Result:
    """How a streaming command ended, what it said, and which addresses it had begun and not finished."""

    outcome: Outcome
    diagnostics: tuple[Diagnostic, ...] = ()
    counts: ChangeCounts | None = None
    said: str = ""
    at_work: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shell:
    """Where and how Terraform is run. `arguments` in its methods begin with the verb."""

    engine: Engine
    runner: Runner
    root: Path
    log: Path
    environment: Mapping[str, str] = field(repr=False)
    survivors: Path | None
    on_event: Callable[[TerraformEvent], None] | None
    limits: Limits
    secrets: frozenset[str] = field(repr=False)

    def stream(self, arguments: Sequence[str], *, limit: float, accepted: tuple[int, ...] = (0,)) -> Result:
        """Run a command that writes events, pass them on; raise when its exit code is another."""
        collected = _Collected(self.on_event)
        outcome = self._run(arguments, log=self.log, limit=limit, on_line=collected.take)
        result = collected.result(outcome)
        if outcome.exit_code not in accepted:
            raise self.failed(arguments, result)
        return result

    def text(self, arguments: Sequence[str], *, accepted: tuple[int, ...] = (0,)) -> str:
        """What a command prints. Kept out of the log: states, plans and outputs hold secrets."""
        with self._scratch() as scratch:
            outcome = self._run(arguments, log=scratch, limit=self.limits.query)
            with scratch.open("rb") as file:
                said = file.read(_DOCUMENT_LIMIT + 1)
        if outcome.exit_code not in accepted:
            raise self.failed(arguments, Result(outcome, said=self._last_errors()))
        if len(said) > _DOCUMENT_LIMIT:
            raise self.nonsense(arguments)
        return said.decode("utf-8", "replace")

    def document(self, arguments: Sequence[str], *, accepted: tuple[int, ...] = (0,)) -> Any:
        """The JSON document that a command prints."""
        try:
            return json.loads(self.text(arguments, accepted=accepted))
        except (ValueError, RecursionError) as error:
            raise self.nonsense(arguments) from error

    def failed(self, arguments: Sequence[str], result: Result) -> ZaveError:
        """The error for a command that ended as it should not."""
        command, outcome = self._title(arguments), result.outcome
        if outcome.interrupted:
            return InterruptedRunError(
                f"{command} was interrupted",
                where=str(self.root),
                resolution="run the same command again: it goes on from what is done",
            )
        if outcome.timed_out:
            what = f"{command} did not end in time and was interrupted after {outcome.seconds:.0f} s"
        elif outcome.exit_code < 0:
            what = f"{command} was ended by {_signal_name(-outcome.exit_code)}"
        else:
            what = f"{command} failed (exit code {outcome.exit_code})"
        return failure(
            what, result.diagnostics, root=self.root, log=self.log, said=result.said, at_work=result.at_work
        )

    def nonsense(self, arguments: Sequence[str]) -> ToolFailedError:
        """The error for a command that ended well and printed something else than it should."""
        return ToolFailedError(
            f"{self._title(arguments)} printed something that zave does not understand",
            where=str(self.root),
            resolution=f"`zave doctor` tells whether {self.engine.title} is supported; the log is {self.log}",
        )

    def _run(
        self,
        arguments: Sequence[str],
        *,
        log: Path,
        limit: float,
        on_line: Callable[[str], None] | None = None,
    ) -> Outcome:
        self._announce(arguments)
        request = Request(
            argv=(*self.engine.argv, *arguments),
            cwd=self.root,
            log=log,
            errors=None if log == self.log else self.log,
            environment=terraform_environment(self.environment),
            timeout=limit,
            interrupt_grace=self.limits.interrupt_grace,
            survivors=self.survivors,
            secrets=self.secrets,
        )
        return self.runner.run(request, on_line=on_line)

    def _announce(self, arguments: Sequence[str]) -> None:
        """Say in the log what is run, in the form of the events that follow."""
        message = " ".join([self.engine.title, *arguments])
        line = json.dumps({"@level": "info", "@message": message, "@module": "zave", "type": "command"})
        descriptor = open_private(self.log, os.O_WRONLY | os.O_APPEND)
        with os.fdopen(descriptor, "ab") as log:
            log.write(f"{line}\n".encode())

    def _last_errors(self) -> str:
        """The end of the log, where a command without events wrote why it failed."""
        with self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LAST_WORDS_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
        return "\n".join(line for line in lines if not line.startswith("{"))

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        # one fixed name: what a killed zave left is replaced by the next command
        path = self.root / _SCRATCH
        path.unlink(missing_ok=True)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    @staticmethod
    def _title(arguments: Sequence[str]) -> str:
        return f"terraform {arguments[0]}"


class _Collected:
    """Parses a stream, passes it on, and keeps what an error would have to tell."""

    def __init__(self, on_event: Callable[[TerraformEvent], None] | None) -> None:
        self._on_event = on_event
        self._diagnostics: list[Diagnostic] = []
        self._counts: ChangeCounts | None = None
        self._said: deque[str] = deque(maxlen=_LAST_WORDS)
        self._at_work: dict[str, None] = {}

    def take(self, line: str) -> None:
        """One line of the stream."""
        event = parse_line(line)
        if event is None:
            return
        if event.kind == "text":
            self._said.append(event.text[:500])
        elif event.diagnostic is not None and len(self._diagnostics) < _DIAGNOSTICS_LIMIT:
            self._diagnostics.append(event.diagnostic)
        elif event.counts is not None:
            self._counts = event.counts
        elif event.kind == "apply_start" and event.address is not None:
            self._at_work[event.address] = None
        elif event.kind == "apply_complete" and event.address is not None:
            self._at_work.pop(event.address, None)
        if self._on_event is not None:
            self._on_event(event)

    def result(self, outcome: Outcome) -> Result:
        """All of it, once the command has ended."""
        said = "\n".join(self._said)
        return Result(outcome, tuple(self._diagnostics), self._counts, said, tuple(self._at_work))


def terraform_environment(
    given: Mapping[str, str], *, base: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Terraform's whole environment: `given` on top of a few variables of the user's own.

    Every TF_* is dropped, as any of them may change what a command does (TF_CLI_ARGS, TF_VAR_*,
    TF_WORKSPACE, TF_DATA_DIR, TF_REATTACH_PROVIDERS...). A TF_CLI_CONFIG_FILE passes when it exists:
    one that points nowhere adds a warning to every command. ZAVE_TF_LOG becomes TF_LOG.
    """
    user = os.environ if base is None else base
    merged = inherited(_INHERITED, environ=user) | dict(given)
    kept = {name: value for name, value in merged.items() if not name.startswith("TF_")}
    config = merged.get("TF_CLI_CONFIG_FILE")
    if config and Path(config).is_file():
        kept["TF_CLI_CONFIG_FILE"] = config
    if level := merged.get("ZAVE_TF_LOG"):
        kept["TF_LOG"] = level
    return kept | _FIXED


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
