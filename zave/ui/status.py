"""What stands, for people: a table of all, the whole story of one."""

from collections.abc import Mapping, Sequence
from typing import Any

from zave.ui.style import Style, Tone, dollars, one_line, span
from zave.ui.table import table

_PHASES: dict[str, Tone] = {
    "ready": "good",
    "degraded": "warn",
    "failed": "bad",
    "expired": "bad",
    "destroyed": "dim",
    "absent": "dim",
}
_STEPS: dict[str, Tone] = {"done": "good", "failed": "bad", "interrupted": "warn", "undone": "dim"}

Environment = Mapping[str, Any]


def render_status(status: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/status/v1` document as text."""
    style = style or Style()
    found, others = status["environments"], status.get("unrecorded", ())
    beside = _unrecorded(others, style) if others else ""
    if not found:
        return beside or "nothing is recorded: zave up homelab --rehearse is a good start\n"
    told = _story(found[0], style) if len(found) == 1 else _overview(found, style)
    return f"{told}\n{beside}" if beside else told


def _overview(found: Sequence[Environment], style: Style) -> str:
    columns = [
        "name",
        "environment",
        "platform",
        "phase",
        "nodes",
        "created",
        "expires",
        "receipt",
        "at work",
    ]
    return table(columns, [_row(each, style) for each in found])


def _unrecorded(others: Sequence[Mapping[str, Any]], style: Style) -> str:
    """Colleagues' demos, or one's own whose record is lost: names and owners are other people's text."""
    rows = [
        (
            one_line(each["name"]),
            one_line(each["owner"] or "-"),
            _moment(each["since"]),
            _moment(each["expires_at"]) if each["expires_at"] else style.paint("NO END", "bad"),
            f"{dollars(each['usd_per_hour'])}/h",
            f"zave adopt {one_line(each['name'])}" + (" --rehearse" if each["rehearsal"] else ""),
        )
        for each in others
    ]
    places = ", ".join(sorted({one_line(each["source"]) for each in others}))
    shown = table(["name", "owner", "since", "expires", "cost", "to record it"], rows)
    return f"not recorded here, in {places}:\n" + "".join(f"  {line}\n" for line in shown.splitlines())


def _switch(switch: Mapping[str, Any], style: Style) -> str:
    if switch["armed"]:
        fires = _moment(switch["next_fire_at"])
        source = one_line(switch["source"])
        return f"{style.paint('armed', 'good')}, fires {fires}, read back from {source}"
    return style.paint("NOT ARMED", "bad") if switch["source"] else ""


def _fires(switch: Mapping[str, Any], style: Style) -> str:
    """What the switch has tried since the end: that it is armed says nothing of what it does."""
    if "fires" not in switch:
        return ""
    fires = switch["fires"]
    if fires is None:
        return style.paint("not known: the destroyer's runs cannot be listed", "warn")
    if fires["failed"]:
        since = _moment(fires["failing_since"])
        text = style.paint(f"{fires['failed']} failed since {since}", "bad")
        at_work = "; one is at work now" if fires["last"] == "running" else ""
        return f"{text}: {one_line(fires['reason'] or 'no reason was given')}{at_work}"
    return {"running": "one is at work now", "succeeded": "the last one succeeded"}.get(
        fires["last"], "none has begun since the end"
    )


def _row(each: Environment, style: Style) -> tuple[str, ...]:
    phase = each["phase"]
    receipt = each["last_receipt"]
    mark = " (rehearsal)" if each["rehearsal"] else ""
    return (
        each["name"] + mark,
        each["environment"],
        each["platform"],
        style.paint(phase, _PHASES.get(phase)),
        _nodes(each),
        _moment(each["created_at"]),
        _moment(each["expires_at"]),
        "-" if receipt is None else _receipt(receipt, style),
        "-" if each["lock"] is None else f"{one_line(each['lock']['command'])} (pid {each['lock']['pid']})",
    )


def _story(each: Environment, style: Style) -> str:
    mark = style.paint("  REHEARSAL", "warn") if each["rehearsal"] else ""
    lines = [style.paint(each["name"], "strong") + mark]
    facts = {
        "phase": style.paint(each["phase"], _PHASES.get(each["phase"])),
        "environment": f"{each['environment']} on {each['platform']}",
        "created": _moment(each["created_at"]),
        "expires": _moment(each["expires_at"]) if each["expires_at"] else "",
        "switch": _switch(each["switch"], style),
        "last fires": _fires(each["switch"], style),
        "cost": _cost(each),
        "endpoint": one_line(each["outputs"]["endpoint"] or ""),
        "kubeconfig": one_line(each["outputs"]["kubeconfig"] or ""),
        "at work": _lock(each["lock"]),
        "receipt": "" if each["last_receipt"] is None else _receipt(each["last_receipt"], style),
    }
    lines += [f"  {name:<12}{value}" for name, value in facts.items() if value]
    if each["steps"]:
        rows = [
            (
                step["name"],
                style.paint(step["state"], _STEPS.get(step["state"])),
                "-" if step["seconds"] is None else span(step["seconds"]),
                one_line(step["reason"]),
            )
            for step in each["steps"]
        ]
        lines += ["", *(f"  {line}" for line in table(["step", "state", "took", "why"], rows).splitlines())]
    if each["nodes"]:
        lines += ["", *(f"  {line}" for line in _node_table(each["nodes"]).splitlines())]
    return "\n".join(lines) + "\n"


def _node_table(nodes: Sequence[Mapping[str, Any]]) -> str:
    """Columns that no node has anything for are left out: AWS has no domains, a record no live facts."""
    columns = {"node": "name", "role": "role", "address": "address", "machine": "machine"}
    columns |= {"state": "state", "k3s": "release"}
    shown = {title: key for title, key in columns.items() if any(node.get(key) for node in nodes)}
    rows = [tuple(one_line(node.get(key) or "-") for key in shown.values()) for node in nodes]
    return table(list(shown), rows)


def _nodes(each: Environment) -> str:
    nodes = each["nodes"]
    ready = sum(node["state"] == "Ready" for node in nodes)
    return f"{ready}/{len(nodes)}" if nodes else "-"


def _moment(text: str | None) -> str:
    # seconds and their fractions tell a reader nothing here; the JSON has them; a tag may say anything
    return "-" if text is None else one_line(f"{text[:10]} {text[11:16]}Z")


def _receipt(receipt: Mapping[str, Any], style: Style) -> str:
    at = _moment(receipt["at"])
    if receipt["leaks"]:
        cost = dollars(receipt["usd_per_day_leaking"])
        return style.paint(f"{receipt['leaks']} LEAKS, {cost}/day, {at}", "bad")
    return style.paint(f"zero leaks, {at}", "good")


def _cost(each: Environment) -> str:
    if each["usd_per_hour"] is None:
        return "not known"
    return f"{dollars(each['usd_per_hour'])} an hour, {dollars(each['usd_spent'] or 0.0)} so far"


def _lock(lock: Mapping[str, Any] | None) -> str:
    if lock is None:
        return ""
    command, host, since = (one_line(lock[key]) for key in ("command", "host", "since"))
    return f"{command}, pid {lock['pid']} on {host}, since {since}"
