"""A cluster of EKS: its kubeconfig, its tokens, its nodes."""

import base64
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from zave.aws.live.api import Api
from zave.aws.live.eks import EksCluster
from zave.aws.live.token import token
from zave.errors import StepFailedError
from zave.process import ProcessRunner

OUTPUTS = {
    "cluster_name": "zave-demo",
    "cluster_endpoint": "https://example.eks.amazonaws.com",
    "certificate_authority": "Y2VydA==",
}


@pytest.fixture(autouse=True)
def signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3", reason="the extra `aws` is not installed")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-to-be-seen")


def cluster(**changes: str) -> EksCluster:
    return EksCluster(
        Api(region="eu-west-1"),
        runner=ProcessRunner(),
        kubectl=lambda: Path("/nowhere/kubectl"),
        profile=changes.get("profile"),
    )


def user_of(text: str) -> dict[str, object]:
    (user,) = json.loads(text)["users"]
    found: dict[str, object] = user["user"]
    return found


@pytest.mark.parametrize("with_cli", [True, False])
def test_a_kubeconfig_fetches_its_tokens_and_holds_none(
    with_cli: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if with_cli:
        (tmp_path / "aws").write_text("#!/bin/sh\n")
        (tmp_path / "aws").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    text = cluster(profile="mine").kubeconfig(instance="demo", outputs=OUTPUTS)
    plugin = user_of(text)["exec"]
    assert isinstance(plugin, dict)
    words = [plugin["command"], *plugin["args"]]
    assert ("aws" in words) == with_cli
    assert ("zave.aws.live.token" in words) == (not with_cli)
    assert "zave-demo" in words
    assert "eu-west-1" in words
    assert plugin["env"] == [{"name": "AWS_PROFILE", "value": "mine"}]
    assert "k8s-aws-v1" not in text
    assert "not-to-be-seen" not in text


@pytest.mark.parametrize("absent", list(OUTPUTS))
def test_without_an_output_there_is_no_kubeconfig(absent: str) -> None:
    outputs = {name: value for name, value in OUTPUTS.items() if name != absent}
    with pytest.raises(StepFailedError, match=absent):
        cluster().kubeconfig(instance="demo", outputs=outputs)


def test_a_token_is_a_url_that_is_signed_for_one_cluster() -> None:
    api = Api(region="eu-west-1")
    first, second = token(api, cluster="zave-demo"), token(api, cluster="zave-other")
    # what an earlier token was for must not stick to the shared client
    assert first != second
    prefix, _, encoded = first.partition(".")
    assert prefix == "k8s-aws-v1"
    assert "=" not in encoded
    url = urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert (url.hostname, asked["Action"]) == ("sts.eu-west-1.amazonaws.com", "GetCallerIdentity")
    # EKS refuses a URL whose cluster is not among what was signed
    assert asked["X-Amz-SignedHeaders"] == "host;x-k8s-aws-id"
    assert asked["X-Amz-Expires"] == "60"
