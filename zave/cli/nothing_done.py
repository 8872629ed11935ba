"""How a command ends for which there was nothing to do."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zave.cli.context import Context


def tell_nothing_done(zave: "Context", *, command: str, instance: str, text: str) -> None:
    """End as every run does, with nothing of any instance's in between."""
    from zave.events import Bus, Notice, RunFinished
    from zave.state.run_id import next_run_id
    from zave.ui.sinks import sink_for

    bus = Bus(zave.clock, [sink_for(zave.settings, quiet=zave.options.quiet, verbose=False)])
    bus.emit(Notice("info", text))
    run_id = next_run_id(zave.clock.now(), last=None)
    bus.emit(
        RunFinished(run_id, command, instance, outcome="done", exit_code=0, seconds=0.0, virtual_seconds=0.0)
    )
    bus.close()
