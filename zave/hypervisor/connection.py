"""One connection to libvirt, and what its errors mean to people."""

import errno
import os
import platform
import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from zave.errors import PreconditionError, StepFailedError, ToolMissingError, ZaveError
from zave.installation import pip_install
from zave.text import clean

T = TypeVar("T")

# libvirt itself waits for ever: for a daemon that hangs here, for an SSH server that does not answer there
_LOCAL_SECONDS = 10.0
_REMOTE_SECONDS = 30.0


@cache
def libvirt_module() -> Any:
    """libvirt-python, silenced. Raises ToolMissingError where it is not installed."""
    from importlib import import_module

    try:
        libvirt: Any = import_module("libvirt")
    except ImportError as error:
        raise ToolMissingError(
            "libvirt-python is not installed",
            details=clean(str(error)),
            # it is published as source only (PyPI, 2026-11-23)
            resolution=f"install libvirt-dev, pkg-config and a C compiler, then {pip_install('libvirt')}",
        ) from error
    # it would print every error on stderr, also those that are expected
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    return libvirt


class Connection:
    """Opens `uri` when it is first used and keeps it; safe to use from several threads.

    `patience`: seconds that libvirt may take to answer at first.
    """

    def __init__(self, uri: str, *, patience: float | None = None) -> None:
        self.uri = uri
        self._patience = patience or (_LOCAL_SECONDS if self._without_host else _REMOTE_SECONDS)
        self._lock = threading.Lock()
        self._opened: Any = None

    @property
    def where(self) -> str:
        """How errors and receipts name it."""
        return f"libvirt {clean(self.uri)}"

    @property
    def local(self) -> bool:
        """Whether the host's files are this machine's. Behind a socket of its own may be anything."""
        return self._without_host and "socket=" not in urlsplit(self.uri).query

    @property
    def on_this_machine(self) -> bool:
        """Whether the host's memory and processors are this machine's."""
        return self.local or (
            self._without_host and self.read(lambda virt: virt.getHostname()) == platform.node()
        )

    @property
    def remote(self) -> bool:
        """Whether the URI names another host. Behind a socket of its own may be anything."""
        return bool(urlsplit(self.uri).hostname)

    @property
    def _without_host(self) -> bool:
        parts = urlsplit(self.uri)
        return parts.scheme in ("qemu", "qemu+unix") and not parts.hostname

    def use(self) -> Any:
        """The `virConnect`. Raises PreconditionError when libvirt cannot be reached."""
        with self._lock:
            if self._opened is None or not _alive(self._opened):
                self._opened = self.open()
            return self._opened

    def open(self) -> Any:
        """A connection of the caller's own, to be closed by it."""
        libvirt = libvirt_module()
        opened: list[Any] = []
        errors: list[Exception] = []

        def attempt() -> None:
            try:
                opened.append(libvirt.open(_without_questions(self.uri)))
            except libvirt.libvirtError as error:
                errors.append(error)

        # a thread that is left behind when libvirt hangs: nothing can end it from outside
        thread = threading.Thread(target=attempt, name="libvirt-open", daemon=True)
        thread.start()
        thread.join(self._patience)
        if opened:
            return opened[0]
        raise self._unreachable(libvirt, errors[0] if errors else None)

    def read(self, question: Callable[[Any], T]) -> T:
        """What `question` makes of the connection; asked once more when libvirtd restarted meanwhile."""
        libvirt = libvirt_module()
        connection = self.use()
        try:
            return question(connection)
        except libvirt.libvirtError as error:
            if _alive(connection):
                raise self.failed("libvirt could not answer", error) from error
        with self.telling("libvirt could not answer"):
            return question(self.use())

    @contextmanager
    def telling(self, brief: str, *, resolution: str | None = None) -> Iterator[None]:
        """Raises libvirt's errors as StepFailedError with `brief`, a lost connection as such."""
        libvirt = libvirt_module()
        try:
            yield
        except libvirt.libvirtError as error:
            raise self.failed(brief, error, resolution=resolution) from error

    def failed(self, brief: str, error: Exception, *, resolution: str | None = None) -> ZaveError:
        """The error that tells of libvirt's `error`."""
        opened = self._opened
        if opened is not None and not _alive(opened):
            return PreconditionError(
                f"{brief}: the connection to libvirt was lost",
                details=clean(str(error)),
                where=self.where,
                resolution="see that libvirtd runs (systemctl status libvirtd), then the same command again",
            )
        return StepFailedError(
            brief,
            details=clean(str(error)),
            where=self.where,
            resolution=resolution or f"{self.virsh('list --all')} should work; libvirt's log tells more",
        )

    def virsh(self, command: str) -> str:
        """A command line for people: `command` is quoted already."""
        return f"virsh -c {quoted(self.uri)} {command}"

    def close(self) -> None:
        """Close it; the next use opens it anew."""
        with self._lock:
            if self._opened is not None:
                with suppress(libvirt_module().libvirtError):
                    self._opened.close()
                self._opened = None

    def _unreachable(self, libvirt: Any, error: Any) -> PreconditionError:
        brief, resolution = self._explained(libvirt, error)
        return PreconditionError(
            brief,
            details=clean(str(error)) if error is not None else None,
            where=self.where,
            resolution=f"{resolution}; {self.virsh('list')} must work without a question",
        )

    def _explained(self, libvirt: Any, error: Any) -> tuple[str, str]:
        parts = urlsplit(self.uri)
        if error is None:
            return "libvirt does not answer", "restart libvirtd there, or see why it hangs"
        if parts.hostname:
            host = clean(parts.hostname)
            way = f"`ssh {host} true` works" if "ssh" in parts.scheme else "it accepts this transport"
            return f"the libvirt host {host} cannot be reached", f"see that {way}, and libvirtd runs there"
        return _local_trouble(libvirt, error)


def quoted(text: str) -> str:
    """`text` as one word of a shell's line, whatever is in it; bash's own form where it cannot be shown."""
    if text.isprintable():
        return shlex.quote(text)
    shown = "".join(c if c.isprintable() and c not in "\\'" else _escaped(c) for c in text)
    return f"$'{shown}'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def _local_trouble(libvirt: Any, error: Any) -> tuple[str, str]:
    code = error.get_error_code()
    number = error.get_int1() if code == libvirt.VIR_ERR_SYSTEM_ERROR else None
    unauthorised = (
        libvirt.VIR_ERR_AUTH_FAILED,
        libvirt.VIR_ERR_AUTH_CANCELLED,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
    )
    if number in (errno.EACCES, errno.EPERM) or code in unauthorised:
        user = clean(os.environ.get("USER") or "$USER")
        return (
            "you may not use libvirt's socket",
            f"sudo usermod -aG libvirt {user}, then log in anew",
        )
    if number in (errno.ENOENT, errno.ECONNREFUSED):
        return (
            "libvirtd is not running",
            "sudo systemctl enable --now libvirtd (Debian and Ubuntu: package libvirt-daemon-system)",
        )
    if code in (libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_CONF_SYNTAX):
        return "no such libvirt host", "correct libvirt.uri; on this machine it is qemu:///system"
    return (
        "libvirt cannot be reached",
        "see that libvirt.uri is right and libvirtd runs (systemctl status libvirtd)",
    )


def _alive(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt_module().libvirtError:
        return False


def _without_questions(uri: str) -> str:
    """`uri` such that SSH fails instead of asking on the terminal, where a live screen stands."""
    parts = urlsplit(uri)
    if not parts.scheme.endswith("+ssh") or "no_tty=" in parts.query:
        return uri
    return parts._replace(query=f"{parts.query}&no_tty=1".lstrip("&")).geturl()
