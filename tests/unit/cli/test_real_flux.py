"""The way into a cluster of EKS: no cluster, and no answer about one, are two things."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from zave.aws.live.eks import EksCluster
from zave.cli.real_flux import ShortLived
from zave.errors import NoClusterError, StepFailedError, UnreachableError


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 23, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Eks:
    """Tells the way into a cluster, or why not."""

    def __init__(self) -> None:
        self.trouble: StepFailedError | None = None
        self.asked = 0
        self.api = SimpleNamespace(region="us-east-1")

    def short_lived(self, instance: str) -> str:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        return f"token {self.asked} of {instance}"


@pytest.fixture
def eks() -> Eks:
    return Eks()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def way(eks: Eks, clock: Clock, tmp_path: Path) -> ShortLived:
    return ShortLived(cast(EksCluster, cast(Any, eks)), tmp_path / "kubeconfig", clock)


def test_a_token_is_private_and_renewed_in_time(way: ShortLived, eks: Eks, clock: Clock) -> None:
    assert way("demo").read_text() == "token 1 of demo"
    assert way.path.stat().st_mode & 0o777 == 0o600
    way("demo")
    assert eks.asked == 1
    clock.sleep(120)
    assert way("demo").read_text() == "token 2 of demo"


def test_a_cluster_that_is_gone_leaves_no_file(way: ShortLived, eks: Eks, clock: Clock) -> None:
    way("demo")
    clock.sleep(120)
    eks.trouble = NoClusterError("there is no cluster zave-demo")
    assert not way("demo").exists()


def test_a_refusal_is_not_taken_for_no_cluster(way: ShortLived, eks: Eks, clock: Clock) -> None:
    way("demo")
    clock.sleep(120)
    eks.trouble = StepFailedError("AWS refused eks:describe_cluster", details="AccessDenied")
    with pytest.raises(UnreachableError, match="does not tell the way") as caught:
        way("demo")
    assert "AccessDenied" in (caught.value.details or "")
    assert way.path.exists()
