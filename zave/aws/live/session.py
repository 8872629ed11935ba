"""A role for programs that zave starts: their SDKs fetch and renew its credentials through this program.

Role chaining lasts an hour at most (IAM user guide), a destroy may take longer, and a role cannot be taken
on with session tags by a shared configuration file's own words (AWS SDKs and Tools reference guide,
"Assume role credential provider"). So the file names a `credential_process`, which does it again as often
as it is asked. No credentials are written anywhere.
"""

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from zave.aws.live.api import Api, Assumption
from zave.errors import ZaveError
from zave.render import write_private

_PROFILE = "zave"
# the caller's own variables, hidden from the SDKs of the program: keys among them would win over the profile
_HIDDEN = "ZAVE_CALLER_"
# what is no credential, and the program needs itself
_SHARED = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE")
_ENDPOINT = "AWS_ENDPOINT_URL"

_PROGRAM = """\
import sys

sys.path[:0] = {path}

from zave.aws.live.session import main

raise SystemExit(main(sys.argv[1:]))
"""


def environment_for(
    assume: Assumption, *, region: str, folder: Path, own: Mapping[str, str]
) -> dict[str, str]:
    """What lets a program work as `assume`; `own` are the caller's AWS variables, `folder` is private."""
    import zave

    program, configuration = folder / "credentials.py", folder / "aws.config"
    # found where this zave is, also where it is not installed
    path = [str(Path(zave.__file__).resolve().parent.parent), *filter(None, sys.path)]
    write_private(program, _PROGRAM.format(path=json.dumps(path)).encode())
    tags = [f"{key}={value}" for key, value in sorted(assume.tags.items())]
    words = (sys.executable, "-I", str(program), region, assume.role_arn, assume.session, *tags)
    lines = (f"[profile {_PROFILE}]", f"region = {region}", f"credential_process = {shlex.join(words)}", "")
    write_private(configuration, "\n".join(lines).encode())
    return {
        **{f"{_HIDDEN}{name}": value for name, value in own.items()},
        **{name: value for name, value in own.items() if name in _SHARED or name.startswith(_ENDPOINT)},
        "AWS_CONFIG_FILE": str(configuration),
        # an empty one: the caller's could have a profile of the same name
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_PROFILE": _PROFILE,
        "AWS_SDK_LOAD_CONFIG": "1",
        "AWS_REGION": region,
    }


def main(arguments: Sequence[str]) -> int:
    """Print what a `credential_process` prints: fresh credentials of the role, with their end."""
    region, role, session, *pairs = arguments
    tags = dict(pair.split("=", 1) for pair in pairs)
    hidden = {name: value for name, value in os.environ.items() if name.startswith(_HIDDEN)}
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update({name.removeprefix(_HIDDEN): value for name, value in hidden.items()})
    try:
        api = Api(region=region, assume=Assumption(role, session, tags))
        given, ends = api.environment(), api.credentials_end()
    except ZaveError as error:
        sys.stderr.write(f"zave: {error.brief}\n{error.details or ''}\n")
        return 1
    document = {
        "Version": 1,
        "AccessKeyId": given["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": given["AWS_SECRET_ACCESS_KEY"],
        "SessionToken": given.get("AWS_SESSION_TOKEN"),
        **({} if ends is None else {"Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}),
    }
    sys.stdout.write(json.dumps(document) + "\n")
    return 0
