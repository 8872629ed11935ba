"""The base images: pinned in `images.lock`, kept in the cache, proven before anything is built on them."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from zave.errors import UsageError
from zave.images.cache import Kept, VendorCache
from zave.images.holding import held
from zave.images.lock import ImagesLock, Pin
from zave.images.qcow2 import virtual_size
from zave.images.seal import digests
from zave.ports.machines import Say


@dataclass(frozen=True)
class Bases:
    """The pins in `lock` and the images in `cache`."""

    lock: ImagesLock
    cache: VendorCache

    def pinned(self, base: str) -> Pin | None:
        """The pin of `base`; None before its first use."""
        return self.lock.get(base)

    def find(self, base: str) -> Kept | None:
        """The pinned image of `base`, if there is a pin and the image is here and intact."""
        pin = self.lock.get(base)
        return None if pin is None else self.cache.find(pin)

    def ensure(self, base: str, *, say: Say) -> tuple[Pin, Kept]:
        """The pin and the image of `base`: pinned on first use, fetched when it is not here."""
        with self._alone(say):
            pin = self.lock.get(base)
            if pin is None:
                pin = self.cache.publisher.resolve(base, say=say)
                self.lock.put(pin)
                say(f"{base} is pinned in {self.lock.path} from now on: {pin.literal}", None)
        kept = self.cache.ensure(pin, say=say)
        if pin.size is None:
            pin = self._sized(pin, kept.seal.size, say)
        return pin, kept

    def update(self, base: str, *, say: Say) -> Pin:
        """Pin what the vendor publishes now, proven as on first use."""
        with self._alone(say):
            before, pin = self.lock.get(base), self.cache.publisher.resolve(base, say=say)
            if before is not None and before.literal == pin.literal:
                say(f"{base}: the pinned image is the one that is published", None)
                return before
            self.lock.put(pin)
        was = before.literal if before else "not pinned"
        say(f"{base} is now {pin.literal}; it was {was}", None)
        return pin

    def adopt(self, base: str, source: Path, *, say: Say) -> Pin:
        """Pin a file of the user's own as `base`; it stays where it is.

        Raises UsageError when there is no such file, StepFailedError when it is no whole qcow2 image.
        """
        path = source.expanduser().absolute()
        if not path.is_file():
            raise UsageError(f"there is no file {path}", resolution="--source names a qcow2 image")
        virtual_size(path)
        say(f"reading {path}", None)
        found = digests(path, {"sha256"}, interrupted=self.cache.interrupted)
        pin = Pin(
            base=base,
            url=path.as_uri(),
            algorithm="sha256",
            checksum=found["sha256"],
            verified_by="a file of your own (--source)",
            first_used=self.cache.clock.now().date().isoformat(),
            size=path.stat().st_size,
        )
        with self._alone(say):
            self.lock.put(pin)
        say(f"{base} is now {path}, {pin.literal}", None)
        return pin

    def _sized(self, pin: Pin, size: int, say: Say) -> Pin:
        """The pin with the size that is known once the image is here."""
        sized = replace(pin, size=size)
        with self._alone(say):
            # somebody may have pinned another one meanwhile
            if self.lock.get(pin.base) == pin:
                self.lock.put(sized)
        return sized

    def _alone(self, say: Say) -> AbstractContextManager[None]:
        return held(
            self.cache.folder / "pins.lock",
            clock=self.cache.clock,
            interrupted=self.cache.interrupted,
            say=say,
        )
