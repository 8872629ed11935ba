"""Forgetting every rehearsal: the records and folders of the rehearsed instances."""

import fcntl
import shutil
from contextlib import ExitStack

from zave.clock import SystemClock
from zave.errors import LockedError
from zave.state.directory import StateDirectory
from zave.state.integrity import FileLock
from zave.state.lock import Holder, InstanceLock

# seconds that a status may take to come to its end
_PATIENCE = 5.0


def forget_rehearsals(directory: StateDirectory) -> None:
    """Remove a rehearsal's records and instances, not its world.

    Raises LockedError, and removes nothing, while a run or a program of a killed run is at work.
    """
    from zave.survivors import find

    if directory.root == directory.base:
        raise ValueError("only rehearsals may be forgotten")
    if not directory.root.exists():
        return  # nothing was ever rehearsed
    folders = [entry for entry in directory.instances.glob("*") if entry.is_dir() and not entry.is_symlink()]
    me = Holder.here(command="rehearse reset", run_id="", since=SystemClock().now())
    with ExitStack() as locks:
        for folder in folders:
            locks.enter_context(InstanceLock(folder / "lock").acquire(me))
            for survivor in find(folder / "survivors"):
                raise LockedError(
                    f"a program of an earlier run still works on {folder.name}",
                    details=f"pid {survivor.pid}: {survivor.command}",
                    resolution=f"zave down {folder.name} --rehearse deals with it; or wait",
                )
        users = FileLock(directory.users_lock)
        locks.callback(users.close)
        if not users.take(fcntl.LOCK_EX, patience=_PATIENCE):
            raise LockedError("another zave is reading the rehearsals' record", resolution="try again")
        # the record last: cut off before, this can be repeated; without these it would be restored
        for folder in (directory.backups, directory.damaged, *folders):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (directory.watermark, *reversed(directory.database_files)):
            file.unlink(missing_ok=True)
