"""Downloads: https only, bounded, resumed where they were cut, and never trusted before they are verified.

Everything that arrives here is checked against a checksum by the caller; TLS keeps out the merely
curious. Redirects may lead to another host (Debian's go to mirrors), never away from https.
"""

import errno
import http.client
import os
import re
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from zave import __version__
from zave.clock import Clock
from zave.errors import InterruptedRunError, PreconditionError, StepFailedError
from zave.process import open_private

Say = Callable[[str, float | None], None]

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_CHUNK = 1024 * 1024
# connections in a row that brought nothing; a file of gigabytes may be cut more often than that
_TRIES_LIMIT = 100
# left free on the disk for everything else
_SPACE_MARGIN = 16 * 1024 * 1024
_MIB = 1024 * 1024
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")
WHY_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"} | {
    errno.EFBIG: "the file would be larger than this machine allows"
}
"""Why a disk takes no more, by errno."""


class AbsentError(StepFailedError):
    """The server answers, and has no such file."""


class TooLargeError(StepFailedError):
    """The server has more than may be fetched."""


class _CutError(Exception):
    """The connection failed or ended early; another try may help."""


@dataclass(frozen=True)
class Web:
    """Fetches files over https; `loopback` also allows plain http, to this machine only.

    `interrupted` tells whether the user asked zave to stop, `timeout` is in seconds without a byte,
    `pauses` are the seconds between tries that brought nothing.
    """

    clock: Clock
    interrupted: Callable[[], bool]
    loopback: bool = False
    timeout: float = 30.0
    pauses: tuple[float, ...] = (1.0, 5.0, 15.0)
    trust: ssl.SSLContext | None = field(default=None, repr=False)

    def read(self, url: str, *, limit: int) -> bytes:
        """The content of a small file. Raises AbsentError, or StepFailedError when it cannot be had."""
        for pause in (*self.pauses, None):
            try:
                with self._open(url, offset=0) as response:
                    content: bytes = response.read(limit + 1)
                    _require_whole(response, len(content), limit)
            except (_CutError, *_FAILURES) as error:
                self._next_try(url, error, pause)
                continue
            if len(content) > limit:
                raise _too_large(url, limit)
            return content
        raise AssertionError("the last try raises")

    def fetch(self, url: str, destination: Path, *, limit: int, say: Say) -> bool:
        """Bring `url` into the file `destination`, going on where an earlier try was cut.

        True when it went on from bytes of an earlier call, which may be of another file: only the
        checksum tells. `limit` is in bytes. Raises AbsentError, TooLargeError, PreconditionError when
        the disk is full, StepFailedError when the server cannot be reached, and InterruptedRunError;
        what has arrived stays for the next call.
        """
        resumed = _size(destination) > 0
        pauses = list(self.pauses)
        for _ in range(_TRIES_LIMIT):
            before = _size(destination)
            try:
                self._bring(url, destination, limit=limit, say=say)
            except _OverlongError:
                # what is here is longer than what is there, so of another file
                destination.unlink()
            except (_CutError, *_FAILURES) as error:
                if _size(destination) > before:
                    pauses = list(self.pauses)
                else:
                    self._next_try(url, error, pauses.pop(0) if pauses else None)
                say(f"{_shown(url)}: the connection was cut; going on", None)
            else:
                return resumed
        raise _unreachable(url, f"the connection was cut {_TRIES_LIMIT} times")

    def _bring(self, url: str, destination: Path, *, limit: int, say: Say) -> None:
        have = _size(destination)
        with self._open(url, offset=have) as response:
            start = _start_of(response, have)
            length = _length_of(response)
            total = None if length is None else start + length
            if total is not None and total > limit:
                raise _too_large(url, limit)
            if length is not None:
                _require_space(destination, length)
            progress = _Progress(url, total, say)
            with _Part(destination, start) as part:
                # read1: what has arrived is written at once, not when a whole chunk is there
                while chunk := response.read1(_CHUNK):
                    if part.size + len(chunk) > limit:
                        raise _too_large(url, limit)
                    part.append(chunk)
                    progress.tell(part.size)
                    self._go_on(url)
        if total is not None and _size(destination) < total:
            raise _CutError(f"only {_size(destination)} of {total} bytes came")

    def _go_on(self, url: str) -> None:
        if self.interrupted():
            raise InterruptedRunError(
                f"stopped while downloading {_shown(url)}",
                resolution="run the same command again: it goes on where it stopped",
            )

    def _open(self, url: str, *, offset: int) -> Any:
        self.check(url)
        headers = {"User-Agent": f"zave/{__version__}", "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        # `check` has allowed https, or http to this machine, and nothing else
        request = urllib.request.Request(url, headers=headers)  # noqa: S310
        try:
            return self._opener.open(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(url, error) from error

    def _refused(self, url: str, error: urllib.error.HTTPError) -> Exception:
        if error.code in (404, 410):
            return AbsentError(f"{_shown(url)} is not there (HTTP {error.code})", where=url)
        if error.code == 416:
            return _OverlongError()
        if error.code >= 500 or error.code in (408, 429):
            return _CutError(f"HTTP {error.code}")
        return _unreachable(url, f"HTTP {error.code}")

    def _next_try(self, url: str, error: Exception, pause: float | None) -> None:
        self._go_on(url)
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        if pause is None or isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
            raise _unreachable(url, reason) from error
        self.clock.sleep(pause)

    def check(self, url: str) -> None:
        """Raise StepFailedError for a URL that must not be fetched."""
        parts = urlsplit(url)
        if parts.scheme == "https" and parts.hostname:
            return
        if self.loopback and parts.scheme == "http" and parts.hostname in _LOOPBACK:
            return
        raise StepFailedError(
            f"{_shown(url)} is not an https URL: it is not fetched",
            where=url,
            resolution="use https, or put the file into the folder `artifacts.folder` of the environment",
        )

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        handlers: list[urllib.request.BaseHandler] = [_Redirects(self)]
        if self.trust is not None:
            handlers.append(urllib.request.HTTPSHandler(context=self.trust))
        if self.loopback:
            handlers.append(urllib.request.ProxyHandler({}))
        return urllib.request.build_opener(*handlers)


class _OverlongError(Exception):
    """The server has less than what is here."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to where a download may begin."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        try:
            request = super().redirect_request(req, fp, code, msg, headers, newurl)
            if request is not None:
                self._web.check(request.full_url)
        except StepFailedError:
            fp.close()
            raise
        return request


class _Part:
    """The file that a download grows in. What it raises is about this machine, not the network."""

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        self.size = start
        try:
            self._descriptor = open_private(path, os.O_WRONLY)
            os.ftruncate(self._descriptor, start)
        except OSError as error:
            raise _unwritable(path, error) from error

    def append(self, chunk: bytes) -> None:
        """Write all of `chunk` at the end."""
        rest = memoryview(chunk)
        try:
            while rest:
                written = os.pwrite(self._descriptor, rest, self.size)
                self.size, rest = self.size + written, rest[written:]
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        finally:
            os.close(self._descriptor)


class _Progress:
    """Says how far a download is: each percent once, or each 100 MiB where the length is not told."""

    def __init__(self, url: str, total: int | None, say: Say) -> None:
        self._url, self._total, self._say = url, total, say
        self._shown = -1

    def tell(self, done: int) -> None:
        """`done` bytes are there."""
        step = 100 * done // self._total if self._total else done // (100 * _MIB)
        if step == self._shown:
            return
        self._shown = step
        of = f" of {self._total // _MIB}" if self._total else ""
        fraction = min(1.0, done / self._total) if self._total else None
        self._say(f"downloading {_shown(self._url)}: {done // _MIB}{of} MiB", fraction)


# what a server or a network may do to a connection; OSError covers URLError, time-outs and TLS
_FAILURES = (http.client.HTTPException, OSError)


def _start_of(response: Any, have: int) -> int:
    """From which byte on the server sends; it may ignore the wish to go on."""
    if response.status != 206:
        return 0
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range") or "")
    if found is None or int(found[1]) != have:
        raise _CutError("the server sends another part than was asked for")
    return have


def _length_of(response: Any) -> int | None:
    text = response.headers.get("Content-Length") or ""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _require_whole(response: Any, got: int, limit: int) -> None:
    length = _length_of(response)
    if length is not None and got < min(length, limit):
        raise _CutError(f"only {got} of {length} bytes came")


def _require_space(destination: Path, length: int) -> None:
    try:
        free = shutil.disk_usage(destination.parent).free
    except OSError as error:
        raise _unwritable(destination, error) from error
    if free < length + _SPACE_MARGIN:
        raise _disk_full(destination, f"{free // _MIB} MiB are free, {length // _MIB + 16} MiB are needed")


def _unwritable(path: Path, error: OSError) -> PreconditionError:
    if error.errno in WHY_FULL:
        return _disk_full(path, WHY_FULL[error.errno])
    return PreconditionError(f"{path} cannot be written: {error.strerror}", where=str(path))


def _disk_full(destination: Path, reason: str) -> PreconditionError:
    return PreconditionError(
        f"there is no room for a download: {reason}",
        where=str(destination.parent),
        resolution="free some space (zave build-image --prune removes old images), then run it again: "
        "what has arrived is kept",
    )


def _too_large(url: str, limit: int) -> TooLargeError:
    return TooLargeError(f"{_shown(url)} is larger than {limit} bytes: refused", where=url)


def _unreachable(url: str, reason: str) -> StepFailedError:
    return StepFailedError(
        f"{_shown(url)} cannot be downloaded",
        details=reason,
        where=url,
        resolution="check the network and the proxy settings (https_proxy), then run it again; "
        "`artifacts` in environment.yaml serves machines without internet",
    )


def _shown(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2] or url


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
