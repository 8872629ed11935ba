"""The state bucket by boto3: the same contract as the rehearsed one, and S3's own refusals."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, Thread

import pytest

from tests.integration.aws_live.standing import ACCOUNT, PARTS, REGION, delete_bucket, make_bucket, set_up
from tests.system.moto_server import SMALL_PAGE, MotoServer
from tests.unit.aws.memory import FakeClock
from zave.aws.live.api import Api
from zave.aws.live.bucket import S3Bucket
from zave.aws.live.cloud import LiveCloud
from zave.errors import PreconditionError, StepFailedError
from zave.ports.cloud import Bucket
from zave.rehearsal.bucket import SimulatedBucket
from zave.rehearsal.world import World


@pytest.fixture(params=["live", "simulated"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path, api: Api) -> Iterator[Bucket]:
    """Either bucket, empty."""
    if request.param == "live":
        make_bucket(api)
        yield S3Bucket(api, name=PARTS.bucket, account=ACCOUNT)
        return
    world = World.open(tmp_path / "world.db")
    yield SimulatedBucket(world, name=PARTS.bucket, ask=lambda call: None)
    world.close()


def test_what_was_put_is_got_newest_first_and_gone_once_deleted(bucket: Bucket) -> None:
    assert bucket.get("instances/demo/run.lock") is None
    assert bucket.put("instances/demo/run.lock", b"one")
    assert bucket.put("instances/demo/run.lock", b"two")
    assert bucket.get("instances/demo/run.lock") == b"two"
    bucket.delete("instances/demo/run.lock")
    bucket.delete("instances/demo/run.lock")
    assert bucket.get("instances/demo/run.lock") is None


def test_a_large_file_is_put_whole(bucket: Bucket, tmp_path: Path) -> None:
    # boto3 sends what is larger than 8 MiB in parts (s3transfer 0.19)
    content = bytes(range(256)) * 1024 * 4 * 20
    (tmp_path / "large").write_bytes(content)
    bucket.put_file("account/programs-abc.tar.gz", tmp_path / "large")
    assert bucket.get("account/programs-abc.tar.gz") == content
    (stored,) = bucket.list("account/programs-")
    assert stored.size == len(content)


def test_put_only_if_absent_never_replaces(bucket: Bucket) -> None:
    assert bucket.put("a/lock", b"mine", only_if_absent=True)
    assert not bucket.put("a/lock", b"yours", only_if_absent=True)
    assert bucket.get("a/lock") == b"mine"
    bucket.delete("a/lock")
    assert bucket.put("a/lock", b"yours", only_if_absent=True)


def test_of_many_who_put_at_once_one_wins(bucket: Bucket) -> None:
    begin, won = Barrier(6), list[bytes]()

    def put(name: bytes) -> None:
        begin.wait()
        if bucket.put("a/lock", name, only_if_absent=True):
            won.append(name)

    rivals = [Thread(target=put, args=(b"%d" % number,)) for number in range(6)]
    for each in rivals:
        each.start()
    for each in rivals:
        each.join()
    assert len(won) == 1
    assert bucket.get("a/lock") == won[0]


def test_a_list_has_what_begins_with_the_prefix_in_order(bucket: Bucket) -> None:
    for key in ("instances/b/x", "instances/a/2", "instances/a/1", "instances/ab/1"):
        bucket.put(key, key.encode())
    found = bucket.list("instances/a/")
    assert [(each.key, each.size) for each in found] == [("instances/a/1", 13), ("instances/a/2", 13)]
    assert all(each.modified_at.utcoffset() is not None for each in found)
    assert bucket.list("nothing/") == []


def test_a_list_goes_through_all_pages(cloud: LiveCloud, server: MotoServer) -> None:
    bucket = cloud.bucket
    keys = [f"many/{number:04d}" for number in range(SMALL_PAGE * 2 + 1)]
    for key in keys:
        bucket.put(key, b"")
    before = len(server.calls())
    assert [each.key for each in bucket.list("many/")] == keys
    assert len(server.calls()) - before == 3


def test_older_versions_outlive_a_deletion(cloud: LiveCloud, api: Api) -> None:
    cloud.bucket.put("a/state", b"old")
    cloud.bucket.put("a/state", b"new")
    cloud.bucket.delete("a/state")
    found = api.call("s3", "list_object_versions", Bucket=PARTS.bucket, Prefix="a/state")
    assert len(found["Versions"]) == 2


def test_an_account_without_the_bucket_is_not_set_up(api: Api, clock: FakeClock) -> None:
    cloud = LiveCloud(api, clock=clock)
    with pytest.raises(PreconditionError, match="no bucket zave-state-123456789012") as refused:
        _ = cloud.bucket
    assert "account setup" in (refused.value.resolution or "")
    set_up(api)
    assert cloud.bucket.name == PARTS.bucket


def test_a_bucket_that_vanished_is_told_as_such(cloud: LiveCloud, api: Api) -> None:
    bucket = cloud.bucket
    delete_bucket(api)
    for use in (lambda: bucket.get("a"), lambda: bucket.put("a", b""), lambda: bucket.list("")):
        with pytest.raises(PreconditionError, match="no bucket"):
            use()


def test_somebody_elses_bucket_of_that_name_is_never_written(
    api: Api, server: MotoServer, clock: FakeClock
) -> None:
    set_up(api)
    server.refuse("s3:HEAD", code="403", status=403)
    with pytest.raises(PreconditionError, match="not for this account"):
        _ = LiveCloud(api, clock=clock).bucket
    assert not [call for call in server.calls() if call.startswith("s3:PUT") and "lock" in call]


def test_a_refused_write_is_no_success(cloud: LiveCloud, server: MotoServer) -> None:
    bucket = cloud.bucket
    server.refuse("s3:PUT", code="AccessDenied", status=403)
    with pytest.raises(StepFailedError, match="AWS refused s3:put_object"):
        bucket.put("a/lock", b"x", only_if_absent=True)
    assert bucket.get("a/lock") is None


@pytest.mark.parametrize(
    ("code", "times", "written"), [("ConditionalRequestConflict", 2, True), ("PreconditionFailed", 1, False)]
)
def test_a_write_that_collides_is_tried_again_and_one_that_came_late_is_not(
    code: str, times: int, written: bool, cloud: LiveCloud, server: MotoServer
) -> None:
    bucket = cloud.bucket
    server.refuse("s3:PUT", code=code, status=409, times=times)
    assert bucket.put("a/lock", b"x", only_if_absent=True) is written
    assert bucket.get("a/lock") == (b"x" if written else None)


@pytest.mark.parametrize(
    ("code", "brief"),
    [
        ("ExpiredToken", "credentials have expired"),
        ("InvalidAccessKeyId", "does not accept the credentials"),
    ],
)
def test_credentials_that_are_no_good_stop_everything(
    code: str, brief: str, cloud: LiveCloud, server: MotoServer
) -> None:
    uses: list[Callable[[], object]] = [
        cloud.caller,
        lambda: cloud.switchboard.schedule("demo"),
        lambda: cloud.bucket,
    ]
    for call, use in zip(("sts:", "scheduler:", "s3:"), uses, strict=True):
        server.refuse(call, code=code, status=403)
        with pytest.raises(PreconditionError):
            use()
    server.refuse("sts:", code=code, status=403)
    with pytest.raises(PreconditionError, match=brief):
        cloud.caller()


def test_a_region_that_does_not_answer_is_told_as_such(server: MotoServer, clock: FakeClock) -> None:
    nobody = Api(region=REGION, endpoint_url="http://127.0.0.1:9", attempts=1)
    with pytest.raises(PreconditionError, match="us-east-1 cannot be reached"):
        LiveCloud(nobody, clock=clock).caller()


def test_without_credentials_nothing_is_asked(
    server: MotoServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(PreconditionError, match="no usable AWS credentials"):
        LiveCloud(Api(region=REGION, endpoint_url=server.url), clock=clock).caller()
    assert server.calls() == []


def test_an_unknown_profile_is_no_credentials(server: MotoServer, clock: FakeClock) -> None:
    api = Api(region=REGION, profile="nobodys", endpoint_url=server.url)
    with pytest.raises(PreconditionError, match="no usable AWS credentials"):
        LiveCloud(api, clock=clock).caller()


def test_the_caller_is_told_with_the_end_of_the_credentials(
    server: MotoServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = LiveCloud(Api(region=REGION, endpoint_url=server.url), clock=clock).caller()
    assert (caller.account, caller.expires_at) == (ACCOUNT, None)
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2099-11-23T13:00:00+01:00")
    caller = LiveCloud(Api(region=REGION, endpoint_url=server.url), clock=clock).caller()
    assert caller.expires_at == datetime(2099, 11, 23, 12, tzinfo=UTC)


def test_credentials_that_ended_are_told_before_anything_is_asked(
    server: MotoServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z")
    with pytest.raises(PreconditionError, match="have expired"):
        LiveCloud(Api(region=REGION, endpoint_url=server.url), clock=clock).caller()
    assert server.calls() == []
