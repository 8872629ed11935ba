"""`zave extend`: move the moment at which a demo is destroyed."""

import dataclasses
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Instance
from zave.cli.options import options_of
from zave.errors import UsageError

if TYPE_CHECKING:
    from zave.lifecycle.place import Place
    from zave.ports.cloud import Schedule

EXAMPLES = (
    ("zave extend aws-demo --ttl 24h --rehearse", "24 hours from now on"),
    ("zave extend --until 2026-12-01T18:00Z --rehearse", "the only instance that is up"),
)


def command(
    context: typer.Context,
    env: Instance = None,
    ttl: Annotated[
        str | None, typer.Option("--ttl", metavar="TIME", help="Time to live from now on: 24h, 2d.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="MOMENT", help="The new end, RFC 3339: 2026-12-01T18:00Z."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also beyond the longest life that the spec allows.")
    ] = False,
) -> None:
    """Move the expiry of a demo, up to the maximum of its spec.

    The switch in the cloud is moved first and read back, the record after it.
    """
    if (ttl is None) == (until is None):
        raise UsageError("say --ttl or --until", resolution="zave extend aws-demo --ttl 24h")
    zave = Context(options_of(context))
    instance = zave.instances.only_standing(env)
    with zave.locked(instance, command="extend"):
        from zave.aws.switch import read_back, switch_document
        from zave.ui.document import show
        from zave.ui.switch import render_switch

        place = zave.recorded_place(instance)
        if place.spec.platform != "aws-eks" or place.site.tools.cloud is None:
            raise UsageError(f"{instance} has no end: only demos in a cloud have", resolution="zave status")
        before = _move(place, ttl=ttl, until=until, force=force)
        cloud, clock = place.site.tools.cloud, place.site.tools.clock
        email = place.spec.notify.email
        status = read_back(cloud, clock, instance=instance, warn=place.spec.ttl.warn, email=email)
        document = switch_document(
            status, instance=instance, rehearsal=zave.rehearsal, previous=before.first_fire_at
        )
        show(document, render_switch, settings=zave.settings)


def _move(place: "Place", *, ttl: str | None, until: str | None, force: bool) -> "Schedule":
    """Move switch, then record; the schedule as it was."""
    from zave.aws.locks import Worker
    from zave.aws.switch import Extension, extend, later, require_schedule
    from zave.spec.units import DAY, MINUTE, parse_duration

    site, record = place.site, place.record()
    cloud = site.tools.cloud
    if cloud is None or place.spec.platform != "aws-eks":
        raise UsageError(f"{place.instance} has no end", resolution="zave status")
    before = require_schedule(cloud, place.instance)
    if ttl is not None:
        seconds = parse_duration(ttl, what="lifetime", minimum=10 * MINUTE, maximum=365 * DAY)
        end = later(before, site.tools.clock, ttl=seconds)
    else:
        end = _moment(until or "")
    after = extend(
        cloud,
        site.tools.clock,
        instance=place.instance,
        extension=Extension(
            until=end,
            armed_at=record.created_at,
            maximum=place.spec.ttl.maximum,
            force=force,
            warn=place.spec.ttl.warn,
        ),
        worker=Worker(f"extend-{os.getpid()}", "up", f"{os.uname().nodename}:{site.folder.root}"),
    )
    site.store.save_instance(dataclasses.replace(place.record(), expires_at=after.first_fire_at))
    return before


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"--until {text[:60]!r} is no moment", resolution="write it as 2026-12-01T18:00Z"
        ) from error
    if moment.tzinfo is None:
        raise UsageError(
            f"--until {text[:60]!r} has no time zone", resolution=f"for UTC write {moment.isoformat()}Z"
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise UsageError(f"--until {text[:60]!r} is out of range") from error
