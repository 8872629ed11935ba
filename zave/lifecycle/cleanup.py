"""What ends a teardown: the sweep, and what is done once nothing is left. One kind for each platform."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from zave.events import ResourceChanged
from zave.lifecycle.inventory import GOING, delete_all, leak_document, recorded
from zave.lifecycle.run import Run
from zave.ports import Item
from zave.receipt import Settlement
from zave.steps.site import Site

if TYPE_CHECKING:
    from zave.events import Stamped


class Cleanup(Protocol):
    """The platform's share of a run's beginning and of a teardown's end."""

    def hold(self, run: Run) -> AbstractContextManager[None]:
        """Keep others, on other machines too, from working on the instance meanwhile."""
        ...

    def note(self) -> None:
        """Keep the list of what is to be deleted, across attempts."""
        ...

    def meter(self) -> None:
        """Keep what stands now, for the bill."""
        ...

    def sweep(self, run: Run) -> Settlement:
        """Delete what Terraform did not; tell what is gone, what is left, what goes by itself."""
        ...

    def stopped(self) -> Settlement | None:
        """What stands when a step failed and the teardown stops there; None: the sweep goes on."""
        ...

    def conclude(self, document: dict[str, Any], *, clean: bool) -> None:
        """Keep the receipt where others find it; put away what is needed no more when `clean`."""
        ...


def note_going(site: Site, owned: list[Item]) -> None:
    """Add to the list of what is to be deleted: what the record knows, and the `owned` items."""
    store, instance = site.store, site.instance
    # by id: two nodes of a group have the same name
    going = {(i["type"], i["id"]): i for i in store.fact(instance, GOING) or []}
    resources = store.resources(instance)
    for item in [*(item for _, item in recorded(resources, site.tools.inventory.items())), *owned]:
        going[item.type, item.id] = {"type": item.type, "id": item.id, "name": item.name}
    # Terraform calls some things otherwise than the platform does: what is listed is not listed again
    listed = {(i["type"], i["name"]) for i in going.values()}
    for record in resources:
        if record.state == "present" and (record.type, record.name) not in listed:
            name = record.id or record.name
            going[record.type, name] = {"type": record.type, "id": name, "name": record.name}
    store.put_fact(instance, GOING, list(going.values()))


@dataclass
class LocalCleanup:
    """A home lab's: the record and the hypervisor's inventory are all there is.

    What still stands after Terraform is either an orphan of a cut-off run (Terraform's state does not
    know it; it is deleted) or a leak (Terraform said it was destroyed; it is told).
    """

    site: Site

    def hold(self, run: Run) -> AbstractContextManager[None]:
        """Nothing more: the instance's lock on this machine is enough."""
        return nullcontext()

    def note(self) -> None:
        """Note what the record knows, and what Terraform let go of in an earlier attempt."""
        note_going(self.site, [])
        self._gone_before = {
            (r.type, r.name) for r in self.site.store.resources(self.site.instance) if r.state == "gone"
        }

    def meter(self) -> None:
        """A home lab has no bill."""

    def sweep(self, run: Run) -> Settlement:
        """Delete orphans; what Terraform claimed to have destroyed in this run is a leak."""
        inventory = self.site.tools.inventory
        resources = self.site.store.resources(self.site.instance)
        orphans: list[Item] = []
        leaks: list[Item] = []
        for record, item in recorded(resources, inventory.items()):
            claimed_now = record.state == "gone" and (record.type, record.name) not in self._gone_before
            (leaks if claimed_now else orphans).append(item)
        for item in orphans:
            run.notice(f"sweep: deleting {item.type} {item.name}, which Terraform's state does not know")
        for item, reason in delete_all(orphans, inventory):
            leaks.append(item)
            run.bus.emit(
                ResourceChanged("sweep", item.name, item.type, "delete", "failed", id=item.id, message=reason)
            )
        return self._settlement(leaks)

    def stopped(self) -> Settlement | None:
        """Everything recorded that the inventory shows."""
        resources = self.site.store.resources(self.site.instance)
        return self._settlement([i for _, i in recorded(resources, self.site.tools.inventory.items())])

    def conclude(self, document: dict[str, Any], *, clean: bool) -> None:
        """Forget the list of what goes once it is gone."""
        if clean:
            self.site.store.delete_fact(self.site.instance, GOING)

    def _settlement(self, leaks: list[Item]) -> Settlement:
        left = {(item.type, item.name) for item in leaks}
        going = self.site.store.fact(self.site.instance, GOING) or []
        return Settlement(
            deleted=[item for item in going if (item["type"], item["name"]) not in left],
            leaks=[leak_document(item, self.site.tools.inventory, usd_per_day=0.0) for item in leaks],
        )


class Beat:
    """A sink that shows, with every event, that the run still lives.

    A lock that was lost, or could not be kept for too long, stops the run.
    """

    def __init__(self, run: Run, beat: Any) -> None:
        self._run = run
        self._beat = beat

    def emit(self, stamped: "Stamped") -> None:
        """Beat, unless the run is being stopped already."""
        from zave.errors import LockedError, PreconditionError, StepFailedError

        if self._run.execution.stop.is_set():
            return
        try:
            self._beat()
        except (LockedError, PreconditionError, StepFailedError) as error:
            # raised through Terraform's events it would end the step in the middle of what it reads
            self._run.execution.stop.set()
            tell_aside(self._run, f"stopping: {error.brief}")
            self._run.journal.interrupt()

    def close(self) -> None:
        """Nothing is held."""


def tell_aside(run: Run, text: str) -> None:
    """Warn people from within a sink, where the bus is in the middle of another event."""
    threading.Thread(target=run.notice, args=(text,), kwargs={"warning": True}, daemon=True).start()


@contextmanager
def beating(run: Run, beat: Any) -> Iterator[None]:
    """Call `beat` with every event of the run."""
    sink = Beat(run, beat)
    run.bus.sinks.append(sink)
    try:
        yield
    finally:
        if sink in run.bus.sinks:
            run.bus.sinks.remove(sink)
