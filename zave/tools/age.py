"""age keys (X25519): made here, kept in one private file, the newest first.

The library is `pyrage`, the Rust implementation of age with Python bindings: no program has to be there.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zave.errors import StateError
from zave.render import write_private

_PREFIX = "AGE-SECRET-KEY-"
_LONGEST = 16 * 1024


@dataclass(frozen=True)
class AgeKeys:
    """The identities in the file at `path`; the first is the one in force, a second one is being left."""

    path: Path

    def recipient(self) -> str | None:
        """The public half of the key in force; None when there is no key yet.

        Raises StateError for a file that others can read, or that holds no key.
        """
        found = self._identities()
        return str(found[0].to_public()) if found else None

    def recipients(self) -> tuple[str, ...]:
        """The public halves of all keys, the one in force first."""
        return tuple(str(each.to_public()) for each in self._identities())

    def make(self) -> str:
        """Make a key where there is none yet; its public half."""
        return self.recipient() or self._add([])

    def rotate(self) -> str:
        """Make a new key and keep all that there are beside it, until `prune`. Its public half."""
        return self._add([str(each) for each in self._identities()])

    def prune(self) -> None:
        """Keep the key in force and the one before it: what Flux has not fetched yet is for that one."""
        kept = self._identities()[:2]
        if kept:
            self._write(kept[0], [str(each) for each in kept[1:]])

    def secret(self) -> bytes:
        """The file as Flux reads it (`age.agekey` in its Secret). Raises StateError when there is none."""
        self._wanted()
        return self.path.read_bytes()

    def encrypt(self, content: bytes) -> str:
        """`content` for the key in force, armored."""
        from pyrage import encrypt  # type: ignore[import-untyped]

        first = self._wanted()[0]
        return bytes(encrypt(content, [first.to_public()], armored=True)).decode()

    def decrypt(self, armored: str) -> bytes | None:
        """The content; None when it is not for any of these keys, or is broken."""
        from pyrage import DecryptError, decrypt

        try:
            return bytes(decrypt(armored.encode(), self._wanted()))
        except DecryptError:
            return None

    def _add(self, others: list[str]) -> str:
        from pyrage import x25519

        made = x25519.Identity.generate()
        self._write(made, others)
        return str(made.to_public())

    def _write(self, first: Any, others: list[str]) -> None:
        lines = [f"# public key: {first.to_public()}", str(first), *others]
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.path, "".join(f"{line}\n" for line in lines).encode())

    def _wanted(self) -> list[Any]:
        found = self._identities()
        if not found:
            raise StateError(
                "there is no key for encrypted secrets yet",
                where=str(self.path),
                resolution="`zave secrets init` makes one",
            )
        return found

    def _identities(self) -> list[Any]:
        from pyrage import IdentityError, x25519

        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _untrusted(self.path, str(error.strerror)) from error
        with os.fdopen(descriptor, "rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise _untrusted(self.path, "others may read it")
            text = file.read(_LONGEST).decode("utf-8", "replace")
        try:
            found = [x25519.Identity.from_str(line) for line in text.split() if line.startswith(_PREFIX)]
        except IdentityError:
            found = []
        if not found:
            # never made anew over a broken one: what was encrypted for it would be lost
            raise _untrusted(self.path, "it holds no age key")
        return found


def _untrusted(path: Path, why: str) -> StateError:
    return StateError(
        f"the key for encrypted secrets cannot be used: {why}",
        where=str(path),
        resolution="put it back from your copy, 0600; or move it away, and `zave secrets init` and "
        "`zave secrets set` begin again",
    )
