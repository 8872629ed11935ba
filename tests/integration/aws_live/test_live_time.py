"""The cloud's own time, as its answers tell it."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from tests.unit.aws.memory import FakeClock
from zave.aws.live.api import Api
from zave.aws.live.cloud import LiveCloud
from zave.errors import StepFailedError


def test_the_time_is_the_clouds_and_not_this_machines(cloud: LiveCloud, clock: FakeClock) -> None:
    clock.moment = datetime(2001, 1, 1, tzinfo=UTC)
    told = cloud.now()
    assert told.tzinfo == UTC
    # moto's machine is this one
    assert abs(datetime.now(UTC) - told) < timedelta(minutes=1)


@pytest.mark.parametrize("headers", [{}, {"date": ""}, {"date": "soon\x1b[2J"}])
def test_a_time_that_is_none_is_told(headers: dict[str, str]) -> None:
    class Answering:
        def call(self, service: str, operation: str) -> dict[str, Any]:
            assert (service, operation) == ("sts", "get_caller_identity")
            return {"ResponseMetadata": {"HTTPHeaders": headers}}

    cloud = LiveCloud(cast(Api, Answering()), clock=FakeClock())
    with pytest.raises(StepFailedError, match="did not tell the time") as refused:
        cloud.now()
    assert "\x1b" not in (refused.value.details or "")
