"""`zave status`: what stands, since when and until when."""

import gc
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Instance
from zave.cli.options import options_of
from zave.clock import from_rfc3339, rfc3339
from zave.errors import LeakError, ZaveError
from zave.state.lock import holder
from zave.state.records import STANDING, InstanceRecord, Overview
from zave.text import clean
from zave.ui.advice import advice
from zave.ui.document import show
from zave.ui.status import render_status

if TYPE_CHECKING:
    from datetime import datetime

    from zave.lifecycle.live import Live
    from zave.ports import Item
    from zave.ports.cloud import Cloud, Schedule

EXAMPLES = (
    ("zave status", "every instance"),
    ("zave status homelab --rehearse", "one, with its steps and nodes"),
    ("zave status --others", "demos of colleagues too, also when nothing is recorded here"),
    ("zave status -o json", "a zave/status/v1 document"),
)
_WATCH_SECONDS = 2.0
# a status must be quick: of more labs only the record is told, unless one is named
_MOST_LABS = 3
_UNARMED: dict[str, Any] = {"armed": False, "source": None, "next_fire_at": None}
# home, and erase what is below: no flicker, and the lines above stay in the scrollback
_REDRAW = "\x1b[H\x1b[J"


def command(
    context: typer.Context,
    env: Instance = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds.")] = False,
    others: Annotated[
        bool, typer.Option("--others", help="Ask the project's AWS accounts for what is not recorded here.")
    ] = False,
) -> None:
    """Show what stands: phase, nodes, age, expiry, last receipt, who works on it.

    Exit 6 when something is past its end and still stands.
    """
    zave = Context(options_of(context))
    name = zave.checked(env)
    # looking for cycles among thousands of fresh records takes longer than reading them, and there are none
    gc.disable()
    while True:
        document = status_document(zave, name, others=others)
        if watch and zave.settings.output == "json":
            sys.stdout.write(json.dumps(document) + "\n")
        else:
            sys.stdout.write(_REDRAW if watch and sys.stdout.isatty() else "")
            show(document, render_status, settings=zave.settings)
        if not watch:
            _refuse_overdue(document, now=zave.clock.now())
            return
        sys.stdout.flush()
        time.sleep(_WATCH_SECONDS)


def _refuse_overdue(document: Mapping[str, Any], *, now: "datetime") -> None:
    """Raise LeakError for what is past its end and stands: whoever asks must not take it for well."""
    overdue = [
        each
        for each in document["environments"]
        if each["phase"] in (*STANDING, "expired")
        and each["expires_at"] is not None
        and from_rfc3339(each["expires_at"]) <= now
    ]
    if overdue:
        names = ", ".join(each["name"] for each in overdue)
        raise LeakError(
            f"past the end and still standing: {names}",
            resolution=f"zave reap {overdue[0]['name']}" if len(overdue) == 1 else "zave reap",
        )


def status_document(zave: Context, name: str | None, *, others: bool = False) -> dict[str, Any]:
    """The `zave/status/v1` document of one instance or of all. Raises UsageError for an unknown one.

    Others in the same account are told where it is asked anyway, or for `others`.
    """
    found: Sequence[Overview] = zave.store.overview()
    if name is not None:
        found = [each for each in found if each.record.name == name]
        if not found:
            zave.instances.record(name)
    live = zave.instances.look_at_clouds([each.record for each in found])
    if live:  # what was learned is in the record now
        names = {each.record.name for each in found}
        found = [each for each in zave.store.overview() if each.record.name in names]
    folders = str(zave.directory.instances)
    environments = [
        _environment(each, folders, live.get(each.record.name), rehearsal=zave.rehearsal) for each in found
    ]
    _look_at_labs(zave, [each.record for each in found], environments)
    unrecorded: list[dict[str, Any]] = []
    if others or (name is None and live):
        unrecorded = _unrecorded(zave, list(live.values()), others=others)
    return {"schema": "zave/status/v1", "environments": environments, "unrecorded": unrecorded}


def _unrecorded(zave: Context, looked_at: "Sequence[Live]", *, others: bool) -> list[dict[str, Any]]:
    """What stands in the same accounts and is not on record here, each account once."""
    # what is on record as gone and stands all the same would be told nowhere else
    known = {record.name for record in zave.store.instances() if record.phase in STANDING}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    asked: set[str] = set()
    try:
        for each in looked_at:
            if each.cloud is not None and each.items and (place := _place(each.record.spec)) not in asked:
                asked.add(place)
                for one in _strangers(zave, each.cloud, each.items, known=known):
                    found[place, one["name"]] = one
        for place, cloud in _project_clouds(zave) if others else ():
            items, schedules = cloud.inventory.items(), cloud.switchboard.schedules()
            for one in _strangers(zave, cloud, items, known=known, schedules=schedules):
                found[place, one["name"]] = one
    except ZaveError as error:
        if others:
            raise
        sys.stderr.write(f"warning: the account was not asked for others: {error.brief}\n")
    return [found[key] for key in sorted(found)]


def _strangers(
    zave: Context,
    cloud: "Cloud",
    items: "Sequence[Item]",
    *,
    known: set[str],
    schedules: "Sequence[Schedule] | None" = None,
) -> list[dict[str, Any]]:
    from zave.cost.catalogue import Catalogue
    from zave.cost.meter import usd_per_hour
    from zave.lifecycle.strangers import strangers

    catalogue = Catalogue.load(cloud.region, refreshed=zave.store.prices)
    now = zave.clock.now()
    return strangers(
        cloud,
        items,
        known=known,
        price=lambda item: usd_per_hour(item, catalogue, at=now),
        rehearsal=zave.rehearsal,
        schedules=schedules,
    )


def _place(spec: Mapping[str, Any]) -> str:
    """Account and region of an environment."""
    aws = spec.get("aws", {})
    return f"{aws.get('account', '')} {aws.get('region', '')}"


def _project_clouds(zave: Context) -> "Iterator[tuple[str, Cloud]]":
    """The accounts of the project's AWS environments, each once."""
    from zave.spec.load import load_spec, spec_document

    seen: set[str] = set()
    for name in zave.project.environments():
        spec = load_spec(zave.project.environment_file(name), kept=zave.directory.checked_specs)
        if spec.platform != "aws-eks" or (place := _place(spec_document(spec))) in seen:
            continue
        seen.add(place)
        tools = zave.tools_for(zave.account_folder, spec)
        if tools.cloud is not None:
            yield place, tools.cloud


def _look_at_labs(
    zave: Context, records: Sequence[InstanceRecord], environments: Sequence[dict[str, Any]]
) -> None:
    """Put in what standing home labs say of their nodes now; what cannot be asked is told as recorded."""
    standing = [
        (record, shown)
        for record, shown in zip(records, environments, strict=True)
        if record.platform == "libvirt-k3s" and record.phase in ("ready", "degraded", "failed")
    ]
    if not 0 < len(standing) <= _MOST_LABS:
        return
    from zave.cli.nodes import wanted_machines
    from zave.lifecycle.live_lab import PATIENCE, look

    deadline = time.monotonic() + PATIENCE
    for summary, shown in standing:
        record = zave.instances.record(summary.name)  # with its spec
        try:
            wanted = wanted_machines(zave, record)
            left = max(0.0, deadline - time.monotonic())
            found = look(zave.recorded_tools(record), record.name, wanted, patience=left)
        except ZaveError as error:
            sys.stderr.write(
                f"warning: {record.name}: as recorded, the host cannot be asked: {error.brief}\n"
            )
            continue
        for warning in found.warnings:
            sys.stderr.write(f"warning: {advice(clean(warning), rehearsal=zave.rehearsal)}\n")
        if found.nodes is not None:
            shown["nodes"] = list(found.nodes)


def _lock(path: str) -> dict[str, Any] | None:
    """Who changes the instance now. A path as text: a thousand instances are listed in milliseconds."""
    try:
        # a holder says who it is in the file and empties it at its end
        if os.stat(path).st_size == 0:  # noqa: PTH116
            return None
    except OSError:
        return None
    found = holder(Path(path))
    return None if found is None else found._asdict()


def _environment(overview: Overview, folders: str, live: "Live | None", *, rehearsal: bool) -> dict[str, Any]:
    record, receipt = (overview.record if live is None else live.record), overview.last_receipt
    # a home lab has no bill; null: not known
    free = 0.0 if record.platform == "libvirt-k3s" else None
    return {
        "name": record.name,
        "environment": record.environment,
        "platform": record.platform,
        "rehearsal": rehearsal,
        "phase": record.phase,
        "steps": [
            {"name": step.step, "state": step.state, "seconds": step.seconds, "reason": step.reason}
            for step in overview.steps
        ],
        "nodes": list(record.outputs.get("nodes", ())),
        "created_at": rfc3339(record.created_at),
        "expires_at": None if record.expires_at is None else rfc3339(record.expires_at),
        "switch": _UNARMED if live is None else live.switch,
        "usd_per_hour": free if live is None else live.usd_per_hour,
        "usd_spent": free if live is None else live.usd_spent,
        "outputs": {key: record.outputs.get(key) for key in ("endpoint", "kubeconfig")},
        "lock": _lock(f"{folders}/{record.name}/lock"),
        "last_receipt": None if receipt is None else {**receipt._asdict(), "at": rfc3339(receipt.at)},
    }
