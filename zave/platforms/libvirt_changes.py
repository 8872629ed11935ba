"""What Terraform's plan means for the machines of a home lab, in words; and what nobody agreed to lose."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from zave.engine.step import StepRun
from zave.errors import RefusedChangeError
from zave.events import Notice
from zave.tools.terraform import Plan

Change = Literal["added", "removed", "restarted", "rebuilt"]

_MIB = 1024 * 1024
# what people know of a domain; the provider stops, defines anew and starts it for any change
# (dmacvicar/libvirt 0.9.7, internal/provider/domain_resource.go, Update)
_TOLD = {"memory": "memory", "vcpu": "processors", "type": "acceleration"}


def machine_changes(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Machines by name with what happens to each; `plan` as `terraform show -json` has it."""
    lost = lost_disks(plan)
    found: dict[str, tuple[Change, str]] = {}
    for resource in plan.get("resource_changes", ()):
        change = resource.get("change") or {}
        actions = set(change.get("actions") or ())
        before, after = change.get("before") or {}, change.get("after") or {}
        if resource.get("type") == "libvirt_domain":
            told = _domain(actions, before, after)
        elif _loses_disk(resource):
            # without its disk a machine is another one, whatever happens to its domain
            told = ("rebuilt", _ANEW) if "create" in actions else ("removed", _GONE)
        else:
            continue
        name = _machine_of(resource["type"], before or after)
        known = found.get(name)
        if told is not None and (known is None or _GRAVER[told[0]] > _GRAVER[known[0]]):
            found[name] = told
    return [
        {"name": name, "change": told[0], "why": told[1], "loses_disk": name in lost}
        for name, told in sorted(found.items())
    ]


def lost_disks(plan: Mapping[str, Any]) -> frozenset[str]:
    """The machines whose disk the plan deletes, also where it makes another one."""
    changes = plan.get("resource_changes", ())
    return frozenset(_machine_of(c["type"], c["change"]["before"]) for c in changes if _loses_disk(c))


def restarts_several(plan: Mapping[str, Any]) -> bool:
    """Whether the plan switches more than one machine off and on: made side by side, all are gone at once."""
    return len([each for each in machine_changes(plan) if each["change"] == "restarted"]) > 1


def require_agreed(plan: Plan, run: StepRun) -> None:
    """Let no disk go that the question did not name; where nobody was asked (`--yes`), tell which go.

    A plan that is made before the question can be wrong: an image is not made yet, a state is repaired
    afterwards. Raises RefusedChangeError, before anything is applied.
    """
    lost = lost_disks(plan.document)
    if run.agreed is None and lost:
        text = f"{in_words(lost)}: the disk goes, and what is on it is lost"
        run.emit(Notice("warning", text, step=run.step))
    unsaid = lost - (lost if run.agreed is None else run.agreed)
    if unsaid:
        raise RefusedChangeError(
            f"the disk of {in_words(unsaid)} would be lost, which the question did not say",
            where=f"step {run.step}",
            details="Terraform plans something else now than before the question. It was not applied: "
            "the machines are as they were",
            resolution="run the same command again: it shows what is planned now, and asks",
        )


def in_words(machines: Collection[str]) -> str:
    """Names of machines in a sentence."""
    *others, last = sorted(machines)
    return f"{', '.join(others)} and {last}" if others else last


# Terraform knows nothing of pods
_RESTARTED = "switched off and on, not drained"
_GONE = "with its disk and what is on it"
_ANEW = "its disk is made anew: what is on it is lost"
_GRAVER: Mapping[Change, int] = {"restarted": 0, "added": 1, "rebuilt": 2, "removed": 3}


def _domain(
    actions: set[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[Change, str] | None:
    if actions == {"create"}:
        return "added", f"{after.get('vcpu')} processors, {_memory(after)}"
    if actions == {"delete"}:
        return "removed", _GONE
    if actions == {"create", "delete"}:
        return "rebuilt", "its domain cannot be changed in place"
    if actions == {"update"}:
        return "restarted", f"{_difference(before, after) or 'its definition changes'}; {_RESTARTED}"
    return None


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    told = []
    for key, title in _TOLD.items():
        old, new = before.get(key), after.get(key)
        if old != new:
            told.append(
                f"{title} {_memory(before)} -> {_memory(after)}"
                if key == "memory"
                else f"{title} {old} -> {new}"
            )
    return ", ".join(told)


def _memory(domain: Mapping[str, Any]) -> str:
    from zave.spec.units import format_size

    number = domain.get("memory")
    # the module counts in MiB (terraform-modules/libvirt-vm/domain.tf)
    return format_size(int(number) * _MIB) if isinstance(number, int | float) else "?"


def _loses_disk(resource: Mapping[str, Any]) -> bool:
    change = resource.get("change") or {}
    if resource.get("type") != "libvirt_volume" or "delete" not in (change.get("actions") or ()):
        return False
    # by the module's name for it as well: the provider need not read back what a disk stands on
    # (terraform-modules/libvirt-vm/volumes.tf)
    return resource.get("name") == "disk" or _is_disk(change.get("before") or {})


def _is_disk(volume: Mapping[str, Any]) -> bool:
    return str(volume.get("name") or "").endswith(".qcow2") and bool(volume.get("backing_store"))


def _machine_of(type_: str, values: Mapping[str, Any]) -> str:
    name = str(values.get("name") or "").removeprefix("zave-")
    # a disk's name ends in what it was made from
    return name.rpartition("-")[0] if type_ == "libvirt_volume" else name
