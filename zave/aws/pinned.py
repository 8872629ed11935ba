"""`aws.lock`: which account an environment lives in, where its spec leaves that open: asked once, pinned."""

import json
import re
from pathlib import Path

from zave.errors import PreconditionError
from zave.render import write_private

FILE = "aws.lock"

_SCHEMA = "zave/aws-lock/v1"
_LARGEST = 256 * 1024
_ACCOUNT = re.compile(r"[0-9]{12}")


def pinned_account(file: Path, environment: str) -> str | None:
    """The account that was pinned for `environment`. Raises PreconditionError for a damaged file."""
    return _read(file).get(environment)


def pin_account(file: Path, environment: str, account: str) -> None:
    """Pin it. What stands there for other environments stays."""
    accounts = {**_read(file), environment: account}
    document = {"schema": _SCHEMA, "accounts": dict(sorted(accounts.items()))}
    write_private(file, (json.dumps(document, indent=2) + "\n").encode())


def _read(file: Path) -> dict[str, str]:
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
    except FileNotFoundError:
        return {}
    try:
        document = json.loads(content)
        if document["schema"] != _SCHEMA or len(content) > _LARGEST:
            raise ValueError("it is of another kind")
        accounts = {str(name): str(account) for name, account in document["accounts"].items()}
        wrong = [name for name, account in accounts.items() if not _ACCOUNT.fullmatch(account)]
        if wrong:
            raise ValueError(f"the account of {wrong[0]} is not twelve digits")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PreconditionError(
            f"{file.name} cannot be used: {error}",
            where=str(file),
            resolution="restore it from git, or remove it and run the command again: it asks anew",
        ) from error
    return accounts
