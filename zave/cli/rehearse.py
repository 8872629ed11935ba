"""`zave rehearse`: the simulated world's clock, faults, log and end."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zave.cli.context import Context
from zave.cli.lazy import VerbCommand, VerbGroup, examples
from zave.cli.lifecycle_options import Yes
from zave.cli.options import options_of
from zave.clock import rfc3339
from zave.errors import UsageError
from zave.text import clean
from zave.ui.ask import confirm
from zave.ui.document import show
from zave.ui.rehearsal import render_faults, render_rehearsal, render_world_log

if TYPE_CHECKING:
    from zave.ports.cloud import DestroyerRun

EXAMPLES = (
    ("zave rehearse advance 49h", "let two days and an hour pass"),
    ("zave rehearse faults add 'fail create libvirt_domain once'", "bad luck for the next run"),
    ("zave rehearse lose libvirt_domain zave-homelab-worker-1", "a node vanishes"),
    ("zave rehearse reset --yes", "an empty world, no records"),
)

app = typer.Typer(
    cls=VerbGroup,
    add_completion=False,
    rich_markup_mode=None,
    invoke_without_command=True,
    help="The simulated world: its clock, faults, log and end. Alone: how it stands.",
)


def _command(name: str, *lines: tuple[str, str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return app.command(name, cls=VerbCommand, epilog=examples(lines))


@app.callback()
def world(context: typer.Context) -> None:
    """Show how the simulated world stands."""
    if context.invoked_subcommand is None:
        _show_world(_rehearsal(context))


@_command("advance", ("zave rehearse advance 49h", "past a TTL of two days"))
def advance(
    context: typer.Context,
    duration: Annotated[str, typer.Argument(metavar="DURATION", help="90s, 30m, 49h, 7d.")],
) -> None:
    """Move the virtual clock forward, through every fire of a switch on the way."""
    from zave.spec.units import parse_duration

    zave = _rehearsal(context)
    for run in zave.rehearsed.cloud().advance(parse_duration(duration)):
        _tell_run(zave, run)
    _show_world(zave)


@_command(
    "speed", ("zave rehearse speed 60", "a minute a second"), ("zave rehearse speed 0", "as fast as it can")
)
def speed(
    context: typer.Context,
    factor: Annotated[
        float, typer.Argument(metavar="N", min=0, help="Virtual seconds a real second; 0: no wait.")
    ],
) -> None:
    """Set how fast the virtual clock runs from now on."""
    zave = _rehearsal(context)
    zave.world.clock.set_speed(factor)
    _show_world(zave)


@_command("lose", ("zave rehearse lose libvirt_domain zave-homelab-worker-1", "for zave drift to find"))
def lose(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="A Terraform resource type.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The thing's name in the world.")],
    stop: Annotated[bool, typer.Option("--stop", help="Only switch the machine off.")] = False,
) -> None:
    """Take a thing away, or switch it off, behind Terraform's back."""
    zave = _rehearsal(context)
    there = zave.world.stop(kind, name) if stop else zave.world.lose(kind, name)
    if not there:
        known = sorted({f"{thing.type} {thing.name}" for thing in zave.world.things()})
        raise UsageError(
            f"there is no {kind} {name} in the simulated world",
            details="\n".join(known) or "it is empty",
            resolution="zave sweep --rehearse lists what there is",
        )
    _show_world(zave)


@_command("log", ("zave rehearse log", "who made, changed and deleted what"))
def log(
    context: typer.Context,
    since: Annotated[int, typer.Option("--since", metavar="N", min=0, help="After event number N.")] = 0,
) -> None:
    """Show everything that happened in the simulated world."""
    zave = _rehearsal(context)
    events = [
        {
            "seq": event.seq,
            "virtual_at": rfc3339(event.virtual_at),
            "real_at": rfc3339(event.real_at),
            "verb": event.verb,
            "type": event.type,
            "name": event.name,
            "key": event.key,
            "detail": event.detail,
            "pid": event.pid,
        }
        for event in zave.world.log(since=since)
    ]
    show({"schema": "zave/world-log/v1", "events": events}, render_world_log, settings=zave.settings)


@_command(
    "faults",
    ("zave rehearse faults", "what can still strike"),
    ("zave rehearse faults add 'crash provider once'", "add one"),
    ("zave rehearse faults add --file bad-day.txt", "one a line"),
    ("zave rehearse faults remove 3", "take one out; clear: all"),
)
def faults(
    context: typer.Context,
    action: Annotated[Literal["list", "add", "remove", "clear"], typer.Argument(help="What to do.")] = "list",
    text: Annotated[
        str | None, typer.Argument(metavar="[FAULT|ID]", help="For add: a fault; for remove: its id.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="For add: a fault a line.")
    ] = None,
) -> None:
    """List, add, remove or clear the faults of the simulated world."""
    zave = _rehearsal(context)
    if action == "add":
        _add_faults(zave, text, file)
    elif text is not None and action != "remove":
        raise UsageError(
            f"{action} takes nothing more", resolution="zave rehearse faults add 'FAULT' adds one"
        )
    elif action == "remove":
        if text is None or not text.isdecimal() or not zave.world.faults.remove(int(text)):
            raise UsageError(
                f"there is no fault {text or ''}".rstrip(), resolution="zave rehearse faults lists them"
            )
    elif action == "clear":
        zave.world.faults.clear()
    active = [
        {"id": each.id, "text": str(each.fault), "remaining": each.remaining, "skip": each.skip}
        for each in zave.world.faults.list()
    ]
    show({"schema": "zave/faults/v1", "faults": active}, render_faults, settings=zave.settings)


@_command("reset", ("zave rehearse reset", "asks first"), ("zave rehearse reset --yes", "does not"))
def reset(context: typer.Context, yes: Yes = False) -> None:
    """Empty the simulated world and forget every rehearsal; real records stay."""
    from zave.cli.forget import forget_rehearsals

    zave = _rehearsal(context)
    confirm("Forget every rehearsal and empty the simulated world?", yes=yes, no_input=zave.settings.no_input)
    forget_rehearsals(zave.directory)
    zave.world.reset()
    sys.stderr.write("the simulated world is empty\n" if not zave.options.quiet else "")
    _show_world(zave)


def _rehearsal(context: typer.Context) -> Context:
    # the flag may be left out here: there is nothing else that these commands could mean
    return Context(replace(options_of(context), rehearse=True))


def _add_faults(zave: Context, text: str | None, file: Path | None) -> None:
    from zave.rehearsal.faults import load_faults, parse_fault

    if (text is None) == (file is None):
        raise UsageError(
            "add takes one fault, or --file with several",
            resolution="zave rehearse faults add 'fail create libvirt_domain once'",
        )
    # all are read before the first is added: half a bad day helps nobody
    found = [parse_fault(text)] if text is not None else []
    found += load_faults(file) if file is not None else []
    for fault in found:
        zave.world.faults.add(fault)


def _tell_run(zave: Context, run: "DestroyerRun") -> None:
    """Say what the cloud did by itself meanwhile: no command of the user's did."""
    if zave.options.quiet:
        return
    how = f"{run.state}: {run.reason}" if run.reason else run.state
    sys.stderr.write(f"{rfc3339(run.started_at)} the switch of {run.instance} fired: {clean(how)}\n")


def _show_world(zave: Context) -> None:
    now = zave.world.clock.now()
    document: dict[str, Any] = {
        "schema": "zave/rehearsal/v1",
        "now": rfc3339(now),
        "speed": zave.world.clock.speed,
        "things": len(zave.world.things()),
        "faults": len(zave.world.faults.list()),
    }
    show(document, render_rehearsal, settings=zave.settings)
