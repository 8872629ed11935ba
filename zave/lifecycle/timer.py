"""The second line: a systemd user timer that runs `zave reap`, whether anybody thinks of it or not."""

import os
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zave.errors import UsageError
from zave.ports import Request, Runner
from zave.render import write_private

NAME = "zave-reap"
"""The units are `zave-reap.service` and `zave-reap.timer`."""

_MARK = "# made by `zave reap --install-timer`, removed by `zave reap --remove-timer`"
# as often as the switch fires
_EVERY = "*:0/30"
_LIMIT = 30.0
# how zave is told what it works with; names and places, never a secret
_CARRIED = (
    "ZAVE_STATE_DIR",
    "XDG_STATE_HOME",
    "XDG_CONFIG_HOME",
    "ZAVE_TERRAFORM",
    "ZAVE_PROVIDER_MIRROR",
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",
    # a user's own systemd knows no ~/.local/bin
    "PATH",
)
# where systemctl finds the user's own manager
_TO_MANAGER = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "HOME", "PATH")


@dataclass(frozen=True)
class Timer:
    """The units of one user. `command` is what they run: an argument list with absolute paths."""

    folder: Path
    command: Sequence[str]
    runner: Runner
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @classmethod
    def locate(
        cls, command: Sequence[str], *, runner: Runner, environ: Mapping[str, str] = os.environ
    ) -> "Timer":
        """The timer in `$XDG_CONFIG_HOME/systemd/user`, else `~/.config/systemd/user` (systemd.unit(5))."""
        given = Path(environ.get("XDG_CONFIG_HOME") or "")
        # the XDG specification: a relative path is to be ignored
        base = given if given.is_absolute() else Path(environ.get("HOME") or Path.home()) / ".config"
        return cls(base / "systemd" / "user", command, runner, environ)

    def units(self) -> dict[str, str]:
        """The text of each unit, by file name."""
        carried = [f"{name}={self.environ[name]}" for name in _CARRIED if self.environ.get(name)]
        service = [
            _MARK,
            "[Unit]",
            "Description=zave: take down every demo that is past its end",
            "",
            "[Service]",
            "Type=oneshot",
            *(f"Environment={quoted(each, variables=False)}" for each in carried),
            f"ExecStart={' '.join([_program(self.command[0]), *map(quoted, self.command[1:])])}",
            # Terraform gets its interrupt from zave, once: a second one makes it lose data
            "KillMode=mixed",
            "TimeoutStopSec=10min",
            "UMask=0077",
        ]
        timer = [
            _MARK,
            "[Unit]",
            "Description=zave: look twice an hour for demos that are past their end",
            "",
            "[Timer]",
            f"OnCalendar={_EVERY}",
            # what a machine slept through is made up for
            "Persistent=true",
            "RandomizedDelaySec=2min",
            "",
            "[Install]",
            "WantedBy=timers.target",
        ]
        return {f"{NAME}.service": "\n".join(service) + "\n", f"{NAME}.timer": "\n".join(timer) + "\n"}

    def install(self) -> dict[str, Any]:
        """Write and enable; the `zave/timer/v1` document. Raises UsageError for units of somebody else's."""
        units = self.units()
        for name in units:
            self._require_own(self.folder / name)
        before = {name: self._text(name) for name in units}
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in units.items():
            write_private(self.folder / name, text.encode())
        wanted = [["daemon-reload"], ["enable", "--now", f"{NAME}.timer"]]
        return self._document(
            "unchanged" if before == units else "installed", self._systemctl(wanted), wanted
        )

    def remove(self) -> dict[str, Any]:
        """Disable and delete; the `zave/timer/v1` document. Absent is fine."""
        there = [name for name in self.units() if self._text(name) is not None]
        for name in there:
            self._require_own(self.folder / name)
        if not there:
            return self._document("absent", True, [])
        stopped = self._systemctl([["disable", "--now", f"{NAME}.timer"]])
        for name in there:
            (self.folder / name).unlink(missing_ok=True)
        wanted = [["daemon-reload"]] if stopped else [["stop", f"{NAME}.timer"], ["daemon-reload"]]
        return self._document("removed", self._systemctl(wanted), wanted)

    def shown(self) -> dict[str, Any]:
        """The document of a rehearsal: what `install` would write; nothing is written."""
        return self._document("shown", True, [])

    def _document(self, action: str, done: bool, wanted: Sequence[Sequence[str]]) -> dict[str, Any]:
        by_hand = "; ".join(shlex.join(["systemctl", "--user", *words]) for words in wanted)
        return {
            "schema": "zave/timer/v1",
            "action": action,
            "folder": str(self.folder),
            "units": self.units() if action in ("installed", "unchanged", "shown") else {},
            "enabled": done and action in ("installed", "unchanged"),
            # a session that systemd does not know of, or a machine without it
            "by_hand": None if done else by_hand,
        }

    def _systemctl(self, calls: Sequence[Sequence[str]]) -> bool:
        """Whether the user's manager did all of it."""
        program = shutil.which("systemctl", path=self.environ.get("PATH"))
        if program is None:
            return False
        environment = {name: self.environ[name] for name in _TO_MANAGER if name in self.environ}
        with tempfile.TemporaryDirectory(prefix="zave-") as scratch:
            return all(
                self.runner.run(
                    Request(
                        argv=(program, "--user", *words),
                        cwd=Path(scratch),
                        log=Path(scratch, "log"),
                        environment=environment,
                        timeout=_LIMIT,
                    )
                ).exit_code
                == 0
                for words in calls
            )

    def _text(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None

    def _require_own(self, path: Path) -> None:
        if path.is_symlink() or (path.exists() and _MARK not in path.read_text(errors="replace")):
            raise UsageError(
                f"{path} is not zave's",
                where=str(path),
                resolution="move it away, or keep it and need no other",
            )


def _program(path: str) -> str:
    """The first word of a command line: systemd 252 replaces no variables in it, and takes no quotes."""
    if any(letter in path for letter in "\"'\\"):
        raise UsageError(
            f"systemd cannot start {path!r}: no quote or backslash may be in a program's path",
            resolution="install zave in a folder without them",
        )
    return quoted(path, variables=False)


def quoted(word: str, *, variables: bool = True) -> str:
    """`word` as systemd reads it back literally (systemd.service(5), systemd.syntax(7)).

    `variables`: `$` is special there, as on a command line. Raises UsageError for a line break.
    """
    if any(not letter.isprintable() for letter in word):
        raise UsageError(
            f"{word!r} cannot stand in a systemd unit", resolution="use a path without such signs"
        )
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text.replace("$", "$$") if variables else text}"'
