import io
import os
import pty
import subprocess
import sys

import pytest

from zave.errors import DeclinedError, UsageError
from zave.ui.ask import confirm
from zave.ui.style import Style, dollars, span, style_for
from zave.ui.table import table, width_of


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (3.24, "3.2 s"),
        (59.97, "1 min 00 s"),
        (362, "6 min 02 s"),
        (7500, "2 h 05 min"),
        (176400, "2 d 01 h"),
        (-5, "-5.0 s"),
    ],
)
def test_spans_are_told_in_the_two_units_that_matter(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_small_amounts_are_not_rounded_to_nothing() -> None:
    assert [dollars(usd) for usd in (0, 0.005, 0.1, 12)] == ["$0.00", "$0.0050", "$0.10", "$12.00"]


def test_columns_are_aligned_whatever_is_painted() -> None:
    style = Style(enabled=True)
    text = table(
        ["name", "phase", "why"], [("a", style.paint("ready", "good"), "x"), ("bbbbbb", "failed", "y")]
    )
    plain = text.replace("\x1b[32m", "").replace("\x1b[0m", "")
    assert "\x1b[32mready" in text
    assert plain.splitlines() == ["NAME    PHASE   WHY", "a       ready   x", "bbbbbb  failed  y"]


def test_only_the_last_column_gives_way_to_a_narrow_terminal() -> None:
    text = table(["name", "why"], [("homelab", "a long story that does not fit")], width=20)
    assert text.splitlines()[1] == "homelab  a long sto…"


def test_off_a_terminal_nothing_is_cut_and_nothing_painted() -> None:
    assert width_of(io.StringIO()) is None
    assert style_for("auto", io.StringIO()) == Style(enabled=False)
    assert style_for("always", io.StringIO()).paint("x", "bad") == "\x1b[31mx\x1b[0m"
    assert style_for("never", io.StringIO()).paint("x", "bad") == "x"


def test_yes_answers_before_anybody_is_asked() -> None:
    confirm("Destroy?", yes=True, no_input=True)


@pytest.mark.parametrize("no_input", [True, False])
def test_without_anybody_to_ask_the_question_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, *, no_input: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(UsageError, match=r"no terminal|switched off") as caught:
        confirm("Destroy?", yes=False, no_input=no_input)
    assert "--yes" in (caught.value.resolution or "")


def ask_on_a_terminal(answer: bytes) -> tuple[int, str, str]:
    code = (
        "from zave.ui.ask import confirm; from zave.errors import DeclinedError\n"
        "try: confirm('Destroy?', yes=False, no_input=False)\n"
        "except DeclinedError as error: raise SystemExit(int(error.exit_code))"
    )
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    os.close(slave)
    os.write(master, answer)
    out, err = child.communicate(timeout=20)
    os.close(master)
    return child.returncode, out, err


@pytest.mark.parametrize("answer", [b"y\n", b"YES\n", b" y \n"])
def test_yes_on_the_terminal_goes_on(answer: bytes) -> None:
    status, out, err = ask_on_a_terminal(answer)
    assert (status, out) == (0, "")
    assert err == "Destroy? [y/N] "


@pytest.mark.parametrize("answer", [b"\n", b"n\n", b"yep\n", b"\x04"])
def test_anything_else_declines(answer: bytes) -> None:
    assert ask_on_a_terminal(answer)[0] == DeclinedError.exit_code


class ClosedWhileAsked:
    """A terminal that is closed while its answer is waited for, seen a moment later: nothing to read."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        self.slave = os.fdopen(slave)

    def isatty(self) -> bool:
        return self.slave.isatty()

    def readline(self) -> str:
        os.close(self.master)
        return self.slave.readline()


def test_a_terminal_that_is_gone_when_its_answer_is_read_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = ClosedWhileAsked()
    monkeypatch.setattr(sys, "stdin", terminal)
    with pytest.raises(KeyboardInterrupt), terminal.slave:
        confirm("Destroy?", yes=False, no_input=False)
