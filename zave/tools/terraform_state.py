"""A guard over Terraform's local state, which is not crash-safe.

Terraform truncates `terraform.tfstate` and writes it in place. A kill -9 during an apply left it
empty or corrupt in 36 of 200 runs at 122 KB (1.11.4), in 16 of 100 at 123 KB (1.15.5); with an
empty state `destroy` reports 0 destroyed and exits 0 (tried, 2026-11-23). So zave keeps verified
copies and a seal in its record, and lets no command work on a state that does not follow the seal.
"""

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from zave.errors import TerraformStateError
from zave.tools.terraform_plan import HeldResource
from zave.tools.terraform_statefile import (
    STATE_FILE,
    LocalLock,
    StateFile,
    StateFileError,
    keep_aside,
    read_lock,
    read_state,
    write_durably,
)

__all__ = ["Health", "LocalLock", "Recovery", "StateGuard", "StateHealth", "StateSeal"]

# verified copies that are kept
_KEPT = 10
_COPY = re.compile(r"[0-9]{12}-[0-9a-f]{12}\.tfstate")
# what Terraform itself may leave beside its state: the state before the last run, and one that it
# could not write where it belongs
_ERRORED = "errored.tfstate"
_LEFT_BY_TERRAFORM = (_ERRORED, "terraform.tfstate.backup")

Health = Literal["ok", "newer", "absent", "empty", "unreadable", "emptied", "older", "foreign"]

# damage that a crash explains; after one, the state may be restored without asking
_CRASH = frozenset({"absent", "empty", "unreadable"})


@dataclass(frozen=True)
class StateSeal:
    """What a verified state was: for zave's record. `resources` is the number of managed objects."""

    lineage: str
    serial: int
    resources: int
    sha256: str


@dataclass(frozen=True)
class StateHealth:
    """How the state compares with the seal.

    `ok` is the sealed one; `newer` follows it; `emptied` has lost all its resources without a
    destroy on record; `older` has a smaller serial; `foreign` another lineage, or other content
    under the same serial. `lineage`, `serial` and `resources` are the state's own, where readable.
    """

    kind: Health
    detail: str
    lineage: str | None = None
    serial: int | None = None
    resources: int | None = None

    @property
    def usable(self) -> bool:
        """Whether Terraform may work on it."""
        return self.kind in ("ok", "newer")


@dataclass(frozen=True)
class Recovery:
    """A state that was put back.

    `source` is what it was restored from, None for a fresh start; `evidence` is where the file that
    was found is kept, None where there was none.
    """

    reason: str
    source: Path | None
    evidence: Path | None
    serial: int | None
    resources: int

    def describe(self) -> str:
        """One paragraph for people."""
        if self.source is None:
            text = f"{self.reason}; nothing was recorded as applied before, so Terraform starts from nothing"
        else:
            text = (
                f"{self.reason}; restored from {self.source.name} (serial {self.serial}, "
                f"{self.resources} resources). What was made after that is found in the inventory"
            )
        return (
            text if self.evidence is None else f"{text}. The file that was found is kept as {self.evidence}"
        )


@dataclass(frozen=True)
class StateGuard:
    """Watches over `terraform.tfstate` in `root`; verified copies and evidence go to `copies`.

    Nothing but surplus copies is ever deleted.
    """

    root: Path
    copies: Path

    @property
    def state(self) -> Path:
        """The state's path."""
        return self.root / STATE_FILE

    def refresh(self) -> None:
        """Bring the state to where it is looked at: a local one is there already."""

    def seal(self) -> StateSeal:
        """Verify the state, keep a copy, and return what the record should remember of it.

        To be called after every apply and destroy, failed ones too. Raises TerraformStateError when
        there is no whole state.
        """
        try:
            state = read_state(self.state)
        except StateFileError as error:
            raise TerraformStateError(
                f"Terraform left no usable state: {error}",
                where=str(self.state),
                resolution="run the same command again: it restores the newest verified copy",
            ) from error
        self._keep(state)
        return _seal(state)

    def resources(self) -> tuple[HeldResource, ...]:
        """The managed objects that the state holds; empty when there is no whole state."""
        try:
            return read_state(self.state).resources
        except StateFileError:
            return ()

    def local_lock(self) -> LocalLock | None:
        """The lock that a Terraform holds on the state, or left behind."""
        return read_lock(self.root)

    def inspect(self, seal: StateSeal | None) -> StateHealth:
        """Compare the state with the record's `seal`; None when nothing was ever sealed."""
        try:
            state = read_state(self.state)
        except StateFileError as error:
            if error.trouble == "absent" and (seal is None or seal.resources == 0):
                return StateHealth("ok", "there is no state yet")
            return StateHealth(error.trouble, str(error))
        kind, detail = _compare(state, seal)
        return StateHealth(kind, detail, state.lineage, state.serial, len(state.resources))

    def copied_to(self, root: Path, copies: Path) -> "StateGuard":
        """A guard over a copy of the state, with what it can be repaired from; changes nothing here."""
        self.refresh()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        copies.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = [self.root / name for name in (STATE_FILE, *_LEFT_BY_TERRAFORM)]
        for source in (*beside, *self._copies()):
            # whoever works on it at this moment may take one away
            with suppress(FileNotFoundError):
                shutil.copy2(source, (root if source.parent == self.root else copies) / source.name)
        return StateGuard(root=root, copies=copies)

    def require(self, seal: StateSeal | None, *, interrupted: bool) -> Recovery | None:
        """Let Terraform work only on a state that follows `seal`.

        `interrupted` says that a run is on record as cut off while Terraform may have been at work.
        Then, and where a plan before the first apply left its lock's empty file, damage that a crash
        explains is repaired, and the Recovery returned. All else raises TerraformStateError, and nothing
        is changed.
        """
        health = self.inspect(seal)
        if health.usable or (interrupted and self._destroy_was_under_way(health, seal)):
            unwritten = self._unwritten(health, seal)
            if unwritten is None:
                return None
            return self._restore(unwritten, reason="Terraform could not write its last state")
        if seal is None and not interrupted and self._only_locked():
            # nothing was applied in this life: what is kept here is of lives that ended with a receipt
            return self._start_afresh("a plan was cut off that had made the state file to lock it")
        if not interrupted or health.kind not in _CRASH:
            raise self._refusal(health, seal)
        best = self._best(seal, health)
        if best is None and seal is None:
            return self._start_afresh(f"the first apply was cut off and {health.detail}")
        if best is None or (seal is not None and best.serial < seal.serial):
            raise self._refusal(health, seal)
        return self._restore(best, reason=f"a run was cut off and {health.detail}")

    def recover(self, seal: StateSeal | None) -> Recovery:
        """Put the newest whole state of the seal's lineage back, whatever stands there now.

        What `zave down ENV --recover` does: the user has been told. Raises TerraformStateError when
        there is none.
        """
        health = self.inspect(seal)
        best = self._best(seal, health)
        if best is None:
            raise TerraformStateError(
                "there is no whole copy of Terraform's state to recover from",
                where=str(self.copies),
                details=health.detail,
                resolution="`zave sweep` shows what exists, `zave sweep --delete` removes it",
            )
        return self._restore(best, reason=f"recovery was asked for: {health.detail}")

    def candidates(self, seal: StateSeal | None) -> list[StateFile]:
        """Whole states to recover from, the best first: not emptied, highest serial, most resources.

        Only those of the seal's lineage; without a seal all of them. Not the state itself.
        """
        found: list[StateFile] = []
        for path in [*(self.root / name for name in _LEFT_BY_TERRAFORM), *self._copies()]:
            with suppress(StateFileError):
                state = read_state(path)
                if seal is None or state.lineage == seal.lineage:
                    found.append(state)
        some = seal is not None and seal.resources > 0
        return sorted(
            found,
            key=lambda state: (not (some and not state.resources), state.serial, len(state.resources)),
            reverse=True,
        )

    def _best(self, seal: StateSeal | None, health: StateHealth) -> StateFile | None:
        found = self.candidates(seal)
        if health.usable and health.serial is not None:
            # nothing is wrong with the state: only what is newer is better
            found = [read_state(self.state), *(one for one in found if one.serial > health.serial)]
            found.sort(key=lambda state: state.serial, reverse=True)
        return found[0] if found else None

    def _unwritten(self, health: StateHealth, seal: StateSeal | None) -> StateFile | None:
        """What Terraform saved as `errored.tfstate` when it could not write the state itself."""
        try:
            errored = read_state(self.root / _ERRORED)
        except StateFileError:
            return None
        lineage = health.lineage or (seal.lineage if seal else errored.lineage)
        serial = -1 if health.serial is None else health.serial
        return errored if errored.lineage == lineage and errored.serial > serial else None

    def _copies(self) -> list[Path]:
        """Verified copies, the oldest first."""
        if not self.copies.is_dir():
            return []
        return sorted(path for path in self.copies.iterdir() if _COPY.fullmatch(path.name))

    def _keep(self, state: StateFile) -> None:
        copies = self._copies()
        # the number counts up with every copy: serials of a recovered state may repeat
        number = int(copies[-1].name.partition("-")[0]) + 1 if copies else 1
        suffix = f"-{state.sha256[:12]}.tfstate"
        if copies and copies[-1].name.endswith(suffix):
            return
        self.copies.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy = self.copies / f"{number:012d}{suffix}"
        write_durably(copy, state.content)
        # read back: a copy that cannot be trusted is none
        read_state(copy)
        for surplus in self._copies()[:-_KEPT]:
            surplus.unlink(missing_ok=True)

    def _restore(self, best: StateFile, *, reason: str) -> Recovery:
        evidence = self._evidence()
        if best.path != self.state:
            write_durably(self.state, best.content)
        return Recovery(reason, best.path, evidence, best.serial, len(best.resources))

    def _only_locked(self) -> bool:
        """Whether the state is the file without a byte that Terraform's lock makes.

        Seen with Terraform 1.11.4 (2026-11-23): the local backend creates the file to lock it, before a
        plan, and takes an empty one away when it unlocks. A plan that is killed cannot.
        """
        try:
            return self.state.stat().st_size == 0
        except FileNotFoundError:
            return False

    def _start_afresh(self, reason: str) -> Recovery:
        evidence = self._evidence()
        # Terraform refuses an empty or damaged file, and takes a missing one for a new state
        self.state.unlink(missing_ok=True)
        return Recovery(reason, None, evidence, None, 0)

    def _evidence(self) -> Path | None:
        """Keep what stands at the state's place before it is replaced."""
        if not self.state.exists():
            return None
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        return keep_aside(self.state, self.copies / f"damaged-{stamp}-{os.getpid()}")

    @staticmethod
    def _destroy_was_under_way(health: StateHealth, seal: StateSeal | None) -> bool:
        """A cut-off destroy empties the state, and counts its serial on while it does."""
        return (
            health.kind == "emptied"
            and seal is not None
            and health.serial is not None
            and health.serial > seal.serial
        )

    def _refusal(self, health: StateHealth, seal: StateSeal | None) -> TerraformStateError:
        known = [
            f"{candidate.path} (serial {candidate.serial}, {len(candidate.resources)} resources)"
            for candidate in self.candidates(seal)
        ]
        details = [f"found: {health.detail}"]
        if seal is not None:
            details.append(
                f"on record: serial {seal.serial}, {seal.resources} resources, lineage {seal.lineage}"
            )
        details += [f"can be recovered: {line}" for line in known] or ["no copy to recover from was found"]
        return TerraformStateError(
            f"Terraform's state cannot be trusted ({health.kind}); nothing was changed",
            where=str(self.state),
            details="\n".join(details),
            resolution=(
                "`zave down ENV --recover` puts the newest verified copy back, keeps the file that is there "
                "as evidence, and goes on"
                if known
                else "put the right state file back, or delete by `zave sweep --delete` what it described"
            ),
        )


def _seal(state: StateFile) -> StateSeal:
    return StateSeal(state.lineage, state.serial, len(state.resources), state.sha256)


def _compare(state: StateFile, seal: StateSeal | None) -> tuple[Health, str]:
    what = f"{state.path.name} has serial {state.serial} and {len(state.resources)} resources"
    if seal is None:
        return "newer", f"{what}; nothing was ever recorded"
    emptied = bool(seal.resources and not state.resources)
    findings: list[tuple[bool, Health, str]] = [
        (state.sha256 == seal.sha256, "ok", ""),
        (state.lineage != seal.lineage, "foreign", f", and is of another lineage ({state.lineage})"),
        (state.serial < seal.serial, "older", ", older than the record"),
        (emptied, "emptied", ", and no destroy is on record"),
        (state.serial > seal.serial, "newer", ""),
        (len(state.resources) != seal.resources, "foreign", ", not what was recorded under this serial"),
        # Terraform may write the same content anew, for instance after an upgrade
        (True, "ok", ""),
    ]
    return next((kind, what + more) for applies, kind, more in findings if applies)
