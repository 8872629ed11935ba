"""`zave down`: the reverse of everything recorded, then the sweep, then the receipt.

After Terraform the inventory decides, not the exit code: what still stands is either an orphan of a
cut-off run (the record knows it, Terraform's state does not; the sweep deletes it) or a leak
(Terraform said it was destroyed; it is shown, with what it costs and how to delete it).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from zave.clock import rfc3339
from zave.engine.execute import CUT_OFF, undo
from zave.errors import LeakError, PreconditionError, StepFailedError
from zave.events import PlannedStep, ReceiptIssued, ResourceChanged
from zave.lifecycle.inventory import delete_all, leak_document, recorded
from zave.lifecycle.place import Place
from zave.lifecycle.run import Run, running
from zave.lifecycle.up import Ask
from zave.ports import Item
from zave.receipt import Settlement, Subject, receipt
from zave.steps.infra import SEAL, guard_of, require_state, seal_of

# what a teardown has set out to delete, kept until its receipt is written
_GOING = "teardown.items"


def tear_down(place: Place, *, ask: Ask | None, recover: bool, arguments: Sequence[str]) -> dict[str, Any]:
    """Take the instance down and return the receipt. Raises LeakError (exit 6) when anything stands."""
    if ask is not None:
        ask(f"Take {place.instance} down? Everything that it made will be deleted.")
    with running(place.journal, command="down", arguments=arguments) as run:
        place.take_over(run)
        if recover:
            _recover_state(place, run)
        run.started(_undo_plan(place, run))
        before = place.record().phase
        place.save(phase="destroying")
        gone_before = _note_what_goes(place)
        try:
            # first of all: a state that cannot be trusted must stop the teardown before it begins
            infra = place.site.store.steps(place.instance).get("infra")
            cut_off = infra is not None and infra.state in CUT_OFF
            require_state(place.site, cut_off=cut_off, emit=run.bus.emit)
            undo(run.execution, place.steps)
        except PreconditionError:
            place.save(phase=before)  # refused: nothing was touched
            raise
        except StepFailedError:
            place.save(phase="failed")
            # the user must know what still stands, and costs, although the teardown is not done
            _issue(place, run, _what_stands(place))
            raise
        except BaseException:
            place.save(phase="failed")
            raise
        leaks = _sweep(place, run, gone_before)
        document = _issue(place, run, leaks)
        place.save(phase="failed" if leaks else "destroyed", outputs={})
        if leaks:
            raise _leak_error(place, document)
    return document


def _undo_plan(place: Place, run: Run) -> tuple[PlannedStep, ...]:
    records = place.site.store.steps(place.instance)
    planned: list[PlannedStep] = []
    for step in reversed(place.steps):
        record = records.get(step.name)
        if record is None or record.state == "undone":
            planned.append(PlannedStep(step.name, "skip", "nothing to take down"))
        else:
            estimate = run.execution.estimates.get(step.name)
            planned.append(PlannedStep(step.name, "undo", f"recorded as {record.state}", estimate))
    return tuple(planned)


def _recover_state(place: Place, run: Run) -> None:
    guard = guard_of(place.site)
    recovery = guard.recover(seal_of(place.site))
    # what was restored is the truth from now on, even where it is older than the last seal
    place.site.store.put_fact(place.instance, SEAL, dataclasses.asdict(guard.seal()))
    run.notice(recovery.describe(), warning=True)


def _note_what_goes(place: Place) -> set[tuple[str, str]]:
    """Keep the list of what is to be deleted across attempts; return what Terraform let go of before."""
    store, instance = place.site.store, place.instance
    resources = store.resources(instance)
    going = {(i["type"], i["name"]): i for i in store.fact(instance, _GOING) or []}
    for record in resources:
        if record.state == "present":
            going[record.type, record.name] = {"type": record.type, "id": record.id, "name": record.name}
    for record, item in recorded(resources, place.site.tools.inventory.items()):
        going[record.type, record.name] = {"type": item.type, "id": item.id, "name": item.name}
    store.put_fact(instance, _GOING, list(going.values()))
    return {(record.type, record.name) for record in resources if record.state == "gone"}


def _what_stands(place: Place) -> list[Item]:
    resources = place.site.store.resources(place.instance)
    return [item for _, item in recorded(resources, place.site.tools.inventory.items())]


def _sweep(place: Place, run: Run, gone_before: set[tuple[str, str]]) -> list[Item]:
    """Delete orphans of cut-off runs; return what is left and should not be."""
    inventory = place.site.tools.inventory
    resources = place.site.store.resources(place.instance)
    orphans: list[Item] = []
    leaks: list[Item] = []
    for record, item in recorded(resources, inventory.items()):
        claimed_now = record.state == "gone" and (record.type, record.name) not in gone_before
        (leaks if claimed_now else orphans).append(item)
    for item in orphans:
        run.notice(f"sweep: deleting {item.type} {item.name}, which Terraform's state does not know")
    refused = delete_all(orphans, inventory)
    for item, reason in refused:
        run.bus.emit(
            ResourceChanged("sweep", item.name, item.type, "delete", "failed", id=item.id, message=reason)
        )
    return leaks + [item for item, _ in refused]


def _issue(place: Place, run: Run, leaks: list[Item]) -> dict[str, Any]:
    """Write, keep and tell the receipt. Only a receipt without leaks ends the teardown's list."""
    store, instance, inventory = place.site.store, place.instance, place.site.tools.inventory
    standing = {(item.type, item.name) for item in leaks}
    going = store.fact(instance, _GOING) or []
    document = receipt(
        Settlement(
            deleted=[item for item in going if (item["type"], item["name"]) not in standing],
            leaks=[leak_document(item, inventory) for item in leaks],
        ),
        Subject(instance, place.journal.environment, place.journal.rehearsal),
        at=rfc3339(place.site.tools.clock.now()),
        sources=[inventory.source],
    )
    store.add_receipt(instance, document, run.id)
    if not leaks:
        store.delete_fact(instance, _GOING)
    run.bus.emit(ReceiptIssued(document))
    return document


def _leak_error(place: Place, document: dict[str, Any]) -> LeakError:
    leaks = document["leaks"]
    return LeakError(
        f"{len(leaks)} of {place.instance} still stand after the teardown"
        f" ({document['usd_per_day_leaking']:.2f} USD a day)",
        details="\n".join(f"{leak['type']} {leak['name']}: {leak['how_to_delete']}" for leak in leaks),
        resolution=f"zave down {place.instance} tries again; zave sweep {place.instance} looks again",
    )
