"""A call of a simulated platform: what faults make of it, and the time that it takes."""

import sqlite3
from collections.abc import Callable

from zave.rehearsal.clock import CancelledError, VirtualClock
from zave.rehearsal.database import Database
from zave.rehearsal.faults import Disturbance, Faults
from zave.rehearsal.ledger import Ledger
from zave.rehearsal.operations import Operation
from zave.rehearsal.refusals import ATTEMPTS, INJECTED, refusal, throttled
from zave.rehearsal.things import WorldError, noun
from zave.rehearsal.viewpoint import Viewpoint

# virtual seconds: the longest pause of an AWS client that is slowed down (aws-sdk-go-v2's default)
_LONGEST_BACKOFF = 20.0


class Calls:
    """Calls as `viewpoint` makes them. `on_crash` is what `crash provider` does."""

    def __init__(
        self,
        database: Database,
        clock: VirtualClock,
        faults: Faults,
        *,
        viewpoint: Viewpoint,
        on_crash: Callable[[], object],
    ) -> None:
        self._database = database
        self._clock = clock
        self._faults = faults
        self._viewpoint = viewpoint
        self._on_crash = on_crash

    def disturb(self, action: str, type_: str, name: str, *, resource: str = "") -> Disturbance:
        """What strikes a call; one that is slowed down has waited and asked again. Raises WorldError."""
        for attempt in range(ATTEMPTS):
            disturbed = self._faults.take(
                action, type_, name, resource=resource, verbs=self._viewpoint.fault_verbs
            )
            self._tell_and_refuse(disturbed, action, type_, name)
            if not disturbed.struck("throttle"):
                return disturbed
            self._clock.sleep(min(0.5 * 2**attempt, _LONGEST_BACKOFF))
        raise throttled(action, type_, name)

    def refuse_removal(self, type_: str, name: str) -> None:
        """Raise WorldError when a fault refuses a deletion without Terraform; nothing else strikes that."""
        disturbed = self._faults.take("delete", type_, name, verbs=("refuse",))
        self._tell_and_refuse(disturbed, "delete", type_, name)

    def begin(
        self,
        connection: sqlite3.Connection,
        action: str,
        took: float,
        disturbed: Disturbance,
        *,
        key: str = "",
    ) -> Operation | None:
        """Note that a call of `took` virtual seconds is under way; None when nobody has to wait for it."""
        # what hangs or crashes never ends, and must not hold up everybody else's clock
        if took <= 0 or disturbed.struck("hang") or disturbed.struck("crash"):
            return None
        return self._clock.begin(connection, took, action=action, thing=key)

    def endure(
        self, action: str, type_: str, name: str, disturbed: Disturbance, operation: Operation | None
    ) -> None:
        """Crash, hang or wait, whichever struck. Raises WorldError when it hung or was cancelled."""
        if disturbed.struck("crash"):
            self._on_crash()
        try:
            if hanging := disturbed.struck("hang"):
                self._clock.hang(hanging.seconds)
                raise WorldError(f"timeout while waiting to {action} {noun(type_)} '{name}'", INJECTED)
            if operation is not None:
                self._clock.wait(operation)
        except CancelledError as error:
            raise WorldError(f"cancelled: {action} {noun(type_)} '{name}'") from error

    def _tell_and_refuse(self, disturbed: Disturbance, action: str, type_: str, name: str) -> None:
        if disturbed.fault is None:
            return
        with self._database.write() as connection:
            ledger = Ledger(connection, now=self._clock.timestamp())
            ledger.log("fault", type_, name, detail=str(disturbed.fault))
        refused = refusal(disturbed.fault, action, type_, name)
        if refused is not None:
            raise refused
