"""Git, without anything of the user's configuration: no hooks, no helpers, no host that is not known.

Credentials come by environment: a token is handed out by a credential helper that answers for one server
only, a key is a file that ssh reads. Nothing of them is in an argument list, a URL or a file of zave's.
"""

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from zave.errors import InterruptedRunError, ToolFailedError, ToolMissingError
from zave.ports import Outcome, Request, Runner
from zave.render import write_private
from zave.text import clean, redact

# GIT_CONFIG_COUNT since 2.31, GIT_CONFIG_GLOBAL since 2.32 (release notes, 2021): an older Git would
# pass over both in silence, and take the user's hooks and helpers
OLDEST = (2, 32)

Trouble = Literal[
    "login", "not-found", "host-key", "certificate", "redirect", "rejected", "protected", "connection"
]
"""Why a server did not do what it was asked; Git tells it in words only."""

_RESOLUTION = "install Git {}.{} or newer: your distribution's package git".format(*OLDEST)
_VERSION = re.compile(r"git version ([0-9]{1,3})\.([0-9]{1,4})")
_INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *(
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
    ),
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
# only variables: their values are in the environment. printf is a builtin, so neither is in an argument list
_HELPER = (
    '!f() { test "$1" = get && '
    'printf "username=%s\\npassword=%s\\n" "$ZAVE_GIT_LOGIN" "$ZAVE_GIT_PASSWORD"; }; f'
)
# how OpenSSH, curl and servers say it, through Git 2.39 to 2.51; the first that is said counts
_WORDS: tuple[tuple[Trouble, re.Pattern[str]], ...] = (
    (
        "host-key",
        re.compile(r"Host key verification failed|no matching host key type|No \S+ host key is known"),
    ),
    (
        "certificate",
        re.compile(r"certificate|SSL_ERROR|gnutls_handshake|error setting certificate", re.IGNORECASE),
    ),
    (
        "login",
        re.compile(
            r"Authentication failed|could not read (?:Username|Password)|Permission denied"
            r"|HTTP 40[13]|returned error: 40[13]|Invalid username or (?:password|token)"
        ),
    ),
    ("redirect", re.compile(r"unable to update url base from redirection|returned error: 30[0-9]")),
    # the second: somebody pushed while the server was looking
    ("rejected", re.compile(r"\[rejected\]|non-fast-forward|fetch first|stale info|cannot lock ref")),
    ("protected", re.compile(r"\[remote rejected\]|protected branch|pre-receive hook declined")),
    (
        "not-found",
        re.compile(
            r"repository .* not found|returned error: 404|does not appear to be a git repository"
            r"|Repository not found|No such file or directory|not a git repository",
            re.IGNORECASE,
        ),
    ),
)
_OUTPUT_LIMIT = 64 * 1024 * 1024
_WORDS_LIMIT = 4000


@dataclass(frozen=True)
class Limits:
    """Real seconds after which Git is interrupted: at work on this disk, and with a server."""

    local: float = 60.0
    remote: float = 300.0


@dataclass(frozen=True)
class GitCredentials:
    """What a Git server asks for. `token` with `user` for https, `key` (a file) for ssh.

    `known_hosts` is the file with the servers' host keys, never written; `ca_file` the authorities to
    believe instead of the system's, for a server with a certificate of one's own.
    """

    user: str = "git"
    token: str | None = field(default=None, repr=False)
    key: Path | None = None
    known_hosts: Path | None = None
    ca_file: Path | None = None

    @property
    def secrets(self) -> frozenset[str]:
        """What must never be shown."""
        return frozenset({self.token} if self.token else ())

    def ssh_command(self) -> str:
        """The ssh that Git is to use: one key, known hosts only, none of the user's configuration."""
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": _quoted(self.known_hosts or Path("/dev/null")),
            "GlobalKnownHostsFile": "/dev/null",
            "UpdateHostKeys": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "IdentitiesOnly": "yes",
            "ForwardAgent": "no",
            "PermitLocalCommand": "no",
            "ConnectTimeout": "20",
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "6",
            "LogLevel": "ERROR",
        }
        words = ["ssh", "-F", "/dev/null"]
        for name, value in options.items():
            words += ["-o", f"{name}={value}"]
        # without a key none is offered: not those that happen to lie in the user's folder
        words += ["-i", str(self.key)] if self.key else ["-o", "IdentityFile=none"]
        return shlex.join(words)


NOBODY = GitCredentials()
"""No credentials: for a repository on this disk."""


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
        if self.exit_code == 0:
            return None
        return next((trouble for trouble, words in _WORDS if words.search(self.errors)), "connection")


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
        return self._run(words, at=at, limit=self.limits.remote, server=_server(url, credentials))

    def _run(
        self,
        words: tuple[str, ...],
        *,
        limit: float,
        at: Path | None = None,
        stdin: bytes | None = None,
        server: "_Server | None" = None,
    ) -> Answer:
        told = server or _Server()
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

    def _environment(self, server: "_Server") -> dict[str, str]:
        kept = {name: self.environ[name] for name in _INHERITED if name in self.environ}
        pairs = [*_CONFIGURATION.items(), *server.configuration.items()]
        numbered = {"GIT_CONFIG_COUNT": str(len(pairs))}
        for index, (key, value) in enumerate(pairs):
            numbered[f"GIT_CONFIG_KEY_{index}"] = key
            numbered[f"GIT_CONFIG_VALUE_{index}"] = value
        return {**kept, **_FIXED, **server.environment, **numbered}


@dataclass(frozen=True)
class _Server:
    """What Git is told for the sake of one server."""

    environment: Mapping[str, str] = field(default_factory=dict)
    configuration: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()


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
    """Branch -> commit, of what `Git.remote_tip` gave."""
    found = {}
    for line in listed.decode("utf-8", "replace").splitlines():
        commit, _, ref = line.partition("\t")
        if ref.startswith("refs/heads/") and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
            found[ref.removeprefix("refs/heads/")] = commit
    return found


def _server(url: str, credentials: GitCredentials) -> _Server:
    """The token is for exactly the scheme, host and port of `url`."""
    if not url.startswith("https://"):
        return _Server({"GIT_SSH_COMMAND": credentials.ssh_command(), "GIT_SSH_VARIANT": "ssh"})
    environment, configuration = {}, {}
    if credentials.ca_file is not None:
        configuration["http.sslCAInfo"] = str(credentials.ca_file)
    if credentials.token:
        configuration[f"credential.https://{urlsplit(url).netloc}.helper"] = _HELPER
        environment = {"ZAVE_GIT_LOGIN": credentials.user, "ZAVE_GIT_PASSWORD": credentials.token}
    return _Server(environment, configuration, credentials.secrets)


def _answer(request: Request, outcome: Outcome, *, name: str) -> Answer:
    if outcome.interrupted:
        raise InterruptedRunError(
            f"interrupted while {name} was at work",
            resolution="run the same command again: it goes on from what is done",
        )
    if request.log.stat().st_size > _OUTPUT_LIMIT:
        raise ToolFailedError(f"{name} printed more than {_OUTPUT_LIMIT >> 20} MiB")
    errors = request.log if request.errors is None else request.errors
    said = errors.read_bytes()[-_WORDS_LIMIT:].decode("utf-8", "replace").strip()
    return Answer(
        # a negative one: Git itself was killed
        outcome.exit_code if not outcome.timed_out else outcome.exit_code or 1,
        request.log.read_bytes(),
        redact(clean(said), request.secrets),
        timed_out=outcome.timed_out,
    )


def _quoted(path: Path) -> str:
    """`path` as ssh's configuration wants it: quoted, `%` doubled."""
    return '"' + str(path).replace("%", "%%") + '"'
