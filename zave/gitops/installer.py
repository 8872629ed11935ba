"""Flux's own program as what installs Flux: bound to one user's credentials and log."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zave.gitops.credentials import flux_secret
from zave.gitops.secrets import SecretStore
from zave.ports.flux import Say, Source
from zave.tools.flux import FluxProgram, Forge
from zave.tools.git_server import GitCredentials


@dataclass(frozen=True)
class ProgramInstaller:
    """Installs Flux by `flux bootstrap`.

    `program` is asked for when it is needed, `credentials` are those for a URL, `log` is an instance's
    file for what Flux says.
    """

    program: Callable[[], FluxProgram]
    credentials: Callable[[str], GitCredentials]
    log: Callable[[str], Path]
    forge: Forge = "git"

    def bootstrap(self, *, instance: str, source: Source, kubeconfig: Path, say: Say) -> None:
        """Install Flux's controllers and have them follow `source`. Safe to repeat."""
        log = self.log(instance)
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.program().bootstrap(
            source=source,
            kubeconfig=kubeconfig,
            credentials=self.credentials(source.url),
            log=log,
            forge=self.forge,
            on_line=lambda line: say(line, None),
        )


def secrets_for_cluster(
    source: Source, *, credentials: Callable[[str], GitCredentials], store: SecretStore
) -> list[dict[str, Any]]:
    """The Secrets that must be in flux-system before Flux is: its repository's, and the keys."""
    return [flux_secret(credentials(source.url)), *store.for_cluster()]
