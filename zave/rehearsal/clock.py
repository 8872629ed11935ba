"""The virtual clock: rehearsed hours pass in milliseconds, in the order in which they would pass.

With speed 0 the clock moves from event to event: each operation says when it will be over, and the
earliest one that a living process waits for moves the clock there. With a speed N the clock runs N
times as fast as the machine's, and waiting is really done.
"""

import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from zave.errors import InterruptedRunError, UsageError
from zave.rehearsal.database import Database
from zave.rehearsal.operations import Operation, Operations

# real seconds that the clock stands still after an operation started or completed: long enough for
# Terraform to start what depends on it, so that dependents begin when their dependency ended
GRACE = 0.010
# real seconds after which a waiting thread looks for what other processes did
POLL = 0.005
# real seconds after which a wait with a speed looks whether the clock was moved meanwhile
LONGEST_PAUSE = 0.25
FASTEST = 1_000_000.0


class CancelledError(InterruptedRunError):
    """A wait was given up because `VirtualClock.cancel` was called."""

    def __init__(self) -> None:
        super().__init__(
            "stopped while time passed in the simulated world",
            resolution="run the same command again: it goes on where it stopped",
        )


def seconds_since_boot() -> float:
    """Real time that no change of the machine's date moves and that all processes share."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def microseconds(virtual: float) -> float:
    """`virtual` (Unix time) as finely as a datetime holds it, so that both compare as equal."""
    return round(virtual, 6)


def _settled_after(state: sqlite3.Row, real: float) -> float:
    # after a reboot `completed` lies in the future: then it is no reason to wait
    completed: float = state["completed"]
    return completed + GRACE if completed <= real else real


class VirtualClock:
    """Implements `zave.clock.Clock` for every process that has the world open."""

    def __init__(
        self,
        database: Database,
        operations: Operations,
        *,
        skew: float = 0.0,
        real: Callable[[], float] = seconds_since_boot,
    ) -> None:
        self._database = database
        self._operations = operations
        self._skew = skew
        self._real = real
        self._moved = threading.Condition()
        self._cancelled = threading.Event()

    def now(self) -> datetime:
        """The virtual moment, in UTC, on the clock of this process, which may be wrong (`skew`).

        Starts at the real time at which the world was made.
        """
        return datetime.fromtimestamp(self.timestamp() + self._skew, UTC)

    def timestamp(self) -> float:
        """The true virtual moment as Unix time."""
        return self._at(self._state())

    @property
    def speed(self) -> float:
        """Virtual seconds a real second; 0 means as fast as it can."""
        return float(self._state()["speed"])

    def set_speed(self, speed: float) -> None:
        """Run at `speed` from now on. Raises UsageError for a negative or absurd one."""
        if not 0 <= speed <= FASTEST:
            raise UsageError(
                f"the speed {speed:g} is not between 0 and {FASTEST:,.0f}",
                resolution="0 is as fast as it can, 60 lets a minute pass in a second",
            )
        with self._database.write() as connection:
            self._rebase(connection, self._at(self._state()))
            connection.execute("UPDATE clock SET speed = ?", (speed,))
        self._wake()

    def advance(self, seconds: float) -> None:
        """Jump `seconds` ahead; what would have ended meanwhile is over."""
        if seconds < 0:
            raise UsageError("the virtual clock cannot run backwards")
        with self._database.write() as connection:
            self._rebase(connection, self._at(self._state()) + seconds)
        self._wake()

    def sleep(self, seconds: float) -> None:
        """Let `seconds` of virtual time pass, in order with everything else that goes on."""
        if seconds <= 0:
            return
        with self._database.write() as connection:
            operation = self.begin(connection, seconds, action="sleep")
        self.wait(operation)

    def begin(
        self, connection: sqlite3.Connection, seconds: float, *, action: str, thing: str = ""
    ) -> Operation:
        """Register, inside the caller's transaction, an operation that takes `seconds` from now."""
        finishes_at = microseconds(self._at(self._state()) + seconds)
        return self._operations.register(connection, action=action, thing=thing, finishes_at=finishes_at)

    def wait(self, operation: Operation) -> None:
        """Block until `operation` is over. Raises CancelledError after `cancel`."""
        # a sleeper starts nothing that others could depend on: alone it need not wait for anybody
        settled = self._real() + (0.0 if operation.action == "sleep" else GRACE)
        try:
            while pause := self._attempt(operation, settled=settled):
                with self._moved:
                    self._moved.wait(pause)
                if self._cancelled.is_set():
                    raise CancelledError
        except BaseException:
            with self._database.write() as connection:
                self._operations.remove(connection, operation)
            self._wake()
            raise

    def hang(self, seconds: float | None) -> None:
        """Block for `seconds` of real time, or for ever. Raises CancelledError after `cancel`."""
        if self._cancelled.wait(seconds):
            raise CancelledError

    def cancel(self) -> None:
        """End every wait of this process, now and later, with CancelledError."""
        self._cancelled.set()
        self._wake()

    def _attempt(self, operation: Operation, *, settled: float) -> float:
        """Complete `operation` if it may; otherwise the real seconds until the next look."""
        state = self._state()
        if self._at(state) < operation.finishes_at:
            if state["speed"]:
                left: float = (operation.finishes_at - self._at(state)) / state["speed"]
                return min(max(left, 0.001), LONGEST_PAUSE)
            if self._operations.earlier_than(operation):
                return POLL
            real = self._real()
            quiet = max(settled, _settled_after(state, real))
            if real < quiet:
                return quiet - real
        return 0.0 if self._complete(operation) else POLL

    def _complete(self, operation: Operation) -> bool:
        with self._database.write() as connection:
            state = self._state()
            passed = self._at(state) >= operation.finishes_at
            if not passed:
                # asked again now that nobody else can write: two processes may both have come here
                real = self._real()
                recent = real < _settled_after(state, real)
                if state["speed"] or recent or self._operations.earlier_than(operation):
                    return False
            # an operation that is gone belongs to a world that was emptied: it must not move the new clock
            if self._operations.remove(connection, operation) and not passed:
                connection.execute("UPDATE clock SET virtual = ?", (operation.finishes_at,))
            self._operations.remove_dead(connection)
            if operation.action != "sleep":
                connection.execute("UPDATE clock SET completed = ?", (self._real(),))
        self._wake()
        return True

    def _state(self) -> sqlite3.Row:
        state = self._database.row("SELECT * FROM clock")
        if state is None:  # the table holds its one row from its making on
            raise RuntimeError("the world has no clock")
        return state

    def _at(self, state: sqlite3.Row) -> float:
        virtual: float = state["virtual"]
        if not state["speed"]:
            return virtual
        elapsed = max(0.0, self._real() - state["base_real"])
        return max(virtual, float(state["base_virtual"] + elapsed * state["speed"]))

    def _rebase(self, connection: sqlite3.Connection, virtual: float) -> None:
        reached = microseconds(virtual)
        connection.execute(
            "UPDATE clock SET virtual = ?, base_virtual = ?, base_real = ?", (reached, reached, self._real())
        )

    def _wake(self) -> None:
        with self._moved:
            self._moved.notify_all()
