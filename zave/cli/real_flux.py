"""Flux in real clusters, and the repositories that it follows; chosen by `cli/real.py`."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from zave.errors import NoClusterError, PreconditionError, StepFailedError, UnreachableError

if TYPE_CHECKING:
    from zave.aws.live.eks import EksCluster
    from zave.clock import Clock
    from zave.flux.adapter import Way
    from zave.gitops.secrets import SecretStore
    from zave.ports.flux import Flux, Repository, Source
    from zave.process import ProcessRunner
    from zave.settings import Settings
    from zave.spec import AwsSpec, LibvirtSpec
    from zave.state.directory import InstanceFolder, StateDirectory
    from zave.tools.git import Git
    from zave.tools.git_server import GitCredentials

LOCAL = "local"
_LOG = "flux-bootstrap.log"
# EKS takes a token for 15 minutes (EKS user guide, read 2026-11), and a bootstrap is one program that may
# go on for most of that
_RENEWED = timedelta(minutes=1)


@dataclass(frozen=True)
class Handover:
    """What hands a real cluster to Flux, and takes it back."""

    runner: "ProcessRunner"
    settings: "Settings"
    clock: "Clock"
    directory: "StateDirectory"

    def flux(
        self, folder: "InstanceFolder", *, kubeconfig: Callable[[str], Path], environment: Mapping[str, str]
    ) -> "Flux":
        """The way to Flux: `kubeconfig` tells the file that leads to an instance's cluster.

        `environment` is for a program that a kubeconfig may name.
        """
        from zave.flux.adapter import KubectlFlux
        from zave.gitops.installer import ProgramInstaller, secrets_for_cluster
        from zave.tools.flux import FluxProgram

        return KubectlFlux(
            ways=lambda instance: self._way(kubeconfig(instance), environment),
            installer=ProgramInstaller(
                program=lambda: FluxProgram.find(runner=self.runner),
                credentials=self.credentials,
                log=lambda _instance: folder.root / _LOG,
                forge=self.settings.git_forge,
            ),
            secrets=lambda instance, source: secrets_for_cluster(
                source, credentials=self.credentials, store=self.store(instance)
            ),
            clock=self.clock,
        )

    def repository(self, spec: "LibvirtSpec | AwsSpec", folder: "InstanceFolder") -> "Repository":
        """The repository that the spec names; reads credentials only when it is published to."""
        return _Repository(self, _url(spec.gitops.repository), spec.gitops.branch, folder.root / "repository")

    def require_ready(self, spec: "LibvirtSpec | AwsSpec", *, instance: str) -> None:
        """See that a cluster of the spec's can be handed to Flux, before anything is made for it.

        Raises PreconditionError naming what is missing: a repository that the cluster can reach,
        credentials for it, git, kubectl, Flux's program, a secret.
        """
        from zave.gitops.secrets import require
        from zave.tools.flux import FluxProgram
        from zave.tools.kubectl import Kubectl

        if spec.gitops.profile == "none":
            return
        if spec.gitops.repository == LOCAL:
            raise PreconditionError(
                "a real cluster cannot follow a repository on this machine",
                where="gitops.repository",
                resolution="name one that it can reach (https:// or ssh://; docs/bootstrap.md), or set "
                "`gitops: {profile: none}` for a cluster without Flux; `local` is for rehearsals",
            )
        self.credentials(_url(spec.gitops.repository))
        self.git()
        Kubectl.find(self.runner)
        FluxProgram.find(runner=self.runner)
        require(self.store(instance), spec, instance=instance)

    def _way(self, kubeconfig: Path, environment: Mapping[str, str]) -> "Way":
        from zave.flux.adapter import Way
        from zave.tools.kubectl import Kubectl
        from zave.tools.kubectl_api import KubectlApi

        # where no cluster was ever made none is asked, with or without the program
        there = kubeconfig.is_file()
        kubectl = Kubectl.find(self.runner) if there else Kubectl(Path("kubectl"), self.runner)
        return Way(KubectlApi(kubectl, kubeconfig, environment), kubeconfig)

    def store(self, instance: str) -> "SecretStore":
        """The encrypted secrets of an instance."""
        from zave.gitops.secrets import store_of

        return store_of(self.directory, instance)

    def credentials(self, url: str) -> "GitCredentials":
        """What the repository at `url` is asked with. Raises PreconditionError where there is nothing."""
        from zave.gitops.credentials import credentials_for

        return credentials_for(url, self.settings)

    def git(self) -> "Git":
        """The program. Raises ToolMissingError."""
        from zave.tools.git import Git

        return Git.find(runner=self.runner, scratch=self.directory.base / "git", environ=os.environ)


@dataclass(frozen=True)
class _Repository:
    """Implements `zave.ports.flux.Repository`; what only looks at a tree, or takes down, needs no token."""

    handover: Handover
    url: str
    branch: str
    folder: Path

    def publish(self, *, tree: Path, instance: str, names: Sequence[str], why: str) -> "Source":
        """As `zave.ports.flux.Repository` says."""
        from zave.gitops.repository import RemoteRepository

        return RemoteRepository(
            url=self.url,
            folder=self.folder,
            branch=self.branch,
            git=self.handover.git,
            credentials=self.handover.credentials(self.url),
            secrets=self.handover.store,
        ).publish(tree=tree, instance=instance, names=names, why=why)

    def beside(self, *, instance: str) -> str:
        """As `zave.ports.flux.Repository` says."""
        return self.handover.store(instance).digest()


@dataclass
class ShortLived:
    """A kubeconfig of zave's own for EKS, with a token in it that is renewed in time: the file at `path`."""

    cluster: "EksCluster"
    path: Path
    clock: "Clock"
    _until: datetime | None = None
    _renewing: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self, instance: str) -> Path:
        """The file; it is not there while there is no such cluster."""
        from zave.render import write_private

        with self._renewing:
            now = self.clock.now()
            if self._until is None or now >= self._until:
                try:
                    write_private(self.path, self.cluster.short_lived(instance).encode())
                except NoClusterError:
                    self.path.unlink(missing_ok=True)
                    self._until = None
                except StepFailedError as error:
                    # not "there is none": Terraform would destroy under what the cluster holds
                    raise UnreachableError(
                        f"AWS does not tell the way into the cluster of {instance}",
                        details="; ".join(filter(None, [error.brief, error.details])),
                        where=self.cluster.api.region,
                        resolution="run the same command again; it goes on where it stopped",
                    ) from error
                else:
                    self._until = now + _RENEWED
        return self.path


def _url(repository: str) -> str:
    from zave.gitops.tree import flux_url

    return flux_url(repository)
