"""Where credentials come from, and what is refused before a server is asked."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from zave.errors import PreconditionError
from zave.gitops.credentials import credentials_for, flux_secret
from zave.settings import default_settings
from zave.tools.git_server import GitCredentials

HTTPS, SSH = "https://git.example.org/me/platform.git", "ssh://git@git.example.org/me/platform.git"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "private"
    made.write_text("canary\n")
    made.chmod(0o600)
    return made


def test_a_token_comes_from_its_file(file: Path) -> None:
    settings = replace(default_settings(), git_token_file=str(file), git_user="me")
    found = credentials_for(HTTPS, settings, environ={"ZAVE_GIT_TOKEN": "another"})
    assert (found.user, found.token) == ("me", "canary")
    assert "canary" not in repr(found)


def test_a_token_may_come_from_the_environment() -> None:
    assert credentials_for(HTTPS, default_settings(), environ={"ZAVE_GIT_TOKEN": "x\n"}).token == "x"


def test_a_key_comes_with_the_known_hosts(file: Path) -> None:
    settings = replace(default_settings(), git_key=str(file), git_known_hosts="~/hosts")
    found = credentials_for(SSH, settings, environ={"ZAVE_GIT_TOKEN": "x"})
    assert (found.key, found.known_hosts, found.token) == (file, Path.home() / "hosts", None)


@pytest.mark.parametrize(("url", "setting"), [(HTTPS, "ZAVE_GIT_TOKEN_FILE"), (SSH, "ZAVE_GIT_KEY")])
def test_without_credentials_the_way_to_them_is_named(url: str, setting: str) -> None:
    with pytest.raises(PreconditionError) as caught:
        credentials_for(url, default_settings(), environ={})
    assert setting in str(caught.value.resolution)


@pytest.mark.parametrize(
    ("url", "field"), [(HTTPS, "git_token_file"), (SSH, "git_key"), (HTTPS, "git_ca_file")]
)
def test_a_file_that_is_not_there_is_named(url: str, field: str, tmp_path: Path) -> None:
    settings = default_settings().with_flags({field: str(tmp_path / "none")})
    with pytest.raises(PreconditionError, match=f"{field} names is not there"):
        credentials_for(url, settings, environ={"ZAVE_GIT_TOKEN": "x"})


@pytest.mark.parametrize(("url", "field"), [(HTTPS, "git_token_file"), (SSH, "git_key")])
def test_what_others_can_read_is_refused(url: str, field: str, file: Path) -> None:
    file.chmod(0o640)
    with pytest.raises(PreconditionError, match="others may read") as caught:
        credentials_for(url, default_settings().with_flags({field: str(file)}), environ={})
    assert caught.value.resolution == f"chmod 600 {file}"


@pytest.mark.parametrize("content", [b"", b"two words", b"two\nlines", b"x" * 20_000, b"\x00"])
def test_what_is_no_token_is_refused_and_not_shown(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(PreconditionError, match="holds no token") as caught:
        credentials_for(HTTPS, replace(default_settings(), git_token_file=str(file)), environ={})
    assert not content.strip(b"\0") or content.decode() not in str(caught.value.to_document())


def test_the_secret_for_ssh_holds_key_and_hosts_only(file: Path, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("# mine\n\n@revoked * ssh-rsa AAAA\nhost ssh-ed25519 AAAA comment here\n")
    made = flux_secret(GitCredentials(key=file, known_hosts=hosts))
    data = {name: base64.b64decode(value) for name, value in made["data"].items()}
    assert data == {"identity": b"canary\n", "known_hosts": b"host ssh-ed25519 AAAA\n"}


def test_the_secret_for_https_holds_user_token_and_authorities(file: Path) -> None:
    made = flux_secret(GitCredentials(user="me", token="x", ca_file=file))
    data = {name: base64.b64decode(value) for name, value in made["data"].items()}
    assert data == {"username": b"me", "password": b"x", "ca.crt": b"canary\n"}
