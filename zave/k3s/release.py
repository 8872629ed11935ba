"""Which release of k3s is meant, and the digest it must have: looked up once, then pinned in `k3s.lock`.

k3s publishes `sha256sum-amd64.txt` beside each release and no signature (none found, 2026-11): what is
trusted at the first use is the vendor's https, or the artifacts folder; from then on the lock file.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from zave.clock import Clock, rfc3339
from zave.errors import PreconditionError, StepFailedError
from zave.k3s.fetch import fetch_text, redirect_of
from zave.k3s.lockfile import PinnedRelease, Pins, read_pins, write_pins
from zave.k3s.versions import belongs_to, is_release
from zave.ports.machines import Artifacts, Release

BINARY = "k3s"
CHECKSUMS = "sha256sum-amd64.txt"
IMAGES = "k3s-airgap-images-amd64.tar.zst"
VERSION_FILE = "k3s.version"
"""In an artifacts folder: the release of the files there, for those who name a channel."""

# k3s documentation, "Manual Upgrades" (read 2026-11-23): a channel answers with a redirect to its release
CHANNELS = "https://update.k3s.io/v1-release/channels"
DOWNLOADS = "https://github.com/k3s-io/k3s/releases/download"

_LINE = re.compile(r"([0-9a-f]{64})[ \t]+\*?(\S+)")


@dataclass(frozen=True)
class _Source:
    """Where files come from: the vendor, a folder, or a URL below which they lie."""

    origin: Literal["vendor", "folder", "url"]
    location: str | None = None


class VendorReleases:
    """Implements `zave.ports.machines.Releases` with the lock file `lock`.

    `channels` and `downloads` are the vendor's URLs; `home` is what `~/` means in an artifacts folder.
    """

    def __init__(
        self,
        *,
        lock: Path,
        clock: Clock,
        home: Path | None = None,
        channels: str = CHANNELS,
        downloads: str = DOWNLOADS,
    ) -> None:
        self._lock = lock
        self._clock = clock
        self._home = home or Path.home()
        self._channels = channels
        self._downloads = downloads

    def resolve(self, *, version: str, artifacts: Artifacts) -> Release:
        """The release that `version` means, with its digest; asks nobody once both are pinned."""
        pins = read_pins(self._lock)
        source = self._source(artifacts)
        release = self._release(version, source, pins)
        pinned = pins.releases.get(release)
        if pinned is None or source.origin == "folder":
            listed = self._listed(release, source)
            pinned = pinned or self._pinned(release, source, listed)
            self._compare(release, source, pinned, listed)
        self._remember(version, release, pinned, pins)
        return Release(release, pinned.sha256, source.origin, source.location, self._images(source, pinned))

    # which release

    def _source(self, artifacts: Artifacts) -> _Source:
        if artifacts.folder is not None:
            name = artifacts.folder
            folder = self._home / name[2:] if name.startswith("~/") else Path(name)
            if not (folder / BINARY).is_file():
                raise PreconditionError(
                    f"the artifacts folder {folder} has no file {BINARY}",
                    where="artifacts.folder",
                    resolution=f"put there {BINARY}, {CHECKSUMS} and, for nodes without internet, {IMAGES}, "
                    "all of one release of https://github.com/k3s-io/k3s/releases",
                )
            return _Source("folder", str(folder))
        if artifacts.url is not None:
            return _Source("url", artifacts.url.rstrip("/"))
        return _Source("vendor")

    def _release(self, version: str, source: _Source, pins: Pins) -> str:
        if is_release(version):
            return version
        if version in pins.channels:
            return pins.channels[version]
        if source.origin == "vendor":
            return self._newest(version)
        found = self._text(source, VERSION_FILE, needed=False).strip()
        if belongs_to(found, version):
            return found
        told = f"it says {found[:40]!r}" if found else "it is not there"
        raise PreconditionError(
            f"which release of {version} the artifacts are is not known",
            where=f"{source.location}/{VERSION_FILE}",
            details=f"{VERSION_FILE} must hold the release, such as {version}.9+k3s1, and {told}",
            resolution="write that file, or name the release itself in kubernetes.version",
        )

    def _newest(self, channel: str) -> str:
        url = f"{self._channels}/{quote(channel)}"
        release = unquote(redirect_of(url).rstrip("/").rpartition("/")[2])
        if not belongs_to(release, channel):
            raise StepFailedError(
                f"the channel server answered {release[:80]!r} for {channel}",
                where=url,
                resolution="name a release in kubernetes.version, such as v1.35.9+k3s1; "
                "https://github.com/k3s-io/k3s/releases lists them",
            )
        return release

    # which digest

    def _listed(self, release: str, source: _Source) -> dict[str, str]:
        """The digests of the release's files, by name, as its source lists them."""
        at = self._at(source, release)
        text = self._text(at, CHECKSUMS, needed=True)
        listed = {m[2].rpartition("/")[2]: m[1] for m in map(_LINE.fullmatch, text.splitlines()) if m}
        if BINARY not in listed:
            raise StepFailedError(
                f"{CHECKSUMS} of {release} has no line for {BINARY}",
                where=at.location,
                resolution=f"take the {CHECKSUMS} that was published with the release",
            )
        return listed

    def _pinned(self, release: str, source: _Source, listed: dict[str, str]) -> PinnedRelease:
        where = f"{self._at(source, release).location}/{CHECKSUMS}"
        # a folder is this machine's own business, and the lock file is read on others
        told = "an artifacts folder" if source.origin == "folder" else where
        return PinnedRelease(listed[BINARY], listed.get(IMAGES), told, rfc3339(self._clock.now()))

    def _compare(self, release: str, source: _Source, pinned: PinnedRelease, listed: dict[str, str]) -> None:
        found = listed[BINARY]
        if source.origin == "folder" and found == pinned.sha256:
            found = _digest(Path(str(source.location), BINARY))
        if found != pinned.sha256:
            raise PreconditionError(
                f"{BINARY} of {release} is not the one that was pinned",
                where=f"{source.location or self._downloads}/{BINARY}",
                details=f"pinned {pinned.sha256} ({pinned.source}, {pinned.since})\nfound  {found}",
                resolution=f"put the files of {release} there; only if the pin itself is wrong, remove the "
                f"entry {release} from {self._lock}",
            )

    def _remember(self, version: str, release: str, pinned: PinnedRelease, pins: Pins) -> None:
        channels = pins.channels if is_release(version) else {**pins.channels, version: release}
        after = Pins(channels, {**pins.releases, release: pinned})
        if after != pins:
            write_pins(self._lock, after)

    def _images(self, source: _Source, pinned: PinnedRelease) -> str | None:
        if source.origin == "folder":
            return pinned.images_sha256 if Path(str(source.location), IMAGES).is_file() else None
        # a node with internet gets them from their registries
        return pinned.images_sha256 if source.origin == "url" else None

    def _at(self, source: _Source, release: str) -> _Source:
        if source.origin != "vendor":
            return source
        return _Source("vendor", f"{self._downloads}/{quote(release)}")

    def _text(self, source: _Source, name: str, *, needed: bool) -> str:
        if source.origin != "folder":
            return fetch_text(f"{source.location}/{name}", needed=needed)
        file = Path(str(source.location), name)
        try:
            return file.read_text(errors="replace")
        except OSError as error:
            if not needed:
                return ""
            raise PreconditionError(
                f"{file} cannot be read: {error.strerror}",
                where="artifacts.folder",
                resolution=f"put {name} of the release beside {BINARY}",
            ) from error


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
