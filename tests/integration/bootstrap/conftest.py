"""A platform repository on a server of each kind, and zave's way to it."""

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.bootstrap.servers import SSHD, HttpsGit, Served, SshGit, git
from zave.gitops.installer import ProgramInstaller, secrets_for_cluster
from zave.gitops.repository import RemoteRepository
from zave.gitops.secrets import SecretStore
from zave.ports import Outcome, Request
from zave.ports.flux import Source
from zave.process import ProcessRunner
from zave.tools import flux
from zave.tools import git as program
from zave.tools.git import Git
from zave.tools.git_server import GitCredentials

TOKEN = "canary-token-4711-of-nobody"
VALUE = "canary-value-0815-of-nobody"
STANDIN = Path(__file__).with_name("scripted_flux.py")


class RecordingRunner:
    """The real runner; remembers every argument list."""

    def __init__(self) -> None:
        self.runner = ProcessRunner()
        self.requests: list[Request] = []

    def run(self, request: Request, *, on_line: Callable[[str], None] | None = None) -> Outcome:
        self.requests.append(request)
        return self.runner.run(request, on_line=on_line)


@dataclass
class Platform:
    """One way to one repository, and what an instance is bootstrapped from."""

    url: str
    served: Served
    credentials: GitCredentials
    state: Path
    bin: Path
    server: HttpsGit | SshGit
    runner: RecordingRunner = field(default_factory=RecordingRunner)
    said: list[str] = field(default_factory=list)
    limits: program.Limits = field(default_factory=program.Limits)
    flux_limits: flux.Limits = field(default_factory=flux.Limits)

    @property
    def tree(self) -> Path:
        return self.state / "instances/lab/gitops"

    @property
    def store(self) -> SecretStore:
        return SecretStore(self.state / "secrets/lab")

    def write(self, **files: str) -> None:
        """Render these files; `__` in a name is a slash."""
        shutil.rmtree(self.tree, ignore_errors=True)
        for name, content in files.items():
            file = self.tree / f"{name.replace('__', '/')}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)

    def publish(self, why: str = "zave up", *, credentials: GitCredentials | None = None) -> Source:
        git_program = Git.find(runner=self.runner, scratch=self.state / "tmp")
        repository = RemoteRepository(
            self.url,
            self.state / "instances/lab/repository",
            "main",
            lambda: Git(git_program.program, self.runner, self.state / "tmp", limits=self.limits),
            credentials or self.credentials,
            secrets=lambda _: self.store,
        )
        return repository.publish(tree=self.tree, instance="lab", names=("apps",), why=why)

    def bootstrap(self, source: Source) -> None:
        kubeconfig = self.state / "instances/lab/kubeconfig"
        kubeconfig.touch(mode=0o600)
        installer = ProgramInstaller(
            program=lambda: flux.FluxProgram.find(
                runner=self.runner,
                limits=self.flux_limits,
                environ={"PATH": f"{self.bin}:{sys.exec_prefix}/bin:/usr/bin:/bin", "HOME": str(self.state)},
            ),
            credentials=lambda _: self.credentials,
            log=lambda _: self.log,
        )
        installer.bootstrap(
            instance="lab", source=source, kubeconfig=kubeconfig, say=lambda text, _: self.said.append(text)
        )

    def secrets(self, source: Source) -> list[dict[str, object]]:
        return secrets_for_cluster(source, credentials=lambda _: self.credentials, store=self.store)

    @property
    def log(self) -> Path:
        return self.state / "instances/lab/logs/gitops.log"

    def misbehave(self, mode: str) -> None:
        (self.bin / "mode").write_text(mode)


@pytest.fixture(params=["https", "ssh"])
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Platform]:
    """A repository with one commit of somebody else's, behind a server of each kind."""
    for name in ("git", "openssl", "ssh-agent"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    served = tmp_path / "served"
    served.mkdir()
    git("init", "-q", "--bare", "-b", "main", served / "platform.git")
    git("config", "http.receivepack", "true", at=served / "platform.git")
    repository = Served(served / "platform.git", tmp_path / "somebody")
    repository.edit("begin", README_dot_md="mine\n")
    (tmp_path / "bin").mkdir()
    program_file = tmp_path / "bin/flux"
    program_file.write_text(f"#!{sys.executable} -I\n{STANDIN.read_text()}")
    program_file.chmod(0o755)
    (tmp_path / "state/instances/lab").mkdir(parents=True)
    server: HttpsGit | SshGit
    if request.param == "https":
        server = HttpsGit(served, TOKEN)
        server.start()
        credentials = GitCredentials(token=TOKEN, ca_file=server.authority)
    else:
        if SSHD is None:
            pytest.skip("openssh-server is not installed")
        server = SshGit(served)
        server.start()
        credentials = GitCredentials(key=server.key, known_hosts=server.known_hosts)
    made = Platform(
        url=server.url("platform.git"),
        served=repository,
        credentials=credentials,
        state=tmp_path / "state",
        bin=tmp_path / "bin",
        server=server,
    )
    made.write(clusters__lab__kustomization="resources: []\n", apps__one="kind: One\n")
    try:
        yield made
    finally:
        server.stop()
