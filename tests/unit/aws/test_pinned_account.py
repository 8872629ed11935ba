"""Which account an environment lives in, pinned."""

from pathlib import Path

import pytest

from zave.aws.pinned import pin_account, pinned_account
from zave.errors import PreconditionError


def test_what_was_pinned_is_found_and_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "aws.lock"
    assert pinned_account(file, "aws-demo") is None
    pin_account(file, "aws-demo", "123456789012")
    pin_account(file, "other", "210987654321")
    assert pinned_account(file, "aws-demo") == "123456789012"
    assert pinned_account(file, "other") == "210987654321"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": "zave/k3s-lock/v1", "accounts": {}}',
        '{"schema": "zave/aws-lock/v1", "accounts": []}',
        '{"schema": "zave/aws-lock/v1", "accounts": {"aws-demo": "12"}}',
        '{"schema": "zave/aws-lock/v1", "accounts": {"aws-demo": 123456789012345}}',
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_refused_and_not_overwritten(text: str, tmp_path: Path) -> None:
    file = tmp_path / "aws.lock"
    file.write_text(text)
    with pytest.raises(PreconditionError, match=r"aws\.lock cannot be used"):
        pinned_account(file, "aws-demo")
    with pytest.raises(PreconditionError):
        pin_account(file, "aws-demo", "123456789012")
    assert file.read_text() == text
