"""Everything that a verb over one instance works with, as `cli/context.py` put it together."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zave.engine.step import Step
from zave.errors import PreconditionError
from zave.lifecycle.cleanup import Cleanup, LocalCleanup
from zave.lifecycle.run import Journal, Run, close_cut_off_runs
from zave.platforms import blueprint_of
from zave.platforms.blueprint import Blueprint
from zave.spec.load import spec_document
from zave.state.records import InstanceRecord, Phase
from zave.steps.site import Site
from zave.survivors import settle

if TYPE_CHECKING:
    from zave.spec import AwsSpec, LibvirtSpec


@dataclass(frozen=True)
class Place:
    """One instance with its spec, its site and its journal.

    `patience` is how long (real seconds) a program of an earlier, killed zave may go on before it
    is interrupted. `spec_file` is where the spec was read, None where it is the record's.
    """

    spec: "LibvirtSpec | AwsSpec"
    site: Site
    journal: Journal
    ssh_keys: tuple[str, ...]
    patience: float
    spec_file: Path | None = None

    @property
    def instance(self) -> str:
        """The instance's name."""
        return self.site.instance

    @cached_property
    def blueprint(self) -> Blueprint:
        """What the platform makes of the spec."""
        return blueprint_of(self.spec, site=self.site, ssh_keys=self.ssh_keys)

    @property
    def steps(self) -> Sequence[Step]:
        """The platform's steps for this instance."""
        return self.blueprint.steps

    @cached_property
    def cleanup(self) -> Cleanup:
        """How a teardown of this platform ends."""
        if self.site.tools.cloud is None:
            return LocalCleanup(self.site)
        from zave.lifecycle.cloud_cleanup import CloudCleanup

        return CloudCleanup(self.site, self.site.tools.cloud)

    def record(self) -> InstanceRecord:
        """The instance's record; a fresh one, not stored yet, where there is none."""
        found = self.site.store.instance(self.instance)
        if found is not None:
            return found
        return InstanceRecord(
            name=self.instance,
            environment=self.journal.environment,
            platform=self.spec.platform,
            phase="absent",
            created_at=self.site.tools.clock.now(),
            expires_at=None,
            spec=spec_document(self.spec),
            outputs={},
        )

    def begin_life(self) -> InstanceRecord:
        """The record to bring up: stored, and with a new moment of creation after a teardown."""
        record = self.record()
        if record.phase in ("absent", "destroyed"):
            now = self.site.tools.clock.now()
            record = replace(record, phase="absent", created_at=now, expires_at=None, outputs={})
        self.site.store.save_instance(record)
        return record

    def save(self, *, phase: Phase, **changes: Any) -> None:
        """Store the instance's record in a new phase."""
        self.site.store.save_instance(replace(self.record(), phase=phase, **changes))

    def require_same_platform(self) -> None:
        """Refuse to turn an instance of one platform into one of another."""
        record = self.site.store.instance(self.instance)
        if record is not None and record.phase != "destroyed" and record.platform != self.spec.platform:
            raise PreconditionError(
                f"{self.instance} is recorded as {record.platform}, the spec says {self.spec.platform}",
                resolution=f"zave down {self.instance} first, or give the new one another name (--name)",
            )

    def take_over(self, run: Run) -> None:
        """Find out what a killed zave left: runs that never ended, programs that still work."""
        for command in close_cut_off_runs(self.site.store, self.instance, own=run.id):
            run.notice(f"an earlier run was cut off: {command}; going on from what it left")
        settle(self.site.folder.survivors, patience=self.patience, say=run.notice)
        for scratch in self.site.folder.root.glob("plan-*"):
            shutil.rmtree(scratch, ignore_errors=True)
