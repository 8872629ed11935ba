"""What is read of a program's files: whole answers, no floods, and words that do no harm."""

from pathlib import Path

import pytest

from zave.errors import ToolFailedError
from zave.tools.child_output import last_words, whole_output


def test_an_answer_is_read_whole(tmp_path: Path) -> None:
    log = tmp_path / "output"
    log.write_bytes(b"\xffone\r\n" * 1000)
    assert whole_output(log, name="git ls-tree") == log.read_bytes()


def test_a_flood_is_refused_with_the_programs_name(tmp_path: Path) -> None:
    log = tmp_path / "output"
    with log.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(ToolFailedError, match="git ls-tree printed more than 64 MiB"):
        whole_output(log, name="git ls-tree")


def test_the_end_of_long_errors_is_told(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    errors.write_text("first\n" + "x y " * 2000 + "\nlast\n")
    said = last_words(errors)
    assert "first" not in said
    assert said.endswith("x y \nlast")
    assert 3980 < len(said) <= 4000


@pytest.mark.parametrize("after", range(3990, 4001))
def test_a_secret_that_the_limit_cuts_in_two_is_not_told(tmp_path: Path, after: int) -> None:
    errors = tmp_path / "errors"
    errors.write_text("token canary-secret " + "y" * (after - 1))
    assert set(last_words(errors, secrets={"canary-secret"})) <= {"*", "y", " "}


def test_words_are_harmless_and_hold_no_secret(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    errors.write_bytes(b"\x1b[2Jdenied: ca\x1b[0mnary \xff\n")
    assert last_words(errors, secrets={"canary"}) == "denied: *** \ufffd"


def test_who_said_nothing_has_no_words(tmp_path: Path) -> None:
    (tmp_path / "errors").touch()
    assert last_words(tmp_path / "errors") == ""
