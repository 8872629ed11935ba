"""What a cut-off run made and Terraform's state does not hold: brought in, or removed and made again.

Never made twice, and never at the cost of somebody else's things.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from zave.aws.lives import lives_elsewhere
from zave.clock import rfc3339
from zave.engine.step import StepRun
from zave.errors import PreconditionError
from zave.events import Notice
from zave.ports import PENDING, Item
from zave.state.records import ResourceState
from zave.steps.site import Site
from zave.tools.terraform import Plan, Terraform

# each pass makes the next level of names known; the deepest root has four
_PASSES = 6


@dataclass(frozen=True)
class Adoption:
    """Looks through a plan for objects to be made that exist already."""

    site: Site
    terraform: Terraform
    run: StepRun

    def of(self, plan: Plan) -> Plan:
        """The plan to apply instead of `plan`: with imports for what is ours and can be imported.

        What cannot be imported is removed first, if it was never finished. What is brought in makes
        more names known (an association is named by what it associates), hence several passes.
        Raises PreconditionError for what is somebody else's.
        """
        imports: dict[str, str] = {}
        for _ in range(_PASSES):
            found = self._found(plan, imports)
            if not found:
                break
            # the last made goes first: nothing is deleted under what stands on it
            for address, item in reversed(found):
                if item.import_id is None:
                    self.run.say(f"removing {item.type} {item.name}, which a cut-off run left unfinished")
                    self.site.tools.inventory.delete(item)
                else:
                    imports[address] = item.import_id
            self.terraform.write_imports(list(imports.items()))
            plan = self.terraform.plan()
        if imports:
            text = f"adopting {len(imports)} resources that a run which was cut off had made"
            self.run.emit(Notice("info", text, step=self.run.step))
        return plan

    def _found(self, plan: Plan, imports: Mapping[str, str]) -> list[tuple[str, Item]]:
        """(address, item) of what `plan` would make although it is there, in the order it was made."""
        creates = {
            change["address"]: (change["type"], change["change"]["after"] or {})
            for change in plan.document.get("resource_changes", ())
            if change["change"]["actions"] == ["create"] and change["address"] not in imports
        }
        if not creates:
            return []
        identify = self.site.tools.identify
        wanted = {(kind, identify(kind, values)): address for address, (kind, values) in creates.items()}
        items = self.site.tools.inventory.items()
        found = [
            (wanted[item.type, item.name], item)
            for item in items
            # what is on its way out is of an earlier life: a KMS key lingers for days
            if (item.type, item.name) in wanted and item.state != PENDING
        ]
        self._refuse([item for _, item in found], elsewhere=self._elsewhere(items))
        return found

    def _elsewhere(self, items: Sequence[Item]) -> frozenset[tuple[str, str]]:
        """What an instance of the same name in another region has where the regions share."""
        record = self.site.store.instance(self.site.instance)
        creation = None if record is None else rfc3339(record.created_at)
        return lives_elsewhere(items, self.site.instance, creation=creation)

    def _refuse(self, items: Sequence[Item], *, elsewhere: Collection[tuple[str, str]]) -> None:
        """Raise PreconditionError for things that are not ours to take or to remove."""
        instance = self.site.instance
        others = [item for item in items if (item.type, item.id) in elsewhere]
        if others:
            raise self._error(others, "is of another life of its name, which may be in another region")
        records = {(r.type, r.name): r.state for r in self.site.store.resources(instance)}
        # the platform's own mark counts as much as the record: a tag survives the loss of a laptop
        foreign = [i for i in items if i.owner != instance and (i.type, i.name) not in records]
        if foreign:
            for other, item in self._of_others(foreign):
                raise self._taken(item, other)
            raise self._error(foreign, "exists already and is not in zave's record")
        finished: ResourceState = "present"
        kept = [i for i in items if i.import_id is None and records.get((i.type, i.name)) == finished]
        if kept:
            raise self._error(kept, "is on record as finished, but Terraform's state does not hold it")

    def _of_others(self, items: Sequence[Item]) -> Iterator[tuple[str, Item]]:
        """(instance, item) of those that stand as another instance's in the record."""
        store = self.site.store
        for other in store.instances():
            if other.name == self.site.instance or other.phase in ("absent", "destroyed"):
                continue
            standing = {(r.type, r.name) for r in store.resources(other.name) if r.state != "gone"}
            yield from ((other.name, item) for item in items if (item.type, item.name) in standing)

    def _taken(self, item: Item, other: str) -> PreconditionError:
        """How to part the two; never how to delete it: it would cut off what stands on it."""
        instance = self.site.instance
        own = "another name (--name)"
        if item.type == "libvirt_network":
            # the network is named by the spec, everything else by the instance
            own = "a `libvirt.network.name` and `cidr` of its own in an environment of its own: "
            own += (
                f"environments/{instance}/environment.yaml in the project folder (`zave init DIR` makes one)"
            )
        return PreconditionError(
            f"{item.type} {item.name} belongs to instance {other}",
            where=self.site.tools.inventory.source,
            resolution=f"give {instance} {own}",
        )

    def _error(self, items: Sequence[Item], what: str) -> PreconditionError:
        inventory = self.site.tools.inventory
        return PreconditionError(
            f"{items[0].type} {items[0].name} {what}",
            where=inventory.source,
            details="\n".join(f"{item.type} {item.name} ({item.id})" for item in items),
            resolution="choose another instance name (--name), or delete it if you can do without it: "
            + inventory.how_to_delete(items[0]),
        )
