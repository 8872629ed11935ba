"""`zave build-image`: one step, recorded and told like any other run."""

from collections.abc import Sequence

from zave.engine.execute import execute
from zave.engine.plan import plan
from zave.events import PlannedStep
from zave.lifecycle.run import Journal, close_cut_off_runs, running
from zave.steps.image import EnsureImage


def build_image(step: EnsureImage, *, journal: Journal, arguments: Sequence[str]) -> None:
    """Build the image unless it is current and intact."""
    with running(journal, command="build-image", arguments=arguments) as run:
        for command in close_cut_off_runs(journal.store, journal.instance, own=run.id):
            run.notice(f"an earlier build was cut off: {command}; starting over")
        actions = plan([step], journal.store.steps(journal.instance))
        run.started(tuple(PlannedStep(p.step.name, p.action.value, p.reason) for p in actions))
        execute(run.execution, actions)
