"""An account in a real moto server, for the real boto3 adapters."""

from collections.abc import Iterator

import pytest

from tests.integration.aws_live.standing import REGION, set_up
from tests.system.moto_server import MotoServer, moto_server
from tests.unit.aws.memory import FakeClock
from zave.aws.live.api import Api
from zave.aws.live.cloud import LiveCloud


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    """One server for all tests of a worker."""
    pytest.importorskip("boto3", reason="the extra `aws` is not installed")
    pytest.importorskip("moto", reason="moto[server] of the extra `dev` is not installed")
    with moto_server(tmp_path_factory.mktemp("moto") / "log") as server:
        yield server


@pytest.fixture
def server(running: MotoServer, monkeypatch: pytest.MonkeyPatch) -> MotoServer:
    """The server, emptied, with credentials that it takes."""
    for name, value in (("AWS_ACCESS_KEY_ID", "testing"), ("AWS_SECRET_ACCESS_KEY", "testing")):
        monkeypatch.setenv(name, value)
    # without it botocore asks a metadata service that is not there
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    running.reset()
    return running


@pytest.fixture
def api(server: MotoServer) -> Api:
    """Calls of an empty account. Not repeated: a refusal is one that the test wanted."""
    return Api(region=REGION, endpoint_url=server.url, attempts=1)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves when somebody sleeps."""
    return FakeClock()


@pytest.fixture
def cloud(api: Api, clock: FakeClock) -> LiveCloud:
    """An account that is set up."""
    set_up(api)
    return LiveCloud(api, clock=clock)
