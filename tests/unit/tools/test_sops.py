"""Encrypted files in SOPS's format, and the keys that open them."""

import re
import shutil
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from zave.errors import StateError
from zave.tools.age import AgeKeys
from zave.tools.sops import SopsError, decrypt, encrypt_secret

NOW = datetime(2026, 11, 23, 20, 0, 0, 123456, tzinfo=UTC)
VALUES = {"token": "canary\nof two lines ü", "values.yaml": "a: {b: c}\n"}


@pytest.fixture
def keys(tmp_path: Path) -> AgeKeys:
    made = AgeKeys(tmp_path / "keys/age.key")
    made.make()
    return made


def encrypted(keys: AgeKeys) -> bytes:
    return encrypt_secret("tunnel-token", "cloudflared", VALUES, keys=keys, now=NOW)


def test_what_was_encrypted_is_what_is_decrypted(keys: AgeKeys) -> None:
    content = encrypted(keys)
    assert b"canary" not in content
    opened = decrypt(content, keys=keys)
    assert opened.content["stringData"] == VALUES
    assert opened.content["metadata"] == {"name": "tunnel-token", "namespace": "cloudflared"}
    assert opened.recipients == (keys.recipient(),)


def test_equal_values_are_never_encrypted_alike(keys: AgeKeys) -> None:
    first, second = (set(re.findall(rb"ENC[^]]+", encrypted(keys))) for _ in range(2))
    assert len(first) == 3
    assert first.isdisjoint(second)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'name: "tunnel-token"', b'name: "other"'),
        (b"kind: Secret", b"kind: Other"),
        (b'"token":', b'"tokem":'),
        (b"2026-11-23T20:00:00Z", b"2026-11-23T20:00:01Z"),
    ],
)
def test_a_file_that_was_changed_by_hand_is_refused(keys: AgeKeys, old: bytes, new: bytes) -> None:
    content = encrypted(keys)
    assert old in content
    with pytest.raises(SopsError) as caught:
        decrypt(content.replace(old, new), keys=keys)
    assert caught.value.problem == "broken"


def test_a_value_put_in_the_clear_is_refused(keys: AgeKeys) -> None:
    content = re.sub(rb'"token": "ENC[^"]*"', b'"token": "plain"', encrypted(keys))
    with pytest.raises(SopsError, match=r"stringData\.token is not encrypted"):
        decrypt(content, keys=keys)


def test_a_value_taken_away_is_noticed(keys: AgeKeys) -> None:
    content = re.sub(rb'  "token": "ENC[^"]*"\n', b"", encrypted(keys))
    with pytest.raises(SopsError, match="MAC does not fit"):
        decrypt(content, keys=keys)


def test_somebody_elses_file_is_told_apart_from_a_broken_one(keys: AgeKeys, tmp_path: Path) -> None:
    other = AgeKeys(tmp_path / "other.key")
    other.make()
    with pytest.raises(SopsError) as caught:
        decrypt(encrypted(other), keys=keys)
    assert caught.value.problem == "other-key"


@pytest.mark.parametrize("content", [b"", b"a: b\n", b"[]", b"a: [", b"\xff\xfe"])
def test_what_is_not_encrypted_is_no_success(keys: AgeKeys, content: bytes) -> None:
    with pytest.raises(SopsError):
        decrypt(content, keys=keys)


def test_a_key_is_private_and_made_once(keys: AgeKeys) -> None:
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.path.parent.stat().st_mode) == 0o700
    before = keys.secret()
    assert keys.make() == keys.recipient()
    assert keys.secret() == before


def test_after_a_rotation_old_files_still_open(keys: AgeKeys) -> None:
    old, content = keys.recipient(), encrypted(keys)
    new = keys.rotate()
    assert (keys.recipient(), keys.recipients()) == (new, (new, old))
    assert decrypt(content, keys=keys).content["stringData"] == VALUES


def test_a_second_rotation_loses_nothing_until_it_is_pruned(keys: AgeKeys) -> None:
    """A rotation that was cut off before all files were encrypted anew leaves some for the oldest key."""
    content = encrypted(keys)
    middle = keys.rotate()
    last = keys.rotate()
    assert decrypt(content, keys=keys).content["stringData"] == VALUES
    keys.prune()
    assert keys.recipients() == (last, middle)
    with pytest.raises(SopsError) as caught:
        decrypt(content, keys=keys)
    assert caught.value.problem == "other-key"


def test_a_key_that_others_can_read_is_refused(keys: AgeKeys) -> None:
    keys.path.chmod(0o640)
    with pytest.raises(StateError, match="others may read it"):
        keys.recipient()


@pytest.mark.parametrize("content", ["", "nothing", "AGE-SECRET" + "-KEY-1BROKEN"])
def test_a_broken_key_is_never_replaced(keys: AgeKeys, content: str) -> None:
    keys.path.write_text(content)
    with pytest.raises(StateError, match="holds no age key"):
        keys.make()
    assert keys.path.read_text() == content


def test_a_link_is_not_followed(keys: AgeKeys, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(keys.path)
    with pytest.raises(StateError):
        AgeKeys(tmp_path / "link").recipient()


def test_without_a_key_the_way_to_one_is_named(tmp_path: Path) -> None:
    keys = AgeKeys(tmp_path / "age.key")
    assert keys.recipient() is None
    with pytest.raises(StateError) as caught:
        keys.secret()
    assert caught.value.resolution == "`zave secrets init` makes one"


# written by sops 3.13.2 (its Go module, 2026-11-23) for a key that opens nothing else
WRITTEN_BY_SOPS = Path(__file__).with_name("written-by-sops.txt")


def test_a_file_that_sops_wrote_is_read(tmp_path: Path) -> None:
    keys = AgeKeys(tmp_path / "age.key")
    text = WRITTEN_BY_SOPS.read_text()
    keys.path.write_text(re.search("^# key: (.*)$", text, re.MULTILINE)[1])  # type: ignore[index]
    keys.path.chmod(0o600)
    opened = decrypt(text.encode(), keys=keys)
    assert opened.content["stringData"] == {"cloud": "[default]\nkey=x\n"}


def test_sops_reads_what_zave_wrote(keys: AgeKeys, tmp_path: Path) -> None:
    program = shutil.which("sops")
    if program is None:
        pytest.skip("the program sops is not installed")
    file = tmp_path / "secret.yaml"
    file.write_bytes(encrypted(keys))
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SOPS_AGE_KEY_FILE": str(keys.path)}
    words: list[str | Path] = [program, "decrypt", "--extract", '["stringData"]["token"]', file]
    ran = subprocess.run(words, env=environment, capture_output=True, check=True)
    assert ran.stdout.decode() == VALUES["token"]
