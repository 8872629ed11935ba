"""Where each vendor publishes its cloud images, and what proves that they are the vendor's."""

import re
from dataclasses import dataclass
from typing import Literal

from zave.errors import UsageError

Algorithm = Literal["sha256", "sha512"]

_SUM_LENGTH = {"sha256": 64, "sha512": 128}


@dataclass(frozen=True)
class Publication:
    """One base image.

    `rolling` is the folder whose content the vendor replaces with each build, `dated` the folder of
    one build, where `{serial}` stands for it; `file` and `dated_file` are the image in them. `sums`
    is the checksum file in either, `signature` a detached OpenPGP signature of it by the key with
    `fingerprint`; None where the vendor signs nothing. `serial_file` names the present build; the
    first group of `serial_pattern` is its serial.
    """

    base: str
    vendor: str
    rolling: str
    dated: str
    file: str
    dated_file: str
    sums: str
    algorithm: Algorithm
    serial_file: str
    serial_pattern: str
    signature: str | None = None
    fingerprint: str | None = None
    keyrings: tuple[str, ...] = ()
    key_url: str | None = None


# "UEC Image Automatic Signing Key <cdimage@ubuntu.com>"; found pinned by several independent projects
# and in the keyring of Ubuntu's package ubuntu-cloudimage-keyring (versions.md, 2026-11-23)
_UBUNTU_KEY = "D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81"


def _ubuntu(release: str, code: str) -> Publication:
    site = f"https://cloud-images.ubuntu.com/{code}"
    file = f"{code}-server-cloudimg-amd64.img"
    return Publication(
        base=f"ubuntu-{release}",
        vendor="Ubuntu",
        rolling=f"{site}/current",
        dated=f"{site}/{{serial}}",
        file=file,
        dated_file=file,
        sums="SHA256SUMS",
        algorithm="sha256",
        # a line `serial=20251213`, with `.1` and so on for a second build of a day
        serial_file="unpacked/build-info.txt",
        serial_pattern=r"^serial=([0-9]{8}(?:\.[0-9]{1,3})?)\s*$",
        signature="SHA256SUMS.gpg",
        fingerprint=_UBUNTU_KEY,
        # installed by Ubuntu's and Debian's packages of that name
        keyrings=("/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg",),
        key_url=f"https://keyserver.ubuntu.com/pks/lookup?op=get&options=mr&search=0x{_UBUNTU_KEY}",
    )


def _debian(release: str, code: str) -> Publication:
    site = f"https://cloud.debian.org/images/cloud/{code}"
    name = f"debian-{release}-genericcloud-amd64"
    return Publication(
        base=f"debian-{release}",
        vendor="Debian",
        rolling=f"{site}/latest",
        dated=f"{site}/{{serial}}",
        file=f"{name}.qcow2",
        dated_file=f"{name}-{{serial}}.qcow2",
        # no signature of it was found (2026-11-23)
        sums="SHA512SUMS",
        algorithm="sha512",
        serial_file=f"{name}.json",
        serial_pattern=r'"version"\s*:\s*"([0-9]{8}-[0-9]{1,6})"',
    )


# addresses as many public projects use them, dated folders included (searched on 2026-11-23)
PUBLICATIONS: tuple[Publication, ...] = (
    _debian("12", "bookworm"),
    _ubuntu("22.04", "jammy"),
    _ubuntu("24.04", "noble"),
)


def publication_of(base: str, publications: tuple[Publication, ...] = PUBLICATIONS) -> Publication:
    """The publication of `base`. Raises UsageError with those that are known."""
    for publication in publications:
        if publication.base == base:
            return publication
    raise UsageError(
        f"zave does not know where the image {base} is published",
        resolution=f"known are {', '.join(p.base for p in publications)}; "
        f"`zave build-image --base {base} --source FILE` pins an image of your own under that name",
    )


def checksum_in(sums: str, file: str, algorithm: Algorithm) -> str | None:
    """The checksum that a file in the format of `sha256sum` lists for `file`; None when it lists none.

    A file listed twice with different checksums is not listed: nobody could say which is meant.
    """
    line = re.compile(rf"([0-9a-fA-F]{{{_SUM_LENGTH[algorithm]}}}) [ *]{re.escape(file)}")
    found = {match[1].lower() for text in sums.splitlines() if (match := line.fullmatch(text.rstrip()))}
    return found.pop() if len(found) == 1 else None
