"""Kubernetes' quantities: `500m`, `1Gi`, `2e3` (apimachinery, `resource.Quantity`)."""

import re
from decimal import Decimal

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:([eE][+-]?[0-9]+)|([a-zA-Z]*))")
_SUFFIXES = {
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    "": Decimal(1),
    "m": Decimal("0.001"),
    "u": Decimal("0.000001"),
    "n": Decimal("0.000000001"),
}


def quantity(value: object) -> Decimal:
    """`value` as a number of cores, bytes or things. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is no quantity")
    match = _QUANTITY.fullmatch(str(value))
    if match is None or (match[3] or "") not in _SUFFIXES:
        raise ValueError(f"{value!r} is no quantity")
    return Decimal(match[1] + (match[2] or "")) * _SUFFIXES[match[3] or ""]
