"""Which release is meant and what it must be: looked up once over a real socket, then pinned."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from zave.errors import PreconditionError, StepFailedError
from zave.k3s.fetch import fetch_text, redirect_of
from zave.k3s.release import VendorReleases
from zave.k3s.versions import check_step
from zave.ports.machines import Release

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32
LISTED = f"{B}  k3s-airgap-images-amd64.tar.zst\n{A}  k3s\n{C}  k3s-images.txt\n"


class FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC)

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


@dataclass(frozen=True)
class Places:
    folder: str | None = None
    url: str | None = None


@dataclass
class Vendor:
    """A channel server and a download server; `asked` is every path in order."""

    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Vendor()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            code, body = made.answers.get(self.path, (404, ""))
            self.send_response(code)
            if code == 302:
                self.send_header("Location", body)
                body = ""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    made.answers["/channels/v1.35"] = (302, "https://github.com/k3s-io/k3s/releases/tag/v1.35.9%2Bk3s1")
    made.answers["/downloads/v1.35.9%2Bk3s1/sha256sum-amd64.txt"] = (200, LISTED)
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def resolve(vendor: Vendor, lock: Path, version: str = "v1.35", places: Places | None = None) -> Release:
    releases = VendorReleases(
        lock=lock,
        clock=FixedClock(),
        channels=f"{vendor.url}/channels",
        downloads=f"{vendor.url}/downloads",
    )
    return releases.resolve(version=version, artifacts=places or Places())


def artifacts(folder: Path, binary: bytes = b"a binary", listed: str | None = None) -> Places:
    folder.mkdir(exist_ok=True)
    (folder / "k3s").write_bytes(binary)
    text = f"{hashlib.sha256(binary).hexdigest()}  k3s\n{B}  k3s-airgap-images-amd64.tar.zst\n"
    (folder / "sha256sum-amd64.txt").write_text(listed or text)
    return Places(folder=str(folder))


# the vendor


def test_a_channel_is_resolved_once_and_pinned(vendor: Vendor, tmp_path: Path) -> None:
    lock = tmp_path / "k3s.lock"
    first = resolve(vendor, lock)
    assert first == Release("v1.35.9+k3s1", A, "vendor")
    asked = len(vendor.asked)
    # a newer one is out, and the published digest has changed: neither is looked at
    vendor.answers["/channels/v1.35"] = (302, "https://github.com/k3s-io/k3s/releases/tag/v1.35.10+k3s1")
    vendor.answers["/downloads/v1.35.9%2Bk3s1/sha256sum-amd64.txt"] = (200, f"{C}  k3s\n")
    assert resolve(vendor, lock) == resolve(vendor, lock, "v1.35.9+k3s1") == first
    assert len(vendor.asked) == asked
    document = json.loads(lock.read_text())
    assert document["channels"] == {"v1.35": "v1.35.9+k3s1"}
    assert document["releases"]["v1.35.9+k3s1"]["source"].endswith("/sha256sum-amd64.txt")


def test_another_machine_works_from_the_lock_file_alone(vendor: Vendor, tmp_path: Path) -> None:
    resolve(vendor, tmp_path / "k3s.lock")
    (tmp_path / "other").mkdir()
    copied = (tmp_path / "k3s.lock").rename(tmp_path / "other" / "k3s.lock")
    vendor.answers.clear()
    assert resolve(vendor, copied).sha256 == A


@pytest.mark.parametrize(
    "location",
    [
        "https://github.com/k3s-io/k3s/releases/tag/v1.36.1+k3s1",
        "https://github.com/k3s-io/k3s/releases/tag/latest",
        "https://example.org/",
        "https://github.com/x/v1.35.9+k3s1%0Aevil",
    ],
)
def test_a_channel_server_that_answers_something_else_is_not_followed(
    vendor: Vendor, tmp_path: Path, location: str
) -> None:
    vendor.answers["/channels/v1.35"] = (302, location)
    with pytest.raises(StepFailedError, match="the channel server answered"):
        resolve(vendor, tmp_path / "k3s.lock")
    assert not (tmp_path / "k3s.lock").exists()


@pytest.mark.parametrize(
    "listed",
    ["", f"{A}  k3s-arm64\n", "not a digest  k3s\n", f"{A[:-1]}  k3s\n", f"{A}  k3s.sig\n"],
)
def test_without_a_digest_nothing_is_pinned(vendor: Vendor, tmp_path: Path, listed: str) -> None:
    vendor.answers["/downloads/v1.35.9%2Bk3s1/sha256sum-amd64.txt"] = (200, listed)
    with pytest.raises(StepFailedError, match="has no line for k3s"):
        resolve(vendor, tmp_path / "k3s.lock")
    assert not (tmp_path / "k3s.lock").exists()


def test_a_vendor_that_cannot_be_reached_names_the_way_without_internet(tmp_path: Path) -> None:
    with pytest.raises(StepFailedError, match="could not be fetched") as caught:
        resolve(Vendor(url="http://127.0.0.1:9"), tmp_path / "k3s.lock")
    assert "artifacts.folder" in str(caught.value.resolution)


def test_only_https_is_used_but_to_this_machine(vendor: Vendor) -> None:
    with pytest.raises(StepFailedError) as caught:
        fetch_text("http://example.org/file")
    assert caught.value.details == "only https is used"
    vendor.answers["/there"] = (302, "http://example.org/file")
    with pytest.raises(StepFailedError, match=r"example\.org/file could not be fetched"):
        fetch_text(f"{vendor.url}/there")
    with pytest.raises(StepFailedError, match="could not be fetched"):
        redirect_of(f"{vendor.url}/nowhere")


# the lock file


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"schema": "zave/k3s-lock/v2", "channels": {}, "releases": {}}',
        '{"schema": "zave/k3s-lock/v1", "channels": {"v1.35": "v1.36.1+k3s1"}, "releases": {}}',
        '{"schema": "zave/k3s-lock/v1", "channels": {}, "releases": {"v1.35.9+k3s1": {"sha256": "x", '
        '"images_sha256": null, "source": "", "since": ""}}}',
        "[" * 100_000,
    ],
)
def test_a_damaged_lock_file_is_refused_and_kept(vendor: Vendor, tmp_path: Path, content: str) -> None:
    lock = tmp_path / "k3s.lock"
    lock.write_text(content)
    with pytest.raises(PreconditionError, match=r"k3s\.lock is damaged"):
        resolve(vendor, lock)
    assert lock.read_text() == content
    assert vendor.asked == []


# artifacts


def test_a_folder_is_enough_without_internet(vendor: Vendor, tmp_path: Path) -> None:
    places = artifacts(tmp_path / "files")
    (tmp_path / "files/k3s.version").write_text("v1.35.9+k3s1\n")
    found = resolve(vendor, tmp_path / "k3s.lock", "v1.35", places)
    digest = hashlib.sha256(b"a binary").hexdigest()
    assert found == Release("v1.35.9+k3s1", digest, "folder", location=places.folder)
    assert vendor.asked == []
    # another machine's folder is nobody's business
    assert str(tmp_path) not in (tmp_path / "k3s.lock").read_text()

    (tmp_path / "files/k3s-airgap-images-amd64.tar.zst").touch()
    assert resolve(vendor, tmp_path / "k3s.lock", "v1.35", places).images_sha256 == B


def test_what_a_folder_lacks_is_named(vendor: Vendor, tmp_path: Path) -> None:
    lock = tmp_path / "k3s.lock"
    with pytest.raises(PreconditionError, match="has no file k3s"):
        resolve(vendor, lock, "v1.35.9+k3s1", Places(folder=str(tmp_path / "nowhere")))
    places = artifacts(tmp_path / "files")
    with pytest.raises(PreconditionError, match=r"which release of v1\.35 the artifacts are") as caught:
        resolve(vendor, lock, "v1.35", places)
    assert caught.value.where == f"{tmp_path}/files/k3s.version"
    (tmp_path / "files/sha256sum-amd64.txt").unlink()
    with pytest.raises(PreconditionError, match=r"sha256sum-amd64\.txt cannot be read"):
        resolve(vendor, lock, "v1.35.9+k3s1", places)


def test_files_that_are_not_the_pinned_ones_are_refused(vendor: Vendor, tmp_path: Path) -> None:
    lock = tmp_path / "k3s.lock"
    resolve(vendor, lock)
    places = artifacts(tmp_path / "files")
    with pytest.raises(
        PreconditionError, match=r"k3s of v1\.35\.9\+k3s1 is not the one that was pinned"
    ) as c:
        resolve(vendor, lock, "v1.35", places)
    assert A in str(c.value.details)
    # the list is right and the file is not
    with pytest.raises(PreconditionError, match="is not the one that was pinned"):
        resolve(vendor, lock, "v1.35", artifacts(tmp_path / "files", listed=f"{A}  k3s\n"))


def test_a_url_gives_the_same_files_as_the_vendor(vendor: Vendor, tmp_path: Path) -> None:
    vendor.answers["/mine/k3s.version"] = (200, "v1.35.9+k3s1\n")
    vendor.answers["/mine/sha256sum-amd64.txt"] = (200, LISTED)
    places = Places(url=f"{vendor.url}/mine/")
    found = resolve(vendor, tmp_path / "k3s.lock", "v1.35", places)
    assert found == Release("v1.35.9+k3s1", A, "url", location=f"{vendor.url}/mine", images_sha256=B)
    asked = len(vendor.asked)
    assert resolve(vendor, tmp_path / "k3s.lock", "v1.35", places) == found
    assert len(vendor.asked) == asked


# steps between releases


@pytest.mark.parametrize(
    ("present", "wanted"),
    [
        ("v1.35.8+k3s1", "v1.35.9+k3s1"),
        ("v1.35.9+k3s1", "v1.35.9+k3s2"),
        ("v1.35.9+k3s1", "v1.35.10+k3s1"),
        ("v1.35.9+k3s1", "v1.36.0+k3s1"),
        ("v1.35.9+k3s1", "v1.35.9+k3s1"),
    ],
)
def test_one_minor_version_at_a_time_is_a_step(present: str, wanted: str) -> None:
    check_step(present, wanted, machine="lab-worker-1")


@pytest.mark.parametrize(
    ("present", "wanted", "told", "way"),
    [
        (
            "v1.34.3+k3s1",
            "v1.36.5+k3s1",
            "would leave out a minor version",
            "set kubernetes.version to v1.35 first",
        ),
        ("v1.35.9+k3s1", "v1.35.8+k3s1", "is older", "set kubernetes.version to v1.35.9"),
        ("v1.35.9+k3s2", "v1.35.9+k3s1", "is older", "or newer"),
        ("v1.9.9+k3s1", "v1.35.9+k3s1", "would leave out", "v1.10 first"),
        ("v2.0.0+k3s1", "v1.35.9+k3s1", "is older", "v2.0.0"),
        ("k3s", "v1.35.9+k3s1", "'k3s' is not a release of k3s", "k3s --version"),
    ],
)
def test_any_other_step_is_refused_with_the_way(present: str, wanted: str, told: str, way: str) -> None:
    with pytest.raises(PreconditionError, match=told) as caught:
        check_step(present, wanted, machine="lab-worker-1")
    assert way in str(caught.value.resolution)
