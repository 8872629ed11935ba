"""ECR by boto3: who may write to the account's registry, and what is in it."""

import base64
import binascii
from collections.abc import Callable, Mapping
from functools import cached_property
from urllib.parse import urlsplit

from zave.aws.live.api import Api, RefusedError
from zave.errors import PreconditionError, StepFailedError
from zave.ports.registry import Authorization


class EcrRegistry:
    """Implements `zave.ports.registry.Registry`.

    `account` tells which one the repositories are in, and raises when the credentials are another's.
    """

    def __init__(self, api: Api, *, account: Callable[[], str]) -> None:
        self._api = api
        self._account = account

    def authorization(self) -> Authorization:
        """A token, good for 12 hours (ECR API reference, GetAuthorizationToken); asked for once."""
        return self._authorization

    @cached_property
    def _authorization(self) -> Authorization:
        self._account()
        answer = self._api.call("ecr", "get_authorization_token")
        try:
            (given,) = answer["authorizationData"]
            user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
            server = urlsplit(given["proxyEndpoint"]).netloc
        except (KeyError, ValueError, binascii.Error, UnicodeDecodeError):
            # not chained, nor shown: what could not be read may be the token
            server = user = password = ""
        if not (server and user and password):
            raise StepFailedError("ecr:get_authorization_token was answered without a token")
        return Authorization(server, user, password)

    def tags(self, repository: str) -> Mapping[str, str]:
        """As the port says."""
        account, found = self._account(), dict[str, str]()
        pages = self._api.pages(
            "ecr",
            "describe_images",
            registryId=account,
            repositoryName=repository,
            filter={"tagStatus": "TAGGED"},
        )
        try:
            for page in pages:
                for image in page.get("imageDetails", ()):
                    found |= dict.fromkeys(image.get("imageTags", ()), image["imageDigest"])
        except RefusedError as error:
            if error.code != "RepositoryNotFoundException":
                raise
            raise PreconditionError(
                f"there is no repository {repository} in account {account}",
                details=error.details,
                resolution="`zave status` tells whether the instance still stands; `zave up` makes what "
                "is missing",
            ) from error
        return found
