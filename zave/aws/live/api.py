"""Calls of AWS's APIs by boto3: the one place that makes clients, and that turns refusals into errors."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from zave import __version__
from zave.errors import PreconditionError, StepFailedError, ZaveError
from zave.text import clean

# a region that does not answer must not keep `status` from telling what is on record
_CONNECT_SECONDS = 5
_READ_SECONDS = 30
_ATTEMPTS = 6
_SESSION_SECONDS = 3600

# codes of credentials that ended, and of those that AWS does not know (common errors of its API references)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_REFUSED = frozenset(
    {
        "AuthFailure",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "OptInRequired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
# what the SDK cannot even sign with
_WITHOUT = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
    # a file of profiles that cannot be read
    "ConfigParseError",
    "ConfigNotFound",
    "InvalidConfigError",
    "InfiniteLoopConfigError",
    "UnknownCredentialError",
    "SSOError",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
)


class RefusedError(StepFailedError):
    """AWS refused a call. `code` is AWS's own word for the reason, `message` its sentence."""

    def __init__(self, brief: str, *, code: str, message: str, details: str, resolution: str) -> None:
        super().__init__(brief, details=details, resolution=resolution)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Assumption:
    """A role to take on: `session` names who does in AWS's logs, `tags` limit what the session may do."""

    role_arn: str
    session: str
    tags: Mapping[str, str]


class Api:
    """Clients of one region with one set of credentials; safe to use from several threads.

    Credentials come from where every AWS tool takes them: environment, profile, SSO, role. `attempts`
    counts the first one; `endpoint_url` takes the place of all of AWS's addresses. With `assume` all but
    the taking on of that role is done by the role, whose credentials are renewed as they end.
    """

    def __init__(
        self,
        *,
        region: str,
        profile: str | None = None,
        endpoint_url: str | None = None,
        attempts: int = _ATTEMPTS,
        assume: Assumption | None = None,
    ) -> None:
        self.region = region
        self._assume = assume
        self._profile = profile
        self._endpoint_url = endpoint_url
        self._attempts = attempts
        self._clients: dict[tuple[str, str], Any] = {}
        # making a client is what boto3 does not allow in several threads at once
        self._making = threading.RLock()

    @cached_property
    def partition(self) -> str:
        """The part of AWS that the region is in: `aws`, `aws-cn`, `aws-us-gov`."""
        from botocore.exceptions import UnknownRegionError

        try:
            with self._making:
                name: str = self._session.get_partition_for_region(self.region)
        except UnknownRegionError as error:
            raise PreconditionError(
                f"AWS has no region {self.region}",
                resolution="set aws.region to one, such as us-east-1; a new one may need a newer boto3",
            ) from error
        return name

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        """One call, named as boto3 names it. Raises RefusedError, or PreconditionError for all calls."""
        client = self.client(service)
        with self.told(service, operation):
            answer: dict[str, Any] = getattr(client, operation)(**parameters)
        return answer

    def pages(self, service: str, operation: str, /, **parameters: Any) -> Iterator[dict[str, Any]]:
        """All pages of a list; a single one where the call has no pages."""
        client = self.client(service)
        if not client.can_paginate(operation):
            yield self.call(service, operation, **parameters)
            return
        with self.told(service, operation):
            yield from client.get_paginator(operation).paginate(**parameters)

    def client(self, service: str, *, region: str | None = None) -> Any:
        """The client of a service, which has no types of its own; of another region for prices alone."""
        place = region or self.region
        with self._making:
            if (service, place) not in self._clients:
                with self.told(service, "connect"):
                    self._clients[service, place] = self._client(service, place)
            return self._clients[service, place]

    def environment(self) -> dict[str, str]:
        """The credentials and the region for a program that is started: variables, never arguments."""
        with self._making, self.told("sts", "credentials"):
            found = self._session.get_credentials()
            keys = None if found is None else found.get_frozen_credentials()
        known = {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        if keys is not None:
            known |= {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}
            known |= {"AWS_SESSION_TOKEN": keys.token} if keys.token else {}
        return known

    def credentials_end(self) -> datetime | None:
        """When the credentials end; None for ones that do not, or do not tell."""
        with self._making, self.told("sts", "credentials"):
            found = self._session.get_credentials()
            if found is None:
                return None
            found.get_frozen_credentials()
        # botocore keeps it to itself: `RefreshableCredentials._expiry_time` (botocore 1.44)
        ends = getattr(found, "_expiry_time", None)
        return ends.astimezone(UTC) if isinstance(ends, datetime) else None

    def temporary(self) -> bool:
        """Whether the credentials end at some time, known or not: those have a session token."""
        return "AWS_SESSION_TOKEN" in self.environment()

    @contextmanager
    def told(self, service: str, operation: str) -> Iterator[None]:
        """Turn what botocore raises into zave's errors."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            yield
        except ClientError as error:
            raise self._refused(error.response, service, operation) from error
        except (BotoCoreError, ResponseParserError) as error:
            # the latter: somebody answered who is not AWS, such as a proxy with a page of its own
            raise self._unanswered(error, service, operation) from error
        except RuntimeError as error:
            # so botocore says that it could only get expired ones (`RefreshableCredentials`, 1.44)
            if "credentials" not in str(error):
                raise
            raise _expired(f"{service}:{operation}: {error}") from error

    @cached_property
    def _session(self) -> Any:
        import boto3

        with self.told("sts", "credentials"):
            own = boto3.session.Session(profile_name=self._profile, region_name=self.region)
            try:
                own.get_credentials()
            except (OSError, ValueError) as error:
                # a `credential_process` that cannot be started, or prints no JSON
                raise _without(f"sts:credentials: {clean(str(error))}") from error
            return own if self._assume is None else self._taken_on(own, self._assume)

    def _taken_on(self, own: Any, assume: Assumption) -> Any:
        import boto3
        from botocore.credentials import RefreshableCredentials
        from botocore.session import get_session

        def renewed() -> dict[str, str]:
            answer = self._client("sts", self.region, session=own).assume_role(
                RoleArn=assume.role_arn,
                RoleSessionName=assume.session,
                # a role that takes on a role gets an hour at most (IAM user guide, role chaining)
                DurationSeconds=_SESSION_SECONDS,
                Tags=[{"Key": key, "Value": value} for key, value in assume.tags.items()],
            )
            given = answer["Credentials"]
            return {
                "access_key": given["AccessKeyId"],
                "secret_key": given["SecretAccessKey"],
                "token": given["SessionToken"],
                "expiry_time": given["Expiration"].isoformat(),
            }

        session = get_session()
        # botocore's own way for credentials that are renewed has no public door (1.44)
        session._credentials = RefreshableCredentials.create_from_metadata(
            metadata=renewed(), refresh_using=renewed, method="sts-assume-role"
        )
        return boto3.session.Session(botocore_session=session, region_name=self.region)

    def _client(self, service: str, region: str, *, session: Any = None) -> Any:
        from botocore.config import Config

        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": self._attempts},
            user_agent_extra=f"zave/{__version__}",
            max_pool_connections=16,
        )
        return (session or self._session).client(
            service, region_name=region, endpoint_url=self._endpoint_url, config=config
        )

    def _refused(self, response: Mapping[str, Any], service: str, operation: str) -> ZaveError:
        error = response.get("Error", {})
        code, message = clean(str(error.get("Code", ""))), clean(str(error.get("Message", "")))
        details = f"{service}:{operation}: {code}: {message}"
        if code in _EXPIRED:
            return _expired(details)
        if code in _REFUSED:
            return PreconditionError(
                f"AWS does not accept the credentials in {self.region}",
                details=details,
                resolution="`aws sts get-caller-identity` tells whose they are; "
                "some regions have to be enabled first",
            )
        return RefusedError(
            f"AWS refused {service}:{operation}",
            code=code,
            message=message,
            details=details,
            resolution="run the same command again; if it is refused once more, look at the caller's rights",
        )

    def _unanswered(self, error: Exception, service: str, operation: str) -> ZaveError:
        details = f"{service}:{operation}: {clean(str(error))}"
        if any(kind.__name__ in _WITHOUT for kind in type(error).__mro__):
            return _without(details)
        if type(error).__name__ in ("ParamValidationError", "UnknownServiceError"):
            return StepFailedError(f"{service}:{operation} was asked wrongly", details=details)
        return PreconditionError(
            f"the AWS region {self.region} cannot be reached",
            details=details,
            resolution="look at the network and at the region's health, then run the same command again",
        )


def _without(details: str) -> PreconditionError:
    return PreconditionError(
        "there are no usable AWS credentials",
        details=details,
        resolution="`aws configure`, `aws sso login` or AWS_PROFILE gives zave some",
    )


def _expired(details: str) -> PreconditionError:
    return PreconditionError(
        "the AWS credentials have expired",
        details=details,
        resolution="renew them, then run the same command again; it goes on where it stopped",
    )
