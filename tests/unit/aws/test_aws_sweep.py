"""The sweep: whose a thing is, and deleting one owner's without knowing what depends on what."""

from collections.abc import Callable

import pytest

from tests.unit.aws.memory import Account
from zave.aws.keys import baseline_key
from zave.aws.sweep import Sweep, Swept, read_baseline, sort_items, take_baseline
from zave.errors import StepFailedError
from zave.ports import Item

Make = Callable[..., Item]


def _sweep(account: Account, baseline: frozenset[tuple[str, str]] = frozenset()) -> Swept:
    return Sweep(account.inventory, account.clock, "demo", baseline, account.said.append).run()


def test_things_are_sorted_by_whose_they_are(item: Make) -> None:
    mine, other = item("demo", "aws_vpc"), item("other", "aws_vpc")
    nobodys = item(None, "aws_vpc")
    bucket = item(None, "aws_s3_bucket", standing=True)
    key = item("demo", "aws_kms_key", state="pending-deletion")
    found = sort_items([mine, other, nobodys, bucket, key], alive={"other"})
    assert (found.expected, found.leaks) == ((other,), (mine,))
    assert (found.standing, found.accepted) == ((bucket,), (key,))


def test_of_one_instance_only_its_own_is_shown(item: Make) -> None:
    mine, other = item("demo", "aws_vpc"), item("other", "aws_vpc")
    found = sort_items([mine, other], alive=(), instance="demo")
    assert found.leaks == (mine,)


def test_everything_goes_whatever_depends_on_what(account: Account) -> None:
    made = account.make("demo")
    swept = _sweep(account)
    assert not swept.left
    assert {i.id for i in swept.deleted} == {i.id for i in made} - {"kms_key-demo"}
    assert [i.id for i in swept.accepted] == ["kms_key-demo"]
    assert swept.accepted[0].attributes["until"] == "2026-12-30T12:00:00.000Z"
    assert swept.passes > 1


def test_nothing_of_anybody_else_is_touched(account: Account, item: Make) -> None:
    account.make("demo")
    kept = [
        *account.make("other"),
        item(None, "aws_vpc"),
        item("demo", "aws_vpc", id="older"),
        item("demo", "aws_lb", id="standing", standing=True),
    ]
    account.inventory.add(*kept)
    _sweep(account, frozenset({("aws_vpc", "older")}))
    assert {i.id for i in account.inventory.there.values()} == {i.id for i in kept} | {"kms_key-demo"}


def test_an_empty_account_takes_no_time(account: Account) -> None:
    before = account.clock.now()
    swept = _sweep(account)
    assert swept.passes == 0
    assert account.clock.now() == before


def test_what_the_platform_refuses_is_left_with_its_reason(account: Account) -> None:
    account.make("demo")
    account.inventory.refuse.add("aws_lb")
    swept = _sweep(account)
    reasons = {left.item.id: left.reason for left in swept.left}
    assert reasons["lb-demo"] == "AccessDenied: aws_lb"
    # what the balancer stands on cannot go either
    assert set(reasons) == {"lb-demo", "subnet-demo", "vpc-demo"}
    assert (account.clock.now() - account.clock.moment).total_seconds() < 20 * 60


def test_what_goes_by_itself_is_waited_for_and_not_asked_again(account: Account, item: Make) -> None:
    leaving = item("demo", "aws_instance", state="shutting-down")
    account.inventory.add(leaving)
    ends = account.clock.now().timestamp() + 100

    def time_passes() -> None:
        if account.clock.now().timestamp() >= ends:
            account.inventory.there.pop(leaving.id, None)

    account.clock.on_sleep.append(time_passes)
    swept = _sweep(account)
    assert not swept.left
    assert not account.inventory.deleted


def test_the_baseline_is_taken_once_and_leaves_the_own_out(account: Account, item: Make) -> None:
    account.inventory.add(item(None, "aws_vpc"), item("demo", "aws_subnet"))
    assert take_baseline(account, "demo")
    account.inventory.add(item(None, "aws_vpc", id="younger"))
    assert not take_baseline(account, "demo")
    assert read_baseline(account.bucket, "demo") == {("aws_vpc", "vpc-nobody")}


def test_no_baseline_is_an_empty_one_and_a_damaged_one_stops(account: Account) -> None:
    assert read_baseline(account.bucket, "demo") == frozenset()
    account.bucket.put(baseline_key("demo"), b"{")
    with pytest.raises(StepFailedError, match="older than demo"):
        read_baseline(account.bucket, "demo")


def test_a_sweep_that_lost_its_lock_stops(account: Account) -> None:
    account.make("demo")

    def beat() -> None:
        raise StepFailedError("lost")

    sweep = Sweep(account.inventory, account.clock, "demo", frozenset(), account.said.append, beat)
    with pytest.raises(StepFailedError):
        sweep.run()
    assert len(account.own("demo")) == 6
