"""A plan for people: steps with reasons, Terraform's changes, the cost."""

from collections.abc import Mapping, Sequence
from typing import Any

from zave.ui.advice import advice
from zave.ui.style import Style, Tone, dollars, instance_of, one_line
from zave.ui.table import table

_TONES: dict[str, Tone] = {"run": "good", "rerun": "warn", "skip": "dim"}
_FATES: dict[str, Tone] = {"added": "good", "removed": "bad", "restarted": "warn", "rebuilt": "bad"}
_SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-", "read": "?", "import": "<"}
# a person reads this many; the JSON has them all
_SHOWN = 40

_NO_WAY_BACK = (
    "volumes on these disks, and with the control plane's the cluster: what `zave snapshot` takes"
    " does not fit the one that is made anew. Copy out first what you need"
)


def render_plan(plan: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/plan/v1` document as text."""
    style = style or Style()
    mark = style.paint("  REHEARSAL", "warn") if plan["rehearsal"] else ""
    lines = [style.paint(f"Plan for {instance_of(plan)}", "strong") + mark]
    lines += [f"  by {one_line(plan['spec'])}"] if plan.get("spec") else []
    rows = [
        (
            style.paint(action["action"].upper(), _TONES[action["action"]]),
            action["step"],
            one_line(action["reason"]),
        )
        for action in plan["actions"]
    ]
    lines += [f"  {line}" for line in table(["action", "step", "why"], rows).splitlines()]
    lines += _changes(plan.get("terraform"))
    lines += _addons(plan.get("addons") or ())
    lines += _machines(plan.get("machines") or (), style)
    rehearsal = plan["rehearsal"]
    lines += _shortages(plan.get("shortages") or (), style, rehearsal=rehearsal)
    lines += _preconditions(plan.get("preconditions") or (), style, rehearsal=rehearsal)
    lines += _parity(plan.get("parity"), style)
    lines += _cost(plan.get("cost"))
    return "\n".join(lines) + "\n"


def _machines(changes: Sequence[Mapping[str, Any]], style: Style) -> list[str]:
    """What happens to machines that are there; those that only come are in Terraform's list."""
    if all(change["change"] == "added" for change in changes):
        return []
    rows = [
        (one_line(c["name"]), style.paint(c["change"], _FATES.get(c["change"])), one_line(c["why"]))
        for c in changes
    ]
    lines = ["", "Machines:", *(f"  {line}" for line in table(["machine", "is", "why"], rows).splitlines())]
    if any(change["loses_disk"] for change in changes):
        lines.append(f"  {style.paint('DATA IS LOST', 'bad')}  {_NO_WAY_BACK}")
    return lines


def _next(found: Mapping[str, Any], *, rehearsal: bool) -> str:
    return advice(one_line(found["fix"]), rehearsal=rehearsal)


def _shortages(found: Sequence[Mapping[str, Any]], style: Style, *, rehearsal: bool) -> list[str]:
    lines = [""] if found else []
    for shortage in found:
        mark = style.paint("NO ROOM", "bad") if shortage["refused"] else style.paint("short", "warn")
        lines += [f"{mark}  {one_line(shortage['what'])}", f"  next: {_next(shortage, rehearsal=rehearsal)}"]
    return lines


def _preconditions(found: Sequence[Mapping[str, Any]], style: Style, *, rehearsal: bool) -> list[str]:
    """What `up` would refuse, or warn of; what is as it must be is only counted."""
    told = [each for each in found if each["level"] in ("warning", "missing")]
    if not found:
        return []
    if not told:
        return ["", f"Account: {len(found)} things looked at, nothing in the way"]
    refused = sum(each["refused"] for each in told)
    lines = ["", f"Account: {len(found)} things looked at" + (f", {refused} in the way" if refused else "")]
    for each in told:
        mark = style.paint("REFUSED", "bad") if each["refused"] else style.paint("warning", "warn")
        lines += [f"  {mark}  {one_line(each['check'])}: {one_line(each['what'])}"]
        lines += [f"    next: {_next(each, rehearsal=rehearsal)}"] if each["fix"] else []
    return lines


def _parity(parity: Mapping[str, Any] | None, style: Style) -> list[str]:
    if parity is None:
        return []
    other = one_line(parity["with"] or "the environment beside it")
    if parity["in_parity"]:
        return ["", f"Parity: one platform with {other}"]
    if parity["problem"] is not None:
        return ["", f"Parity: not compared with {other}: {one_line(parity['problem'])}"]
    kinds = {
        "undeclared": "differences that are not declared",
        "undefined": "variables that Flux would refuse",
        "unused": "declarations that nothing needs",
    }
    told = ", ".join(f"{parity[key]} {what}" for key, what in kinds.items() if parity[key])
    return ["", f"Parity: {style.paint(f'not the same platform as {other}', 'warn')}: {told}"]


def _changes(terraform: Mapping[str, Any] | None) -> list[str]:
    if terraform is None:
        return []
    counts = ", ".join(f"{terraform[kind]} to {kind}" for kind in ("create", "update", "replace", "delete"))
    lines = ["", f"Terraform: {counts}"]
    resources = terraform["resources"]
    lines += [f"  {_SIGNS.get(r['action'], ' ')} {one_line(r['address'])}" for r in resources[:_SHOWN]]
    if len(resources) > _SHOWN:
        lines.append(f"  ... and {len(resources) - _SHOWN} more (-o json has them all)")
    return lines


def _addons(addons: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which versions AWS gives: they cost nothing, but a demo is made of them."""
    if not addons:
        return []
    rows = []
    for addon in addons:
        version, before = (one_line(addon[key] or "") for key in ("version", "before"))
        if version and before and version != before:
            told = f"{before} -> {version}"
        else:
            told = version or (f"{before}, goes" if before else "told by the apply")
        rows.append((one_line(addon["name"]), told))
    return ["", "Add-ons of EKS, at AWS's default for this Kubernetes:"] + [
        f"  {line}" for line in table(["add-on", "version"], rows).splitlines()
    ]


def _cost(cost: Mapping[str, Any] | None) -> list[str]:
    if cost is None:
        return []
    unpriced = cost.get("unpriced") or ()
    if not (cost["lines"] or cost["ttl"]["expected"] or cost["month"]["expected"] or unpriced):
        return ["", "Cost: nothing that anybody bills"]
    # without one rate a sum would be 0, and that is not what it costs
    known = bool(cost["lines"] or cost["ttl"]["expected"] or cost["month"]["expected"])
    lines = ["", "Cost:" if known else "Cost: NOT KNOWN: no rate of this region is; see zave prices update"]
    for name, span in (("until the TTL", cost.get("ttl")), ("a month", cost.get("month"))):
        # a home lab has no TTL
        if known and span is not None and span["hours"]:
            low, expected, high = (dollars(span[key]) for key in ("low", "expected", "high"))
            lines.append(f"  {name} ({span['hours']} h): {expected} (between {low} and {high})")
    ends = bool(cost["ttl"]["hours"])
    rows = [
        (
            one_line(line["item"]),
            f"{line['quantity']:g} {line['unit']}",
            f"{line['rate']:g}",
            *((dollars(line["usd_ttl"]),) if ends else ()),
            dollars(line["usd_month"]),
            line["as_of"],
        )
        for line in cost["lines"]
    ]
    heads = ["item", "quantity", "rate", *(["until the TTL"] if ends else []), "a month", "as of"]
    if known:
        lines += [f"  {line}" for line in table(heads, rows).splitlines()]
    lines += [f"  note: {one_line(warning)}" for warning in cost.get("warnings", ())]
    if unpriced:
        lines.append(f"  without a price: {', '.join(one_line(item) for item in unpriced)}")
    return lines
