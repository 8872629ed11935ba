"""Step `ttl-switch`: the dead-man's switch, armed and proven before anything that costs is made."""

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from zave.aws.arming import Term, arm
from zave.aws.bundle import InstanceFacts, Packed, build_bundle
from zave.aws.switch import MENDED, WARN, read_back
from zave.clock import rfc3339
from zave.engine.step import Probe, StepRun, digest
from zave.ports.cloud import Cloud, StoredPrograms
from zave.render import write_tfvars
from zave.steps.infra import VARIABLES, Variables
from zave.steps.render import RootTemplate
from zave.steps.site import Site


@dataclass(frozen=True)
class TtlSwitch:
    """Arms the instance's schedule. `ttl`: seconds from the first arming; a rerun keeps the expiry.

    `beside` is what can be done while the proof runs. `warn`: seconds before the expiry, for mails.
    `email` hears of it. `maximum`: seconds that the spec lets an instance live at most, from its creation.
    """

    site: Site
    cloud: Cloud
    root: RootTemplate
    variables: Variables
    facts: Callable[[], InstanceFacts]
    spec: Mapping[str, Any]
    ttl: float
    beside: Callable[[StepRun], AbstractContextManager[None]]
    warn: tuple[int, ...] = WARN
    maximum: float | None = None
    email: str | None = None
    name: str = "ttl-switch"
    needs: tuple[str, ...] = ("state-backend", "render")

    def fingerprint(self) -> str:
        """Everything that the destroyer will work from; not the TTL, which `extend` changes."""
        return digest([dict(self.spec), self.root.digest(self.site.project)])

    def probe(self, outputs: Mapping[str, Any]) -> Probe:
        """The schedule reads back as `status` would call it armed, and runs the bundle that was proven."""
        schedule = self.cloud.switchboard.schedule(self.site.instance)
        if schedule is None:
            return Probe(False, "the switch is gone")
        if schedule.bundle_sha256 != outputs.get("bundle_sha256"):
            return Probe(False, "the switch was altered: it runs another bundle than was proven")
        status = read_back(
            self.cloud, self.site.tools.clock, instance=self.site.instance, warn=self.warn, email=self.email
        )
        # one judgement for both: what `status` calls not armed must not be called up to date
        broken = [warning.text for warning in status.warnings if warning.kind in MENDED]
        return Probe(not broken, f"the switch was altered: {broken[0]}" if broken else "")

    def do(self, run: StepRun) -> dict[str, Any]:
        """Pack what destroys the instance, set the schedule, prove it by a run in check mode."""
        packed = self._pack(run)
        run.say("arming the switch, and proving it by a run of the destroyer in check mode")
        with self.beside(run):
            armed = arm(
                self.cloud,
                self.site.tools.clock,
                instance=self.site.instance,
                term=self._term(),
                bundle=packed,
            )
        if armed.restored:
            run.say(
                f"{self.site.instance} stood without a switch: its life goes on where it was, "
                f"until {rfc3339(armed.expires_at)}"
            )
        record = self.site.store.instance(self.site.instance)
        if record is not None:
            self.site.store.save_instance(dataclasses.replace(record, expires_at=armed.expires_at))
        return {
            "expires_at": rfc3339(armed.expires_at),
            "bundle_sha256": packed.sha256,
            "proof": armed.proof.id,
        }

    def undo(self, run: StepRun) -> None:
        """Nothing here: the switch outlives what it destroys, until the inventory is empty."""

    def _term(self) -> Term:
        record = self.site.store.instance(self.site.instance)
        if record is None:
            return Term(self.ttl, self.warn, email=self.email)
        latest = None if self.maximum is None else record.created_at + timedelta(seconds=self.maximum)
        return Term(self.ttl, self.warn, recorded=record.expires_at, latest=latest, email=self.email)

    def _pack(self, run: StepRun) -> Packed:
        root = self.site.folder.terraform
        write_tfvars(root / VARIABLES, self.variables(run.outputs))
        programs = self._programs(run, root)
        return build_bundle(root, spec=self.spec, facts=self.facts(), programs=programs)

    def _programs(self, run: StepRun, root: Path) -> StoredPrograms | None:
        """What the destroyer is to run, in the bucket; None where it needs nothing from here."""
        tools = self.site.tools
        if tools.programs is None:
            return None

        def initialise() -> None:
            # before the root is packed: the providers, and the lock file that pins them, go along
            tools.terraform(root=root, log=run.log).init()

        return tools.programs.store(root, bucket=self.cloud.bucket, initialise=initialise, say=run.say)
