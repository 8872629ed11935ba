"""A guard over a Terraform state that S3 keeps: the bucket's newest version, looked at in a local copy.

S3 replaces an object whole or not at all, so a crash cannot tear a state there. It can still be emptied,
replaced by a foreign one, or fall behind what Terraform could not upload (`errored.tfstate`).
"""

import os
from dataclasses import dataclass
from pathlib import Path

from zave.aws.keys import state_key
from zave.aws.state import replace_state
from zave.errors import NoBucketError, PreconditionError, StepFailedError, TerraformStateError
from zave.ports.cloud import Bucket, Cloud
from zave.render import write_private
from zave.tools.terraform_plan import HeldResource
from zave.tools.terraform_state import Recovery, StateGuard, StateHealth, StateSeal
from zave.tools.terraform_statefile import StateFile

_ERRORED = "errored.tfstate"


@dataclass(frozen=True)
class BucketGuard(StateGuard):
    """Watches over an instance's state in `cloud`; `root` holds the copy that is looked at.

    `working` is the folder of the Terraform root, where Terraform leaves a state that it could not
    upload. Every look fetches the state; a recovery is put back into the bucket.
    """

    cloud: Cloud
    instance: str
    working: Path

    def refresh(self) -> None:
        """Fetch the state. Raises what the cloud raises when it cannot be asked."""
        bucket = self._bucket()
        content = None if bucket is None else bucket.get(state_key(self.instance))
        if content is None:
            self.state.unlink(missing_ok=True)
        else:
            write_private(self.state, content)
        left = self.working / _ERRORED
        if left.is_file():
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.replace(left, self.root / _ERRORED)  # noqa: PTH105 - it may stand there already

    def seal(self) -> StateSeal:
        """As `StateGuard.seal`; a bucket that does not answer is told as a state that cannot be read."""
        try:
            self.refresh()
        except (PreconditionError, StepFailedError) as error:
            # an apply has ended: whatever came of that is what people must hear
            raise TerraformStateError(
                f"Terraform's state cannot be read back: {error.brief}",
                details=error.details,
                resolution="run the same command again",
            ) from error
        return super().seal()

    def resources(self) -> tuple[HeldResource, ...]:
        """The managed objects that the state holds; empty when there is no whole state."""
        self.refresh()
        return super().resources()

    def inspect(self, seal: StateSeal | None) -> StateHealth:
        """Compare the bucket's state with the record's `seal`."""
        self.refresh()
        return super().inspect(seal)

    def _restore(self, best: StateFile, *, reason: str) -> Recovery:
        recovery = super()._restore(best, reason=reason)
        replace_state(self.cloud, state_key(self.instance), self.state.read_bytes())
        return recovery

    def _only_locked(self) -> bool:
        """Never: in S3 the lock is an object of its own."""
        return False

    def _start_afresh(self, reason: str) -> Recovery:
        recovery = super()._start_afresh(reason)
        # older versions stay in the bucket
        replace_state(self.cloud, state_key(self.instance), None)
        return recovery

    def _bucket(self) -> Bucket | None:
        # without usable credentials a bucket that is not seen proves nothing
        self.cloud.caller()
        try:
            return self.cloud.bucket
        except NoBucketError:
            return None
