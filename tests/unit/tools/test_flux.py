"""How `flux` is called for each kind of server, and what its environment holds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from zave.errors import InterruptedRunError, PreconditionError
from zave.ports import Outcome, Request
from zave.ports.flux import Source
from zave.tools.flux import FluxProgram, Forge, owner_of
from zave.tools.git_server import GitCredentials

HTTPS = "https://git.example.org/group/below/platform.git"
SSH = "ssh://git@git.example.org:2222/me/platform.git"
BY_TOKEN = GitCredentials(token="canary")


class Told:
    """A runner that starts nothing."""

    def __init__(self, *, interrupted: bool = False) -> None:
        self.requests: list[Request] = []
        self._interrupted = interrupted

    def run(self, request: Request, *, on_line: Callable[[str], None] | None = None) -> Outcome:
        self.requests.append(request)
        return Outcome(exit_code=0, seconds=0.0, start=0, interrupted=self._interrupted)


def request(url: str, credentials: GitCredentials, tmp_path: Path, forge: Forge = "git") -> Request:
    told = Told()
    environ = {"PATH": "/usr/bin", "AWS_PROFILE": "mine", "ZAVE_GIT_TOKEN": "another", "EDITOR": "vi"}
    FluxProgram(Path("/opt/flux"), told, environ=environ).bootstrap(
        source=Source(url, "main", "clusters/lab", "0" * 40, ()),
        kubeconfig=tmp_path / "kubeconfig",
        credentials=credentials,
        log=tmp_path / "log",
        forge=forge,
    )
    (asked,) = told.requests
    return asked


@pytest.mark.parametrize(
    ("forge", "words", "variable"),
    [
        ("git", ["git", f"--url={HTTPS}"], "GIT_PASSWORD"),
        ("github", ["github", "--owner=group/below", "--repository=platform"], "GITHUB_TOKEN"),
        ("gitlab", ["gitlab", "--owner=group/below", "--hostname=git.example.org"], "GITLAB_TOKEN"),
        ("gitlab-user", ["gitlab", "--personal"], "GITLAB_TOKEN"),
    ],
)
def test_a_token_goes_by_environment(tmp_path: Path, forge: Forge, words: list[str], variable: str) -> None:
    asked = request(HTTPS, BY_TOKEN, tmp_path, forge)
    assert asked.argv[:2] == ("/opt/flux", "bootstrap")
    assert set(words) <= set(asked.argv)
    assert "--token-auth" in asked.argv
    assert ("--personal" in asked.argv) is forge.endswith("-user")
    assert "canary" not in " ".join(asked.argv)
    assert [name for name, value in asked.environment.items() if value == "canary"] == [variable]
    assert asked.secrets == {"canary"}


def test_little_of_the_users_environment_is_passed_on(tmp_path: Path) -> None:
    environment = request(HTTPS, BY_TOKEN, tmp_path).environment
    # zave's own kubeconfigs name no program that would want it
    assert "AWS_PROFILE" not in environment
    assert environment["KUBECONFIG"] == str(tmp_path / "kubeconfig")
    assert not {"EDITOR", "ZAVE_GIT_TOKEN"} & set(environment)


def test_a_key_goes_to_an_agent_and_only_pinned_hosts_are_believed(tmp_path: Path) -> None:
    credentials = GitCredentials(key=tmp_path / "key", known_hosts=tmp_path / "hosts")
    asked = request(SSH, credentials, tmp_path)
    assert asked.argv[0] == "ssh-agent"
    assert str(tmp_path / "key") in asked.argv
    # with it Flux would believe whichever key answers
    assert not [word for word in asked.argv if word.startswith("--private-key-file")]
    assert asked.environment["SSH_KNOWN_HOSTS"] == str(tmp_path / "hosts")


@pytest.mark.parametrize(
    ("url", "forge"), [("/srv/local.git", "git"), ("http://git.example.org/a/b", "git"), (SSH, "github")]
)
def test_what_flux_cannot_follow_is_refused_before_it_is_started(
    tmp_path: Path, url: str, forge: Forge
) -> None:
    credentials = GitCredentials(token="x", key=tmp_path / "key")
    with pytest.raises(PreconditionError, match="Flux cannot follow"):
        request(url, credentials, tmp_path, forge)


def test_an_interruption_is_told(tmp_path: Path) -> None:
    with pytest.raises(InterruptedRunError):
        FluxProgram(Path("/opt/flux"), Told(interrupted=True), environ={}).bootstrap(
            source=Source(HTTPS, "main", "clusters/lab", "0" * 40, ()),
            kubeconfig=tmp_path,
            credentials=BY_TOKEN,
            log=tmp_path / "log",
        )


@pytest.mark.parametrize("url", ["https://git.example.org/platform", "https://git.example.org/"])
def test_a_forge_wants_an_owner(url: str) -> None:
    with pytest.raises(PreconditionError, match="owner"):
        owner_of(url)
