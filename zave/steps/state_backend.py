"""Step `state-backend`: the account is the right one and has its standing parts; nothing is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zave.aws.sweep import take_baseline
from zave.engine.step import Probe, StepRun, digest
from zave.errors import PreconditionError
from zave.ports.cloud import Cloud


@dataclass(frozen=True)
class StateBackend:
    """Checks who asks, that bucket and switch machinery stand, and notes what was there before.

    `account` is the spec's, None where it leaves it open.
    """

    cloud: Cloud
    instance: str
    account: str | None
    name: str = "state-backend"
    needs: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """The account and the region."""
        return digest([self.account, self.cloud.region])

    def probe(self, outputs: Mapping[str, Any]) -> Probe:
        """The machinery is whole now."""
        missing = self.cloud.switchboard.machinery().missing
        return Probe(not missing, f"the account lacks {', '.join(missing)}" if missing else "")

    def do(self, run: StepRun) -> dict[str, Any]:
        """Refuse a wrong account and an account that is not set up; note what stands already."""
        caller = self.cloud.caller()
        if self.account is not None and caller.account != self.account:
            raise PreconditionError(
                f"these credentials belong to account {caller.account}, the spec says {self.account}",
                where=caller.arn,
                resolution="use the credentials of the spec's account, or change aws.account",
            )
        missing = self.cloud.switchboard.machinery().missing
        if missing:
            raise PreconditionError(
                f"account {caller.account} is not set up in {self.cloud.region}",
                details="missing or altered: " + ", ".join(missing),
                resolution="zave account setup makes the standing parts, which cost cents a month",
            )
        # before the first resource: what stood there before is never deleted
        take_baseline(self.cloud, self.instance)
        return {"account": caller.account, "region": self.cloud.region, "bucket": self.cloud.bucket.name}

    def undo(self, run: StepRun) -> None:
        """Nothing was made."""
