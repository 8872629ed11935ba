from collections.abc import Iterator

import pytest

from zave.cli.console import harmless_lines
from zave.text import LINE_LIMIT


def lines(*chunks: bytes) -> list[str]:
    return list(harmless_lines(iter(chunks)))


def test_lines_come_whole_whatever_the_pieces() -> None:
    assert lines(b"boo", b"ting\r\nlo", b"gin: ") == ["booting", "login: "]
    assert lines() == []
    assert lines(b"\n") == [""]


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x1b]0;owned\x07title",
        b"\x1b[2J\x1b[Htitle",
        b"\x1b]52;c;aGk=\x07title",
        b"\x9b31mtitle",
        b"\xff\xfetitle",
        b"\xe2\x80\xaetitle",
    ],
)
def test_nothing_on_a_console_acts_on_the_terminal(hostile: bytes) -> None:
    (line,) = lines(hostile)
    assert line.endswith("title")
    assert line.replace("\ufffd", "").isprintable()
    # nor when it comes in pieces
    assert lines(hostile[:1], hostile[1:]) == [line]


def test_a_line_that_was_redrawn_shows_what_was_last_on_it() -> None:
    assert lines(b"5 seconds\r4 seconds\r\n") == ["4 seconds"]


def test_a_line_without_an_end_is_cut_and_not_kept_for_ever() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 1_000_000

    first = next(harmless_lines(endless()))
    assert len(first) == LINE_LIMIT
