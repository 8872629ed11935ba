"""Values of a hostile file, made fit for a message."""

import re

LONGEST = 80
# an environment.yaml has about 2 KiB; pure Python reads this much in well under a second
MAX_BYTES = 64 * 1024

_CREDENTIALS = re.compile(r"(://)[^/@\s]*@")
_SECRET_PARAMETER = re.compile(r"([?&][^=&\s]*(?:pass|token|secret|key|sig)[^=&\s]*=)[^&\s]+", re.IGNORECASE)
_SECRET_NAME = re.compile(r"pass|token|secret|credential|private|api[-_]?key", re.IGNORECASE)


def shown(value: object) -> str:
    """`value` on one line, at most about `LONGEST` characters, without control characters or secrets."""
    if isinstance(value, str):
        return _shown_text(value)
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return str(value)[:LONGEST]


def is_secret_name(key: str) -> bool:
    """Whether what stands under `key` is better not repeated in a message."""
    return _SECRET_NAME.search(key) is not None


def _shown_text(text: str) -> str:
    if "PRIVATE KEY" in text:
        return "(a private key, not shown)"
    # cut first: masking and escaping must not work through a megabyte
    cut = text[: LONGEST * 4]
    masked = _SECRET_PARAMETER.sub(r"\1***", _CREDENTIALS.sub(r"\1***@", cut))
    short = masked if len(masked) <= LONGEST else masked[: LONGEST - 1] + "…"
    # repr escapes whatever is not printable, bidirectional overrides included
    body = repr(short)[1:-1].replace("\\'", "'").replace("\\\\", "\\")
    return f"`{body}`"
