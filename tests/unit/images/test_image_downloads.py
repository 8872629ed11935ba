"""Downloads that are cut, too long, tampered with or find no room; and what is kept of them."""

import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.unit.images.conftest import Bench, Heard
from tests.unit.images.vendors import Site, Trouble, Vendor, qcow2
from zave.clock import SystemClock
from zave.errors import InterruptedRunError, PreconditionError, StepFailedError
from zave.tools.download import AbsentError, Web

BASE = "ubuntu-24.04"
IMAGE = "/noble/20261101/noble-20261101.img"


@pytest.fixture
def large(vendor: Vendor) -> Vendor:
    """The vendor with an image of some megabytes."""
    vendor.image = qcow2(os.urandom(3 << 20))
    vendor.publish()
    return vendor


def test_a_download_that_is_cut_goes_on_where_it_stopped(bench: Bench, large: Vendor) -> None:
    large.site.troubles[IMAGE] = Trouble(cut=1 << 20, times=2)

    _, kept = bench.bases.ensure(BASE, say=bench.say)

    assert kept.path.read_bytes() == large.image
    ranges = [wanted for path, wanted in large.site.asked if path == IMAGE]
    assert ranges == [None, f"bytes={1 << 20}-", f"bytes={2 << 20}-"]


def test_a_server_that_cannot_go_on_sends_it_all_again(bench: Bench, large: Vendor) -> None:
    large.site.troubles[IMAGE] = Trouble(cut=1 << 20, times=1, ranges=False)

    assert bench.bases.ensure(BASE, say=bench.say)[1].path.read_bytes() == large.image


def test_a_server_without_a_length_is_believed_to_the_end(bench: Bench, large: Vendor) -> None:
    large.site.troubles[IMAGE] = Trouble(times=0, silent=True)

    assert bench.bases.ensure(BASE, say=bench.say)[1].path.read_bytes() == large.image


def test_a_server_that_is_gone_is_told_and_what_came_is_kept(bench: Bench, large: Vendor) -> None:
    with pytest.raises(InterruptedRunError):
        stopping(bench, after=1).bases.ensure(BASE, say=bench.say)
    large.site.troubles[IMAGE] = Trouble(status=503, times=100)

    with pytest.raises(StepFailedError, match="cannot be downloaded") as caught:
        bench.bases.ensure(BASE, say=bench.say)

    assert caught.value.details == "HTTP 503"
    assert "artifacts" in (caught.value.resolution or "")
    assert bench.clock.slept[-3:] == [1.0, 5.0, 15.0]
    large.site.troubles.clear()
    assert bench.bases.ensure(BASE, say=bench.say)[1].path.read_bytes() == large.image
    assert large.site.asked[-1][1] is not None


def stopping(bench: Bench, *, after: int) -> Bench:
    """The bench of a user who stops zave after so many looks."""
    looks = iter(range(after))
    return Bench(bench.folder, bench.vendor, say=bench.say, stop=lambda: next(looks, None) is None)


def test_an_interrupted_download_is_gone_on_with(bench: Bench, large: Vendor) -> None:
    with pytest.raises(InterruptedRunError):
        stopping(bench, after=1).bases.ensure(BASE, say=bench.say)
    assert bench.bases.find(BASE) is None
    [part] = (bench.folder / "vendor").glob("*.part")
    assert 0 < part.stat().st_size < len(large.image)

    assert bench.bases.ensure(BASE, say=bench.say)[1].path.read_bytes() == large.image

    assert large.site.asked[-1] == (IMAGE, f"bytes={part_size(large)}-")
    assert not list((bench.folder / "vendor").glob("*.part"))


def part_size(vendor: Vendor) -> int:
    """What the last request left out."""
    wanted = vendor.site.asked[-1][1] or ""
    return int(wanted.removeprefix("bytes=").rstrip("-"))


# another process that fetches the pinned image
_FETCHING = """
import sys
from pathlib import Path
from tests.unit.images.conftest import Bench
from tests.unit.images.vendors import Site, Vendor

site = Site()
site.start()
Bench(Path(sys.argv[1]), Vendor(site, None)).bases.ensure("ubuntu-24.04", say=lambda *_: None)
"""


def test_a_download_of_a_killed_zave_is_gone_on_with(bench: Bench, large: Vendor) -> None:
    bench.bases.update(BASE, say=bench.say)
    hold = threading.Event()
    large.site.troubles[IMAGE] = Trouble(cut=1 << 20, hold=hold)
    root = Path(__file__).parents[3]
    fetching = subprocess.Popen([sys.executable, "-c", _FETCHING, bench.folder], cwd=root)
    part = bench.folder / "vendor" / f"{BASE}-{large.checksum[:12]}.part"
    while not (part.exists() and part.stat().st_size == 1 << 20):
        assert fetching.poll() is None, "the download ended before it was killed"
        threading.Event().wait(0.01)
    fetching.kill()
    fetching.wait()
    hold.set()

    _, kept = bench.bases.ensure(BASE, say=bench.say)

    assert kept.path.read_bytes() == large.image
    assert large.site.asked[-1] == (IMAGE, f"bytes={1 << 20}-")


def test_an_altered_image_is_refused_and_dropped(bench: Bench, vendor: Vendor) -> None:
    vendor.site.files[IMAGE] = vendor.image[:-1] + b"!"

    with pytest.raises(StepFailedError, match=r"not what images\.lock pins") as caught:
        bench.bases.ensure(BASE, say=bench.say)

    assert caught.value.exit_code == 1
    assert vendor.checksum in (caught.value.details or "")
    assert bench.bases.find(BASE) is None
    assert not [f for f in (bench.folder / "vendor").iterdir() if f.suffix in (".part", ".qcow2")]


def test_an_image_that_refers_to_a_file_of_the_host_is_refused(bench: Bench, vendor: Vendor) -> None:
    vendor.image = qcow2(backing=512)
    vendor.publish()
    with pytest.raises(StepFailedError, match="refers to another file"):
        bench.bases.ensure(BASE, say=bench.say)
    assert bench.bases.find(BASE) is None


def test_what_an_earlier_try_left_of_another_build_is_started_over(bench: Bench, large: Vendor) -> None:
    bench.bases.update(BASE, say=bench.say)
    folder = bench.folder / "vendor"
    (folder / f"{BASE}-{large.checksum[:12]}.part").write_bytes(b"x" * 1000)

    assert bench.bases.ensure(BASE, say=bench.say)[1].path.read_bytes() == large.image
    assert "starting over" in bench.say.text


def test_leftovers_longer_than_the_image_are_started_over(bench: Bench, vendor: Vendor) -> None:
    bench.bases.update(BASE, say=bench.say)
    (bench.folder / "vendor" / f"{BASE}-{vendor.checksum[:12]}.part").write_bytes(b"x" * 9999)

    assert bench.bases.ensure(BASE, say=bench.say)[1].path.read_bytes() == vendor.image


def test_a_damaged_image_is_noticed_and_fetched_again(bench: Bench, vendor: Vendor) -> None:
    pin, kept = bench.bases.ensure(BASE, say=bench.say)
    kept.path.write_bytes(vendor.image[:-1] + b"!")

    assert bench.bases.find(BASE) is None
    assert bench.bases.ensure(BASE, say=bench.say)[1].path.read_bytes() == vendor.image
    assert "damaged" in bench.say.text
    assert vendor.site.fetched("noble-20261101.img") == 2
    assert pin == bench.bases.pinned(BASE)


def test_an_image_that_was_only_touched_is_verified_and_stays(bench: Bench, vendor: Vendor) -> None:
    _, kept = bench.bases.ensure(BASE, say=bench.say)
    os.utime(kept.path)

    again = bench.bases.find(BASE)

    assert again is not None
    assert again.seal.fits(kept.path)
    assert not kept.seal.fits(kept.path)
    assert vendor.site.fetched("noble-20261101.img") == 1


def test_an_image_without_its_note_is_verified_not_fetched(bench: Bench, vendor: Vendor) -> None:
    _, kept = bench.bases.ensure(BASE, say=bench.say)
    note = kept.path.with_suffix(".json")
    for damage in (b"", b"[]", b'{"seal": {}}', b'{"seal": {"size": "1"}}', b"[" * 100_000):
        note.write_bytes(damage)
        assert bench.bases.find(BASE) is not None
    assert vendor.site.fetched("noble-20261101.img") == 1


def test_progress_is_told_by_percent(bench: Bench, large: Vendor) -> None:
    del large
    bench.bases.ensure(BASE, say=bench.say)
    told = [fraction for text, fraction in bench.say.lines if text.startswith("downloading")]
    assert told == sorted(told, key=float)  # type: ignore[arg-type]
    assert told[-1] == 1.0
    assert len(told) <= 101


# room


_FULL = """
import resource, sys
from pathlib import Path
from zave.clock import SystemClock
from zave.errors import ZaveError
from zave.tools.download import Web
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
web = Web(clock=SystemClock(), interrupted=lambda: False, loopback=True)
try:
    web.fetch(sys.argv[1], Path(sys.argv[2]), limit=1 << 30, say=lambda *_: None)
except ZaveError as error:
    print(int(error.exit_code), error.brief)
"""


def test_a_full_disk_is_a_precondition_and_what_came_is_kept(site: Site, tmp_path: Path) -> None:
    site.files["/x"] = b"x" * (3 << 20)
    part = tmp_path / "part"
    done = subprocess.run(
        [sys.executable, "-c", _FULL, f"{site.url}/x", part], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "5 there is no room for a download: the file would be larger than this machine allows\n"
    )
    assert part.stat().st_size == 1 << 20


def test_a_download_that_cannot_fit_is_not_begun(site: Site, tmp_path: Path) -> None:
    site.files["/x"] = b"x"

    site.troubles["/x"] = Trouble(times=0, length=1 << 50)
    with pytest.raises(PreconditionError, match="no room"):
        web_of().fetch(f"{site.url}/x", tmp_path / "part", limit=1 << 60, say=Heard())
    with pytest.raises(StepFailedError, match="larger than"):
        web_of().fetch(f"{site.url}/x", tmp_path / "part", limit=1 << 20, say=Heard())
    assert not (tmp_path / "part").exists()


def test_a_file_without_end_is_cut_off_at_the_limit(site: Site, tmp_path: Path) -> None:
    site.files["/x"] = b"x" * (2 << 20)
    site.troubles["/x"] = Trouble(times=0, silent=True)
    with pytest.raises(StepFailedError, match="larger than"):
        web_of().fetch(f"{site.url}/x", tmp_path / "part", limit=1 << 20, say=Heard())
    with pytest.raises(StepFailedError, match="larger than"):
        web_of().read(f"{site.url}/x", limit=1 << 20)
    assert (tmp_path / "part").stat().st_size <= 1 << 20


# the web


def web_of(**changes: object) -> Web:
    values = {"clock": SystemClock(), "interrupted": lambda: False, "loopback": True, "pauses": ()}
    return Web(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/x",
        "ftp://127.0.0.1/x",
        "file:///etc/hostname",
        "https:///x",
        "http://127.0.0.1.example.org/x",
        "gopher://127.0.0.1/",
    ],
)
def test_nothing_but_https_is_fetched(url: str) -> None:
    with pytest.raises(StepFailedError, match="not an https URL"):
        web_of().read(url, limit=10)


def test_plain_http_is_not_even_for_this_machine_unless_asked_for(site: Site) -> None:
    site.files["/x"] = b"x"
    with pytest.raises(StepFailedError, match="not an https URL"):
        web_of(loopback=False).read(f"{site.url}/x", limit=10)
    assert site.asked == []


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("http://example.org/x", "not an https URL"),
        ("ftp://example.org/x", "not an https URL"),
        # Python's own redirects refuse it before zave does
        ("file:///etc/hostname", "cannot be downloaded"),
    ],
)
def test_a_redirect_away_from_https_is_refused(site: Site, target: str, problem: str) -> None:
    site.redirects["/x"] = target
    with pytest.raises(StepFailedError, match=problem) as caught:
        web_of().read(f"{site.url}/x", limit=10)
    assert caught.value.details in (None, "HTTP 302")


def test_a_redirect_to_a_mirror_is_followed(site: Site) -> None:
    site.files["/mirror"], site.redirects["/x"] = b"content", f"{site.url}/mirror"
    assert web_of().read(f"{site.url}/x", limit=10) == b"content"


def test_what_is_not_there_is_told_apart_from_what_fails(site: Site) -> None:
    with pytest.raises(AbsentError):
        web_of().read(f"{site.url}/x", limit=10)
    site.files["/x"] = b"x"
    site.troubles["/x"] = Trouble(status=500, times=1)
    assert web_of(pauses=(0.0,)).read(f"{site.url}/x", limit=10) == b"x"
    site.troubles["/x"] = Trouble(status=403, times=9)
    with pytest.raises(StepFailedError, match="cannot be downloaded"):
        web_of(pauses=(0.0,)).read(f"{site.url}/x", limit=10)


def test_a_small_file_that_comes_short_is_asked_for_again(site: Site) -> None:
    site.files["/x"] = b"all of it"
    site.troubles["/x"] = Trouble(cut=3, times=1)
    assert web_of(pauses=(0.0,)).read(f"{site.url}/x", limit=100) == b"all of it"


def test_nobody_listening_is_told_with_what_to_check(tmp_path: Path) -> None:
    with pytest.raises(StepFailedError, match="cannot be downloaded") as caught:
        web_of().fetch("http://127.0.0.1:9/x.img", tmp_path / "part", limit=10, say=Heard())
    assert "proxy" in (caught.value.resolution or "")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for this machine, with its key, signed by nobody else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "made up")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


@pytest.fixture
def secure(certificate: Path) -> Iterator[Site]:
    """The site over https."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    site = Site(context=context)
    site.start()
    yield site
    site.stop()


def test_https_with_an_unknown_certificate_is_refused_at_once(secure: Site) -> None:
    with pytest.raises(StepFailedError, match="cannot be downloaded") as caught:
        web_of(loopback=False, pauses=(1000.0,)).read(f"{secure.url}/x", limit=10)
    assert "certificate" in (caught.value.details or "").lower()


def test_https_with_a_known_certificate_is_fetched(secure: Site, certificate: Path, tmp_path: Path) -> None:
    secure.files["/x"] = b"content"
    trust = ssl.create_default_context(cafile=str(certificate))
    web_of(trust=trust).fetch(f"{secure.url}/x", tmp_path / "part", limit=10, say=Heard())
    assert (tmp_path / "part").read_bytes() == b"content"


def test_an_unwritable_folder_is_a_precondition_not_the_networks_fault(site: Site, tmp_path: Path) -> None:
    site.files["/x"] = b"content"
    with pytest.raises(PreconditionError, match="cannot be written"):
        web_of().fetch(f"{site.url}/x", tmp_path / "nowhere" / "part", limit=10**6, say=Heard())
