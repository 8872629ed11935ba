"""Switch and destroyer against everything at once, in any order.

The laptop works, extends, and dies at any step; Terraform's state is lost, its lock stays; the cluster is
half gone; destroyers fail, die and meet each other, on machines with wrong clocks. Whatever comes:
nothing is touched before the expiry, the schedule outlives every failure and runs only what was proven, and
k failed fires after the expiry the instance is gone 45 + 30 k minutes after it, and what builds were queued.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.unit.aws.memory import Account
from zave.aws.arming import Term, arm
from zave.aws.destroyer import Verdict
from zave.aws.keys import receipt_prefix, state_key, state_lock_key
from zave.aws.locks import RunLock, Worker
from zave.aws.switch import Extension, extend
from zave.errors import LockedError, PreconditionError, UsageError
from zave.ports import Item
from zave.ports.cloud import Schedule

_HALF_HOUR = timedelta(minutes=30)
# what one fire may take: half an hour until a dead laptop's locks are stale, then the teardown
_GONE_BY = timedelta(minutes=45)
_YEARS = 1000 * 24 * 3600


class SwitchMachine(RuleBasedStateMachine):
    """One instance `demo` from its arming to its end, and a neighbour that must not be touched."""

    open_account: Callable[[], Account]
    promised: datetime

    def __init__(self) -> None:
        super().__init__()
        self.account = type(self).open_account()
        self.failures = 0
        self.fail_next: list[Callable[[], None]] = []
        self.skew = 0.0
        self.queued = timedelta()
        self.waited = timedelta()
        self.laptop: Iterator[None] | None = None
        self.neighbours = {item.id for item in self.account.make("other")}
        self.over = False

    @initialize(hours=st.sampled_from([1, 2, 48]))
    def armed(self, hours: int) -> None:
        account = self.account
        bundle = account.packed("demo")
        self.proven = {bundle.sha256}
        self.promised = arm(
            account, account.clock, instance="demo", term=Term(hours * 3600), bundle=bundle
        ).expires_at
        self.watch_deletions()

    def watch_deletions(self) -> None:
        delete = self.account.inventory.delete

        def watched(item: Item) -> None:
            assert self.promised <= self.account.clock.now(), f"{item.id} was touched before the expiry"
            assert item.owner == "demo"
            delete(item)

        self.account.inventory.delete = watched  # type: ignore[method-assign]

    @property
    def schedule(self) -> Schedule | None:
        return self.account.switchboard.set.get("demo")

    @property
    def expiry(self) -> datetime:
        schedule = self.schedule
        assert schedule is not None, "there is no schedule any more"
        return schedule.first_fire_at

    @property
    def standing(self) -> list[Item]:
        return [item for item in self.account.own("demo") if item.state == "present"]

    # the laptop

    def up(self, number: int) -> Iterator[None]:
        """`zave up`, step by step: it may be left at any of them."""
        account = self.account
        worker = Worker(f"up-{number}", "up", "laptop")
        lock = RunLock(account.bucket, account.clock, instance="demo", worker=worker)
        lock.acquire()
        yield
        account.bucket.put(state_lock_key("demo"), b"{}")
        yield
        there = [*account.inventory.there]
        account.make("demo")
        made = [account.inventory.there.pop(key) for key in [*account.inventory.there] if key not in there]
        state: list[str] = []
        account.put_state("demo", state, serial=1)
        for item in made:
            lock.beat()
            account.inventory.add(item)
            yield
            if item.type not in ("aws_lb", "aws_ebs_volume"):
                state.insert(0, item.id)
                account.put_state("demo", state, serial=len(state) + 1)
            yield
        account.bucket.delete(state_lock_key("demo"))
        yield
        lock.release()

    @precondition(lambda self: not self.over and self.account.clock.now() < self.expiry)
    @rule(steps=st.integers(1, 20), minutes=st.integers(0, 5))
    def laptop_works(self, steps: int, minutes: int) -> None:
        if self.laptop is None:
            # a rerun finds what is there by itself; here only the first makes anything
            self.laptop = iter(()) if self.account.own("demo") else self.up(self.account.calls)
        for _ in range(steps):
            try:
                next(self.laptop)
            except StopIteration:
                break
            except LockedError:
                self.laptop = None  # its run ends: a destroyer took the lock
                break
        self.passes(minutes)

    @precondition(lambda self: not self.over and self.account.clock.now() < self.expiry)
    @rule(creation=st.sampled_from(["a", "b"]), proof=st.booleans())
    def laptop_arms_again(self, creation: str, proof: bool) -> None:
        """A rerun of `up` with another bundle, whose check passes or fails."""
        account, before = self.account, self.schedule
        bundle, check = account.packed("demo", creation=creation), account.switchboard.launch
        if not proof:
            account.switchboard.launch = lambda run, schedule: "its check failed"
        try:
            again = arm(account, account.clock, instance="demo", term=Term(3600), bundle=bundle)
        except PreconditionError:
            assert not proof
            assert self.schedule == before
        else:
            assert proof
            assert again.expires_at == self.promised
            self.proven.add(bundle.sha256)
        finally:
            account.switchboard.launch = check

    @rule()
    def laptop_dies(self) -> None:
        self.laptop = None

    @precondition(lambda self: not self.over)
    @rule(hours=st.integers(-2, 100))
    def laptop_extends(self, hours: int) -> None:
        self.extend(hours)

    def extend(self, hours: int) -> None:
        account, before = self.account, self.schedule
        until = account.clock.now() + timedelta(hours=hours)
        extension = Extension(until, account.clock.now(), _YEARS)
        try:
            after = extend(
                account,
                account.clock,
                instance="demo",
                extension=extension,
                worker=Worker("extend", "up", "laptop"),
            )
        except (UsageError, LockedError, PreconditionError):
            assert self.schedule == before or self.schedule is None
            return
        except BaseException:
            # laptop and destroyer died at once: what the schedule says counts
            if self.schedule is not None and self.schedule != before:
                self.lives_until(self.expiry)
            raise
        self.lives_until(after.first_fire_at)
        assert after.first_fire_at >= until

    def lives_until(self, expiry: datetime) -> None:
        """The end is another one now: what failed or waited before counts for nothing."""
        self.promised, self.failures, self.waited = expiry, 0, timedelta()

    # bad luck

    @precondition(lambda self: not self.over)
    @rule(content=st.sampled_from([None, b"", b"{}", b"\0\0", b'{"version": 4}']))
    def state_is_lost(self, content: bytes | None) -> None:
        if content is None:
            self.account.stored.objects.pop(state_key("demo"), None)
        else:
            self.account.bucket.put(state_key("demo"), content)

    @precondition(lambda self: not self.over and self.account.clock.now() < self.expiry)
    @rule()
    def lock_of_terraform_stays(self) -> None:
        self.account.bucket.put(state_lock_key("demo"), b'{"ID": "left"}')

    @precondition(lambda self: not self.over)
    @rule(data=st.data())
    def somebody_deletes_half_of_it(self, data: st.DataObject) -> None:
        self.account.cluster.answers = False
        own = [item.id for item in self.account.own("demo")]
        if own:
            for key in data.draw(st.sets(st.sampled_from(own))):
                self.account.inventory.there.pop(key)

    @rule(minutes=st.sampled_from([-120, -10, -1, 1, 10, 120]))
    def clocks_of_builds_are_wrong(self, minutes: int) -> None:
        self.skew = minutes * 60.0

    @rule(minutes=st.sampled_from([0, 1, 40]))
    def builds_are_queued(self, minutes: int) -> None:
        self.queued = timedelta(minutes=minutes)

    @precondition(lambda self: not self.over)
    @rule(
        times=st.integers(1, 10),
        kind=st.sampled_from(["dies", "unreachable", "refused", "terraform"]),
        call=st.integers(1, 60),
    )
    def destroyers_fail(self, times: int, kind: str, call: int) -> None:
        account = self.account

        def dies() -> None:
            account.at_call[account.calls + call] = account.die

        def unreachable() -> None:
            account.inventory.reachable = False

        def refused() -> None:
            account.inventory.refuse.add("aws_vpc")

        def terraform() -> None:
            account.terraform_fails = True

        chosen = {"dies": dies, "unreachable": unreachable, "refused": refused, "terraform": terraform}[kind]
        self.fail_next = [chosen] * times

    @precondition(lambda self: not self.over)
    @rule(
        call=st.integers(1, 80), hours=st.integers(1, 10), what=st.sampled_from(["fire", "extend", "cut off"])
    )
    def something_happens_during_the_next_fire(self, call: int, hours: int, what: str) -> None:
        """A second fire; an extension, too late or just in time; one whose laptop dies after half of it."""

        def fire() -> None:
            result = self.account.fire("demo", skew=self.skew)
            early = isinstance(result, PreconditionError) and self.promised > self.account.clock.now()
            if self.failing:
                self.failures += not isinstance(result, Verdict) and not early
            else:
                assert result is None or isinstance(result, Verdict) or early, repr(result)

        def cut_off() -> None:
            before, holder = self.schedule, self.lock().holder()
            if before is None:
                return
            later = replace(before, first_fire_at=self.account.clock.now() + timedelta(hours=hours))
            self.account.switchboard.set["demo"] = later
            if holder is None or holder.work != "destroyer":
                self.lives_until(later.first_fire_at)

        chosen = {"fire": fire, "extend": lambda: self.extend(hours), "cut off": cut_off}[what]

        def schedule_it() -> None:
            self.account.at_call[self.account.calls + call] = chosen

        self.during = schedule_it

    def lock(self) -> RunLock:
        account = self.account
        worker = Worker("looks", "up", "nowhere")
        return RunLock(account.bucket, account.clock, instance="demo", worker=worker)

    @precondition(lambda self: not self.over and self.account.clock.now() < self.promised)
    @rule()
    def somebody_starts_the_destroyer_early(self) -> None:
        before = dict(self.account.inventory.there)
        assert isinstance(self.account.fire("demo", skew=self.skew), PreconditionError)
        assert self.account.inventory.there == before

    during: Callable[[], None] | None = None
    failing = False

    # time

    @precondition(lambda self: not self.over)
    @rule(minutes=st.sampled_from([1, 10, 29, 30, 60, 600]))
    def time_passes(self, minutes: int) -> None:
        self.passes(minutes)

    def passes(self, minutes: float) -> None:
        """Let time pass through every fire on the way; a fire takes its own time."""
        clock = self.account.clock
        target = clock.now() + timedelta(minutes=minutes)
        while not self.over and (due := self.next_due()) <= target:
            clock.moment = max(clock.now(), due)
            self.fire()
        clock.moment = max(clock.now(), target)

    def next_due(self) -> datetime:
        past = self.account.clock.now() - self.expiry
        if past < timedelta(0) or self.fired_for != self.expiry:
            return self.expiry
        return self.expiry + (past // _HALF_HOUR + 1) * _HALF_HOUR

    fired_for: datetime | None = None

    def fire(self) -> None:
        account = self.account
        self.fired_for = self.expiry
        self.failing, disturbed = bool(self.fail_next), self.during is not None
        if self.during is not None:
            self.during()
            self.during = None
        if self.failing:
            self.fail_next.pop()()
        # while it waits for a machine of CodeBuild's, the schedule goes on firing
        self.waited += _HALF_HOUR * math.ceil(self.queued / _HALF_HOUR)
        result = account.fire("demo", skew=self.skew, queued=self.queued.total_seconds())
        account.at_call.clear()
        account.dead, account.terraform_fails = False, False
        account.inventory.reachable = True
        account.inventory.refuse.clear()
        if self.schedule is not None and self.expiry != self.promised:
            # an `extend` died half-way: what the schedule says counts
            self.lives_until(self.expiry)
        elif isinstance(result, PreconditionError) and self.promised > account.clock.now():
            pass  # extended between the fire and its first look at the schedule
        elif self.failing:
            self.failures += not isinstance(result, Verdict)
        else:
            assert isinstance(result, Verdict), f"a fire failed that nothing disturbed: {result!r}"
            assert disturbed or result.outcome == "destroyed", f"a fire did nothing: {result}"
        self.over = self.schedule is None

    # what always holds

    @invariant()
    def neighbours_stand(self) -> None:
        assert {item.id for item in self.account.own("other")} == self.neighbours

    @invariant()
    def schedule_outlives_what_it_is_for(self) -> None:
        if self.standing:
            assert self.schedule is not None
            assert self.schedule.enabled

    @invariant()
    def what_fires_was_proven(self) -> None:
        if self.schedule is not None:
            assert self.schedule.bundle_sha256 in self.proven

    @invariant()
    def gone_in_time(self) -> None:
        if self.over or not self.account.switchboard.set:
            return
        limit = self.promised + _GONE_BY + self.failures * _HALF_HOUR + self.waited
        if self.account.clock.now() > limit:
            assert not self.standing, f"{self.standing} after {limit} with {self.failures} failures"

    def teardown(self) -> None:
        """Then nobody does anything any more: the end comes all the same."""
        if self.account.switchboard.set.get("demo") is None and not self.over:
            return
        self.laptop = None
        while not self.over:
            limit = self.promised + _GONE_BY + (self.failures + len(self.fail_next)) * _HALF_HOUR
            limit += self.waited
            self.passes(30)
            self.gone_in_time()
            assert self.account.clock.now() < limit + 2 * timedelta(hours=1)
        assert not self.standing
        assert self.account.bucket.documents(receipt_prefix("demo"))[-1]["leaks"] == []
        self.neighbours_stand()
