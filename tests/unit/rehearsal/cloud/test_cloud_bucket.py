"""The rehearsed bucket."""

import stat
import threading
from typing import TYPE_CHECKING

import pytest

from zave.errors import PreconditionError, UsageError
from zave.rehearsal.bucket import SimulatedBucket, bucket_folder
from zave.rehearsal.cloud import SimulatedCloud
from zave.rehearsal.world import World

if TYPE_CHECKING:
    from tests.unit.rehearsal.cloud.conftest import Account


@pytest.fixture
def bucket(account: "Account", cloud: SimulatedCloud) -> SimulatedBucket:
    account.switch()
    return cloud.bucket


def test_account_without_standing_parts_has_no_bucket(cloud: SimulatedCloud, account: "Account") -> None:
    account.make("aws_s3_bucket", "a-demos-own", bucket="a-demos-own")
    with pytest.raises(PreconditionError, match="no bucket"):
        _ = cloud.bucket


def test_objects_come_back_as_written(bucket: SimulatedBucket) -> None:
    assert bucket.name == "zave-state-123456789012"
    assert bucket.get("instances/a/run.lock") is None
    assert bucket.put("instances/a/run.lock", b"\x00one")
    assert bucket.put("instances/a/run.lock", b"two")
    assert bucket.get("instances/a/run.lock") == b"two"
    bucket.delete("instances/a/run.lock")
    bucket.delete("instances/a/run.lock")
    assert bucket.get("instances/a/run.lock") is None


def test_only_one_of_many_makes_what_must_be_absent(bucket: SimulatedBucket) -> None:
    won: list[int] = []

    def put(number: int) -> None:
        if bucket.put("instances/a/run.lock", str(number).encode(), only_if_absent=True):
            won.append(number)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert bucket.get("instances/a/run.lock") == str(won[0]).encode()


def test_listing_shows_keys_sizes_and_the_worlds_time(world: World, bucket: SimulatedBucket) -> None:
    bucket.put("instances/a/checks/zave:1.json", b"{}")
    world.clock.advance(3600)
    bucket.put("instances/a/bundle.tar.gz", b"123")
    bucket.put("instances/ab/x", b"")
    found = bucket.list("instances/a/")
    assert [(each.key, each.size) for each in found] == [
        ("instances/a/bundle.tar.gz", 3),
        ("instances/a/checks/zave:1.json", 2),
    ]
    assert found[0].modified_at.timestamp() == pytest.approx(world.clock.timestamp(), abs=1e-3)
    assert (found[0].modified_at - found[1].modified_at).total_seconds() == pytest.approx(3600, abs=1e-3)


def test_what_only_a_local_backend_keeps_is_no_object(world: World, bucket: SimulatedBucket) -> None:
    bucket.put("instances/a/terraform.tfstate", b"{}")
    folder = bucket_folder(world) / "instances/a"
    (folder / "terraform.tfstate.backup").write_text("{}")
    (folder / ".terraform.tfstate.lock.info").write_text("{}")
    assert [each.key for each in bucket.list("")] == ["instances/a/terraform.tfstate"]


def test_files_are_private(world: World, bucket: SimulatedBucket) -> None:
    bucket.put("instances/a/x", b"")
    path = bucket_folder(world) / "instances/a/x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (path.parent, path.parent.parent, bucket_folder(world)):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".hidden", "a/.b", "a\nb", "é", "x" * 600]
)
def test_keys_cannot_leave_the_bucket(bucket: SimulatedBucket, key: str) -> None:
    with pytest.raises(UsageError, match="no key"):
        bucket.put(key, b"")
    with pytest.raises(UsageError, match="no key"):
        bucket.get(key)


def test_bucket_that_cannot_be_reached_says_so(world: World, bucket: SimulatedBucket) -> None:
    world.faults.add("region unreachable")
    with pytest.raises(PreconditionError, match="cannot be reached"):
        bucket.put("a", b"")
    world.faults.clear()
    assert bucket.get("a") is None
