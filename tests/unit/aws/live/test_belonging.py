"""Whose a thing is that carries no tag of its own, or several."""

from datetime import UTC, datetime, timedelta

import pytest

from zave.aws.live.belonging import Belonging, Family
from zave.aws.live.listing import Found
from zave.clock import rfc3339

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
IMAGE = {"zave:image": "k3s-base"}
STANDS = Belonging(None, standing=True)


def thing(type_: str, id_: str, tags: dict[str, str] | None = None, **attributes: str) -> Found:
    return Found(type_, id_, {"id": id_, **attributes}, tags or {})


def whose(wanted: Found, *others: Found) -> Belonging:
    return Family([wanted, *others], now=NOW).belonging(wanted)


def test_each_snapshot_of_an_image_stands_as_its_image_does() -> None:
    image = thing("aws_ami", "ami-1", IMAGE, snapshot_ids="snap-1,snap-2")
    # taken from the disk of an instance's machine, which is not what it is for
    disk = thing("aws_ebs_volume", "vol-1", {"zave:instance": "demo"})
    for name in ("snap-1", "snap-2"):
        assert whose(thing("aws_ebs_snapshot", name, volume_id="vol-1"), image, disk) == STANDS
    assert whose(thing("aws_ebs_snapshot", "snap-3", volume_id="vol-1"), image, disk) == Belonging("demo")


def test_a_snapshot_of_somebodys_image_is_nobodys() -> None:
    image = thing("aws_ami", "ami-1", snapshot_ids="snap-1")
    assert whose(thing("aws_ebs_snapshot", "snap-1"), image) == Belonging(None)


@pytest.mark.parametrize(
    ("hours", "expected"), [(2, STANDS), (4, Belonging("zave:image=k3s-base")), (None, STANDS)]
)
def test_a_build_that_works_stands_and_one_that_was_killed_is_left_over(
    hours: int | None, expected: Belonging
) -> None:
    made = None if hours is None else rfc3339(NOW - timedelta(hours=hours))
    machine = Found("aws_instance", "i-1", {"id": "i-1"}, IMAGE, created_at=made)
    disk = thing("aws_ebs_volume", "vol-1", instance_id="i-1")
    assert whose(machine) == whose(disk, machine) == expected


def test_without_the_time_every_build_works() -> None:
    made = rfc3339(NOW - timedelta(hours=99))
    machine = Found("aws_instance", "i-1", {"id": "i-1"}, IMAGE, created_at=made)
    assert Family([machine]).belonging(machine) == STANDS
