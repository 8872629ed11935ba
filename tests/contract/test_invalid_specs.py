"""Every file of `tests/specs/invalid` is refused with one clear message.

The first line of each says what is expected: `# expect: <part of the message>; line: <number>`.
All are read in one child process, so that a bomb cannot take the tests along.
"""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CORPUS = sorted((ROOT / "tests/specs/invalid").glob("*.yaml"))

MIB = 1024**2
MOST_SECONDS = 1.0
MOST_MEMORY = 150 * MIB

# one JSON line a file, then one with the high-water mark of memory: ru_maxrss would count the parent's
CHILD = """
import json, resource, sys, time
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
from zave.errors import ZaveError
from zave.spec.load import load_spec

for name in sys.argv[1:]:
    start = time.process_time()
    try:
        load_spec(Path(name))
        told = None
    except ZaveError as error:
        told = error.to_document()
    print(json.dumps({"file": name, "error": told, "seconds": time.process_time() - start}))
status = Path("/proc/self/status").read_text()
print(json.dumps({"memory": int(status.split("VmHWM:")[1].split()[0]) * 1024}))
"""


@dataclass(frozen=True)
class Report:
    """What the child said: one line a file, its memory, and whatever went to stderr."""

    files: dict[str, Any]
    memory: int
    stderr: str


@pytest.fixture(scope="module")
def report() -> Report:
    names = [str(path.relative_to(ROOT)) for path in CORPUS]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    *files, last = [json.loads(line) for line in done.stdout.splitlines()]
    return Report({line["file"]: line for line in files}, last["memory"], done.stderr)


def expectation(path: Path) -> tuple[str, int]:
    data = path.read_bytes()
    encoding = "utf-16" if data.startswith(b"\xff\xfe") else "utf-8-sig"
    first = data.decode(encoding, "replace").split("\n", 1)[0]
    matched = re.fullmatch(r"# expect: (.+); line: ([0-9]+)", first)
    assert matched, f"{path.name} does not say what it expects"
    return matched[1], int(matched[2])


def test_corpus_is_as_large_as_promised() -> None:
    assert len(CORPUS) >= 60


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in CORPUS])
def test_invalid_environment_is_refused_with_file_line_and_reason(path: Path, report: Report) -> None:
    expected, line = expectation(path)
    result = report.files[str(path.relative_to(ROOT))]
    error = result["error"]
    assert error is not None, "accepted"
    assert (error["type"], error["exit_code"]) == ("SpecError", 2)
    assert expected in "\n".join(filter(None, (error["brief"], error["details"], error["resolution"])))
    assert error["where"] == f"{path.relative_to(ROOT)}:{line}"
    assert error["resolution"]
    assert result["seconds"] < MOST_SECONDS


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in CORPUS])
def test_message_is_one_line_that_a_terminal_shows_as_it_is(path: Path, report: Report) -> None:
    error = report.files[str(path.relative_to(ROOT))]["error"]
    assert error["brief"].isprintable()
    assert len(error["brief"]) < 250
    assert "Traceback" not in json.dumps(error)
    assert all(line.isprintable() for line in (error["details"] or "").splitlines())


def test_whole_corpus_needs_little_memory_and_says_nothing_else(report: Report) -> None:
    assert report.memory < MOST_MEMORY
    assert report.stderr == ""
