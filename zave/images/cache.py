"""The vendors' images on this machine: fetched once, verified before they have their name, and kept."""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zave.clock import Clock, rfc3339
from zave.errors import StepFailedError
from zave.images.holding import held, kept_below
from zave.images.lock import Pin
from zave.images.publisher import Publisher, Shelf, artifact_shelf
from zave.images.qcow2 import virtual_size
from zave.images.seal import Seal, digests, read_document, write_document
from zave.ports.machines import Say
from zave.tools.download import AbsentError, TooLargeError

# the largest cloud images take 2 GB
_LIMIT = 16 * 1024**3
_FILES = (".qcow2", ".part")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Kept:
    """A verified image: `name` tells base and checksum, `since` when it came (RFC 3339)."""

    name: str
    path: Path
    seal: Seal
    checksum: str
    since: str


@dataclass(frozen=True)
class VendorCache:
    """The images in `folder`; what is missing comes from where `publisher` says it is."""

    folder: Path
    publisher: Publisher
    clock: Clock
    interrupted: Callable[[], bool]

    def find(self, pin: Pin) -> Kept | None:
        """The pinned image, if it is here and intact.

        Quick while the file is untouched; in doubt it is verified as a whole. Never changes anything
        but the note of having verified it.
        """
        path = self.path_of(pin)
        if not path.is_file():
            return None
        known = self._noted(pin)
        if known is not None and known.checksum == pin.literal and known.seal.fits(path):
            return known
        found = digests(path, {pin.algorithm, "sha256"}, interrupted=self.interrupted)
        if found[pin.algorithm] != pin.checksum:
            return None
        return self._note(pin, path, found["sha256"])

    def ensure(self, pin: Pin, *, say: Say) -> Kept:
        """The pinned image, fetched when it is not here.

        Raises StepFailedError when what comes is not what is pinned; PreconditionError for a full
        disk. What a cut-off download left is gone on with.
        """
        with held(self._lock(pin), clock=self.clock, interrupted=self.interrupted, say=say):
            found = self.find(pin)
            if found is not None:
                return found
            if pin.own_file is not None:
                raise _own_changed(pin, pin.own_file)
            path = self.path_of(pin)
            if path.exists():
                say(f"{path.name} is damaged: fetching it again", None)
                path.unlink()
            return self._fetch(pin, path, say)

    def all(self) -> Iterator[Kept]:
        """The vendors' images that are here, in no order."""
        for file in sorted(self.folder.glob("*.json")):
            kept = self._read(file, self.folder / f"{file.stem}.qcow2")
            if kept is not None and kept.path.is_file():
                yield kept

    def remove(self, name: str, *, say: Say) -> None:
        """Remove an image with all that belongs to it. Gone already is fine."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"not an image: {name!r}")
        lock = self.folder / f"{name}.lock"
        with held(lock, clock=self.clock, interrupted=self.interrupted, say=say):
            for suffix in (".json", ".qcow2", ".part"):
                (self.folder / f"{name}{suffix}").unlink(missing_ok=True)

    def strays(self, pins: Iterable[Pin]) -> Iterator[Path]:
        """Files that belong to no image and to none of `pins`, whose downloads will be gone on with."""
        wanted = {name_of(pin) for pin in pins}
        for file in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            known = file.suffix == ".qcow2" and self._read(file.with_suffix(".json"), file) is not None
            if file.suffix in _FILES and _NAME.fullmatch(file.stem) and file.stem not in wanted and not known:
                yield file

    def path_of(self, pin: Pin) -> Path:
        """Where the image is, or will be."""
        return pin.own_file or self.folder / f"{name_of(pin)}.qcow2"

    def _fetch(self, pin: Pin, path: Path, say: Say) -> Kept:
        shelf, part = self._shelf(pin), path.with_suffix(".part")
        if not pin.serial:
            self._require_unmoved(pin, shelf)
        resumed = self._bring(pin, shelf, part, say)
        found = self._verified(pin, part, say)
        if found is None and resumed:
            say(f"{pin.base}: what an earlier try left does not fit; starting over", 0.0)
            self._bring(pin, shelf, part, say)
            found = self._verified(pin, part, say)
        if found is None:
            raise _mismatch(pin, shelf)
        with self._dropped(part):
            virtual_size(part)
        with kept_below(self.folder, path.name):
            part.replace(path)
        return self._note(pin, path, found)

    def _bring(self, pin: Pin, shelf: Shelf, part: Path, say: Say) -> bool:
        """Let the image come to `part`; True when it went on from what an earlier try brought."""
        absent: list[AbsentError] = []
        for file in self._names(pin):
            try:
                return shelf.fetch(file, part, limit=pin.size or _LIMIT, say=say)
            except AbsentError as error:
                absent.append(error)
            except TooLargeError as error:
                if pin.size is None:
                    raise
                part.unlink(missing_ok=True)
                raise _mismatch(pin, shelf) from error
        raise _gone(pin, shelf, absent, kept=self.path_of(pin)) from absent[0]

    def _verified(self, pin: Pin, part: Path, say: Say) -> str | None:
        """The SHA-256 of what has come, if it is what is pinned; else it is dropped."""
        say(f"verifying {pin.base} against images.lock", None)
        found = digests(part, {pin.algorithm, "sha256"}, interrupted=self.interrupted)
        if found[pin.algorithm] == pin.checksum:
            return found["sha256"]
        part.unlink()
        return None

    def _shelf(self, pin: Pin) -> Shelf:
        artifacts = self.publisher.artifacts
        if artifacts is not None:
            return artifact_shelf(artifacts, pin.base, self.publisher.web)
        return Shelf(pin.url.rpartition("/")[0], self.publisher.web)

    def _names(self, pin: Pin) -> list[str]:
        """What the image may be called where it comes from."""
        pinned = pin.url.rpartition("/")[2]
        if self.publisher.artifacts is None:
            return [pinned]
        # a dated build's name may hold its date: artifacts have what the vendor calls its present one as well
        return list(dict.fromkeys(filter(None, [pinned, self.publisher.published_as(pin.base)])))

    def _require_unmoved(self, pin: Pin, shelf: Shelf) -> None:
        """Before a long download that could only end in a mismatch."""
        listed = self.publisher.listed(pin, shelf)
        if listed is not None and listed != pin.checksum:
            raise _mismatch(pin, shelf)

    def _note(self, pin: Pin, path: Path, sha256: str) -> Kept:
        kept = Kept(name_of(pin), path, Seal.of(path, sha256), pin.literal, rfc3339(self.clock.now()))
        document = {"checksum": kept.checksum, "seal": kept.seal.document(), "since": kept.since}
        # a full disk keeps nobody from using an image: it is verified again the next time
        with contextlib.suppress(OSError):
            write_document(self.folder / f"{kept.name}.json", document)
        return kept

    def _noted(self, pin: Pin) -> Kept | None:
        return self._read(self.folder / f"{name_of(pin)}.json", self.path_of(pin))

    def _read(self, file: Path, path: Path) -> Kept | None:
        document: Any = read_document(file)
        try:
            seal = Seal.from_document(document["seal"])
            return Kept(file.stem, path, seal, str(document["checksum"]), str(document["since"]))
        except (TypeError, KeyError, ValueError):
            return None

    def _lock(self, pin: Pin) -> Path:
        return self.folder / f"{name_of(pin)}.lock"

    @staticmethod
    @contextlib.contextmanager
    def _dropped(part: Path) -> Iterator[None]:
        """Drop what came when the body refuses it: going on with it could not help."""
        try:
            yield
        except StepFailedError:
            part.unlink()
            raise


def name_of(pin: Pin) -> str:
    """What the image is called: its base and the first digits of its checksum."""
    return f"{pin.base}-{pin.checksum[:12]}"


def _mismatch(pin: Pin, shelf: Shelf) -> StepFailedError:
    return StepFailedError(
        f"{pin.base}: what is published is not what images.lock pins",
        details=f"pinned: {pin.literal} since {pin.first_used} ({pin.verified_by})",
        where=str(shelf.place),
        resolution=f"vendors replace their images every few weeks: `zave build-image --base {pin.base} "
        "--update` verifies and pins the present one. If they have not, the file was tampered with",
    )


def _gone(pin: Pin, shelf: Shelf, absent: Sequence[AbsentError], *, kept: Path) -> StepFailedError:
    build = f" (build {pin.serial})" if pin.serial else ""
    file = pin.url.rpartition("/")[2]
    return StepFailedError(
        f"{pin.base}: the image that images.lock pins{build} cannot be had",
        details="\n".join(
            [f"pinned: {pin.literal} since {pin.first_used}: {file}", *(each.brief for each in absent)]
        ),
        where=str(shelf.place),
        resolution="vendors keep a dated build for a while only. Three ways on: "
        f"`zave build-image --base {pin.base} --update` verifies and pins the present one; or copy "
        f"images/vendors/{kept.name} of a machine that has it to {kept}, or as {file} into "
        f"images/{pin.base} of `artifacts`; or `zave build-image --base {pin.base} --source FILE` pins "
        "an image of your own",
    )


def _own_changed(pin: Pin, file: Path) -> StepFailedError:
    what = "is not the file that images.lock pins" if file.is_file() else "is not there"
    return StepFailedError(
        f"{pin.base}: {file} {what}",
        details=f"pinned: {pin.literal} since {pin.first_used}",
        where=str(file),
        resolution=f"`zave build-image --base {pin.base} --source FILE` pins it anew",
    )
