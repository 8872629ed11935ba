"""What a libvirt host says of a home lab that no record knows, and Terraform's state beside it."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zave.clock import from_rfc3339
from zave.errors import PreconditionError
from zave.lifecycle.adopt import Finding
from zave.lifecycle.adopt_demo import missing, plain_outputs
from zave.ports import Item
from zave.spec.load import spec_document
from zave.state.records import InstanceRecord, ResourceRecord
from zave.steps.infra import VARIABLES, guard_of
from zave.steps.site import Site
from zave.tools.terraform_state import StateGuard, StateSeal
from zave.tools.terraform_statefile import StateFile, read_state

if TYPE_CHECKING:
    from zave.spec import LibvirtSpec

_ROLES = "control-plane|worker"


def look_at_lab(site: Site, spec: "LibvirtSpec") -> Finding | None:
    """The home lab as its host shows it; None when nothing on the host bears its name.

    libvirt has no tags: environment and spec are the project's. Raises PreconditionError for a damaged
    Terraform state and for one of another instance.
    """
    inventory, instance = site.tools.inventory, site.instance
    network = spec.libvirt.network.name or f"zave-{instance}"
    taken = {
        (r.type, r.name)
        for other in site.store.instances()
        if other.name != instance and other.phase not in ("absent", "destroyed")
        for r in site.store.resources(other.name)
    }
    own = [
        item
        for item in inventory.items()
        if _is_of(item, instance, network=network) and (item.type, item.name) not in taken
    ]
    if not any(item.type != "libvirt_network" or item.name == f"zave-{instance}" for item in own):
        return None
    state = _state(site)
    held = _held(site, state)
    gone = missing(held, own, types=inventory.types)
    unknown = _unknown(own, held, whole=state is not None)
    now = site.tools.clock.now()
    made = min((item.created_at for item in own if item.created_at), default=None)
    record = InstanceRecord(
        name=instance,
        environment=site.environment,
        platform="libvirt-k3s",
        phase="degraded" if gone or unknown or state is None else "ready",
        created_at=now if made is None else from_rfc3339(made),
        expires_at=None,
        spec=spec_document(spec),
        outputs={},
    )
    return Finding(
        record=record,
        source=inventory.source,
        resources=(*held, *unknown),
        steps=_steps(site, own, state),
        seal=None if state is None else _seal(state),
        said=_said(site, own, state, gone, unknown, made=made),
    )


def _is_of(item: Item, instance: str, *, network: str) -> bool:
    """Whether zave's modules give this name to a thing of that instance, and of no other.

    `terraform-modules/libvirt-vm` and `k3s-cluster`: a machine is `zave-<instance>-worker-1`, its disk has a
    digest behind that, its seed the word `seed`; the image is `zave-<instance>-base-<digest>`.
    """
    machine = rf"zave-{re.escape(instance)}-(?:{_ROLES})-[0-9]+"
    if item.type == "libvirt_network":
        return item.name == network
    if item.type == "libvirt_domain":
        return re.fullmatch(machine, item.name) is not None
    if item.type != "libvirt_volume":
        return False
    image = rf"zave-{re.escape(instance)}-base-[0-9a-f]+\.qcow2"
    return re.fullmatch(rf"{machine}-(?:[0-9a-f]+\.qcow2|seed\.iso)|{image}", item.name) is not None


def _state(site: Site) -> StateFile | None:
    """Terraform's state in the instance's folder; None where there is none."""
    guard = guard_of(site)
    health = guard.inspect(None)
    if health.kind in ("empty", "unreadable"):
        copies = "\n".join(f"{each.path} (serial {each.serial})" for each in guard.candidates(None))
        raise PreconditionError(
            f"{site.instance} cannot be adopted: {health.detail}; nothing was recorded",
            where=str(guard.state),
            details=f"whole copies:\n{copies}" if copies else "there is no whole copy",
            resolution="copy the newest whole one over it, or move it away: then `down` works by name",
        )
    if health.serial is None:
        return None
    state = read_state(guard.state)
    _require_own(site, guard, state)
    return state


def _require_own(site: Site, guard: StateGuard, state: StateFile) -> None:
    prefix = f"zave-{site.instance}-"
    for held in state.resources:
        name = str(held.values.get("name") or "")
        if held.type == "libvirt_domain" and not name.startswith(prefix):
            raise PreconditionError(
                f"{site.instance} cannot be adopted: its Terraform state holds {name}; nothing was recorded",
                where=str(guard.state),
                resolution="put the instance's own state there",
            )


def _held(site: Site, state: StateFile | None) -> tuple[ResourceRecord, ...]:
    return tuple(
        ResourceRecord(
            each.address,
            each.type,
            site.tools.identify(each.type, each.values) or each.name,
            each.id,
            "present",
        )
        for each in (state.resources if state is not None else ())
    )


def _unknown(
    own: Sequence[Item], held: Sequence[ResourceRecord], *, whole: bool
) -> tuple[ResourceRecord, ...]:
    """What bears the instance's name and Terraform's state does not know.

    Beside a whole state it is what a cut-off run left: meant to be made, which `up` and `down` may remove.
    Without a state it is the lab itself: `up` must refuse to make it a second time.
    """
    known = {(r.type, r.name) for r in held}
    return tuple(
        ResourceRecord(
            f"{item.type}.adopted[{json.dumps(item.name)}]",
            item.type,
            item.name,
            item.id,
            "intended" if whole else "present",
        )
        for item in own
        if (item.type, item.name) not in known
    )


def _seal(state: StateFile) -> StateSeal:
    return StateSeal(state.lineage, state.serial, len(state.resources), state.sha256)


def _steps(site: Site, own: Sequence[Item], state: StateFile | None) -> dict[str, Mapping[str, Any]]:
    """The steps whose work stands, wholly or in part."""
    outputs = {} if state is None else plain_outputs(state.content)
    steps: dict[str, Mapping[str, Any]] = {"render": {}, "image": _image(site), "infra": outputs}
    if any(item.type == "libvirt_domain" for item in own):
        steps["k3s"] = {}
        # asked to go before the machines do; that it was never there is fine
        steps["gitops"] = {}
    return steps


def _image(site: Site) -> dict[str, Any]:
    """Where the image lies that the machines were made from, as Terraform was told."""
    try:
        told = json.loads((site.folder.terraform / VARIABLES).read_bytes())
        return {"location": str(told["image_path"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _said(
    site: Site,
    own: Sequence[Item],
    state: StateFile | None,
    gone: Sequence[ResourceRecord],
    unknown: Sequence[ResourceRecord],
    *,
    made: str | None,
) -> tuple[str, ...]:
    instance = site.instance
    machines = [item.name for item in own if item.type == "libvirt_domain"]
    whole = (
        "there is none: `down` deletes by name, `up` refuses to go on without it"
        if state is None
        else f"serial {state.serial}, {len(state.resources)} resources"
    )
    return (
        f"found on {site.tools.inventory.source}: {len(own)} things that bear its name, "
        f"{len(machines)} machines ({', '.join(machines)})",
        f"environment and spec are the project's: {site.environment}",
        f"Terraform's state in {site.state_folder}: {whole}",
        f"made {made}" if made else "when it was made nobody tells: recorded as now",
        *(f"gone: {r.type} {r.name}; zave up {instance} makes it again" for r in gone[:20]),
        *(f"not in Terraform's state: {r.type} {r.name}" for r in unknown[:20] if state is not None),
    )
