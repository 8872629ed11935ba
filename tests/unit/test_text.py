"""What a tool prints can neither act on a terminal nor show a secret."""

import time
from pathlib import Path

import pytest

from zave.text import CUT, LINE_LIMIT, LineReader, clean, mask_file, redact


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;new title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;ZXZpbA==\x07copied", "copied"),
        ("\x1bP1$r\x1b\\after", "after"),
        ("\x1bcreset", "reset"),
        ("\x9b31mC1", "\ufffd31mC1"),
        ("a\rb", "a\nb"),
        ("a\r\nb", "a\nb"),
        ("bell\x07 nul\x00 del\x7f", "bell\ufffd nul\ufffd del\ufffd"),
        ("\u202etxt.exe", "\ufffdtxt.exe"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("\x1b", "\ufffd"),
    ],
)
def test_what_a_terminal_would_act_on_is_gone(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown


def test_ordinary_text_is_left_alone() -> None:
    text = "tabs\tand\nlines, ünïcode ✓ [/foo] ${x}"

    assert clean(text) == text


def test_an_escape_sequence_that_is_never_closed_swallows_no_further_line() -> None:
    assert clean("\x1b]0;title\nnext line") == "\nnext line"


def test_cleaning_is_linear() -> None:
    began = time.process_time()

    clean("\x1b]" * 200_000 + "\x1b[" * 200_000 + "\x1b[1;" * 200_000)

    assert time.process_time() - began < 5


def test_a_secret_is_masked_as_it_is_and_as_json_writes_it() -> None:
    secret = 'pa"ss\nword'

    assert redact(f'plain {secret} json {{"x": "pa\\"ss\\nword"}}', {secret}) == 'plain *** json {"x": "***"}'


def test_each_long_line_of_a_secret_in_several_lines_is_masked() -> None:
    key = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\n-----END KEY-----"

    assert redact("x MIIEowIBAAKCAQEA y", {key}) == "x *** y"


def test_a_secret_that_contains_another_is_masked_whole() -> None:
    assert redact("password123", {"password", "password123"}) == "***"


def test_an_empty_secret_masks_nothing() -> None:
    assert redact("text", {""}) == "text"


def test_secrets_in_a_file_are_overwritten_in_place(tmp_path: Path) -> None:
    path = tmp_path / "log"
    # across the border of two chunks
    padding = b"x" * (1024 * 1024 - 3)
    path.write_bytes(b"hunter2\n" + padding + b"hunter2\nend")

    mask_file(path, {"hunter2"}, start=8)

    assert path.read_bytes() == b"hunter2\n" + padding + b"*******\nend"


def lines_of(path: Path, *, start: int = 0) -> list[str]:
    reader = LineReader(path, start=start)
    found = list(reader.lines())
    while reader.behind:
        found += reader.lines()
    found += reader.last()
    reader.close()
    return found


def test_lines_are_read_across_chunks_whatever_their_ends(tmp_path: Path) -> None:
    path = tmp_path / "log"
    wanted = [f"line {number} " + "é" * (number % 50) for number in range(60_000)]
    path.write_text("\r\n".join(wanted) + "\r\n", newline="")

    assert lines_of(path) == wanted


def test_a_line_without_an_end_comes_last(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("one\ntwo")

    assert lines_of(path) == ["one", "two"]
    assert lines_of(path, start=4) == ["two"]


def test_a_very_long_line_is_cut_and_reading_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before\n" + b"a" * 10_000_000 + b"\nafter\n")

    before, long, after = lines_of(path)

    assert (before, after) == ("before", "after")
    assert long == "a" * LINE_LIMIT + CUT


def test_bytes_that_are_no_utf8_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"first\nbad \xff\xfe end\nlast\n")

    assert lines_of(path) == ["first", "bad \ufffd\ufffd end", "last"]


def test_a_line_is_read_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("ha")
    reader = LineReader(path, start=0)

    assert list(reader.lines()) == []
    with path.open("a") as log:
        log.write("lf\n")
    assert list(reader.lines()) == ["half"]
    reader.close()
