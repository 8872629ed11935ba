"""`zave plan`: what would run and why, what Terraform would change, what it would cost."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zave.engine.plan import Action, PlannedAction, plan
from zave.engine.step import Demanding, Foreseeing
from zave.lifecycle.fixed_values import require_fixed_values
from zave.lifecycle.place import Place
from zave.lifecycle.room import require_large_nodes, shortages_of
from zave.platforms.aws_addons import planned_addons
from zave.platforms.libvirt_changes import machine_changes
from zave.render import write_tfvars
from zave.steps.infra import VARIABLES, copy_state
from zave.steps.render import RootTemplate
from zave.tools.terraform import Plan

_MONTH_HOURS = 730


def planned_actions(place: Place) -> list[PlannedAction]:
    """Each step with its action and reason.

    Raises NoRoomError when the nodes are too small for them, RefusedChangeError when a step refuses what is
    wanted of it.
    """
    require_fixed_values(place)
    require_large_nodes(place.spec)
    for step in place.steps:
        if isinstance(step, Demanding):
            step.require()
    return plan(place.steps, place.site.store.steps(place.instance))


def plan_document(place: Place, actions: Sequence[PlannedAction]) -> dict[str, Any]:
    """The `zave/plan/v1` document. Runs Terraform in a scratch copy; changes nothing."""
    changes = scratch_plan(place, actions)
    counts = changes.counts
    return {
        "schema": "zave/plan/v1",
        "environment": place.journal.environment,
        "instance": place.instance,
        "spec": None if place.spec_file is None else str(place.spec_file),
        "rehearsal": place.journal.rehearsal,
        "actions": [{"step": p.step.name, "action": p.action.value, "reason": p.reason} for p in actions],
        "terraform": {
            "create": counts["create"],
            "update": counts["update"],
            "replace": counts["replace"],
            "delete": counts["delete"],
            "resources": [
                {"address": r.address, "type": r.type, "action": r.action}
                for r in changes.resources
                if r.action in counts
            ],
        },
        "addons": planned_addons(changes.document),
        "machines": machine_changes(changes.document),
        "shortages": [shortage.document() for shortage in shortages_of(place)],
        "cost": _cost(place, changes),
    }


def differs(document: dict[str, Any]) -> bool:
    """Whether a plan would change anything (`--detailed-exitcode`)."""
    counts = document["terraform"]
    return any(a["action"] != "skip" for a in document["actions"]) or any(
        counts[k] for k in ("create", "update", "replace", "delete")
    )


def lost_parity(document: dict[str, Any]) -> bool:
    """Whether a plan says that the environment differs from the one beside it (`--detailed-exitcode`)."""
    parity = document.get("parity")
    return parity is not None and parity["in_parity"] is False


def scratch_plan(place: Place, actions: Sequence[PlannedAction] = ()) -> Plan:
    """Terraform's plan from a copy of the root and its state, thrown away afterwards.

    It is what Terraform will plan once `actions` have had their turn; without any, what it plans now.

    The state is planned from a copy in the scratch folder wherever it is kept: nobody's lock is in the
    way, and there need be no bucket yet. What a crash did to it is repaired in the copy. Raises
    TerraformStateError for a state on which `up` would not work.
    """
    folder, blueprint = place.site.folder, place.blueprint
    scratch = Path(tempfile.mkdtemp(prefix="plan-", dir=folder.root))
    try:
        root = scratch / "terraform"
        _beside(blueprint.root, place).write(place.site.project, root)
        copy_state(place.site, root, copies=scratch / "copies")
        lock = folder.terraform / ".terraform.lock.hcl"
        if lock.exists():
            shutil.copy2(lock, root / lock.name)
        write_tfvars(root / VARIABLES, blueprint.variables(_outputs(place, actions)))
        # whatever is wrong with a template is found here, not after something was created
        if blueprint.tree is not None:
            blueprint.tree.write()
        terraform = place.site.tools.terraform(root=root, log=scratch / "plan.log")
        terraform.init()
        found = terraform.plan()
        # what stands has its price, whether or not anything changes
        return found if place.site.tools.cloud is None else terraform.shown(found)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _outputs(place: Place, actions: Sequence[PlannedAction]) -> dict[str, dict[str, Any]]:
    """What steps gave when they were done, or will give when `actions` have them done again."""
    outputs = {name: dict(step.outputs) for name, step in place.site.store.steps(place.instance).items()}
    for planned in actions:
        if planned.action is not Action.SKIP and isinstance(planned.step, Foreseeing):
            outputs[planned.step.name] = planned.step.foreseen()
    return outputs


def _beside(root: RootTemplate, place: Place) -> RootTemplate:
    """`root` with its state beside it."""
    if place.site.tools.cloud is None:
        return root
    from zave.platforms.aws_values import OVERRIDE, override_local

    return replace(root, extra={**root.extra, OVERRIDE: override_local("terraform.tfstate")})


def _cost(place: Place, changes: Plan) -> dict[str, Any]:
    """The estimate for what will stand after the plan."""
    if place.spec.platform == "libvirt-k3s":
        return _nothing_to_pay()
    from zave.platforms.aws_eks import lifetime, priced_plan

    ttl = lifetime(place.spec, place.site)
    return priced_plan(changes.document, place.spec, ttl=ttl, site=place.site).document()


def _nothing_to_pay() -> dict[str, Any]:
    """A home lab costs nothing that anybody bills: its power is not priced here."""
    free = {"low": 0.0, "expected": 0.0, "high": 0.0}
    return {
        "currency": "USD",
        "ttl": {"hours": 0, **free},
        "month": {"hours": _MONTH_HOURS, **free},
        "lines": [],
        "unpriced": [],
    }
