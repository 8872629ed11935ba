"""What a program gets of the user's environment: it names what it needs, and nothing else is passed on."""

from collections.abc import Iterable, Mapping

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Which authorities are believed instead of the system's, as OpenSSL and Go read them."""

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""The way out of a company's network; some programs read one spelling, some the other."""


def inherited(names: Iterable[str], *, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables called `names`, as far as `environ` has them."""
    return {name: environ[name] for name in names if name in environ}
