"""The `flux` program: the one verb that zave needs, `bootstrap`, for any Git server, GitHub and GitLab.

What zave knows of its options was read in Flux's source (fluxcd/flux2, cmd/flux, 2026-08-07). Secrets go
by environment. With `--private-key-file` Flux believes whichever host key answers; so a key is given to
an ssh-agent of Flux's own instead, and Flux then checks the host against `SSH_KNOWN_HOSTS`.
"""

import os
import re
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from zave.errors import InterruptedRunError, PreconditionError, ToolFailedError, ToolMissingError
from zave.ports import Outcome, Request, Runner
from zave.ports.flux import Source
from zave.text import clean, redact
from zave.tools.child_environment import CERTIFICATES, PROXIES, inherited
from zave.tools.git_server import GitCredentials

# the first whose controllers refuse an undefined variable (Flux 2.9, StrictPostBuildSubstitutions):
# the shipped tree relies on it, and `flux` installs the controllers of its own version
OLDEST = (2, 9, 0)

SECRET = "zave-git"  # noqa: S105 - a name
"""The Secret in flux-system with Flux's credentials; the tree's own source names it as well."""

Forge = Literal["git", "github", "github-user", "gitlab", "gitlab-user"]
"""Which of Flux's ways is taken. `git` works with every server; the others ask the server's API as well,
and want to know whether the owner is a user or an organisation."""

_RESOLUTION = (
    "install Flux's program {}.{} or newer: https://fluxcd.io/flux/installation says how, and "
    "`flux --version` shows which one there is"
).format(*OLDEST)
_VERSION = re.compile(r"flux version v?([0-9]{1,3})\.([0-9]{1,4})\.([0-9]{1,4})")
_INHERITED = ("PATH", "HOME", "USER", "TMPDIR", *CERTIFICATES, *PROXIES)
_TOKEN_VARIABLE: Mapping[str, str] = {
    "git": "GIT_PASSWORD",
    "github": "GITHUB_TOKEN",
    "gitlab": "GITLAB_TOKEN",
}
# the agent looks every ten seconds whether the program that it started is still there (ssh-agent.c); its
# socket goes at once, with the scratch folder. Nothing of this text is a secret, nor changes
_WITH_AGENT = 'ssh-add -q -- "$1"; shift; exec "$@"'
_VERSION_TIMEOUT = 30.0
_LAST_LINES = 20
_LINE = 400


@dataclass(frozen=True)
class Limits:
    """Real seconds: how long Flux waits for its controllers, and after which it is ended."""

    controllers: float = 600.0
    whole: float = 900.0


@dataclass(frozen=True)
class FluxProgram:
    """The program at `program`. `environ` is the user's; little of it is passed on."""

    program: Path
    runner: Runner
    limits: Limits = Limits()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    @classmethod
    def find(
        cls, *, runner: Runner, limits: Limits = Limits(), environ: Mapping[str, str] = os.environ
    ) -> "FluxProgram":
        """The one on PATH. Raises ToolMissingError when there is none, or one that is too old."""
        found = shutil.which("flux", path=environ.get("PATH", os.defpath))
        if found is None:
            raise ToolMissingError("flux was not found", resolution=_RESOLUTION)
        program = cls(Path(found).absolute(), runner, limits, environ)
        version = program.version()
        if version < OLDEST:
            raise ToolMissingError(
                f"flux {'.'.join(map(str, version))} is too old", where=found, resolution=_RESOLUTION
            )
        return program

    def version(self) -> tuple[int, int, int]:
        """Its version. Raises ToolMissingError for a program that does not say."""
        with tempfile.TemporaryDirectory(prefix="zave-flux-") as name:
            log = Path(name, "output")
            outcome = self.runner.run(
                Request(
                    argv=(str(self.program), "--version"),
                    cwd=Path(name),
                    log=log,
                    errors=Path(name, "errors"),
                    environment={"PATH": self.environ.get("PATH", os.defpath), "HOME": name},
                    timeout=_VERSION_TIMEOUT,
                    interrupt_grace=1.0,
                )
            )
            with log.open("rb") as file:
                said = file.read(4096).decode("utf-8", "replace")
        match = _VERSION.search(said)
        if outcome.exit_code != 0 or match is None:
            raise ToolMissingError(
                "flux does not say which version it is",
                where=str(self.program),
                details=clean(said).strip() or None,
                resolution=_RESOLUTION,
            )
        return int(match[1]), int(match[2]), int(match[3])

    def bootstrap(
        self,
        *,
        source: Source,
        kubeconfig: Path,
        credentials: GitCredentials,
        log: Path,
        forge: Forge = "git",
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Install Flux and have it follow `source`; commits its own manifests beside the tree. Repeatable.

        For an ssh URL the Secret `SECRET` must be in the cluster already: Flux takes it as it is. `log`
        gets what Flux says, `on_line` each line as harmless text. Raises ToolFailedError with its last
        words, PreconditionError for credentials that do not fit the URL.
        """
        argv = self._argv(source, credentials, forge)
        last: deque[str] = deque(maxlen=_LAST_LINES)

        def heard(line: str) -> None:
            text = clean(redact(line, credentials.secrets)).strip()[:_LINE]
            if text:
                last.append(text)
                if on_line is not None:
                    on_line(text)

        with tempfile.TemporaryDirectory(prefix="zave-flux-") as scratch:
            outcome = self.runner.run(
                Request(
                    argv=argv,
                    cwd=Path(scratch),
                    log=log,
                    environment=self._environment(forge, credentials, kubeconfig, scratch),
                    timeout=self.limits.whole,
                    interrupt_grace=30.0,
                    secrets=credentials.secrets,
                ),
                on_line=heard,
            )
        _check(outcome, last, url=source.url, log=log)

    def _argv(self, source: Source, credentials: GitCredentials, forge: Forge) -> tuple[str, ...]:
        parts = urlsplit(source.url)
        if parts.scheme == "ssh" and credentials.key is None:
            raise PreconditionError(
                "Flux needs a key for the repository",
                where=source.url,
                resolution="name the file of a deploy key in ZAVE_GIT_KEY; docs/bootstrap.md says how "
                "to make one",
            )
        if parts.scheme == "https" and not credentials.token:
            raise PreconditionError(
                "Flux needs a token for the repository",
                where=source.url,
                resolution="name the file of a token in ZAVE_GIT_TOKEN_FILE; docs/bootstrap.md says how to "
                "make one",
            )
        if parts.scheme not in ("ssh", "https") or (forge != "git" and parts.scheme != "https"):
            raise PreconditionError(
                f"Flux cannot follow this repository from inside the cluster (git_forge: {forge})",
                where=source.url,
                resolution="give gitops.repository an https URL, or with git_forge git an ssh URL",
            )
        words = [str(self.program), "bootstrap", *_ways(source, forge), *self._options(source, credentials)]
        if parts.scheme == "ssh":
            # a user of its own in the URL is kept by Flux where none is named
            words += ["--silent"] if forge == "git" else []
            return ("ssh-agent", "sh", "-euc", _WITH_AGENT, "zave", str(credentials.key), *words)
        words += [f"--username={credentials.user}"] if forge == "git" else []
        return (*words, "--token-auth")

    def _options(self, source: Source, credentials: GitCredentials) -> list[str]:
        return [
            f"--branch={source.branch}",
            f"--path={source.path}",
            f"--secret-name={SECRET}",
            f"--timeout={self.limits.controllers:.0f}s",
            "--author-name=zave",
            "--author-email=zave@localhost",
            *([f"--ca-file={credentials.ca_file}"] if credentials.ca_file else []),
        ]

    def _environment(
        self, forge: Forge, credentials: GitCredentials, kubeconfig: Path, scratch: str
    ) -> dict[str, str]:
        found = inherited(_INHERITED, environ=self.environ)
        # the agent's socket lies in TMPDIR
        found |= {"KUBECONFIG": str(kubeconfig), "TMPDIR": scratch, "LC_ALL": "C"}
        if credentials.known_hosts is not None:
            found["SSH_KNOWN_HOSTS"] = str(credentials.known_hosts)
        if credentials.token:
            found[_TOKEN_VARIABLE[forge.partition("-")[0]]] = credentials.token
        return found


def owner_of(url: str) -> tuple[str, str, str]:
    """(host, owner, repository) of a forge's URL. Raises PreconditionError for one without an owner.

    >>> owner_of("https://gitlab.com/group/below/platform.git")
    ('gitlab.com', 'group/below', 'platform')
    """
    parts = urlsplit(url)
    owner, _, repository = parts.path.strip("/").rpartition("/")
    repository = repository.removesuffix(".git")
    if not owner or not repository:
        raise PreconditionError(
            "the URL does not name an owner and a repository",
            where=url,
            resolution="write https://HOST/OWNER/REPOSITORY, or set git_forge to git",
        )
    return parts.hostname or "", owner, repository


def _ways(source: Source, forge: Forge) -> list[str]:
    """The sub-command, and how the repository is named to it."""
    if forge == "git":
        return ["git", f"--url={source.url}"]
    name, _, user = forge.partition("-")
    host, owner, repository = owner_of(source.url)
    found = [name, f"--owner={owner}", f"--repository={repository}", f"--hostname={host}"]
    return [*found, *(["--personal"] if user else [])]


def _check(outcome: Outcome, last: deque[str], *, url: str, log: Path) -> None:
    if outcome.interrupted:
        raise InterruptedRunError(
            "interrupted while Flux was being installed",
            resolution="run the same command again: it goes on from what is done",
        )
    said = "\n".join(last) or None
    if outcome.timed_out:
        raise ToolFailedError(
            "flux bootstrap did not end in time",
            where=url,
            details=said,
            resolution=f"{log} holds all that it said; run the same command again: it can be repeated",
        )
    if outcome.exit_code != 0:
        raise ToolFailedError(
            f"flux bootstrap failed (exit {outcome.exit_code})",
            where=url,
            details=said,
            resolution=f"{log} holds all that it said; once that is put right, run the same command again",
        )
