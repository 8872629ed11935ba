"""How a drill kills: one process alone, or one with everything that it started."""

import os
import signal
from pathlib import Path


def processes_knowing(folder: Path) -> set[int]:
    """Live processes whose environment names `folder`: all that zave starts inherit that."""
    needle, found = os.fsencode(folder), set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if needle in (entry / "environ").read_bytes():
                found.add(int(entry.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def descendants(root: int) -> set[int]:
    """Every process below `root`, whatever its session."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # after the name in brackets, which may hold anything: state, ppid
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = set(), [root]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.add(child)
            waiting.append(child)
    return found


def kill_everything(root: int, folder: Path) -> None:
    """Stop `root` and all that belongs to it, then kill them: none can start another in between."""
    stopped: set[int] = set()
    while more := ({root} | descendants(root) | processes_knowing(folder)) - stopped:
        for pid in more:
            send(pid, signal.SIGSTOP)
        stopped |= more
    for pid in stopped:
        send(pid, signal.SIGKILL)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that has ended is fine."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it ended by itself
