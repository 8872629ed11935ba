"""Values with a unit or a form, parsed strictly: durations, sizes, versions.

Every parser takes what YAML or the command line gave (`object`, since an unquoted `1.35` arrives as
a number) and raises UsageError with a message that shows the right way to write it.
"""

import re

from zave.errors import UsageError
from zave.spec.shown import shown

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
YEAR = 365 * DAY

MIB = 1024**2
GIB = 1024**3
TIB = 1024**4

_DURATION_UNITS = {"d": DAY, "h": HOUR, "m": MINUTE, "s": 1}
_SIZE_UNITS = {"TiB": TIB, "GiB": GIB, "MiB": MIB}

# at most nine digits: no number of ours needs more, and int() stays quick
_DURATION = re.compile(r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")
_SIZE = re.compile(r"([0-9]{1,9})(MiB|GiB|TiB)")
_DECIMAL_SIZE = re.compile(r"[0-9.]+ ?([KMGT])(?:B|b|i|)", re.IGNORECASE)
_K3S_VERSION = re.compile(r"v?1\.([1-9][0-9])(?:\.([0-9]{1,3})\+k3s([1-9][0-9]?))?")
_EKS_VERSION = re.compile(r"1\.([1-9][0-9])")

DURATION_FORM = "write a whole number with d, h, m or s, such as 90m, 48h, 7d or 1h30m"
SIZE_FORM = "write a whole number with MiB, GiB or TiB, such as 512MiB or 8GiB"


def parse_duration(value: object, *, what: str = "duration", minimum: int = 1, maximum: int = YEAR) -> int:
    """Seconds in `90m`, `48h`, `7d`, `1h30m`, `30s`: each unit once, the largest first.

    `minimum` and `maximum` are in seconds. Raises UsageError.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise UsageError(f"the {what} {shown(value)} has no unit", resolution=DURATION_FORM)
    matched = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if matched is None:
        raise UsageError(f"{shown(value)} is not a duration", resolution=DURATION_FORM)
    parts = zip(matched.groups(), _DURATION_UNITS.values(), strict=True)
    seconds = sum(int(number) * unit for number, unit in parts if number)
    if seconds < minimum:
        raise UsageError(
            f"the {what} {shown(value)} is too short",
            resolution=f"the shortest is {format_duration(minimum)}",
        )
    if seconds > maximum:
        raise UsageError(
            f"the {what} {shown(value)} is too long",
            resolution=f"the longest is {format_duration(maximum)}",
        )
    return seconds


def format_duration(seconds: int) -> str:
    """`seconds` as `parse_duration` reads it back: `48h`, `7d`, `1h30m`; zero is `0s`.

    Days are used for whole days beyond two, since people and price lists count a weekend in hours.
    """
    if seconds > 2 * DAY and seconds % DAY == 0:
        return f"{seconds // DAY}d"
    text, rest = "", seconds
    for letter in "hms":
        number, rest = divmod(rest, _DURATION_UNITS[letter])
        text += f"{number}{letter}" if number else ""
    return text or "0s"


def parse_size(value: object, *, what: str = "size", minimum: int = MIB, maximum: int = 64 * TIB) -> int:
    """Bytes in `512MiB`, `8GiB`, `1TiB`. Binary units only: GB means two things, GiB one.

    `minimum` and `maximum` are in bytes. Raises UsageError.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise UsageError(f"the {what} {shown(value)} has no unit", resolution=SIZE_FORM)
    matched = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if matched is None:
        raise _wrong_size(value)
    size = int(matched[1]) * _SIZE_UNITS[matched[2]]
    if size < minimum:
        raise UsageError(
            f"the {what} {shown(value)} is too small", resolution=f"the smallest is {format_size(minimum)}"
        )
    if size > maximum:
        raise UsageError(
            f"the {what} {shown(value)} is too large", resolution=f"the largest is {format_size(maximum)}"
        )
    return size


def _wrong_size(value: object) -> UsageError:
    decimal = _DECIMAL_SIZE.fullmatch(value) if isinstance(value, str) else None
    if decimal and decimal[1].upper() != "K":
        unit = f"{decimal[1].upper()}iB"
        return UsageError(
            f"{shown(value)} is not a size: zave counts in binary units",
            resolution=f"write {unit} (powers of 1024) with a whole number, such as 8{unit}",
        )
    return UsageError(f"{shown(value)} is not a size", resolution=SIZE_FORM)


def format_size(size: int) -> str:
    """`size` in bytes as `parse_size` reads it back, in the largest unit that divides it."""
    for suffix, unit in _SIZE_UNITS.items():
        if size >= unit and size % unit == 0:
            return f"{size // unit}{suffix}"
    return f"{size // MIB}MiB"


def parse_k3s_version(value: object) -> str:
    """`v1.35` (the newest release of that channel) or a release such as `v1.35.9+k3s1`."""
    form = "write a channel such as v1.35, or a release such as v1.35.9+k3s1"
    _refuse_number(value, form)
    if not isinstance(value, str) or _K3S_VERSION.fullmatch(value) is None:
        raise UsageError(f"{shown(value)} is not a version of k3s", resolution=form)
    return f"v{value.removeprefix('v')}"


def parse_eks_version(value: object) -> str:
    """A version that EKS offers, such as `1.35`: two numbers, without a `v`."""
    form = 'write it in quotes, such as "1.35"'
    _refuse_number(value, form)
    if not isinstance(value, str) or _EKS_VERSION.fullmatch(value) is None:
        raise UsageError(f"{shown(value)} is not a version of EKS: it takes two numbers", resolution=form)
    return value


def _refuse_number(value: object, form: str) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise UsageError(
            f"the version {shown(value)} is a number: without quotes 1.40 becomes 1.4", resolution=form
        )
