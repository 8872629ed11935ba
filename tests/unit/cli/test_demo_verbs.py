"""`demo`, `extend`, `reap` and `account`: what they refuse before anything is made."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Zave = Callable[..., Any]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("demo", "aws", "--ttl", "30m"), "too short"),
        (("demo", "aws", "--ttl", "8d"), "longer than the spec's ttl.maximum 7d"),
        (("demo", "aws", "--ttl", "48"), "not a duration"),
        (("demo", "gcp"), "gcp"),
        (("extend", "aws-demo"), "say --ttl or --until"),
        (("extend", "aws-demo", "--ttl", "24h", "--until", "2026-12-01T18:00Z"), "say --ttl or --until"),
        (("reap", "aws-demo", "--all"), "say ENV or --all"),
        (("account", "setup", "--for", "homelab"), "in no AWS account"),
        (("account", "setup", "--for", "nowhere"), "no environment `nowhere`"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_a_usage_error(words: tuple[str, ...], told: str, zave: Zave) -> None:
    result = zave(*words, "--rehearse", "--yes") if words[0] == "demo" else zave(*words, "--rehearse")
    assert result.status == 2, result.err
    assert told in result.err


def test_without_what_flux_needs_a_real_demo_is_refused(zave: Zave) -> None:
    result = zave("demo", "aws", "--yes")
    assert result.status == 5


def test_without_credentials_a_real_account_is_not_looked_at(zave: Zave) -> None:
    pytest.importorskip("boto3", reason="the extra `aws` is not installed")
    result = zave("account", "status")
    assert result.status == 5
    assert "there are no usable AWS credentials" in result.err


def test_reap_of_nothing_ends_as_every_run_does(zave: Zave) -> None:
    result = zave("reap", "--rehearse", "-o", "json")
    assert result.status == 0
    last = json.loads(result.out.splitlines()[-1])
    assert (last["event"], last["command"], last["exit_code"]) == ("run.finished", "reap", 0)


def test_a_folder_that_is_no_bundle_is_refused(zave: Zave, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = zave("reap", "--from-bundle", str(tmp_path / "empty"), "--mode", "destroy", "--rehearse")
    assert result.status == 5
    assert "bundle cannot be used" in result.err
