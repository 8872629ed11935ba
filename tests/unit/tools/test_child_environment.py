"""What programs get of the user's environment: the way out of the network, and no cloud credentials."""

from collections.abc import Callable
from pathlib import Path

import pytest

from zave.ports import Outcome, Request
from zave.ports.flux import Source
from zave.ports.registry import Authorization
from zave.tools.child_environment import CERTIFICATES, PROXIES, inherited
from zave.tools.flux import FluxProgram
from zave.tools.git import Git
from zave.tools.git_server import GitCredentials
from zave.tools.kubectl import Kubectl
from zave.tools.kubectl_api import KubectlApi
from zave.tools.skopeo import Skopeo

URL = "https://git.example.org/me/platform.git"
PASSED_ON = {"PATH", *PROXIES, *CERTIFICATES}
KEPT = {"AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "ZAVE_GIT_TOKEN_FILE", "KUBECONFIG", "EDITOR"}
USERS = {name: f"of the user: {name}" for name in PASSED_ON | KEPT}


class Runner:
    """Starts nothing; keeps what a program would have been given."""

    def __init__(self) -> None:
        self.environment: dict[str, str] = {}

    def run(self, request: Request, *, on_line: Callable[[str], None] | None = None) -> Outcome:
        self.environment = dict(request.environment)
        for file in (request.log, request.errors):
            if file is not None:
                file.write_text("{}")
        return Outcome(exit_code=0, seconds=0.0, start=0)


def git(runner: Runner, folder: Path) -> None:
    Git(Path("/opt/git"), runner, folder, environ=USERS).tips(URL, credentials=GitCredentials(token="x"))


def flux(runner: Runner, folder: Path) -> None:
    FluxProgram(Path("/opt/flux"), runner, environ=USERS).bootstrap(
        source=Source(URL, "main", "clusters/lab", "0" * 40, ()),
        kubeconfig=folder / "kubeconfig",
        credentials=GitCredentials(token="x"),
        log=folder / "log",
    )


def skopeo(runner: Runner, folder: Path) -> None:
    login = Authorization("registry.example.org", "AWS", "x")
    program = Skopeo(Path("/opt/skopeo"), runner, folder, lambda: login, environ=USERS)
    program.digest("docker://nginx:1.29")


def kubectl(runner: Runner, folder: Path) -> None:
    (folder / "kubeconfig").touch()
    KubectlApi(Kubectl(Path("/opt/kubectl"), runner), folder / "kubeconfig").get("/version")


@pytest.mark.parametrize("start", [git, flux, skopeo, kubectl])
def test_a_program_gets_proxies_and_nothing_that_it_was_not_meant_to_have(
    start: Callable[[Runner, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in USERS.items():
        monkeypatch.setenv(name, value)
    runner = Runner()
    start(runner, tmp_path)
    given = {name for name, value in runner.environment.items() if value == USERS.get(name)}
    assert {"PATH", *PROXIES} <= given
    assert given <= PASSED_ON


def test_what_is_not_set_stays_unset() -> None:
    assert inherited(("PATH", "HOME"), environ={"PATH": "/bin", "TERM": "xterm"}) == {"PATH": "/bin"}
