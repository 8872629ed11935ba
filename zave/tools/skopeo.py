"""skopeo: copies container images between registries and files, without a daemon and without root.

It is told where credentials are and looks nowhere else for them: the registry's own are in a file of
zave's that lives as long as the command, a source's in the file that the user names. Whether images have
to be signed, and where else they are looked for, the machine's policy.json and registries.conf say, as ever.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from zave.errors import InterruptedRunError, ToolFailedError, ToolMissingError
from zave.ports import Outcome, Request, Runner
from zave.ports.registry import Authorization
from zave.render import write_private
from zave.text import clean
from zave.tools.child_environment import CERTIFICATES, PROXIES, inherited
from zave.tools.child_output import last_words

# Debian 12's, with which all of this was tried on 2026-11-23; nothing older was
OLDEST = (1, 9)

_RESOLUTION = "install skopeo {}.{} or later: Debian's package skopeo".format(*OLDEST)
_VERSION = re.compile(r"skopeo version ([0-9]{1,3})\.([0-9]{1,4})")
# HOME for policy.json and registries.conf; without XDG_RUNTIME_DIR no login of the user's is found
_INHERITED = ("PATH", "HOME", "TMPDIR", *CERTIFICATES, *PROXIES)
# registries cut connections now and then
_RETRIES = ("--retry-times", "3")
_MANIFEST_LIMIT = 4 * 1024 * 1024
# packed into a layout of its own: an archive of Docker's has layers that are not compressed, and a
# registry would store another digest than the archive has
_TO_PACK = "docker-archive:"


@dataclass(frozen=True)
class Limits:
    """Real seconds after which skopeo is interrupted."""

    query: float = 120.0
    copy: float = 3600.0


@dataclass(frozen=True)
class Skopeo:
    """The program at `program`; implements `zave.ports.registry.Copier`.

    `scratch` is a private folder that its owner deletes: it takes credentials, and whole images.
    `authorization` is asked for once there is something to tell the registry. `source_auth` is the
    user's own file with logins for sources; without it none is used.
    """

    program: Path
    runner: Runner
    scratch: Path
    authorization: Callable[[], Authorization] = field(repr=False)
    source_auth: Path | None = None
    limits: Limits = Limits()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    @classmethod
    def find(
        cls,
        *,
        runner: Runner,
        scratch: Path,
        authorization: Callable[[], Authorization],
        source_auth: Path | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> "Skopeo":
        """The one on PATH. Raises ToolMissingError when there is none, or one that is too old."""
        found = shutil.which("skopeo", path=environ.get("PATH", os.defpath))
        if found is None:
            raise ToolMissingError("skopeo was not found", resolution=_RESOLUTION)
        program = Path(found).absolute()
        skopeo = cls(program, runner, scratch, authorization, source_auth, environ=environ)
        version = skopeo.version()
        if version < OLDEST:
            raise ToolMissingError(
                f"skopeo {version[0]}.{version[1]} is too old", where=str(program), resolution=_RESOLUTION
            )
        return skopeo

    def version(self) -> tuple[int, int]:
        """Its version. Raises ToolMissingError for a program that does not say."""
        try:
            said = self._run(("--version",), limit=self.limits.query).decode("utf-8", "replace")
        except ToolFailedError as error:
            said = error.brief
        match = _VERSION.match(said)
        if match is None:
            raise ToolMissingError(f"{self.program} is not skopeo", resolution=_RESOLUTION)
        return int(match[1]), int(match[2])

    def digest(self, source: str) -> str:
        """As the port says."""
        return self._inspect(self._settled(source), ("--authfile", str(self._source_logins)))

    def copy(self, source: str, target: str, *, say: Callable[[str], None]) -> None:
        """As the port says."""
        words = (
            # a signature stays with the registry that keeps it: ECR takes none this way
            *("copy", "--all", "--preserve-digests", "--remove-signatures", *_RETRIES),
            *("--src-authfile", str(self._source_logins), "--dest-authfile", str(self._own_login)),
            *(self._settled(source), f"docker://{target}"),
        )
        self._run(words, limit=self.limits.copy, say=say)

    def stored(self, target: str) -> str:
        """As the port says."""
        return self._inspect(f"docker://{target}", ("--authfile", str(self._own_login)))

    def _inspect(self, image: str, logins: tuple[str, ...]) -> str:
        """A digest is that of the manifest's very bytes (OCI image specification, descriptors)."""
        words = ("inspect", "--raw", "--no-tags", *_RETRIES, *logins, image)
        manifest = self._run(words, limit=self.limits.query)
        if not manifest:
            raise ToolFailedError(f"skopeo showed no manifest of {image}")
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    def _settled(self, source: str) -> str:
        """`source`, or what it was packed into so that its digest stays the same."""
        if not source.startswith(_TO_PACK):
            return source
        layout = self.scratch / f"packed-{hashlib.sha256(source.encode()).hexdigest()[:16]}"
        packed = f"oci:{layout}:image"
        # index.json is what skopeo writes last
        if not (layout / "index.json").exists():
            self._run(("copy", "--remove-signatures", source, packed), limit=self.limits.copy)
        return packed

    @cached_property
    def _source_logins(self) -> Path:
        """A file with the logins for sources: the user's, or one with none."""
        if self.source_auth is not None:
            return self.source_auth.absolute()
        path = self.scratch / "no-logins.json"
        write_private(path, b'{"auths": {}}\n')
        return path

    @cached_property
    def _own_login(self) -> Path:
        """A file, 0600, with the right to write to the registry, and to no other."""
        given = self._authorized
        pair = base64.b64encode(f"{given.user}:{given.password}".encode()).decode()
        path = self.scratch / "login.json"
        write_private(path, json.dumps({"auths": {given.server: {"auth": pair}}}).encode())
        return path

    @cached_property
    def _authorized(self) -> Authorization:
        return self.authorization()

    @property
    def _secrets(self) -> frozenset[str]:
        """What must never be shown: nothing, as long as nothing was asked for."""
        given: Authorization | None = self.__dict__.get("_authorized")
        if given is None:
            return frozenset()
        pair = base64.b64encode(f"{given.user}:{given.password}".encode()).decode()
        return frozenset({given.password, pair})

    def _run(
        self, words: tuple[str, ...], *, limit: float, say: Callable[[str], None] | None = None
    ) -> bytes:
        """What it printed. Raises ToolFailedError, InterruptedRunError."""

        def take(line: str) -> None:
            text = clean(line).strip()
            if text and say is not None:
                say(text)

        with tempfile.TemporaryDirectory(prefix="skopeo-", dir=self.scratch) as name:
            request = Request(
                argv=(str(self.program), *words),
                cwd=Path(name),
                log=Path(name, "output"),
                errors=Path(name, "errors"),
                environment=inherited(_INHERITED, environ=self.environ),
                timeout=limit,
                interrupt_grace=10.0,
                secrets=self._secrets,
            )
            outcome = self.runner.run(request, on_line=take if say is not None else None)
            self._judge(words[0], outcome, last_words(Path(name, "errors"), secrets=request.secrets))
            with Path(name, "output").open("rb") as output:
                return output.read(_MANIFEST_LIMIT)

    def _judge(self, verb: str, outcome: Outcome, words: str) -> None:
        if outcome.interrupted:
            raise InterruptedRunError(
                f"interrupted while skopeo {verb} was at work",
                resolution="run the same command again: layers that are there already are not sent again",
            )
        if outcome.timed_out or outcome.exit_code != 0:
            ended = "did not end in time" if outcome.timed_out else f"failed (exit code {outcome.exit_code})"
            raise ToolFailedError(
                f"skopeo {verb} {ended}",
                details=words or None,
                resolution="look at what it says, then run the same command again; a source that wants a "
                "login gets one by --source-auth FILE",
            )
