"""Small texts over https: a channel's release, a release's checksums."""

from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from zave.errors import StepFailedError
from zave.text import clean

if TYPE_CHECKING:
    from http.client import HTTPMessage
    from urllib.request import OpenerDirector, Request

_SECONDS = 20.0
_LARGEST = 1024 * 1024
_NOT_THERE = 404
_LOOPBACK = ("127.0.0.1", "localhost")


def fetch_text(url: str, *, needed: bool = True) -> str:
    """The text at `url`, redirects followed as long as they stay on https.

    Nothing when it is not there and not `needed`. Raises StepFailedError otherwise.
    """
    from urllib.error import HTTPError

    try:
        with _opener(follow=True).open(_checked(url), timeout=_SECONDS) as answer:
            content: bytes = answer.read(_LARGEST + 1)
    except HTTPError as error:
        error.close()
        if error.code == _NOT_THERE and not needed:
            return ""
        raise _failed(url, f"the server answered {error.code}") from error
    except OSError as error:
        raise _failed(url, str(error)) from error
    if len(content) > _LARGEST:
        raise _failed(url, "the answer is far too large")
    return content.decode("utf-8", "replace")


def redirect_of(url: str) -> str:
    """Where `url` redirects to; nothing is fetched from there. Raises StepFailedError."""
    from urllib.error import HTTPError

    try:
        with _opener(follow=False).open(_checked(url), timeout=_SECONDS):
            pass
    except HTTPError as error:
        with error:
            location = error.headers.get("Location") if error.code in (301, 302, 303, 307, 308) else None
        if location is None:
            raise _failed(url, f"the server answered {error.code}, not a redirect") from error
        return clean(location)[:1000]
    except OSError as error:
        raise _failed(url, str(error)) from error
    raise _failed(url, "the server answered with a page, not a redirect")


def _opener(*, follow: bool) -> "OpenerDirector":
    # 30 ms to import: only where something is looked up at all
    from urllib.request import HTTPRedirectHandler, build_opener

    class Redirects(HTTPRedirectHandler):
        def redirect_request(
            self,
            req: "Request",
            fp: IO[bytes],
            code: int,
            msg: str,
            headers: "HTTPMessage",
            newurl: str,
        ) -> Any:
            if not follow:
                return None
            return super().redirect_request(req, fp, code, msg, headers, _checked(newurl))

    return build_opener(Redirects)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    # plain http only to this machine itself: tests
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise _failed(url, "only https is used")
    return url


def _failed(url: str, why: str) -> StepFailedError:
    return StepFailedError(
        f"{clean(url)[:200]} could not be fetched",
        details=clean(why)[:500],
        resolution="see that this machine reaches it; without internet, artifacts.folder names a folder "
        "with the files of a release",
    )
