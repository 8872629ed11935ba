"""skopeo: which one is used, what it is told, and that the token is nowhere but in its file."""

import base64
import hashlib
import json
import re
import sys
from pathlib import Path

import pytest

from zave.errors import ToolFailedError, ToolMissingError
from zave.ports.registry import Authorization
from zave.process import ProcessRunner
from zave.tools.skopeo import Skopeo

TOKEN = "canary-of-a-token"
SERVER = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
TARGET = f"{SERVER}/zave-demo/apps:nginx-1.29"
# stands in for skopeo: keeps what it was given, and says the token aloud
FAKE = """#!{python} -I
import json, os, pathlib, stat, sys
here = pathlib.Path(__file__).parent
told = json.loads((here / "told.json").read_text())
if sys.argv[1] == "--version":
    print(told["version"])
    sys.exit(0)
files = {{}}
for word in sys.argv:
    if word.endswith(".json"):
        files[word] = [pathlib.Path(word).read_text(), stat.S_IMODE(os.stat(word).st_mode)]
with (here / "calls.jsonl").open("a") as file:
    file.write(json.dumps({{"argv": sys.argv[1:], "env": dict(os.environ), "files": files}}) + "\\n")
sys.stdout.write(told.get("says", ""))
sys.stderr.write(told.get("mutters", ""))
sys.exit(told.get("code", 0))
"""


class Bench:
    """A PATH with a made-up skopeo."""

    def __init__(self, folder: Path) -> None:
        self.scratch = folder / "scratch"
        self.scratch.mkdir(mode=0o700)
        self.bin = folder / "bin"
        self.bin.mkdir()
        program = self.bin / "skopeo"
        program.write_text(FAKE.format(python=sys.executable))
        program.chmod(0o755)
        self.told()

    def told(self, *, version: str = "skopeo version 1.9.3", **told: object) -> None:
        (self.bin / "told.json").write_text(json.dumps({"version": version, **told}))

    def calls(self) -> list[dict[str, dict[str, tuple[str, int]]]]:
        file = self.bin / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def skopeo(self, *, source_auth: Path | None = None) -> Skopeo:
        return Skopeo.find(
            runner=ProcessRunner(),
            scratch=self.scratch,
            authorization=lambda: Authorization(SERVER, "AWS", TOKEN),
            source_auth=source_auth,
            environ={"PATH": str(self.bin), "XDG_RUNTIME_DIR": "/of/the/user", "REGISTRY_AUTH_FILE": "/x"},
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("said", ["skopeo version 1.8.0", "skopeo version 0.1.40", "something else"])
def test_a_program_that_is_too_old_or_another_is_refused(bench: Bench, said: str) -> None:
    bench.told(version=said)
    with pytest.raises(ToolMissingError) as caught:
        bench.skopeo()
    assert "Debian's package skopeo" in (caught.value.resolution or "")


def test_without_the_program_the_package_is_named(bench: Bench) -> None:
    (bench.bin / "skopeo").unlink()
    with pytest.raises(ToolMissingError, match="not found"):
        bench.skopeo()


def test_the_token_is_in_its_file_and_nowhere_else(bench: Bench) -> None:
    bench.told(says=f"Copying blob {TOKEN}\n")
    said: list[str] = []
    bench.skopeo().copy("docker://nginx:1.29", TARGET, say=said.append)
    (call,) = bench.calls()
    files = call.pop("files")
    pair = base64.b64encode(f"AWS:{TOKEN}".encode()).decode()
    ((content, mode),) = [each for path, each in files.items() if path.endswith("login.json")]
    assert json.loads(content) == {"auths": {SERVER: {"auth": pair}}}
    assert mode == 0o600
    assert TOKEN not in json.dumps(call)
    assert pair not in json.dumps(call)
    (line,) = said
    # masked while it was read, or in the file before that
    assert re.fullmatch(r"Copying blob \*{3,}", line)
    # what the program printed is gone with the call
    assert {path.name for path in bench.scratch.iterdir()} == {"login.json", "no-logins.json"}


def test_all_platforms_are_copied_with_their_digests(bench: Bench) -> None:
    bench.skopeo().copy("docker://nginx:1.29", TARGET, say=lambda _: None)
    (call,) = bench.calls()
    argv = list(call["argv"])
    assert argv[-2:] == ["docker://nginx:1.29", f"docker://{TARGET}"]
    assert {"--all", "--preserve-digests"} <= set(argv)


def test_logins_of_the_user_are_used_only_when_they_are_named(bench: Bench, tmp_path: Path) -> None:
    bench.told(says="{}")
    bench.skopeo().digest("docker://nginx:1.29")
    own = tmp_path / "own.json"
    own.write_text('{"auths": {"of": "the user"}}')
    bench.skopeo(source_auth=own).digest("docker://nginx:1.29")
    without, with_ = (call["files"] for call in bench.calls())
    assert [json.loads(content) for content, _ in without.values()] == [{"auths": {}}]
    assert list(with_) == [str(own)]
    for call in bench.calls():
        assert not {"XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE"} & set(call["env"])


def test_a_digest_is_that_of_the_manifests_very_bytes(bench: Bench) -> None:
    bench.told(says='{"schemaVersion": 2}')
    expected = hashlib.sha256(b'{"schemaVersion": 2}').hexdigest()
    assert bench.skopeo().stored(TARGET) == f"sha256:{expected}"


def test_a_failure_tells_what_skopeo_said_without_the_token(bench: Bench) -> None:
    bench.told(code=1, mutters=f"level=fatal msg=denied {TOKEN} \x1b[2J")
    with pytest.raises(ToolFailedError, match="exit code 1") as caught:
        bench.skopeo().copy("docker://nginx:1.29", TARGET, say=lambda _: None)
    assert "denied ***" in (caught.value.details or "")
    assert "\x1b" not in (caught.value.details or "")


def test_no_manifest_is_no_digest(bench: Bench) -> None:
    with pytest.raises(ToolFailedError, match="no manifest"):
        bench.skopeo().stored(TARGET)
