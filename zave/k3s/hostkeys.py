"""The SSH host keys of machines: read off their serial consoles, kept in a file of the instance's.

A console is the machine's own voice: the hypervisor carries it, not the network. What is on it is
hostile all the same: bounded, matched whole, and only for the machine that was asked about.
"""

import base64
import binascii
import hashlib
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zave.errors import StepFailedError
from zave.render import write_private

# kernel messages and a login prompt may be long; a line with a key is not
_LONGEST_LINE = 2048
_LARGEST_CONSOLE = 16 * 1024 * 1024
_KEYS = r"ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)|ssh-rsa"
# what templates/cloud-init/files/announce-host-keys.sh writes
_ANNOUNCED = re.compile(
    rf"(zave-host-key (\S{{1,128}}) ([0-9a-f-]{{36}}) ({_KEYS}) ([A-Za-z0-9+/]{{40,1500}}={{0,2}}))"
    r" ([0-9a-f]{32})"
)
# what cloud-init writes at the end of the first boot (cc_keys_to_console)
_BEGIN, _END = "-----BEGIN SSH HOST KEY KEYS-----", "-----END SSH HOST KEY KEYS-----"
_IN_BLOCK = re.compile(rf"({_KEYS}) ([A-Za-z0-9+/]{{40,1500}}={{0,2}})(?: [ -~]{{0,256}})?")
_BLOCK_LINES = 40


@dataclass(frozen=True, order=True)
class HostKey:
    """A public host key: its type, and itself in base64."""

    type: str
    key: str

    @property
    def fingerprint(self) -> str:
        """As ssh shows it: `SHA256:...`."""
        digest = hashlib.sha256(base64.b64decode(self.key)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def announced_keys(chunks: Iterable[bytes], node: str) -> tuple[HostKey, ...]:
    """The host keys that the machine `node` told on its console, as of its latest boot there.

    zave's own lines count; where there are none, cloud-init's block does. Raises StepFailedError when
    one boot tells two keys of one type.
    """
    boots: dict[str, set[HostKey]] = {}
    block: set[HostKey] = set()
    room = 0
    for line in _lines(chunks):
        if matched := _ANNOUNCED.fullmatch(line):
            text, name, boot, kind, key, checksum = matched.groups()
            intact = hashlib.sha256(text.encode()).hexdigest()[:32] == checksum
            if intact and name == node and _is_key(kind, key):
                # at the end again: the boot that told last is the latest
                boots[boot] = boots.pop(boot, set()) | {HostKey(kind, key)}
        elif line == _BEGIN:
            room = _BLOCK_LINES
        elif line == _END:
            room = 0
        elif room:
            room -= 1
            if (found := _IN_BLOCK.fullmatch(line)) and _is_key(found[1], found[2]):
                block.add(HostKey(found[1], found[2]))
    latest = next(reversed(boots.values()), block)
    return _unambiguous(latest, node)


class KnownHosts:
    """The file of pinned host keys of one instance (0600), in the form of OpenSSH's known_hosts."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()

    def keys_of(self, name: str) -> tuple[HostKey, ...]:
        """What is pinned for a machine; nothing when it is not known."""
        return tuple(key for owner, key in self._read() if owner == name)

    def pin(self, name: str, keys: Sequence[HostKey]) -> None:
        """Let exactly `keys` be the machine's."""
        with self._lock:
            others = [(owner, key) for owner, key in self._read() if owner != name]
            self._write([*others, *((name, key) for key in keys)])

    def forget(self, names: Sequence[str]) -> None:
        """Drop what is pinned for these machines."""
        with self._lock:
            before = self._read()
            after = [(owner, key) for owner, key in before if owner not in names]
            if after != before:
                self._write(after)

    def _read(self) -> list[tuple[str, HostKey]]:
        try:
            lines = self.file.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []
        words = [line.split() for line in lines]
        return [(w[0], HostKey(w[1], w[2])) for w in words if len(w) == 3 and _is_key(w[1], w[2])]

    def _write(self, pinned: Sequence[tuple[str, HostKey]]) -> None:
        text = "".join(f"{owner} {key.type} {key.key}\n" for owner, key in sorted(pinned))
        write_private(self.file, text.encode())


def _lines(chunks: Iterable[bytes]) -> Iterable[str]:
    """The lines of a console without line ends; those that are too long are dropped whole."""
    rest, taken, skipping = b"", 0, False
    for chunk in chunks:
        taken += len(chunk)
        if taken > _LARGEST_CONSOLE:
            return
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            if not skipping and len(line) <= _LONGEST_LINE:
                yield line.strip(b"\r").decode("utf-8", "replace")
            skipping = False
        if len(rest) > _LONGEST_LINE:
            # its end is still to come, and what is kept must stay small
            rest, skipping = b"", True


def _is_key(kind: str, key: str) -> bool:
    """Whether `key` is base64 of a key that says itself that it is of type `kind` (RFC 4253, 6.6)."""
    try:
        raw = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return False
    return raw.startswith(len(kind).to_bytes(4, "big") + kind.encode()) and len(raw) > len(kind) + 8


def _unambiguous(keys: Iterable[HostKey], node: str) -> tuple[HostKey, ...]:
    found = tuple(sorted(keys))
    types = [key.type for key in found]
    if len(set(types)) != len(types):
        shown = "\n".join(f"{key.type} {key.fingerprint}" for key in found)
        raise StepFailedError(
            f"the console of {node} tells two different SSH host keys of one type",
            details=shown,
            where=f"serial console of {node}",
            resolution="nothing was trusted. Somebody may write to that console: look at it (zave console), "
            "compare with /etc/ssh/*.pub on the machine, reboot it or make it anew, and run zave up again",
        )
    return found
