"""Where things are kept in the account's bucket."""

import re
from datetime import UTC, datetime

ACCOUNT_STATE = "account/terraform.tfstate"
"""Terraform's state of the standing parts."""


PROGRAMS_PREFIX = "account/programs-"
"""What the keys of the destroyer's programs begin with."""


def programs_key(sha256: str) -> str:
    """The archive of the destroyer's programs: one for all instances that need the same ones."""
    return f"{PROGRAMS_PREFIX}{sha256}.tar.gz"


def state_key(instance: str) -> str:
    """Terraform's state of an instance."""
    return f"instances/{instance}/terraform.tfstate"


def state_lock_key(instance: str) -> str:
    """The lock file that Terraform's S3 backend puts beside the state (`use_lockfile`)."""
    return f"{state_key(instance)}.tflock"


def bundle_prefix(instance: str) -> str:
    """What the keys of an instance's bundles begin with."""
    return f"instances/{instance}/bundle-"


def bundle_key(instance: str, sha256: str) -> str:
    """The archive that the destroyer runs."""
    return f"{bundle_prefix(instance)}{sha256}.tar.gz"


def run_lock_key(instance: str) -> str:
    """Who works on the instance."""
    return f"instances/{instance}/run.lock"


def takeover_prefix(instance: str) -> str:
    """What the keys of takeovers of the run lock begin with."""
    return f"instances/{instance}/takeovers/"


def takeover_key(instance: str, holder: str) -> str:
    """Who took the run lock over from `holder`."""
    return f"{takeover_prefix(instance)}{_word(holder)}.json"


def check_key(instance: str, run: str) -> str:
    """What a run of the destroyer in check mode found."""
    return f"instances/{instance}/checks/{_word(run)}.json"


def receipt_prefix(instance: str) -> str:
    """What the keys of an instance's receipts begin with; they sort by time."""
    return f"instances/{instance}/receipts/"


def receipt_key(instance: str, at: datetime) -> str:
    """A receipt."""
    return f"{receipt_prefix(instance)}{stamp(at)}.json"


def baseline_key(instance: str) -> str:
    """What existed before the instance's first resource."""
    return f"instances/{instance}/baseline.json"


def going_key(instance: str) -> str:
    """What a teardown has set out to delete, until its receipt is written."""
    return f"instances/{instance}/going.json"


def broken_lock_key(instance: str, at: datetime) -> str:
    """A lock on Terraform's state that the destroyer broke, as it was found."""
    return f"instances/{instance}/broken-locks/{stamp(at)}.json"


def old_state_key(instance: str, at: datetime) -> str:
    """A Terraform state that described what no longer exists, kept as evidence."""
    return f"instances/{instance}/old-states/{stamp(at)}.tfstate"


def stamp(at: datetime) -> str:
    """`at` as it stands in keys: sorts by time, to the millisecond."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%S}.{at.microsecond // 1000:03d}Z"


def _word(text: str) -> str:
    """`text` as one word of a key: an id of CodeBuild's has a colon."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)
