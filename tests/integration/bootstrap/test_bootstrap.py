"""`flux bootstrap` by a program that acts like Flux's, after a real publication, with real secrets."""

import base64
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration.bootstrap.conftest import TOKEN, VALUE, Platform
from tests.integration.bootstrap.scripted_flux import command_lines
from tests.integration.bootstrap.servers import HttpsGit, SshGit
from zave.errors import PreconditionError, StepFailedError, ToolFailedError, ToolMissingError
from zave.tools.flux import Limits
from zave.tools.git_server import GitCredentials

NOW = datetime(2026, 11, 23, tzinfo=UTC)
FLUX_FILES = {"clusters/lab/flux-system/gotk-components.yaml", "clusters/lab/flux-system/gotk-sync.yaml"}


def told(platform: Platform) -> list[dict[str, object]]:
    return [json.loads(line) for line in (platform.bin / "told.jsonl").read_text().splitlines()]


def test_a_first_run_ends_with_tree_and_flux_in_the_repository(platform: Platform) -> None:
    platform.bootstrap(platform.publish())
    assert set(platform.served.files()) >= {"apps/one.yaml", *FLUX_FILES}
    assert platform.said[-1] == "✔ all components are healthy"
    assert "--secret-name=zave-git" in str(told(platform)[0]["words"])


def test_a_rerun_commits_nothing(platform: Platform) -> None:
    platform.bootstrap(platform.publish())
    tip = platform.served.tip()
    platform.bootstrap(platform.publish())
    assert platform.served.tip() == tip


def test_what_flux_committed_survives_the_next_publication(platform: Platform) -> None:
    platform.bootstrap(platform.publish())
    platform.write(clusters__lab__kustomization="resources: []\n", apps__one="kind: Two\n")
    platform.publish()
    assert set(platform.served.files()) >= FLUX_FILES


@pytest.mark.parametrize(
    ("mode", "words"), [("old", "flux 2.8.1 is too old"), ("odd", "does not say which version")]
)
def test_a_flux_that_is_too_old_is_refused_before_it_does_anything(
    platform: Platform, mode: str, words: str
) -> None:
    source = platform.publish()
    platform.misbehave(mode)
    with pytest.raises(ToolMissingError, match=words) as caught:
        platform.bootstrap(source)
    assert "2.9 or newer" in str(caught.value.resolution)
    assert not (platform.bin / "told.jsonl").exists()
    assert platform.served.tip() == source.revision


def test_a_missing_flux_is_named(platform: Platform) -> None:
    (platform.bin / "flux").unlink()
    with pytest.raises(ToolMissingError, match="flux was not found"):
        platform.bootstrap(platform.publish())


def test_a_flux_that_hangs_is_ended_with_all_that_it_started(platform: Platform) -> None:
    platform.misbehave("hang")
    platform.flux_limits = Limits(controllers=1.0, whole=2.0)
    with pytest.raises(ToolFailedError, match="did not end in time") as caught:
        platform.bootstrap(platform.publish())
    assert "it can be repeated" in str(caught.value.resolution)
    # the agent, which has the same words, ends by itself within ten seconds, and its socket is gone
    left = [line for line in command_lines().splitlines() if str(platform.bin) in line]
    assert [line for line in left if not line.startswith("ssh-agent ")] == []
    # and the same command goes on
    platform.misbehave("")
    platform.flux_limits = Limits()
    platform.bootstrap(platform.publish())
    assert set(platform.served.files()) >= FLUX_FILES


def test_a_failure_tells_flux_s_last_words_without_its_secrets(platform: Platform) -> None:
    platform.misbehave("fail")
    with pytest.raises(ToolFailedError, match=r"failed \(exit 1\)") as caught:
        platform.bootstrap(platform.publish())
    assert "install failed" in str(caught.value.details)
    assert TOKEN not in str(caught.value.to_document())
    assert "\x1b" not in str(caught.value.details)
    assert TOKEN not in platform.log.read_text()


def test_flux_is_refused_credentials_that_do_not_fit(platform: Platform) -> None:
    source = platform.publish()
    platform.credentials = GitCredentials()
    with pytest.raises(PreconditionError, match="Flux needs a"):
        platform.bootstrap(source)


def test_flux_speaks_to_no_host_that_is_not_known(platform: Platform, tmp_path: Path) -> None:
    if not isinstance(platform.server, SshGit):
        pytest.skip("https has no host keys")
    source = platform.publish()
    platform.server.known_hosts.write_text("")
    with pytest.raises(StepFailedError):
        platform.bootstrap(source)
    assert "Host key verification failed" in platform.log.read_text()
    assert platform.served.tip() == source.revision


def test_the_secrets_for_the_cluster_hold_what_flux_needs(platform: Platform) -> None:
    source = platform.publish()
    repository, keys = platform.secrets(source)
    assert repository["metadata"] == {"name": "zave-git", "namespace": "flux-system"}
    assert keys["metadata"] == {"name": "sops-age", "namespace": "flux-system"}
    data = {name: base64.b64decode(value) for name, value in dict(repository["data"]).items()}  # type: ignore[call-overload]
    if isinstance(platform.server, SshGit):
        assert data["identity"] == platform.server.key.read_bytes()
        assert data["known_hosts"] == platform.server.known_hosts.read_bytes()
    else:
        assert (data["username"], data["password"]) == (b"git", TOKEN.encode())
        assert data["ca.crt"] == platform.server.authority.read_bytes()
    held = base64.b64decode(dict(keys["data"])["age.agekey"])  # type: ignore[call-overload]
    assert held == (platform.store.folder / "age.key").read_bytes()


def test_no_secret_is_where_it_does_not_belong(platform: Platform) -> None:
    platform.store.put("tunnel-token", {"token": VALUE}, now=NOW)
    platform.write(clusters__lab__platform__kustomization="resources:\n  - a.yaml\n")
    seen: list[str] = []
    if isinstance(platform.server, HttpsGit):
        for moment in ("git-upload-pack", "service=git-receive-pack", "/git-receive-pack"):
            platform.server.before[moment] = lambda: seen.append(command_lines())
    source = platform.publish()
    platform.secrets(source)
    platform.bootstrap(source)
    canaries = {"value": VALUE, "age key": str(platform.store.keys.secret().split()[-1], "ascii")}
    if isinstance(platform.server, SshGit):
        canaries["ssh key"] = platform.server.key.read_text().splitlines()[2]
    else:
        canaries["token"] = TOKEN
        assert len(seen) == 3, "the moments at which Git was at work"
        assert all("git" in each for each in seen)
    (call,) = told(platform)
    arguments = [" ".join(request.argv) for request in platform.runner.requests]
    files = {
        file: file.read_bytes().decode("utf-8", "replace")
        for file in platform.state.rglob("*")
        if file.is_file() and file.name != "age.key"
    }
    files |= {file: file.read_text() for file in platform.bin.iterdir()}
    for name, canary in canaries.items():
        assert not [each for each in seen if canary in each], f"{name} in a command line"
        assert canary not in str(call["seen"]), f"{name} in a command line beside Flux"
        assert not [each for each in arguments if canary in each], f"{name} in an argument list"
        assert [file for file, text in files.items() if canary in text] == [], name
        assert canary not in platform.served.everything(), f"{name} in the repository"
        assert canary not in packed(platform), f"{name} in zave's copy"


def packed(platform: Platform) -> str:
    """All that zave's own copy of the repository holds."""
    copy = platform.state / "instances/lab/repository/repository.git"
    ran = subprocess.run(
        ["git", "--git-dir", copy, "log", "-p", "--all", "--format=%B"], capture_output=True, check=True
    )
    assert b"apps" in ran.stdout or b"clusters" in ran.stdout
    return ran.stdout.decode("utf-8", "replace")
