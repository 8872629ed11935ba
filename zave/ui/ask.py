"""Questions: asked on the terminal only, never guessed."""

import errno
import sys

from zave.errors import DeclinedError, UsageError


def require_somebody(*, no_input: bool) -> None:
    """Raise UsageError (exit 2) when there is nobody to ask."""
    if no_input or sys.stdin is None or not sys.stdin.isatty():
        reason = "questions are switched off" if no_input else "there is no terminal to ask on"
        raise UsageError(reason, resolution="add --yes to the command if that is what you want")


def confirm(question: str, *, yes: bool, no_input: bool) -> None:
    """Return when the answer is yes.

    Raises DeclinedError (exit 7) for any other answer, UsageError (exit 2) when there is nobody to
    ask: `no_input`, or stdin is no terminal; KeyboardInterrupt when the terminal was closed meanwhile.
    """
    if yes:
        return
    require_somebody(no_input=no_input)
    try:
        # on stderr: stdout belongs to data
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise KeyboardInterrupt from error
    # a terminal that was hung up ends a read with EIO or, a moment later, with nothing at all. So does
    # Ctrl-D, after which there still is a terminal
    if not answer and not sys.stdin.isatty():
        raise KeyboardInterrupt
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    if answer.strip().lower() not in {"y", "yes"}:
        raise DeclinedError("declined: nothing was changed")
