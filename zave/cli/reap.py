"""`zave reap`: take down what has outlived its TTL. What the switch, a timer and CI run."""

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from zave.cli.completion import complete_instances
from zave.cli.context import Context, Luck
from zave.cli.lifecycle_options import Fault, FaultFile, Speed, StepTimeout
from zave.cli.nothing_done import tell_nothing_done
from zave.cli.options import options_of
from zave.clock import rfc3339
from zave.errors import LeakError, UsageError, ZaveError
from zave.state.records import STANDING

if TYPE_CHECKING:
    from zave.lifecycle.place import Place
    from zave.state.records import InstanceRecord

EXAMPLES = (
    ("zave reap --rehearse", "everything that is past its TTL"),
    ("zave reap aws-demo --rehearse", "one instance, if it is past its TTL"),
    ("zave reap --install-timer", "twice an hour, by systemd; --remove-timer takes it away"),
    ("zave reap --from-bundle DIR --mode check", "what the switch runs, with nothing of the user's"),
)

_Instance = Annotated[
    str | None,
    typer.Argument(
        metavar="[ENV]", help="The instance; all unless given.", autocompletion=complete_instances
    ),
]
_All = Annotated[bool, typer.Option("--all", help="Everything that is past its TTL: the default.")]
_BundleFolder = Annotated[
    Path | None, typer.Option("--from-bundle", metavar="DIR", help="Work from an unpacked bundle alone.")
]
_Mode = Annotated[
    Literal["check", "destroy"], typer.Option("--mode", help="With a bundle: only prove, or destroy.")
]
_BundleInstance = Annotated[
    str | None,
    typer.Option("--instance", metavar="NAME", envvar="ZAVE_INSTANCE", help="Whose bundle it must be."),
]
_BundleRun = Annotated[
    str | None,
    typer.Option("--run", metavar="ID", envvar="CODEBUILD_BUILD_ID", help="What the cloud calls the run."),
]
_InstallTimer = Annotated[
    bool, typer.Option("--install-timer", help="Have systemd run this twice an hour for you.")
]
_RemoveTimer = Annotated[bool, typer.Option("--remove-timer", help="Take that timer away.")]


def command(
    context: typer.Context,
    env: _Instance = None,
    all_: _All = False,
    from_bundle: _BundleFolder = None,
    mode: _Mode = "destroy",
    instance: _BundleInstance = None,
    run: _BundleRun = None,
    install_timer: _InstallTimer = False,
    remove_timer: _RemoveTimer = False,
    step_timeout: StepTimeout = None,
    fault: Fault = None,
    faults: FaultFile = None,
    speed: Speed = None,
) -> None:
    """Take down every instance that is past its TTL.

    Nothing is touched before its expiry. With --from-bundle neither record
    nor project is needed: that is how the switch runs it.
    """
    zave = Context(options_of(context), step_timeout=step_timeout, speed=speed)
    zave.try_luck(Luck(tuple(fault or ()), faults))
    if install_timer or remove_timer:
        _timer(zave, install=install_timer, remove=remove_timer)
    elif from_bundle is not None:
        from zave.cli.destroyer import run_bundle

        with tempfile.TemporaryDirectory(prefix="zave-destroyer-") as work:
            run_bundle(zave, from_bundle, work=Path(work), mode=mode, named=(instance, run))
    elif env is not None and all_:
        raise UsageError("say ENV or --all, not both", resolution="zave reap takes everything expired")
    else:
        _reap(zave, zave.checked(env))


def _timer(zave: Context, *, install: bool, remove: bool) -> None:
    from zave.lifecycle.timer import Timer
    from zave.ui.document import show
    from zave.ui.timer import render_timer

    if install and remove:
        raise UsageError("say --install-timer or --remove-timer, not both")
    project = [] if zave.project.folder is None else ["--project", str(zave.project.folder.absolute())]
    # this Python's zave, wherever PATH leads in a session of systemd's
    command = [str(Path(sys.executable).absolute()), "-m", "zave", "reap", "--no-input", *project]
    timer = Timer.locate(command, runner=zave.runner)
    act = timer.shown if zave.rehearsal else timer.install if install else timer.remove
    show(act(), render_timer, settings=zave.settings)


def _reap(zave: Context, only: str | None) -> None:
    failures: list[ZaveError] = []
    expired = [record for record in _candidates(zave, only) if _is_due(zave, record, failures)]
    if not expired and not failures:
        if only is not None:
            raise _not_due(zave.instances.record(only))
        tell_nothing_done(zave, command="reap", instance="all", text="nothing is past its TTL")
    for record in expired:
        try:
            with zave.locked(record.name, command="reap"):
                from zave.lifecycle.down import tear_down

                place = zave.recorded_place(record.name)
                # the teardown of another may have taken half an hour, and its lock as long again
                due = partial(_is_past, zave, place)
                tear_down(place, ask=None, recover=False, arguments=zave.arguments, due=due)
        except ZaveError as error:
            # the others must go all the same
            failures.append(error)
    if failures:
        raise next((error for error in failures if isinstance(error, LeakError)), failures[0])


def _not_due(record: "InstanceRecord") -> UsageError:
    end = rfc3339(record.expires_at) if record.expires_at else "never"
    return UsageError(
        f"{record.name} is not past its TTL (its end: {end})",
        resolution=f"zave down {record.name} takes it down now",
    )


def _candidates(zave: Context, only: str | None) -> "list[InstanceRecord]":
    """Instances with an end that were not taken down."""
    if only is not None:
        return [zave.instances.record(only)]
    if not zave.directory.database.exists():
        return []
    return [r for r in zave.store.instances() if r.phase in STANDING and r.expires_at is not None]


def _is_due(zave: Context, record: "InstanceRecord", failures: list[ZaveError]) -> bool:
    """Whether its end has come: by its switch in the cloud, which another machine may have moved."""
    try:
        return _is_past(zave, zave.recorded_place(record.name))
    except ZaveError as error:
        failures.append(error)
        return False


def _is_past(zave: Context, place: "Place") -> bool:
    cloud = place.site.tools.cloud
    schedule = None if cloud is None else cloud.switchboard.schedule(place.instance)
    end = place.record().expires_at if schedule is None else schedule.first_fire_at
    return end is not None and end <= zave.clock.now()
