"""Git, without anything of the user's configuration: no hooks, no helpers, no host that is not known.

What a server is told, credentials above all, is in `git_server`.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zave.errors import InterruptedRunError, ToolFailedError, ToolMissingError
from zave.ports import Outcome, Request, Runner
from zave.render import write_private
from zave.tools.child_environment import CERTIFICATES, PROXIES, inherited
from zave.tools.child_output import last_words, whole_output
from zave.tools.git_server import GitCredentials, Told, Trouble, told_about, trouble_in

# GIT_CONFIG_COUNT since 2.31, GIT_CONFIG_GLOBAL since 2.32 (release notes, 2021): an older Git would
# pass over both in silence, and take the user's hooks and helpers
OLDEST = (2, 32)

_RESOLUTION = "install Git {}.{} or newer: your distribution's package git".format(*OLDEST)
_VERSION = re.compile(r"git version ([0-9]{1,3})\.([0-9]{1,4})")
_INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", *CERTIFICATES),
    *("ALL_PROXY", "all_proxy", *PROXIES),
)
_FIXED: Mapping[str, str] = {
    # troubles are told apart by Git's own words
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
}
_CONFIGURATION: Mapping[str, str] = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.askPass": "",
    # an empty one empties the list of helpers
    "credential.helper": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "protocol.https.allow": "always",
    "protocol.ssh.allow": "always",
    # objects from a server are somebody else's data
    "transfer.fsckObjects": "true",
    # a token is for the server that was named
    "http.followRedirects": "false",
    # a server that falls silent: Git itself would wait for ever
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
    # one pack instead of a file an object
    "fastimport.unpackLimit": "1",
}


@dataclass(frozen=True)
class Limits:
    """Real seconds after which Git is interrupted: at work on this disk, and with a server."""

    local: float = 60.0
    remote: float = 300.0


@dataclass(frozen=True)
class Answer:
    """What Git gave: its exit code, output, and harmless text of its errors."""

    exit_code: int
    output: bytes
    errors: str
    timed_out: bool = False

    @property
    def trouble(self) -> Trouble | None:
        """Why a server did not do what it was asked; None when it did."""
        return trouble_in(self.errors) if self.exit_code != 0 else None


@dataclass(frozen=True)
class Git:
    """The program at `program`. A bare repository is worked on by its path; there are no work trees.

    `scratch` is where output goes before it is read; a private folder. `survivors` as in `Request`.
    """

    program: Path
    runner: Runner
    scratch: Path
    survivors: Path | None = None
    limits: Limits = Limits()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    @classmethod
    def find(
        cls,
        *,
        runner: Runner,
        scratch: Path,
        survivors: Path | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> "Git":
        """The one on PATH; not started yet. Raises ToolMissingError."""
        found = shutil.which("git", path=environ.get("PATH", os.defpath))
        if found is None:
            raise ToolMissingError("git was not found", resolution=_RESOLUTION)
        return cls(Path(found).absolute(), runner, scratch, survivors, environ=environ)

    def version(self) -> tuple[int, int]:
        """Its version. Raises ToolMissingError for one that is too old or does not say."""
        answer = self._run(("--version",), limit=self.limits.local)
        match = _VERSION.match(answer.output[:200].decode("utf-8", "replace"))
        if answer.exit_code != 0 or match is None:
            raise ToolMissingError(
                "git does not say which version it is",
                where=str(self.program),
                details=answer.errors or None,
                resolution=_RESOLUTION,
            )
        version = int(match[1]), int(match[2])
        if version < OLDEST:
            raise ToolMissingError(
                f"git {version[0]}.{version[1]} is too old", where=str(self.program), resolution=_RESOLUTION
            )
        return version

    def tip(self, repository: Path, ref: str) -> str | None:
        """The commit that `ref` (in full) names here; None when there is none."""
        found = self._local(("for-each-ref", "--format=%(objectname)", "--", ref), at=repository)
        return found.output.decode().strip() or None

    def files(self, repository: Path, commit: str) -> dict[str, tuple[str, str]]:
        """Path -> (mode, object id) of every file in `commit`."""
        listed = self._local(("ls-tree", "-r", "-z", "--full-tree", commit), at=repository).output
        found = {}
        for entry in listed.decode("utf-8", "surrogateescape").split("\0"):
            if entry:
                about, _, path = entry.partition("\t")
                mode, _, identity = about.split(" ")
                found[path] = (mode, identity)
        return found

    def contents(self, repository: Path, objects: Sequence[str]) -> dict[str, bytes]:
        """Object id -> content."""
        if not objects:
            return {}
        wanted = "".join(f"{identity}\n" for identity in objects).encode()
        given = self._local(("cat-file", "--batch"), at=repository, stdin=wanted).output
        found, position = {}, 0
        for identity in objects:
            head, _, _ = given[position:].partition(b"\n")
            words = head.split()
            if len(words) != 3:
                raise ToolFailedError(f"git has no object {identity}", where=str(repository))
            start = position + len(head) + 1
            found[identity] = given[start : start + int(words[2])]
            position = start + int(words[2]) + 1
        return found

    def contains(self, repository: Path, *, commit: str, ancestor: str) -> bool:
        """Whether the history of `commit` has `ancestor` in it; False too when it is unknown here."""
        words = ("merge-base", "--is-ancestor", ancestor, commit)
        return self._run(words, at=repository, limit=self.limits.local).exit_code == 0

    def commit(self, repository: Path, stream: bytes, *, replace: bool = False) -> str:
        """Import `stream` (git-fast-import(1), its commit marked `:1`) and return the commit.

        Without `replace` a branch only ever moves forward. Raises ToolFailedError.
        """
        words = ["fast-import", "--quiet", "--done", "--date-format=now", *(["--force"] if replace else [])]
        answer = self._local(tuple(words), at=repository, stdin=stream + b"get-mark :1\ndone\n")
        return answer.output.decode().strip()

    def tips(self, url: str, *, credentials: GitCredentials) -> Answer:
        """Every branch that a server has, with its commit; `parse_tips` reads the output."""
        return self._remote(("ls-remote", "--heads", "--", url), url, credentials)

    def fetch(self, repository: Path, url: str, *, refspec: str, credentials: GitCredentials) -> Answer:
        """Bring a branch here."""
        words = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        return self._remote((*words, "--", url, refspec), url, credentials, at=repository)

    def push(self, repository: Path, url: str, *, refspec: str, credentials: GitCredentials) -> Answer:
        """Push without force: a branch that has moved on is refused by the server."""
        words = ("push", "--quiet", "--no-verify", "--no-signed", "--recurse-submodules=no")
        return self._remote((*words, "--", url, refspec), url, credentials, at=repository)

    def _local(self, words: tuple[str, ...], *, at: Path | None = None, stdin: bytes | None = None) -> Answer:
        answer = self._run(words, at=at, stdin=stdin, limit=self.limits.local)
        if answer.exit_code != 0:
            ended = "did not end in time" if answer.timed_out else f"failed (exit {answer.exit_code})"
            raise ToolFailedError(
                f"git {words[0]} {ended}",
                where=str(at or self.program),
                details=answer.errors or None,
                resolution="run it again; if it stays, see whether the folder is whole and the disk has room",
            )
        return answer

    def _remote(
        self, words: tuple[str, ...], url: str, credentials: GitCredentials, *, at: Path | None = None
    ) -> Answer:
        return self._run(words, at=at, limit=self.limits.remote, server=told_about(url, credentials))

    def _run(
        self,
        words: tuple[str, ...],
        *,
        limit: float,
        at: Path | None = None,
        stdin: bytes | None = None,
        server: Told | None = None,
    ) -> Answer:
        told = server or Told()
        self.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="git-", dir=self.scratch) as name:
            place = Path(name)
            request = Request(
                argv=(str(self.program), *((f"--git-dir={at}",) if at else ()), *words),
                cwd=place,
                log=place / "output",
                errors=place / "errors",
                environment=self._environment(told),
                timeout=limit,
                # longer than a helper needs to end by itself, shorter than a person's patience
                interrupt_grace=5.0,
                survivors=self.survivors,
                secrets=told.secrets,
                input=stdin,
            )
            outcome = self.runner.run(request)
            return _answer(request, outcome, name=f"git {words[0]}")

    def _environment(self, server: Told) -> dict[str, str]:
        kept = inherited(_INHERITED, environ=self.environ)
        pairs = [*_CONFIGURATION.items(), *server.configuration.items()]
        numbered = {"GIT_CONFIG_COUNT": str(len(pairs))}
        for index, (key, value) in enumerate(pairs):
            numbered[f"GIT_CONFIG_KEY_{index}"] = key
            numbered[f"GIT_CONFIG_VALUE_{index}"] = value
        return {**kept, **_FIXED, **server.environment, **numbered}


def make_bare(repository: Path, *, branch: str) -> None:
    """Make a bare repository, private; one that is there stays as it is.

    As gitrepository-layout(5) has it, and `git init` without templates: that would be a process more
    in every first rehearsal.
    """
    if (repository / "HEAD").exists():
        return
    for folder in (repository.parent, repository):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(repository / "config", b"[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
    for name in ("objects", "refs", "refs/heads"):
        (repository / name).mkdir(mode=0o700, exist_ok=True)
    # last: without it Git sees no repository, and the next run begins again
    write_private(repository / "HEAD", f"ref: refs/heads/{branch}\n".encode())


def parse_tips(listed: bytes) -> dict[str, str]:
    """Branch -> commit, of what `Git.tips` gave."""
    found = {}
    for line in listed.decode("utf-8", "replace").splitlines():
        commit, _, ref = line.partition("\t")
        if ref.startswith("refs/heads/") and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
            found[ref.removeprefix("refs/heads/")] = commit
    return found


def _answer(request: Request, outcome: Outcome, *, name: str) -> Answer:
    if outcome.interrupted:
        raise InterruptedRunError(
            f"interrupted while {name} was at work",
            resolution="run the same command again: it goes on from what is done",
        )
    output = whole_output(request.log, name=name)
    errors = request.log if request.errors is None else request.errors
    return Answer(
        # a negative one: Git itself was killed
        outcome.exit_code if not outcome.timed_out else outcome.exit_code or 1,
        output,
        last_words(errors, secrets=request.secrets),
        timed_out=outcome.timed_out,
    )
