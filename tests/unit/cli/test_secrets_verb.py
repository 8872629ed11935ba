"""`zave secrets`: values go in encrypted, and never come out."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from zave.schemas import load_schema

CANARY = "canary-of-a-token"


def document(zave: Callable[..., Any], *words: str) -> dict[str, Any]:
    result = zave("secrets", *words, "-o", "json")
    assert result.status == 0, result.err
    Draft202012Validator(load_schema("secrets")).validate(result.document)
    found: dict[str, Any] = result.document
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "token"
    made.write_text(f"{CANARY}\n")
    return made


def test_what_is_wanted_is_listed_before_it_is_there(zave: Callable[..., Any]) -> None:
    found = document(zave, "list", "homelab")
    assert found["recipient"] is None
    assert [(each["name"], each["state"], each["wanted"]) for each in found["secrets"]] == [
        ("tunnel-token", "missing", True)
    ]


def test_a_value_from_a_file_is_kept_encrypted_and_private(
    zave: Callable[..., Any], state: Path, file: Path
) -> None:
    found = document(zave, "set", "homelab", "tunnel-token", f"token={file}")
    assert found["secrets"][0]["state"] == "ready"
    files = [each for each in state.rglob("*") if each.is_file()]
    assert files
    assert not [each for each in files if CANARY in each.read_bytes().decode("utf-8", "replace")]
    kept = state / "secrets/homelab"
    assert kept.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in kept.iterdir()} == {0o600}


def test_a_value_from_stdin_is_taken_without_its_line_end(
    zave: Callable[..., Any], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{CANARY}\n".encode())))
    assert zave("secrets", "set", "homelab", "tunnel-token", "token=-").status == 0
    from zave.gitops.secrets import SecretStore
    from zave.tools.sops import decrypt

    store = SecretStore(state / "secrets/homelab")
    opened = decrypt(store.file("tunnel-token").read_bytes(), keys=store.keys)
    assert opened.content["stringData"] == {"token": CANARY}


@pytest.mark.parametrize(
    "words", [("tunnel-token", f"token={CANARY}"), ("tunnel-token", CANARY), ("other", "token=-")]
)
def test_a_value_on_the_command_line_is_refused_and_not_repeated(
    zave: Callable[..., Any], state: Path, words: tuple[str, ...]
) -> None:
    result = zave("secrets", "set", "homelab", *words)
    assert result.status == 2
    if words[1] != CANARY:
        assert CANARY not in result.out + result.err
    assert not (state / "secrets/homelab").exists()


def test_check_fails_while_one_is_missing_and_passes_then(zave: Callable[..., Any], file: Path) -> None:
    missing = zave("secrets", "check", "homelab")
    assert missing.status == 5
    assert "zave secrets set homelab tunnel-token token=FILE" in missing.err
    zave("secrets", "set", "homelab", "tunnel-token", f"token={file}")
    assert zave("secrets", "check", "homelab").status == 0


def test_check_finds_what_is_in_the_clear_in_a_work_tree(
    zave: Callable[..., Any], tmp_path: Path, file: Path
) -> None:
    zave("secrets", "set", "homelab", "tunnel-token", f"token={file}")
    tree = tmp_path / "tree/apps"
    tree.mkdir(parents=True)
    tree.joinpath("a.yaml").write_text(f"kind: Secret\nmetadata: {{name: x}}\nstringData: {{a: {CANARY}}}\n")
    result = zave("secrets", "check", "homelab", "--repository", str(tree.parent))
    assert result.status == 5
    assert "apps/a.yaml:3: Secret x: a is not encrypted" in result.err
    assert CANARY not in result.out + result.err


def test_a_rotation_names_another_recipient(zave: Callable[..., Any], file: Path) -> None:
    before = document(zave, "set", "homelab", "tunnel-token", f"token={file}")
    after = document(zave, "rotate", "homelab")
    assert after["recipient"] != before["recipient"]
    assert after["secrets"][0]["state"] == "ready"


def test_init_makes_a_key_once(zave: Callable[..., Any]) -> None:
    first = document(zave, "init", "homelab")["recipient"]
    assert first.startswith("age1")
    assert document(zave, "init", "homelab")["recipient"] == first
