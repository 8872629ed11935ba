"""The one error boundary: turns whatever went wrong into a message and an exit status."""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from typer.exceptions import Abort, TyperException

from zave.cli.options import Given
from zave.errors import DeclinedError, ExitCode, UsageError, ZaveError
from zave.text import clean

# what a screen can take of a tool's words; the step's log has the rest
MAX_DETAIL_LINES = 30
MAX_LINE = 500


class Lasting:
    """A stream that outlives its terminal: what is said after that was closed is lost, and no error."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write `text`."""
        try:
            return self.stream.write(text)
        except OSError as error:
            _forgive_closed_terminal(error)
            return len(text)

    def flush(self) -> None:
        """Write what is held back."""
        try:
            self.stream.flush()
        except OSError as error:
            _forgive_closed_terminal(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class WatchedStdout(Lasting):
    """stdout that knows whether anything was said on it: programs get a document or an error."""

    used = False

    def write(self, text: str) -> int:
        """Write `text` and remember it."""
        self.used = True
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritten(error) from error

    def flush(self) -> None:
        """Write what is held back."""
        try:
            super().flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritten(error) from error


def _unwritten(error: OSError) -> ZaveError:
    return ZaveError(
        f"the output cannot be written: {error.strerror}",
        where="stdout",
        resolution="send it where there is room; what the command did is done",
    )


def _forgive_closed_terminal(error: OSError) -> None:
    # termios(3): a terminal that was hung up answers EIO
    if error.errno != errno.EIO:
        raise error


def guarded(run: Callable[[], object], *, line: Sequence[str], given: Given) -> int:
    """Run a command and return the exit status; nothing but SystemExit leaves this function."""
    _forgiving_streams()
    stdout, stderr = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = WatchedStdout(stdout), Lasting(stderr)
    try:
        status = _guarded(run, line=line, given=given)
    finally:
        sys.stdout, sys.stderr = stdout, stderr
    return status if _flush() else status or int(ExitCode.FAILED)


def _guarded(run: Callable[[], object], *, line: Sequence[str], given: Given) -> int:
    try:
        status = run()
    except KeyboardInterrupt:
        status = int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # whoever read our output has seen enough; that is no error to talk about
        status = int(ExitCode.FAILED)
    except Exception as error:  # noqa: BLE001  the one place where everything ends
        status = _tell_any(error, line=line, given=given)
    if status == int(ExitCode.INTERRUPTED):
        _say("interrupted")
    return status if isinstance(status, int) else int(ExitCode.DONE)


def _tell_any(error: Exception, *, line: Sequence[str], given: Given) -> int:
    json = _wants_json(line, given)
    if isinstance(error, ZaveError):
        if given.values.get("rehearse") and error.resolution:
            from zave.ui.advice import advice

            error.resolution = advice(error.resolution, rehearsal=True)
        return tell(error, json=json)
    if isinstance(error, Abort):
        return tell(DeclinedError("no answer: nothing was changed"), json=json)
    if isinstance(error, TyperException):
        return tell(_usage_error(error), json=json)
    return _tell_bug(error, line=line, given=given)


def tell(error: ZaveError, *, json: bool) -> int:
    """Say what happened on stderr; return the exit status.

    With `json` also as a line on stdout, unless a document or events there have told it already.
    """
    if json and not getattr(sys.stdout, "used", False):
        import json as codec

        document = {"schema": "zave/error/v1", "event": "error", **error.to_document()}
        sys.stdout.write(codec.dumps(document, ensure_ascii=True) + "\n")
    _say("\n".join(explain(error)))
    return int(error.exit_code)


def explain(error: ZaveError) -> list[str]:
    """The lines that tell a person of `error`; a tool's words in it are made harmless and short."""
    lines = [f"error: {_short(error.brief)}"]
    if error.where:
        lines.append(f"  where: {_short(error.where)}")
    if error.details:
        details = clean(error.details).rstrip("\n").split("\n")
        lines += [f"  {_short(text)}" for text in details[:MAX_DETAIL_LINES]]
        if len(details) > MAX_DETAIL_LINES:
            lines.append(f"  ... and {len(details) - MAX_DETAIL_LINES} more lines")
    if error.resolution:
        first, *rest = clean(error.resolution).split("\n")
        lines.append(f"  next: {first}")
        lines += [f"        {text}" for text in rest]
    return lines


def _short(text: str) -> str:
    cleaned = clean(text).rstrip()
    return cleaned if len(cleaned) <= MAX_LINE else f"{cleaned[:MAX_LINE]}..."


def _say(text: str) -> None:
    try:
        sys.stderr.write(text + "\n")
    except BrokenPipeError:
        _to_nowhere(sys.stderr)


def _wants_json(line: Sequence[str], given: Given) -> bool:
    if given.options is not None:
        return given.options.json
    chosen = given.values.get("output") or ("json" if given.values.get("json") else None)
    if chosen is None:
        # the line could not be parsed to the end: look at the words themselves, not past `--`
        words = list(line[: line.index("--")] if "--" in line else line)
        pairs = list(zip(words, [*words[1:], ""], strict=True))
        asked = any(
            word in {"--json", "--output=json", "-ojson"} or (word in {"-o", "--output"} and after == "json")
            for word, after in pairs
        )
        chosen = "json" if asked else os.environ.get("ZAVE_OUTPUT")
    return chosen == "json"


def _usage_error(error: TyperException) -> UsageError:
    """A mistake on the command line in zave's own words."""
    message = error.format_message()
    message, _, suggestion = message.partition(" Did you mean ")
    message, _, options = message.partition(" (Possible options: ")
    # pydantic's own words, and a list with a line and a tab to each choice
    message = " ".join(
        message.replace("Value error, ", "").replace(". Choose from:", ": choose from").split()
    )
    brief = message[:1].lower() + message[1:].rstrip(". ")
    context: Any = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "zave"
    near = suggestion.rstrip("?") or options.rstrip(")")
    if not near and brief.startswith("no such option: "):
        near = _near_option(brief.partition(": ")[2], context)
    hint = f"`{path} --help` shows what there is"
    resolution = f"did you mean {near}? {hint}" if near else hint
    return UsageError(brief, resolution=resolution)


def _near_option(wanted: str, context: Any) -> str:
    import difflib

    known = [name for parameter in context.command.params for name in parameter.opts] if context else []
    return next(iter(difflib.get_close_matches(wanted, known, n=1)), "")


def _tell_bug(error: Exception, *, line: Sequence[str], given: Given) -> int:
    import traceback

    story = "".join(traceback.format_exception(error))
    summary = f"{type(error).__name__}: {error}".split("\n", 1)[0]
    verbose = int(given.values.get("verbose") or 0)
    path = None if verbose >= 2 else _keep_crash(story, line=line, given=given)
    failure = ZaveError(
        "this is a bug in zave",
        details=summary,
        resolution=f"the traceback is in {path}"
        if path
        else "the traceback is below; -vv shows it each time",
    )
    status = tell(failure, json=_wants_json(line, given))
    if path is None:
        _say(clean(story))
    return status


def _keep_crash(story: str, *, line: Sequence[str], given: Given) -> str | None:
    """Write the traceback to a private file under the state directory; None when that fails as well."""
    import time

    from zave.state.directory import StateDirectory

    try:
        directory = StateDirectory.locate(os.environ, rehearsal=bool(given.values.get("rehearse")))
        directory.prepare()
        folder = directory.root / "crashes"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.txt"
        # O_EXCL: never through somebody's link, never over an older crash
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as stream:
            # the verb only: arguments may be anything
            stream.write(f"zave {line[0] if line else ''}\npython {sys.version}\n\n{story}")
    except (OSError, ZaveError):
        return None
    return str(path)


def _forgiving_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # a terminal that cannot show a sign gets its code, not a traceback
            reconfigure(errors="backslashreplace")


def _flush() -> bool:
    """Write what is held back; False, and told, where stdout does not take it."""
    taken = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (BrokenPipeError, ValueError):
            _to_nowhere(stream)
        except OSError as error:
            _to_nowhere(stream)
            if stream is sys.stdout and error.errno != errno.EIO:
                taken = False
                _say("\n".join(explain(_unwritten(error))))
    return taken


def _to_nowhere(stream: Any) -> None:
    # the interpreter flushes once more at its end and would complain
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):
        return
