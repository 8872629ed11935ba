"""What Terraform's plan means for the machines of a home lab, in words."""

from collections.abc import Mapping
from typing import Any, Literal

Change = Literal["added", "removed", "restarted", "rebuilt"]

_MIB = 1024 * 1024
# what people know of a domain; the provider stops, defines anew and starts it for any change
# (dmacvicar/libvirt 0.9.7, internal/provider/domain_resource.go, Update)
_TOLD = {"memory": "memory", "vcpu": "processors", "type": "acceleration"}


def machine_changes(plan: Mapping[str, Any]) -> list[dict[str, str]]:
    """Machines by name with what happens to each; `plan` as `terraform show -json` has it."""
    found: dict[str, tuple[Change, str]] = {}
    for resource in plan.get("resource_changes", ()):
        change = resource.get("change") or {}
        actions = set(change.get("actions") or ())
        before, after = change.get("before") or {}, change.get("after") or {}
        if resource.get("type") == "libvirt_domain":
            told = _domain(actions, before, after)
        elif resource.get("type") == "libvirt_volume" and _is_disk(before) and "delete" in actions:
            # without its disk a machine is another one, whatever happens to its domain
            told = (
                ("rebuilt", "its disk is made anew: what was on it is lost") if "create" in actions else None
            )
        else:
            continue
        name = _machine_of(resource["type"], before or after)
        known = found.get(name)
        if told is not None and (known is None or _GRAVER[told[0]] > _GRAVER[known[0]]):
            found[name] = told
    return [{"name": name, "change": told[0], "why": told[1]} for name, told in sorted(found.items())]


_GRAVER: Mapping[Change, int] = {"restarted": 0, "rebuilt": 1, "added": 2, "removed": 2}


def _domain(
    actions: set[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[Change, str] | None:
    if actions == {"create"}:
        return "added", f"{after.get('vcpu')} processors, {_memory(after)}"
    if actions == {"delete"}:
        return "removed", "with its disk and what is on it"
    if actions == {"create", "delete"}:
        return "rebuilt", "its domain cannot be changed in place"
    if actions == {"update"}:
        return "restarted", _difference(before, after) or "its definition changes"
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


def _is_disk(volume: Mapping[str, Any]) -> bool:
    return str(volume.get("name") or "").endswith(".qcow2") and bool(volume.get("backing_store"))


def _machine_of(type_: str, values: Mapping[str, Any]) -> str:
    name = str(values.get("name") or "").removeprefix("zave-")
    # a disk's name ends in what it was made from
    return name.rpartition("-")[0] if type_ == "libvirt_volume" else name
