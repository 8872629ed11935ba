"""`zave demo`: an AWS demo that cannot outlive its TTL."""

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from zave.cli.context import Context, Luck
from zave.cli.lifecycle_options import Fault, FaultFile, Name, Speed, StepTimeout, Yes
from zave.cli.options import options_of
from zave.errors import UsageError

if TYPE_CHECKING:
    from zave.lifecycle.place import Place

EXAMPLES = (
    ("zave demo aws --rehearse", "the whole life offline: no account, no cost"),
    ("zave demo aws --ttl 24h --name second --rehearse", "a second one, for a day"),
)

ENVIRONMENT = "aws-demo"


def command(
    context: typer.Context,
    platform: Annotated[Literal["aws"], typer.Argument(metavar="aws", help="Where: aws.")],
    ttl: Annotated[
        str | None,
        typer.Option("--ttl", metavar="TIME", help="Time to live: 24h, 2d; the spec's default unless given."),
    ] = None,
    name: Name = None,
    yes: Yes = False,
    step_timeout: StepTimeout = None,
    fault: Fault = None,
    faults: FaultFile = None,
    speed: Speed = None,
) -> None:
    """Bring up a demo whose end is armed and proven before anything costs.

    The same as `zave up aws-demo`, with a time to live. A rerun keeps the
    end that was set; `zave extend` moves it.
    """
    zave = Context(options_of(context), step_timeout=step_timeout, speed=speed)
    instance, environment = zave.instances.names(ENVIRONMENT, name)
    with zave.locked(instance, command="demo"):
        zave.try_luck(Luck(tuple(fault or ()), faults))
        from zave.lifecycle.up import bring_up

        ask = zave.screens.asker(yes=yes)
        zave.settle_account(environment, ask=ask)
        place = zave.place_to_build(instance, environment, ttl=_seconds(ttl))
        if ttl is not None:
            warn_of_end(place)
        _require_within_maximum(place)
        from zave.cli.account import offer_set_up

        offer_set_up(zave, place, ask=ask)
        bring_up(place, ask=ask, arguments=zave.arguments)


def _seconds(ttl: str | None) -> float | None:
    from zave.spec.units import DAY, HOUR, parse_duration

    return None if ttl is None else parse_duration(ttl, what="lifetime", minimum=HOUR, maximum=30 * DAY)


def warn_of_end(place: "Place") -> None:
    """Say that a life that was asked for changes nothing, where the end is set already."""
    record = place.record()
    if record.phase != "destroyed" and record.expires_at is not None:
        from zave.clock import rfc3339
        from zave.ui.advice import advice

        how = advice(f"zave extend {place.instance} --ttl TIME moves it", rehearsal=place.journal.rehearsal)
        sys.stderr.write(
            f"warning: {place.instance} stands: its end stays {rfc3339(record.expires_at)}; {how}\n"
        )


def _require_within_maximum(place: "Place") -> None:
    from zave.spec.units import format_duration

    spec, ttl = place.spec, place.site.ttl
    if spec.platform != "aws-eks":
        raise UsageError(f"{place.journal.environment} is no demo in AWS", resolution="zave up brings it up")
    if ttl is not None and ttl > spec.ttl.maximum:
        raise UsageError(
            f"--ttl {format_duration(int(ttl))} is longer than the spec's ttl.maximum "
            f"{format_duration(spec.ttl.maximum)}",
            resolution="choose a shorter one, or raise ttl.maximum in the environment's file",
        )
