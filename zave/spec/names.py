"""Names of environments and instances: they become folders, tags and host names."""

import re

from zave.errors import UsageError
from zave.spec.shown import shown

LONGEST = 32

# folders and words of zave's own, which an instance of that name would hide
RESERVED = frozenset(
    {
        "account",
        "all",
        "backups",
        "clusters",
        "damaged",
        "instances",
        "none",
        "rehearsal",
        "standing",
        "state",
        "world",
        "zave",
    }
)

_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?")
_RULE = f"lower-case letters, digits and single hyphens, starting with a letter, at most {LONGEST} characters"


def check_name(text: str, *, what: str = "environment") -> str:
    """`text` itself when it may name an environment or an instance (`what` says which).

    A valid name is never a path, a flag or one of zave's own words. Raises UsageError with the
    nearest valid name.
    """
    if text in RESERVED:
        raise UsageError(
            f"{shown(text)} cannot name an {what}: zave keeps that word for itself",
            resolution=f"use another name, such as `my-{text}`",
        )
    if _NAME.fullmatch(text) is None or "--" in text:
        nearest = nearest_name(text)
        suggestion = f"; the nearest is `{nearest}`" if nearest else ""
        raise UsageError(
            f"{shown(text)} cannot name an {what}",
            resolution=f"a name has {_RULE}{suggestion}",
        )
    return text


def nearest_name(text: str) -> str | None:
    """The valid name that looks most like `text`, or None when nothing of it can be kept."""
    # here: the tables of unicodedata are needed for a wrong name only
    import unicodedata

    plain = unicodedata.normalize("NFKD", text[: LONGEST * 4]).encode("ascii", "ignore").decode().lower()
    joined = re.sub(r"[^a-z0-9]+", "-", plain)
    name = re.sub(r"^[^a-z]+", "", joined)[:LONGEST].rstrip("-")
    if not name:
        return None
    return f"my-{name}"[:LONGEST] if name in RESERVED else name
