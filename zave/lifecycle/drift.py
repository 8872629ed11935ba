"""`zave drift`: compares Terraform's plan, the live inventory and the record."""

from typing import Any

from zave.lifecycle.place import Place
from zave.lifecycle.plan import scratch_plan


def drift_document(place: Place) -> dict[str, Any]:
    """The `zave/drift/v1` document. Changes nothing."""
    changes = [
        {"address": r.address, "type": r.type, "action": r.action}
        for r in scratch_plan(place).resources
        if r.action in ("create", "update", "replace", "delete")
    ]
    world = _world(place)
    record = _record(place)
    return {
        "schema": "zave/drift/v1",
        "instance": place.instance,
        "rehearsal": place.journal.rehearsal,
        "in_sync": not (changes or world or record),
        "plan": changes,
        "world": world,
        "record": record,
    }


def _world(place: Place) -> list[dict[str, Any]]:
    """What the record says exists and the inventory does not show, or shows otherwise."""
    inventory = place.site.tools.inventory
    there = {(item.type, item.name): item for item in inventory.items()}
    found: list[dict[str, Any]] = []
    for resource in place.site.store.resources(place.instance):
        item = there.get((resource.type, resource.name))
        problem = None
        if resource.state == "present" and resource.type in inventory.types and item is None:
            problem = "missing"
        elif resource.state == "gone" and item is not None:
            problem = "still there"
        elif item is not None and item.state != "present":
            problem = item.state
        if problem is not None:
            found.append({"type": resource.type, "name": resource.name, "problem": problem})
    return found


def _record(place: Place) -> list[dict[str, Any]]:
    """Steps that are not done, or whose work no longer passes its probe."""
    records = place.site.store.steps(place.instance)
    found: list[dict[str, Any]] = []
    for step in place.steps:
        record = records.get(step.name)
        if record is None or record.state != "done":
            found.append({"step": step.name, "problem": record.state if record else "never done"})
            continue
        if record.fingerprint != step.fingerprint():
            found.append({"step": step.name, "problem": "its inputs changed since it ran"})
            continue
        probe = step.probe(record.outputs)
        if not probe.ok:
            found.append({"step": step.name, "problem": probe.reason})
    return found
