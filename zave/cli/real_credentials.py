"""Whether AWS would take the caller for somebody: decided offline, from variables and profiles alone."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zave.installation import pip_install

# any of them tells boto3 and Packer who asks, or how to find out; where it is wrong they say so
SIGNED_IN = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
_FILES = (
    ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    ("AWS_CONFIG_FILE", "~/.aws/config"),
)
# what each provider of botocore 1.44 asks a profile for before it does anything (`botocore/credentials.py`)
_CREDENTIALS = (
    "aws_access_key_id",
    "role_arn",
    "credential_process",
    "sso_session",
    "sso_start_url",
    "login_session",
)
_DEFAULT = "default"


@dataclass(frozen=True)
class Credentials:
    """What boto3's own chain would come upon without asking anybody.

    `found`: it would use something, right or expired. `note` says why nothing is used although there is
    something, with what to do; None where there is nothing. `region` is the profile's.
    """

    found: bool
    note: str | None = None
    region: str | None = None


def credentials(environ: Mapping[str, str] | None = None) -> Credentials:
    """Look at variables, then at the files of profiles. The metadata of machines is not asked.

    botocore is imported only where there is such a file.
    """
    environ = os.environ if environ is None else environ
    told = any(environ.get(name) for name in SIGNED_IN)
    there, trouble = _files_there(environ)
    if not there:
        return Credentials(told, None if told else trouble)
    from importlib.util import find_spec

    if find_spec("botocore") is None:
        note = f"boto3 is not installed, and AWS is asked by it: {pip_install('aws')}"
        return Credentials(told, None if told else note)
    from botocore.exceptions import BotoCoreError

    try:
        profiles = _profiles()
    except (BotoCoreError, UnicodeDecodeError, OSError):
        # boto3 will not get beyond it either, and says where it is wrong
        return Credentials(found=True)
    wanted = environ.get("AWS_DEFAULT_PROFILE") or environ.get("AWS_PROFILE") or _DEFAULT
    region = profiles.get(wanted, {}).get("region")
    if told or _usable(profiles.get(_DEFAULT, {})):
        return Credentials(found=True, region=region)
    others = sorted(name for name, values in profiles.items() if _usable(values))
    if not others:
        return Credentials(found=False)
    note = f"no profile is called {_DEFAULT}; AWS_PROFILE chooses one: {', '.join(others)}"
    return Credentials(found=False, note=note)


def _files_there(environ: Mapping[str, str]) -> tuple[bool, str | None]:
    """Whether there is a file of profiles, and what keeps it from being seen."""
    # os.path: a home that nobody has stays as it is written
    files = [Path(os.path.expanduser(environ.get(name) or usual)) for name, usual in _FILES]  # noqa: PTH111
    try:
        return any(file.is_file() for file in files), None
    except OSError as error:
        return False, f"the files of AWS profiles cannot be read: {error.strerror}"


def usual_region() -> str:
    """Where AMIs are built, and an account is looked at that no spec names."""
    from_variables = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    # the default of packer-images/k3s-base/variables.pkr.hcl
    return from_variables or credentials().region or "us-east-1"


def _profiles() -> Mapping[str, Mapping[str, Any]]:
    """Both files' as botocore reads and joins them; without a network."""
    import botocore.session

    found: Mapping[str, Mapping[str, Any]] = botocore.session.Session().full_config["profiles"]
    return found


def _usable(profile: Mapping[str, Any]) -> bool:
    return any(profile.get(key) for key in _CREDENTIALS)
