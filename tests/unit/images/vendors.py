"""A made-up vendor on this machine: its web server, its signing keys, its images."""

import hashlib
import os
import ssl
import struct
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from zave.images.vendor import Publication


def qcow2(payload: bytes = b"", *, size: int = 50 << 30, backing: int = 0) -> bytes:
    """A qcow2 image whose head is right; nothing else of it is."""
    head = struct.pack(">4sIQIIQI", b"QFI\xfb", 3, backing, 0, 16, size, 0)
    return head.ljust(104, b"\0") + payload


@dataclass
class Trouble:
    """What happens to the next requests for a file.

    `cut` ends the connection after so many bytes of the answer, `status` answers with an error,
    `ranges` is off where a server cannot go on, `silent` leaves the length out, `length` is a lie, `hold`
    keeps the connection open after the part that `cut` leaves.
    """

    cut: int | None = None
    times: int = 1
    status: int | None = None
    ranges: bool = True
    silent: bool = False
    length: int | None = None
    hold: threading.Event | None = None


@dataclass
class Site:
    """A web server on the loopback interface; `files` by path, `asked` are the requests it got."""

    files: dict[str, bytes] = field(default_factory=dict)
    troubles: dict[str, Trouble] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    context: ssl.SSLContext | None = None

    def start(self) -> None:
        handler = type("Handler", (_Handler,), {"site": self})
        self.server = _Server(("127.0.0.1", 0), handler)
        if self.context is not None:
            self.server.socket = self.context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def url(self) -> str:
        scheme = "http" if self.context is None else "https"
        return f"{scheme}://127.0.0.1:{self.server.server_address[1]}"

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def fetched(self, name: str) -> int:
        return sum(path.endswith(name) for path in self.paths())


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away, or did not like the certificate, is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    site: ClassVar[Site]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, site = self.path, self.site
        wanted = self.headers.get("Range")
        site.asked.append((path, wanted))
        trouble = site.troubles.get(path, Trouble(times=0))
        struck, trouble.times = trouble.times > 0, trouble.times - 1
        if struck and trouble.status is not None:
            self.answer(trouble.status, b"")
        elif path in site.redirects:
            self.answer(302, b"", {"Location": site.redirects[path]})
        elif path not in site.files:
            self.answer(404, b"")
        else:
            self.send(site.files[path], wanted, trouble, cut=trouble.cut if struck else None)

    def send(self, content: bytes, wanted: str | None, trouble: Trouble, *, cut: int | None) -> None:
        start, headers = 0, {}
        if wanted and trouble.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        status, body = 206 if headers else 200, content[start:]
        length = None if trouble.silent else trouble.length or len(body)
        self.answer(status, body if cut is None else body[:cut], headers, length=length)
        if cut is not None and trouble.hold is not None:
            self.wfile.flush()
            trouble.hold.wait()

    def answer(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, *, length: int | None = 0
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@dataclass(frozen=True)
class Signer:
    """A key of GnuPG's in a home of its own; `past` makes everything happen on that day."""

    home: Path
    name: str
    fingerprint: str
    past: str | None = None

    @classmethod
    def make(cls, home: Path, name: str, *, expires: str = "never", past: str | None = None) -> "Signer":
        home.mkdir(mode=0o700, exist_ok=True)
        address = f"{name}@example.org"
        _gpg(home, past, "--passphrase", "", "--quick-gen-key", address, "ed25519", "sign", expires)
        listing = _gpg(home, None, "--with-colons", "--list-keys", address).decode().splitlines()
        fingerprint = next(line.split(":")[9] for line in listing if line.startswith("fpr"))
        return cls(home, name, fingerprint, past)

    def sign(self, content: bytes, *arguments: str) -> bytes:
        return _gpg(self.home, self.past, "-u", self.fingerprint, *arguments, "--detach-sign", stdin=content)

    def public(self, *, armor: bool = False) -> bytes:
        return _gpg(self.home, None, *(["--armor"] if armor else []), "--export", self.fingerprint)

    def renew(self) -> None:
        """The same key, valid again: what HashiCorp did in 2026."""
        _gpg(self.home, None, "--passphrase", "", "--quick-set-expire", self.fingerprint, "2099-01-01")

    def revoke(self) -> None:
        """Take the key back, with the certificate that GnuPG made beside it."""
        certificate = self.home / "openpgp-revocs.d" / f"{self.fingerprint}.rev"
        text = certificate.read_text().replace(":-----BEGIN", "-----BEGIN")
        _gpg(self.home, None, "--import", stdin=text.encode())


def _gpg(home: Path, past: str | None, *arguments: str, stdin: bytes = b"") -> bytes:
    words = ["gpg", "--homedir", str(home), "--batch", "--yes", "--quiet", "--pinentry-mode", "loopback"]
    if past is not None:
        words.append(f"--faked-system-time={past}T000000")
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C"}
    done = subprocess.run(
        [*words, *arguments], input=stdin, capture_output=True, check=False, env=environment, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@dataclass
class Vendor:
    """Publishes one image in a rolling folder and, where it has a `serial`, in a dated one."""

    site: Site
    signer: Signer | None
    image: bytes = field(default_factory=lambda: qcow2(b"the first build"))
    serial: str = "20261101"
    base: str = "ubuntu-24.04"

    @property
    def publication(self) -> Publication:
        signed = self.signer is not None
        return Publication(
            base=self.base,
            vendor="Made-up Linux",
            rolling=f"{self.site.url}/noble/current",
            dated=f"{self.site.url}/noble/{{serial}}",
            file="noble.img",
            dated_file="noble-{serial}.img",
            sums="SHA256SUMS",
            algorithm="sha256",
            serial_file="unpacked/build-info.txt",
            serial_pattern=r"^serial=([0-9]{8})\s*$",
            signature="SHA256SUMS.gpg" if signed else None,
            fingerprint=self.signer.fingerprint if self.signer else None,
            key_url=f"{self.site.url}/keys/lookup?search={self.signer.fingerprint}" if self.signer else None,
        )

    def publish(self) -> None:
        """Put the present image, its checksums and its signature up."""
        digest, files = hashlib.sha256(self.image).hexdigest(), self.site.files
        folders = {"/noble/current": "noble.img"}
        if self.serial:
            folders[f"/noble/{self.serial}"] = f"noble-{self.serial}.img"
            files["/noble/current/unpacked/build-info.txt"] = f"name=x\nserial={self.serial}\n".encode()
        for folder, name in folders.items():
            sums = f"{'0' * 64} *another.img\n{digest} *{name}\n".encode()
            files[f"{folder}/{name}"] = self.image
            files[f"{folder}/SHA256SUMS"] = sums
            if self.signer is not None:
                files[f"{folder}/SHA256SUMS.gpg"] = self.signer.sign(sums)
        if self.signer is not None:
            files[f"/keys/lookup?search={self.signer.fingerprint}"] = self.signer.public(armor=True)

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.image).hexdigest()
