"""A Git server: what Git is told of it and of its credentials, and why it did not do what it was asked.

Credentials go by environment: a token is handed out by a credential helper that answers for one server
only, a key is a file that ssh reads. Nothing of them is in an argument list, a URL or a file of zave's.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from zave.tools.ssh import quoted

Trouble = Literal[
    "login", "not-found", "host-key", "certificate", "redirect", "rejected", "protected", "connection"
]
"""Why a server did not do what it was asked; Git tells it in words only."""

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
            "UserKnownHostsFile": quoted(self.known_hosts or Path("/dev/null")),
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


@dataclass(frozen=True)
class Told:
    """What Git is told for the sake of one server."""

    environment: Mapping[str, str] = field(default_factory=dict)
    configuration: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()


def told_about(url: str, credentials: GitCredentials) -> Told:
    """What Git is told for a call to `url`. The token is for exactly its scheme, host and port."""
    if not url.startswith("https://"):
        return Told({"GIT_SSH_COMMAND": credentials.ssh_command(), "GIT_SSH_VARIANT": "ssh"})
    environment, configuration = {}, {}
    if credentials.ca_file is not None:
        configuration["http.sslCAInfo"] = str(credentials.ca_file)
    if credentials.token:
        configuration[f"credential.https://{urlsplit(url).netloc}.helper"] = _HELPER
        environment = {"ZAVE_GIT_LOGIN": credentials.user, "ZAVE_GIT_PASSWORD": credentials.token}
    return Told(environment, configuration, credentials.secrets)


def trouble_in(errors: str) -> Trouble:
    """Why a server did not do what it was asked, by what Git said."""
    return next((trouble for trouble, words in _WORDS if words.search(errors)), "connection")
