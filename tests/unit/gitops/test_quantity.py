from decimal import Decimal

import pytest

from zave.gitops.quantity import quantity


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500m", "0.5"),
        (2, "2"),
        ("0.25", "0.25"),
        ("1Gi", str(2**30)),
        ("1.5Ki", "1536"),
        ("2k", "2000"),
        ("2e3", "2000"),
        ("1E", str(10**18)),
        ("100n", "0.0000001"),
    ],
)
def test_quantities_are_read_as_kubernetes_does(text: object, expected: str) -> None:
    assert quantity(text) == Decimal(expected)


@pytest.mark.parametrize("text", ["", "1GiB", "1 Gi", "m", True, None, "1ki"])
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        quantity(text)
