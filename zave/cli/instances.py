"""Which recorded instance a command means, and how those stand that a cloud knows better than the record."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from zave.errors import NothingStandsError, SpecError, UsageError, ZaveError
from zave.spec.names import check_name
from zave.state.directory import StateDirectory
from zave.state.records import STANDING
from zave.ui.advice import advice

if TYPE_CHECKING:
    from zave.lifecycle.live import Live
    from zave.state.records import InstanceRecord
    from zave.state.store import StateStore

# a status must be quick: what stands beyond that is told from the record
_MOST_LOOKED_AT = 20


class Instances:
    """The instances on record.

    `open_store` is asked only when the record is needed. `look` says what an instance's cloud says of
    it, None where it lives in none; it raises ZaveError when the cloud cannot be reached.
    `environments` are the names that can be brought up.
    """

    def __init__(
        self,
        directory: StateDirectory,
        *,
        open_store: "Callable[[], StateStore]",
        look: "Callable[[InstanceRecord], Live | None]",
        environments: Callable[[], Sequence[str]],
        rehearsal: bool = False,
    ) -> None:
        self._directory = directory
        self._open_store = open_store
        self._look = look
        self._environments = environments
        self._rehearsal = rehearsal

    def record(self, instance: str) -> "InstanceRecord":
        """The instance's record. Raises NothingStandsError when there is none."""
        store = self._open_store()
        found = store.instance(instance)
        if found is None:
            raise NothingStandsError(
                f"no instance {instance} is recorded",
                where=str(self._directory.database),
                resolution=self._advice(instance, [r.name for r in store.instances()]),
            )
        return found

    def _advice(self, wanted: str, recorded: "Sequence[str]") -> str:
        """What to do about a name that is not on record: only what can be made is advised to be made."""
        import difflib

        environments = self._environments()
        if wanted in environments:
            return f"zave up {wanted} makes one; zave status shows all"
        near = difflib.get_close_matches(wanted, sorted({*recorded, *environments}))
        return f"did you mean {' or '.join(near)}? zave status shows all" if near else "zave status shows all"

    def names(self, env: str, name: str | None) -> tuple[str, str]:
        """(instance, environment) from ENV and --name: ENV may name a recorded instance."""
        check_name(env)
        if name is not None:
            return check_name(name, what="instance"), env
        record = self._open_store().instance(env) if self._directory.database.exists() else None
        return env, record.environment if record is not None else env

    def only_standing(self, name: str | None) -> str:
        """The named instance, or the only one that stands. Raises UsageError when that is unclear."""
        if name is not None:
            return check_name(name, what="instance")
        records = self._open_store().instances()
        live = self.look_at_clouds(records)
        phases = {r.name: (live[r.name].record if r.name in live else r).phase for r in records}
        standing = [name for name, phase in phases.items() if phase in STANDING]
        if len(standing) == 1:
            return standing[0]
        if not standing:
            raise NothingStandsError("nothing is up", resolution="zave status shows all; name the instance")
        raise UsageError(
            f"{len(standing)} instances are up: {', '.join(standing[:10])}",
            resolution="name the one you mean",
        )

    def look_at_clouds(self, records: "Sequence[InstanceRecord]") -> "dict[str, Live]":
        """What the clouds say of recorded instances that should stand; those not reached are left out."""
        billed = [r for r in records if r.platform == "aws-eks" and r.phase in STANDING][:_MOST_LOOKED_AT]
        found: dict[str, Live] = {}
        for summary in billed:
            record = self.record(summary.name)
            try:
                live = self._look(record)
            except SpecError as error:
                sys.stderr.write(f"warning: {record.name}: its record cannot be read: {error.brief}\n")
                continue
            except ZaveError as error:
                sys.stderr.write(f"warning: {record.name}: the account cannot be reached: {error.brief}\n")
                continue
            if live is None:
                continue
            found[record.name] = live
            for warning in live.warnings:
                sys.stderr.write(f"warning: {advice(warning, rehearsal=self._rehearsal)}\n")
        return found
