"""ECR by boto3 against moto: the token, and what is in a repository."""

import json

import pytest

from zave.aws.live.api import Api
from zave.aws.live.registry import EcrRegistry
from zave.errors import PreconditionError

ACCOUNT = "123456789012"


def test_the_token_is_for_the_accounts_registry_and_is_not_shown(api: Api) -> None:
    given = EcrRegistry(api, account=lambda: ACCOUNT).authorization()
    assert given.server == f"{ACCOUNT}.dkr.ecr.{api.region}.amazonaws.com"
    assert given.user == "AWS"
    assert given.password
    assert given.password not in repr(given)


def test_tags_are_shown_with_their_digests(api: Api) -> None:
    api.call("ecr", "create_repository", repositoryName="zave-demo/apps")
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"digest": f"sha256:{'1' * 64}", "size": 1, "mediaType": "x"},
            "layers": [],
        }
    )
    put = api.call(
        "ecr", "put_image", repositoryName="zave-demo/apps", imageManifest=manifest, imageTag="nginx-1"
    )
    found = EcrRegistry(api, account=lambda: ACCOUNT).tags("zave-demo/apps")
    assert found == {"nginx-1": put["image"]["imageId"]["imageDigest"]}


def test_a_repository_that_is_not_there_is_told(api: Api) -> None:
    with pytest.raises(PreconditionError, match="no repository zave-gone/apps"):
        EcrRegistry(api, account=lambda: ACCOUNT).tags("zave-gone/apps")


def test_nothing_is_asked_with_credentials_of_another_account(api: Api) -> None:
    def refuse() -> str:
        raise PreconditionError("the wrong account")

    with pytest.raises(PreconditionError, match="wrong account"):
        EcrRegistry(api, account=refuse).authorization()
