"""Step `state-backend`: the account is the right one and has its standing parts; nothing is made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zave.aws.findings import Finding, require
from zave.aws.sweep import take_baseline
from zave.engine.step import Probe, StepRun, digest
from zave.errors import PreconditionError
from zave.events import Notice
from zave.ports.cloud import Cloud


@dataclass(frozen=True)
class StateBackend:
    """Checks what must be so before anything is made, and notes what was there; makes nothing.

    `account` is the spec's, None where it leaves it open. `look` looks at the account: who asks, quotas,
    names, leftovers.
    """

    cloud: Cloud
    instance: str
    account: str | None
    look: Callable[[], Sequence[Finding]]
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
        """Refuse an account in which something is missing or that is not set up; note what stands already."""
        findings = self.look()
        require(findings)
        for finding in findings:
            if finding.level == "warning":
                run.emit(Notice("warning", finding.what, resolution=finding.fix, step=run.step))
        caller = self.cloud.caller()
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
