"""`zave adopt`: record an instance again whose record is lost, or was never here."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Environment, IfAny, Name
from zave.cli.nothing_done import tell_nothing_done
from zave.cli.options import options_of
from zave.errors import NothingStandsError, UsageError, ZaveError
from zave.state.records import STANDING

if TYPE_CHECKING:
    from zave.lifecycle.adopt import Finding
    from zave.lifecycle.place import Place

EXAMPLES = (
    ("zave adopt aws-demo --rehearse", "from tags, schedule, bundle and Terraform's state"),
    ("zave adopt second --rehearse", "a demo that status shows as not recorded here"),
    (
        "zave adopt aws-demo --new-record --rehearse",
        "first of all, when state.db is lost and no backup is good",
    ),
    ("zave adopt homelab --name lab2 --rehearse", "a home lab that was brought up under another name"),
)


def command(
    context: typer.Context,
    env: Environment,
    name: Name = None,
    new_record: Annotated[
        bool, typer.Option("--new-record", help="Start an empty record first, where the old one is lost.")
    ] = False,
    if_any: IfAny = False,
) -> None:
    """Record an instance that stands and is not on record.

    Looks at what the platform shows, says what it found, and writes nothing
    while anything is doubtful. Afterwards status, extend, up and down work
    as before.
    """
    zave = Context(options_of(context))
    if new_record:
        _start_empty(zave)
    environment, instance = zave.checked(env) or env, zave.checked(name) or env
    with zave.locked(instance, command="adopt"):
        from zave.lifecycle.adopt import adopt, refuse_recorded

        record = zave.store.instance(instance)
        if if_any and record is not None and record.phase in STANDING:
            text = f"{instance} is recorded already, as {record.phase}"
            tell_nothing_done(zave, command="adopt", instance=instance, text=text)
            return
        refuse_recorded(zave.store, instance)
        try:
            place, finding = _only(zave, instance, _candidates(zave, environment, named=name is not None))
        except NothingStandsError as error:
            if not if_any:
                raise
            tell_nothing_done(zave, command="adopt", instance=instance, text=error.brief)
            return
        if name is not None and finding.record.environment != environment:
            raise UsageError(
                f"{instance} is an instance of {finding.record.environment}, not of {environment}",
                where=finding.source,
                resolution=f"zave adopt {finding.record.environment} --name {instance}",
            )
        adopt(
            place,
            recorded=lambda: zave.recorded_place(instance),
            arguments=zave.arguments,
            like=finding.record,
        )


def _start_empty(zave: Context) -> None:
    from zave.state.store import StateStore

    kept = StateStore.start_empty(zave.directory)
    left = "" if kept is None else f"; what was left of the old one is kept in {kept}"
    sys.stderr.write(f"an empty record is begun: {zave.directory.database}{left}\n")


def _candidates(zave: Context, env: str, *, named: bool) -> list[str]:
    """The environments that it may be one of: the one that is named, else any of the project's."""
    known = zave.project.environments()
    if named or env in known:
        return [env]
    return known


def _only(zave: Context, instance: str, environments: list[str]) -> "tuple[Place, Finding]":
    """The one place where something of the instance stands.

    Raises NothingStandsError for none, UsageError for several.
    """
    from zave.lifecycle.adopt import look

    found: list[tuple[Place, Finding]] = []
    unseen: list[ZaveError] = []
    for environment in environments:
        try:
            place = zave.place(instance, environment)
            finding = look(place)
        except ZaveError as error:
            if len(environments) == 1:
                raise
            unseen.append(error)
            continue
        if finding is not None and finding.record not in [known.record for _, known in found]:
            found.append((place, finding))
    if len(found) == 1:
        return found[0]
    if found:
        told = ", ".join(f"{f.record.environment} ({f.source})" for _, f in found)
        raise UsageError(
            f"{instance} may be one of several: {told}",
            resolution=f"name its environment: zave adopt {found[0][1].record.environment} --name {instance}",
        )
    if unseen:
        # a place that was not seen may be where it stands; where it was destroyed it does not
        raise next((error for error in unseen if not isinstance(error, NothingStandsError)), unseen[0])
    raise NothingStandsError(
        f"nothing of {instance} stands: there is nothing to adopt",
        details=f"looked where these environments would be: {', '.join(environments)}",
        resolution="zave sweep lists what exists; another environment: zave adopt ENV --name NAME",
    )
