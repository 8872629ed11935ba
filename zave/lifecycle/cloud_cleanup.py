"""What ends a teardown in a cloud account: sweep by owner in passes, receipt in the bucket, switch last."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from zave.aws.destroyer import forget_life
from zave.aws.keys import receipt_key
from zave.aws.lives import lives_elsewhere
from zave.aws.locks import LONGEST_APPLY, RunLock, Work, Worker
from zave.aws.settlement import settlement
from zave.aws.state import put_state_away
from zave.aws.state_lock import Belief, wait_for_state_lock
from zave.aws.sweep import Sweep, Swept, belongs, read_baseline
from zave.aws.switch import run_ended
from zave.clock import rfc3339
from zave.cost.catalogue import Catalogue
from zave.cost.ledger import keep_spans, settle
from zave.cost.meter import usd_per_hour
from zave.errors import NoBucketError
from zave.lifecycle.cleanup import beating, note_going, tell_aside
from zave.lifecycle.ended_applies import ended_terraforms
from zave.lifecycle.inventory import GOING
from zave.lifecycle.learn import mark_undone
from zave.lifecycle.run import Run
from zave.ports import Item
from zave.ports.cloud import Bucket, Cloud
from zave.receipt import Settlement
from zave.steps.infra import SEAL
from zave.steps.site import Site


@dataclass
class CloudCleanup:
    """An AWS demo's: tags and networks tell whose a thing is, whether any record knows it or not."""

    site: Site
    cloud: Cloud
    _lock: RunLock | None = None
    _elsewhere: frozenset[tuple[str, str]] = frozenset()

    @contextmanager
    def hold(self, run: Run) -> Iterator[None]:
        """Hold the instance's lock in the bucket, with a heartbeat. No bucket: nothing can stand yet."""
        bucket = self._bucket()
        if bucket is None:
            yield
            return
        origin = f"{os.uname().nodename}:{self.site.folder.root}"
        self._lock = RunLock(
            bucket,
            self.site.tools.clock,
            instance=self.site.instance,
            worker=Worker(run.id, cast(Work, run.command), origin),
            dead=lambda holding: run_ended(self.cloud, holding.id),
            say=partial(tell_aside, run),
        )
        self._lock.acquire()
        try:
            with beating(run, self._lock.beat):
                # what is waited for may take as long as an apply: nobody who wants to stop waits along
                with run.changing_nothing():
                    wait_for_state_lock(
                        self.cloud,
                        self.site.tools.clock,
                        instance=self.site.instance,
                        belief=Belief(LONGEST_APPLY, ended_terraforms(self.site.folder, own=run.id)),
                        say=run.notice,
                        beat=self._lock.beat,
                    )
                yield
        finally:
            self._lock.release()

    def note(self) -> None:
        """Note what the record knows and what the account shows as the instance's.

        Before anything goes: what else stands here tells which lives of the name were in this region.
        """
        record = self.site.store.instance(self.site.instance)
        creation = None if record is None else rfc3339(record.created_at)
        items = self.site.tools.inventory.items()
        self._elsewhere = lives_elsewhere(items, self.site.instance, creation=creation)
        note_going(self.site, self._own(items))

    def meter(self) -> None:
        """Keep the spans of what stands, as the inventory shows it."""
        record = self.site.store.instance(self.site.instance)
        if record is not None:
            now = self.site.tools.clock.now()
            keep_spans(self.site.store, record, self.site.tools.inventory.items(), now=now)

    def sweep(self, run: Run) -> Settlement:
        """Delete everything of the instance's that is left, in passes; tell what resists."""
        inventory, bucket = self.site.tools.inventory, self._bucket()
        swept = Sweep(
            inventory,
            self.site.tools.clock,
            self.site.instance,
            self._elsewhere
            if bucket is None
            else self._elsewhere | read_baseline(bucket, self.site.instance),
            say=run.notice,
            beat=lambda: None if self._lock is None else self._lock.beat(),
        ).run()
        return self._settlement(swept)

    def stopped(self) -> Settlement | None:
        """The sweep goes on: whose a thing is stands on the thing, so Terraform is not needed to find it."""
        return None

    def conclude(self, document: dict[str, Any], *, clean: bool) -> None:
        """Put the receipt into the bucket; once nothing is left, take the switch away, last of all."""
        bucket = self._bucket()
        if bucket is None:
            return
        key = receipt_key(self.site.instance, self.site.tools.clock.now())
        bucket.put(key, (json.dumps(document, indent=1) + "\n").encode())
        if clean:
            self._settle_bill()
            self.site.store.delete_fact(self.site.instance, GOING)
            self._put_state_away()
            forget_life(bucket, self.site.instance)
            self.cloud.switchboard.remove_schedule(self.site.instance)

    def _put_state_away(self) -> None:
        """A state that still names resources, after a sweep without Terraform, describes nothing more."""
        instance, store = self.site.instance, self.site.store
        if put_state_away(self.cloud, instance, at=self.site.tools.clock.now()):
            store.delete_fact(instance, SEAL)
        mark_undone(store, instance, reason="swept")

    def _settle_bill(self) -> None:
        record = self.site.store.instance(self.site.instance)
        if record is not None:
            settle(self.site.store, record, at=self.site.tools.clock.now())

    def _own(self, items: Sequence[Item]) -> list[Item]:
        return [i for i in items if belongs(i, self.site.instance, baseline=self._elsewhere)]

    def _bucket(self) -> Bucket | None:
        try:
            return self.cloud.bucket
        except NoBucketError:
            return None

    def _settlement(self, swept: Swept) -> Settlement:
        catalogue = Catalogue.load(self.cloud.region, refreshed=self.site.store.prices)
        now = self.site.tools.clock.now()
        going = self.site.store.fact(self.site.instance, GOING) or []
        return settlement(
            swept,
            going,
            self.site.tools.inventory,
            price=lambda item: usd_per_hour(item, catalogue, at=now),
        )
