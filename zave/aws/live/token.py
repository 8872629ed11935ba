"""Tokens for EKS by boto3, and as an exec plugin of kubectl where the AWS CLI is missing.

A token is a presigned URL of STS GetCallerIdentity with the cluster's name among its signed headers, in
base64 behind a prefix; EKS accepts one for 15 minutes (aws-cli, awscli/customizations/eks/get_token.py at
05c1ed9f, read 2026-11-23).

Run as `python -I -m zave.aws.live.token REGION CLUSTER` it prints an ExecCredential.
"""

import base64
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from zave.aws.live.api import Api
from zave.clock import rfc3339
from zave.errors import ZaveError

API_VERSION = "client.authentication.k8s.io/v1beta1"

_PREFIX = "k8s-aws-v1."
_HEADER = "x-k8s-aws-id"
# how long the URL itself may be used; EKS counts its own 15 minutes
_URL_SECONDS = 60
# a minute less than EKS takes it for
_LIFETIME = timedelta(minutes=14)


def token(api: Api, *, cluster: str) -> str:
    """A token for the cluster of that name. Raises PreconditionError without usable credentials."""
    client = api.client("sts")

    def name_cluster(request: Any, **_: Any) -> None:
        request.headers[_HEADER] = cluster

    with api.told("sts", "presign"):
        # the client is shared: its next URL may be for another cluster
        client.meta.events.register("before-sign.sts.GetCallerIdentity", name_cluster, unique_id=_HEADER)
        try:
            url: str = client.generate_presigned_url(
                "get_caller_identity", ExpiresIn=_URL_SECONDS, HttpMethod="GET"
            )
        finally:
            client.meta.events.unregister("before-sign.sts.GetCallerIdentity", unique_id=_HEADER)
    return _PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def main(arguments: Sequence[str]) -> int:
    """Print an ExecCredential for REGION and CLUSTER; what is wrong goes to stderr, with exit code 1."""
    region, cluster = arguments
    try:
        text = token(Api(region=region), cluster=cluster)
    except ZaveError as error:
        sys.stderr.write(f"zave: {error.brief}\n{error.details or ''}\n{error.resolution or ''}\n")
        return 1
    status = {"token": text, "expirationTimestamp": rfc3339(datetime.now(UTC) + _LIFETIME)}
    document = {"apiVersion": API_VERSION, "kind": "ExecCredential", "spec": {}, "status": status}
    sys.stdout.write(json.dumps(document) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
