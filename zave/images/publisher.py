"""What a vendor publishes now, proven as far as the vendor lets it be proven."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from zave.clock import Clock
from zave.errors import PreconditionError, StepFailedError
from zave.images.lock import Pin
from zave.images.vendor import PUBLICATIONS, Publication, checksum_in, publication_of
from zave.ports.machines import Say
from zave.render import write_private
from zave.tools.download import AbsentError, TooLargeError, Web
from zave.tools.gpg import Gpgv, Verdict

# checksum files have some hundred lines, keys some kilobytes
_SMALL = 1024 * 1024
# what a machine without internet is given as the vendor's key
_ARTIFACT_KEY = "key.gpg"
_WHY: dict[Verdict, str] = {
    "bad": "the file was changed after it was signed",
    "expired": "the key has expired in every copy of it that could be had",
    "revoked": "its owner has revoked the key",
    "weak": "the signature uses a hash that can be forged",
    "unknown-key": "another key signed it",
    "unreadable": "there is no readable signature in it",
}
_GRAVEST: tuple[Verdict, ...] = ("unreadable", "unknown-key", "weak", "expired", "revoked")


@dataclass(frozen=True)
class Shelf:
    """A folder of files: on this machine (a Path), or on the web."""

    place: Path | str
    web: Web

    def read(self, name: str, *, limit: int = _SMALL) -> bytes:
        """A small file. Raises AbsentError when it is not there."""
        if isinstance(self.place, str):
            return self.web.read(f"{self.place}/{name}", limit=limit)
        try:
            with (self.place / name).open("rb") as file:
                content = file.read(limit + 1)
        except OSError as error:
            raise _absent(self.place / name, error) from error
        if len(content) > limit:
            raise StepFailedError(f"{name} is larger than {limit} bytes: refused", where=str(self.place))
        return content

    def fetch(self, name: str, destination: Path, *, limit: int, say: Say) -> bool:
        """Bring a large file to `destination`; True when it went on from what an earlier try brought."""
        if isinstance(self.place, str):
            return self.web.fetch(f"{self.place}/{name}", destination, limit=limit, say=say)
        source = self.place / name
        say(f"copying {name} from {self.place}", None)
        try:
            size = source.stat().st_size
        except OSError as error:
            raise _absent(source, error) from error
        if size > limit:
            raise TooLargeError(f"{name} is larger than {limit} bytes: refused", where=str(self.place))
        try:
            shutil.copyfile(source, destination)
        except OSError as error:
            raise PreconditionError(
                f"{name} cannot be copied: {error.strerror}",
                where=str(destination.parent),
                resolution="free some space and make both places readable, then run it again",
            ) from error
        return False


def artifact_shelf(artifacts: Path | str, base: str, web: Web) -> Shelf:
    """Where `artifacts` (a folder, or a URL) keeps what belongs to one base image."""
    if isinstance(artifacts, str):
        return Shelf(f"{artifacts.rstrip('/')}/images/{base}", web)
    return Shelf(artifacts / "images" / base, web)


@dataclass(frozen=True)
class Publisher:
    """Reads vendors' checksum files; `artifacts` stands in for the vendors where there is no internet.

    `gpgv` finds the program when a signature is to be checked; `keys` is where keys that proved good
    are kept.
    """

    web: Web
    gpgv: Callable[[], Gpgv]
    keys: Path
    clock: Clock
    artifacts: Path | str | None = None
    publications: tuple[Publication, ...] = PUBLICATIONS

    def resolve(self, base: str, *, say: Say) -> Pin:
        """A pin of what is published now.

        Raises StepFailedError when its checksum or its signature cannot be had or is not right.
        """
        publication = publication_of(base, self.publications)
        say(f"asking {publication.vendor} for the checksum of {base}", None)
        for shelf, file, serial in self._editions(publication):
            try:
                sums = shelf.read(publication.sums)
            except AbsentError:
                # vendors keep a few dated builds only
                continue
            trust = self._trust(publication, shelf, sums, say)
            checksum = checksum_in(sums.decode("utf-8", "replace"), file, publication.algorithm)
            if checksum is None:
                continue
            folder = publication.rolling if self.artifacts is not None else str(shelf.place)
            return Pin(
                base=base,
                url=f"{folder}/{file}",
                algorithm=publication.algorithm,
                checksum=checksum,
                verified_by=trust,
                first_used=self.clock.now().date().isoformat(),
                serial=serial,
            )
        raise StepFailedError(
            f"no checksum of {publication.file} was found",
            where=str(self.artifacts or publication.rolling),
            resolution=f"see whether {publication.sums} names it there; with `artifacts` the files of "
            f"{base} belong into its folder images/{base}",
        )

    def published_as(self, base: str) -> str | None:
        """The name under which the vendor publishes its present image of `base`, if it is known."""
        return next((each.file for each in self.publications if each.base == base), None)

    def listed(self, pin: Pin, shelf: Shelf) -> str | None:
        """The checksum that the place of a pin lists now, if it lists one. Proves nothing: no signature."""
        found = [p for p in self.publications if p.base == pin.base]
        if not found:
            return None
        try:
            sums = shelf.read(found[0].sums).decode("utf-8", "replace")
        except AbsentError:
            return None
        return checksum_in(sums, pin.url.rpartition("/")[2], found[0].algorithm)

    def _editions(self, publication: Publication) -> Iterator[tuple[Shelf, str, str]]:
        """(where, which file, serial): the dated folder first, so that the pin stays good for long."""
        if self.artifacts is not None:
            yield artifact_shelf(self.artifacts, publication.base, self.web), publication.file, ""
            return
        rolling = Shelf(publication.rolling, self.web)
        try:
            text = rolling.read(publication.serial_file).decode("utf-8", "replace")
        except AbsentError:
            text = ""
        found = re.search(publication.serial_pattern, text, re.MULTILINE)
        if found is not None:
            serial = found[1]
            dated = Shelf(publication.dated.format(serial=serial), self.web)
            yield dated, publication.dated_file.format(serial=serial), serial
        yield rolling, publication.file, ""

    def _trust(self, publication: Publication, shelf: Shelf, sums: bytes, say: Say) -> str:
        """What the checksums can be believed on, in words. Raises StepFailedError for a wrong signature."""
        if publication.signature is None or publication.fingerprint is None:
            by = "https alone" if isinstance(shelf.place, str) else "the folder it came from"
            say(
                f"{publication.vendor} publishes no signature of {publication.sums}: its checksum rests on "
                f"{by} this first time, and is pinned from now on",
                None,
            )
            return f"no signature is published: {by}, on first use"
        try:
            signature = shelf.read(publication.signature)
        except AbsentError as error:
            raise StepFailedError(
                f"{publication.sums} has no signature, and {publication.vendor} signs it",
                where=f"{shelf.place}/{publication.signature}",
                resolution="try again later; with `artifacts`, put the signature beside the checksums",
            ) from error
        self._verify(publication, shelf, sums, signature)
        return f"OpenPGP signature of {publication.sums} by {publication.fingerprint}"

    def _verify(self, publication: Publication, shelf: Shelf, sums: bytes, signature: bytes) -> None:
        fingerprint = publication.fingerprint or ""
        kept = self.keys / f"{fingerprint}.gpg"
        verdicts: list[Verdict] = []
        tried: list[str] = []
        for place, keyring in self._keyrings(publication, shelf, kept, tried):
            verdict = self.gpgv().verify(sums, signature=signature, keyring=keyring, fingerprint=fingerprint)
            if verdict == "good":
                if place == publication.key_url:
                    write_private(kept, keyring)
                return
            tried.append(f"{place}: {verdict}")
            if verdict == "bad":
                _refuse(publication, shelf, verdict, tried)
            verdicts.append(verdict)
        if not verdicts:
            raise StepFailedError(
                f"the key that signs {publication.vendor}'s images cannot be had",
                details="\n".join(tried),
                where=fingerprint,
                resolution="install the package ubuntu-cloudimage-keyring, or let this machine reach the key "
                f"server; with `artifacts`, put the key into images/{publication.base}/{_ARTIFACT_KEY}",
            )
        _refuse(publication, shelf, max(verdicts, key=_GRAVEST.index), tried)

    def _keyrings(
        self, publication: Publication, shelf: Shelf, kept: Path, tried: list[str]
    ) -> Iterator[tuple[str, bytes]]:
        """Copies of the key, the nearest first; whichever it is, only its fingerprint counts.

        A copy of ours may have expired while the vendor has renewed the key: then the next one is
        asked for.
        """
        for file in (*map(Path, publication.keyrings), kept):
            if file.is_file():
                yield str(file), file.read_bytes()[:_SMALL]
        sources = [(Shelf(shelf.place, self.web), _ARTIFACT_KEY)] if self.artifacts is not None else []
        if publication.key_url is not None and not isinstance(self.artifacts, Path):
            folder, _, name = publication.key_url.rpartition("/")
            sources.append((Shelf(folder, self.web), name))
        for source, name in sources:
            try:
                yield f"{source.place}/{name}", source.read(name)
            except StepFailedError as error:
                tried.append(f"{source.place}/{name}: {error.details or error.brief}")


def _refuse(publication: Publication, shelf: Shelf, verdict: Verdict, tried: list[str]) -> NoReturn:
    raise StepFailedError(
        f"the signature of {publication.sums} is not {publication.vendor}'s: {_WHY[verdict]}",
        details="\n".join([f"expected: {publication.fingerprint}", *tried]),
        where=str(shelf.place),
        resolution="nothing was downloaded. Try again later, from another network; if it stays so, compare "
        f"the key with what {publication.vendor} says",
    )


def _absent(path: Path, error: OSError) -> AbsentError:
    return AbsentError(f"{path.name} cannot be read: {error.strerror}", where=str(path))
