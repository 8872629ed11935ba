import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.images.vendors import Signer, Site, Vendor
from zave.images.bases import Bases
from zave.images.cache import VendorCache
from zave.images.lock import ImagesLock
from zave.images.publisher import Publisher
from zave.process import ProcessRunner
from zave.tools.download import Web
from zave.tools.gpg import Gpgv

if TYPE_CHECKING:
    from tests.unit.images.workbench import Workbench
    from zave.images.amazon import AmazonImages


class TestClock:
    """A clock that sleeps no real time."""

    __test__ = False

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._start = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self._start + timedelta(seconds=sum(self.slept))

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        # lets other threads go on
        threading.Event().wait(0.001)


@dataclass
class Heard:
    """What was said."""

    lines: list[tuple[str, float | None]] = field(default_factory=list)

    def __call__(self, text: str, fraction: float | None) -> None:
        self.lines.append((text, fraction))

    @property
    def text(self) -> str:
        return "\n".join(text for text, _ in self.lines)


@dataclass
class Bench:
    """A machine's side: folder, clock, downloads, pins and cache."""

    folder: Path
    vendor: Vendor
    clock: TestClock = field(default_factory=TestClock)
    say: Heard = field(default_factory=Heard)
    stop: Callable[[], bool] = lambda: False
    artifacts: Path | str | None = None

    @property
    def web(self) -> Web:
        return Web(clock=self.clock, interrupted=self.stop, loopback=True, timeout=10.0)

    @property
    def publisher(self) -> Publisher:
        runner = ProcessRunner()
        return Publisher(
            web=self.web,
            gpgv=lambda: Gpgv.find(runner=runner, environment={}),
            keys=self.folder / "keys",
            clock=self.clock,
            artifacts=self.artifacts,
            publications=(self.vendor.publication,),
        )

    @property
    def lock(self) -> ImagesLock:
        return ImagesLock(self.folder / "images.lock")

    @property
    def bases(self) -> Bases:
        cache = VendorCache(
            folder=self.folder / "vendor",
            publisher=self.publisher,
            clock=self.clock,
            interrupted=self.stop,
        )
        return Bases(lock=self.lock, cache=cache)


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server on this machine."""
    site = Site()
    site.start()
    yield site
    site.stop()


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """The made-up vendor's key."""
    if shutil.which("gpg") is None or shutil.which("gpgv") is None:
        pytest.skip("gpg and gpgv are not here to sign and verify with")
    return Signer.make(tmp_path_factory.mktemp("gpg") / "home", "vendor")


@pytest.fixture
def vendor(site: Site, signer: Signer) -> Vendor:
    """A vendor that signs its checksums and has published an image."""
    vendor = Vendor(site, signer)
    vendor.publish()
    return vendor


@pytest.fixture
def unsigned(site: Site) -> Vendor:
    """A vendor that publishes checksums alone."""
    vendor = Vendor(site, None)
    vendor.publish()
    return vendor


@pytest.fixture
def bench(tmp_path: Path, vendor: Vendor) -> Bench:
    """A machine that uses the vendor's image."""
    return Bench(tmp_path / "zave", vendor)


# an account


@pytest.fixture(scope="module")
def account() -> Iterator[Any]:
    """An account in this process: a client takes a second to make."""
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto")
    settings = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        # moto would load AWS's own AMIs, for seconds
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    }
    with pytest.MonkeyPatch.context() as patch, moto.mock_aws():
        for name, value in settings.items():
            patch.setenv(name, value)
        yield boto3.client("ec2", region_name="us-east-1")


@pytest.fixture
def ec2(account: Any) -> Any:
    """The account, empty."""
    for image in account.describe_images()["Images"]:
        account.deregister_image(ImageId=image["ImageId"])
    for snapshot in account.describe_snapshots(OwnerIds=["self"])["Snapshots"]:
        account.delete_snapshot(SnapshotId=snapshot["SnapshotId"])
    return account


@pytest.fixture
def work(bench: Bench) -> "Workbench":
    """A machine that builds images."""
    from tests.unit.images.workbench import Workbench

    return Workbench(bench)


@pytest.fixture
def amazon(ec2: Any, work: "Workbench") -> "AmazonImages":
    """The account's AMIs; what it tells beside its answers is heard like all else."""
    from zave.images.amazon import AmazonImages

    return AmazonImages(lambda: ec2, work.workshop, tell=lambda text: work.bench.say(text, None))
