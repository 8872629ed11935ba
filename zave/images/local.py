"""Images on this machine: the vendors', as they are, and those that Packer builds on them."""

import contextlib
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from zave.clock import Clock, rfc3339
from zave.errors import PreconditionError, UsageError
from zave.images.bases import Bases
from zave.images.cache import Kept
from zave.images.holding import free
from zave.images.store import Provenance, Store, StoredImage
from zave.images.workshop import Built, Order, Workshop
from zave.ports import Artifact, ImageRequest, Leftover
from zave.ports.machines import Say

# what `_name` makes; the workshop's key of the build is the same, with the builder in front
_BUILT = re.compile(r"zave-[a-z0-9._-]{1,100}-[0-9a-f]{12}")


def _silent(_text: str, _fraction: float | None) -> None:
    """For what nobody needs to hear."""


@dataclass(frozen=True)
class LocalImages:
    """Implements `zave.ports.ImageBuilder` for what boots on libvirt.

    `bases` has the pins, `workshop` builds, `store` keeps.
    """

    bases: Bases
    workshop: Workshop
    store: Store
    clock: Clock

    def find(self, request: ImageRequest) -> Artifact | None:
        """The image that the pin and the request call for. Asks no network, changes no pin."""
        if request.source == "cloud":
            kept = self.bases.find(request.base)
            return None if kept is None else _vendor_artifact(kept, request.fingerprint)
        pin = self.bases.pinned(request.base)
        if pin is None:
            return None
        stored = self.store.find(_name(request, pin.literal))
        return None if stored is None else _built_artifact(stored)

    def build(self, request: ImageRequest, *, say: Say) -> Artifact:
        """Fetch the vendor's image, or build on it. An image that another zave has just made is taken."""
        if request.source == "cloud":
            return _vendor_artifact(self.bases.ensure(request.base, say=say)[1], request.fingerprint)
        self.workshop.require(request.image, request.base, builder="qemu")
        pin, kept = self.bases.ensure(request.base, say=say)
        name = _name(request, pin.literal)
        order = Order(
            image=request.image,
            base=request.base,
            builder="qemu",
            fingerprint=_identity(request, pin.literal),
            source=(pin, kept.path),
        )
        with self.workshop.alone(order, say=say):
            stored = self.store.find(name)
            if stored is None:
                with self.workshop.built(order, say=say) as built:
                    stored = self._keep(name, order, built, say)
        return _built_artifact(stored)

    def pin(self, base: str, *, source: Path | None, say: Say) -> None:
        """Pin `base` anew: the file `source`, or what its vendor publishes now."""
        if source is None:
            self.bases.update(base, say=say)
        else:
            self.bases.adopt(base, source, say=say)

    def list(self) -> Sequence[Artifact]:
        """Vendors' images and built ones, the newest first."""
        vendors = [_vendor_artifact(kept, kept.checksum) for kept in self.bases.cache.all()]
        built = [_built_artifact(stored) for stored in self.store.all()]
        return sorted([*vendors, *built], key=lambda artifact: artifact.built_at, reverse=True)

    def remove(self, artifact: Artifact) -> None:
        """Remove an image of zave's. Files of the user's own are never touched."""
        path = Path(artifact.location)
        if path.parent == self.store.folder:
            self.store.remove(artifact.name)
        elif path.parent == self.bases.cache.folder:
            self.bases.cache.remove(artifact.name, say=_silent)
        else:
            raise UsageError(f"{artifact.location} is not an image that zave keeps")

    def leftovers(self) -> Sequence[Leftover]:
        """Files without a manifest, and downloads of what is no longer pinned, that nobody works on."""
        found: list[Leftover] = []
        for file, why in self._strays():
            with free(self._lock_of(file)) as held:
                if held and (leftover := _leftover(file, why)) is not None:
                    found.append(leftover)
        return found

    def discard(self, leftover: Leftover) -> None:
        """Remove it, if it is still what it was and nobody works on it."""
        path = Path(leftover.location)
        with free(self._lock_of(path)) as held:
            if held and path in [file for file, _ in self._strays()]:
                path.unlink(missing_ok=True)

    def _strays(self) -> Iterator[tuple[Path, str]]:
        for file in self.store.strays():
            if _BUILT.fullmatch(file.stem):
                yield file, "a disk without a manifest"
        # where nobody can tell what is pinned, every download may still be wanted
        with contextlib.suppress(PreconditionError):
            for file in self.bases.cache.strays(self.bases.lock.pins().values()):
                yield file, "fetched for a pin that is no more"

    def _lock_of(self, stray: Path) -> Path:
        """What whoever makes the image of that name holds."""
        if stray.parent == self.store.folder:
            return self.workshop.folder / f"{stray.stem.replace('zave', 'qemu', 1)}.lock"
        return stray.with_suffix(".lock")

    def _keep(self, name: str, order: Order, built: Built, say: Say) -> StoredImage:
        if built.disk is None or order.source is None:
            raise AssertionError("a build for libvirt has a base and makes a disk")
        say("taking the image in", 0.98)
        pin = order.source[0]
        provenance = Provenance(
            image=order.image,
            base=order.base,
            base_checksum=pin.literal,
            base_verified_by=pin.verified_by,
            fingerprint=order.fingerprint,
            scripts_sha256=built.scripts,
            built_at=rfc3339(self.clock.now()),
            packer=built.packer,
            kernel=built.report.kernel,
            lynis=built.report.hardening_index,
            lynis_version=built.report.lynis_version,
            packages=built.report.packages,
        )
        stored = self.store.add(name, built.disk, provenance)
        say(f"{name}: {stored.seal.size >> 20} MiB, Lynis {provenance.lynis}", 1.0)
        return stored


def _identity(request: ImageRequest, checksum: str) -> str:
    """What the image is: the files that go into it, and the very bytes that it is built on."""
    return hashlib.sha256(f"{request.fingerprint} {checksum}".encode()).hexdigest()


def _name(request: ImageRequest, checksum: str) -> str:
    return f"zave-{request.image}-{request.base}-{_identity(request, checksum)[:12]}"


def _vendor_artifact(kept: Kept, fingerprint: str) -> Artifact:
    return Artifact(
        name=kept.name,
        location=str(kept.path),
        checksum=f"sha256:{kept.seal.sha256}",
        fingerprint=fingerprint,
        size=kept.seal.size,
        built_at=kept.since,
    )


def _leftover(file: Path, why: str) -> Leftover | None:
    try:
        status = file.stat()
    except OSError:
        return None
    since = rfc3339(datetime.fromtimestamp(status.st_mtime, UTC))
    return Leftover(file.name, str(file), status.st_size, since, why)


def _built_artifact(stored: StoredImage) -> Artifact:
    return Artifact(
        name=stored.name,
        location=str(stored.path),
        checksum=f"sha256:{stored.seal.sha256}",
        fingerprint=stored.provenance.fingerprint,
        size=stored.seal.size,
        built_at=stored.provenance.built_at,
    )
