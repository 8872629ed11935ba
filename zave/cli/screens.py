"""What a command shows of a run, and how it asks: by the output settings and flags in force."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zave.clock import Clock
from zave.settings import Settings

if TYPE_CHECKING:
    from zave.events import Bus
    from zave.state.directory import InstanceFolder


@dataclass(frozen=True)
class Screens:
    """The user's screen, or the stream that a program reads."""

    settings: Settings
    quiet: bool
    verbose: bool
    rehearsal: bool = False

    def bus(self, folder: "InstanceFolder", run_id: str, *, clock: Clock) -> "Bus":
        """The sinks of one run: what the user asked for, and always the event file."""
        from zave.events import Bus
        from zave.ui.eventfile import EventFile, keep_newest
        from zave.ui.sinks import sink_for

        folder.prepare_run(run_id)
        for kept in (folder.events, folder.logs):
            keep_newest(kept, keep=self.settings.log_keep)
        screen = sink_for(self.settings, quiet=self.quiet, verbose=self.verbose)
        return Bus(clock, [EventFile(folder.run_events(run_id)), screen])

    def asker(self, *, yes: bool) -> Callable[[str], None] | None:
        """What asks the user, or None when `--yes` answered already."""
        if yes:
            return None
        from zave.ui.ask import confirm, require_somebody

        # now, not after the seconds that a plan takes
        require_somebody(no_input=self.settings.no_input)
        mark = "REHEARSAL: " if self.rehearsal else ""
        return lambda question: confirm(f"{mark}{question}", yes=False, no_input=self.settings.no_input)
