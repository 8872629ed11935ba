"""What `zave reap --from-bundle` runs: the destroyer, with nothing of the user's."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zave.cli.context import Context
from zave.errors import ExitCode, PreconditionError, ZaveError
from zave.events import Bus, Notice, PlannedStep, ReceiptIssued, RunFinished, RunStarted

if TYPE_CHECKING:
    from zave.aws.bundle import Bundle
    from zave.aws.destroyer import Gear
    from zave.events import Event
    from zave.ports import Item
    from zave.steps.site import Tools

_OUTCOMES = {
    "busy": "another destroyer is at work: nothing was done",
    "gone": "nothing of it exists: nothing was done",
    "extended": "its expiry was moved: nothing was touched",
}


def run_bundle(
    zave: Context,
    folder: Path,
    *,
    work: Path,
    mode: Literal["check", "destroy"],
    named: tuple[str | None, str | None],
) -> None:
    """Check or destroy the instance of the bundle in `folder`.

    `named` are the instance that the caller expects and the run's id in the cloud. Raises
    PreconditionError for another instance's bundle, and whatever the destroyer raises.
    """
    from zave.aws.bundle import load_bundle
    from zave.aws.destroyer import Destroyer
    from zave.state.run_id import next_run_id

    bundle = load_bundle(folder, work=work)
    expected, run = named
    if expected is not None and expected != bundle.facts.instance:
        raise PreconditionError(
            f"the bundle is of {bundle.facts.instance}, not of {expected}", where=str(folder)
        )
    run_id = next_run_id(zave.clock.now(), last=None)
    with _told(zave, bundle, run_id=run_id, mode=mode) as bus:

        def say(text: str) -> None:
            bus.emit(Notice("info", text))

        destroyer = Destroyer(_gear(zave, bundle, say, work=work), bundle, run or run_id, work)
        if mode == "check":
            finding = destroyer.check()
            say(f"could destroy: {finding['own']} of {finding['items']} things are its own")
            return
        verdict = destroyer.destroy()
        if verdict.receipt is not None:
            bus.emit(ReceiptIssued(dict(verdict.receipt)))
        else:
            say(_OUTCOMES[verdict.outcome])


def _gear(zave: Context, bundle: "Bundle", say: Callable[[str], None], *, work: Path) -> "Gear":
    from zave.aws.destroyer import Gear
    from zave.cost.catalogue import Catalogue
    from zave.cost.meter import usd_per_hour
    from zave.spec.load import spec_from_document

    folder = zave.directory.instance(bundle.facts.instance)
    spec = spec_from_document(bundle.spec, where="the bundle's spec.json")
    if spec.platform != "aws-eks":
        raise PreconditionError("the bundle is not one of an environment in a cloud")
    tools = zave.destroyer_tools(folder, spec, work=work)
    if tools.cloud is None:
        raise PreconditionError("the bundle is not one of an environment in a cloud")
    catalogue = Catalogue.load(bundle.facts.region)

    def price(item: "Item") -> float | None:
        return usd_per_hour(item, catalogue, at=zave.clock.now())

    take_back = _taking_back(tools, bundle.facts.instance, say)
    return Gear(tools.cloud, take_back, zave.clock, tools.terraform, say, price)


def _taking_back(
    tools: "Tools", instance: str, say: Callable[[str], None]
) -> Callable[[Callable[[], None]], None]:
    """The same teardown of Flux as in `down`. It takes no finalizers away: the sweep comes next anyway."""

    def take_back(check: Callable[[], None]) -> None:
        if tools.flux is None:
            raise PreconditionError("there is no way into the cluster")
        from zave.aws.cluster_made import made_by_cluster
        from zave.gitops.teardown import Teardown
        from zave.gitops.watch import Watch

        def heard(event: "Event") -> None:
            if isinstance(event, Notice):
                say(event.text)

        Teardown(
            flux=tools.flux,
            instance=instance,
            outside=lambda: made_by_cluster(tools.inventory, instance),
            clock=tools.clock,
            watch=Watch(say=lambda text, _fraction: say(text), emit=heard, check=check),
        ).run()

    return take_back


@contextlib.contextmanager
def _told(zave: Context, bundle: "Bundle", *, run_id: str, mode: str) -> Iterator[Bus]:
    """Events around the body, as of any run; there is no record to keep it in."""
    facts = bundle.facts
    bus = zave.screens.bus(zave.directory.instance(facts.instance), run_id, clock=zave.clock)
    planned = (PlannedStep("destroyer", "run", f"the switch fired, mode {mode}"),)
    bus.emit(RunStarted(run_id, "reap", facts.instance, facts.environment, zave.rehearsal, planned))
    started, virtual = time.monotonic(), zave.clock.now()
    failure: BaseException | None = None
    try:
        yield bus
    except BaseException as error:
        failure = error
        raise
    finally:
        code, document = _verdict(failure)
        bus.emit(
            RunFinished(
                run_id,
                "reap",
                facts.instance,
                outcome="done" if failure is None else "failed",
                exit_code=code,
                seconds=time.monotonic() - started,
                virtual_seconds=(zave.clock.now() - virtual).total_seconds(),
                error=document,
            )
        )
        bus.close()


def _verdict(failure: BaseException | None) -> tuple[int, dict[str, Any] | None]:
    if failure is None:
        return int(ExitCode.DONE), None
    if isinstance(failure, ZaveError):
        return int(failure.exit_code), dict(failure.to_document())
    return int(ExitCode.FAILED), {"type": type(failure).__name__, "brief": str(failure), "exit_code": 1}
