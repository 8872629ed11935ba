"""The invalid specs through the command line: exit 2, one message with file and line, quick, small."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

ZAVE = Path(sys.executable).with_name("zave")
CORPUS = sorted((Path(__file__).parents[1] / "specs" / "invalid").glob("*.yaml"))
SECONDS = 1.0  # of processor time: wall time would measure the neighbours
MEMORY = 150 * 1024  # KiB


def test_the_corpus_is_large_enough() -> None:
    assert len(CORPUS) >= 60


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_an_invalid_spec_is_refused(path: Path, tmp_path: Path, measure: Any) -> None:
    folder = tmp_path / "environments" / "bad"
    folder.mkdir(parents=True)
    content = path.read_bytes()
    (folder / "environment.yaml").write_bytes(content)
    stdout, stderr = tmp_path / "stdout", tmp_path / "stderr"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        words = (ZAVE, "--project", tmp_path, "plan", "bad", "--rehearse")
        ended = measure(*words, stdout=out, stderr=err, limit=20)
    message = stderr.read_text(encoding="utf-8")
    assert ended.exit_code == 2, message
    assert stdout.read_bytes() == b""
    assert "Traceback" not in message
    assert len(re.findall(r"^error: ", message, re.MULTILINE)) == 1, message
    assert len(message) < 5000
    assert re.search(r"environment\.yaml:\d+", message), message
    line = re.search(rb"^# .*line: (\d+)", content[:2000])
    if line is not None:
        assert f"environment.yaml:{line.group(1).decode()}" in message
    assert all(character.isprintable() or character == "\n" for character in message)
    assert ended.memory < MEMORY
    assert ended.seconds < SECONDS
