"""Where zave keeps what it remembers, and the refusal to use a place that others can change."""

import os
import re
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from zave.errors import StateError, UsageError
from zave.spec.names import check_name
from zave.state.lock import unwritable

_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{6}")
_STEP = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")


@dataclass(frozen=True)
class InstanceFolder:
    """The folder of one instance; all its paths. Only the `prepare` methods make anything."""

    root: Path

    @property
    def terraform(self) -> Path:
        """The rendered Terraform root, with Terraform's own state."""
        return self.root / "terraform"

    @property
    def terraform_copies(self) -> Path:
        """Verified copies of Terraform's state."""
        return self.root / "terraform-copies"

    @property
    def logs(self) -> Path:
        """Log files: a folder a run, a file a step."""
        return self.root / "logs"

    @property
    def events(self) -> Path:
        """Event files: one file of JSON lines a run."""
        return self.root / "events"

    @property
    def gitops(self) -> Path:
        """The rendered GitOps tree."""
        return self.root / "gitops"

    @property
    def kubeconfig(self) -> Path:
        """The cluster's kubeconfig."""
        return self.root / "kubeconfig"

    @property
    def survivors(self) -> Path:
        """The file that children of zave hold a lock on while they live."""
        return self.root / "survivors"

    @property
    def lock(self) -> Path:
        """The file of `zave.state.lock.InstanceLock`."""
        return self.root / "lock"

    def run_log(self, run_id: str, step: str) -> Path:
        """The log file of a step in a run. Raises UsageError for what cannot be a run or a step."""
        return self.logs / _checked_run(run_id) / f"{_checked_step(step)}.log"

    def run_events(self, run_id: str) -> Path:
        """The event file of a run. Raises UsageError for what cannot be a run."""
        return self.events / f"{_checked_run(run_id)}.jsonl"

    def prepare(self) -> None:
        """Make the folder, private, with those for Terraform, logs and events."""
        for folder in (self.root.parent, self.root, self.terraform, self.logs, self.events):
            _make_private(folder)

    def prepare_run(self, run_id: str) -> None:
        """Make the folders that a run's logs and events go into."""
        self.prepare()
        _make_private(self.logs / _checked_run(run_id))


@dataclass(frozen=True)
class StateDirectory:
    """The state directory. `base` is the user's; a rehearsal has a `root` of its own inside it."""

    root: Path
    base: Path

    @classmethod
    def locate(cls, environ: Mapping[str, str], *, rehearsal: bool) -> Self:
        """`$ZAVE_STATE_DIR`, else `$XDG_STATE_HOME/zave`, else `~/.local/state/zave`."""
        home = Path(environ.get("HOME") or Path.home())
        xdg = Path(environ.get("XDG_STATE_HOME") or "")
        if own := environ.get("ZAVE_STATE_DIR"):
            base = Path(own).absolute()
        elif xdg.is_absolute():  # the XDG specification: relative paths are to be ignored
            base = xdg / "zave"
        else:
            base = home / ".local" / "state" / "zave"
        return cls(root=base / "rehearsal" if rehearsal else base, base=base)

    @property
    def checked_specs(self) -> Path:
        """The folder of `KeptSpecs`: what is right for a rehearsal is right for all."""
        return self.base / "checked-specs"

    @property
    def prices(self) -> Path:
        """What `zave prices update` keeps: the same for a rehearsal, whose bill is the real one's."""
        return self.base / "prices.json"

    @property
    def database(self) -> Path:
        """The file of `StateStore`."""
        return self.root / "state.db"

    @property
    def database_files(self) -> tuple[Path, Path, Path]:
        """The database with the two files that SQLite keeps beside it."""
        return self.database, self.root / "state.db-wal", self.root / "state.db-shm"

    @property
    def watermark(self) -> Path:
        """The count of commits seen, for `zave.state.integrity.Watermark`."""
        return self.root / "state.sequence"

    @property
    def users_lock(self) -> Path:
        """Locked, shared, by every zave that has the database open."""
        return self.root / "state.lock"

    @property
    def repair_lock(self) -> Path:
        """Locked by the one zave that may repair the database."""
        return self.root / "repair.lock"

    @property
    def world(self) -> Path:
        """The simulated world; there is one in a rehearsal only."""
        return self.root / "world.db"

    @property
    def backups(self) -> Path:
        """Verified copies of the database."""
        return self.root / "backups"

    @property
    def damaged(self) -> Path:
        """Damaged databases, each kept in a folder named by the time it was found."""
        return self.root / "damaged"

    @property
    def instances(self) -> Path:
        """The folder of the instances' folders."""
        return self.root / "instances"

    def instance(self, name: str) -> InstanceFolder:
        """The folder of an instance. Raises UsageError for a name that zave would not have given."""
        return InstanceFolder(self.instances / check_name(name, what="instance"))

    def prepare(self) -> None:
        """Make the directory, 0700, and see that nobody else can change it.

        Raises StateError for a symlink, for what another user owns and for what another user can
        write to; takes away rights to read that others have.
        """
        for folder in dict.fromkeys((self.base, self.root)):
            _make_private(folder)
            _require_writable(folder)
        for folder in (self.backups, self.damaged, self.instances):
            _check_private(folder, directory=True)
        for file in (*self.database_files, self.watermark, self.users_lock, self.repair_lock, self.world):
            _check_private(file, directory=False)


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except FileExistsError:
        pass  # not a directory: told by the check
    except OSError as error:
        raise StateError(
            f"cannot make the folder {folder}",
            details=str(error),
            where=str(folder),
            resolution="make it possible, or set ZAVE_STATE_DIR to a folder of your own",
        ) from error
    _check_private(folder, directory=True)


def _require_writable(folder: Path) -> None:
    """Raise StateError where nothing can be made: SQLite would say that it cannot open what is sound."""
    probe = folder / f".writable.{os.getpid()}.{os.urandom(4).hex()}"
    if os.access(folder, os.W_OK | os.X_OK):
        return
    try:
        # what the system says of a try: nothing else knows why
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise unwritable(folder, str(error.strerror)) from error
    probe.unlink()


def _check_private(path: Path, *, directory: bool) -> None:
    """Refuse what others control, tighten what others may only read. Absent is fine."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    mode = stat.S_IMODE(status.st_mode)
    wanted = 0o700 if directory else 0o600
    expected = stat.S_ISDIR if directory else stat.S_ISREG
    quoted = shlex.quote(str(path))
    if stat.S_ISLNK(status.st_mode):
        raise _refusal(path, "is a symbolic link", f"look where {path} leads and put the real thing there")
    if not expected(status.st_mode):
        raise _refusal(path, f"is not a {'folder' if directory else 'file'}", f"move {path} away")
    if status.st_uid != os.geteuid():
        raise _refusal(
            path,
            f"belongs to another user (uid {status.st_uid})",
            "run zave as that user, or set ZAVE_STATE_DIR to a folder of your own",
        )
    if mode & 0o022:
        raise _refusal(
            path,
            f"can be changed by other users (mode {mode:04o})",
            f"if you trust what is in it: chmod {wanted:o} {quoted}",
        )
    if mode & 0o077:
        path.chmod(mode & wanted)


def _refusal(path: Path, problem: str, resolution: str) -> StateError:
    return StateError(
        f"zave's state cannot be trusted: {path} {problem}", where=str(path), resolution=resolution
    )


def _checked_run(run_id: str) -> str:
    if not _RUN_ID.fullmatch(run_id):
        raise UsageError(f"not a run: {run_id!r}", resolution="zave history lists the runs")
    return run_id


def _checked_step(step: str) -> str:
    # the last line of defence: a step is named on the command line as well (`zave logs`)
    if not _STEP.fullmatch(step):
        raise UsageError(f"not a step: {step!r}", resolution="zave plan lists the steps")
    return step
