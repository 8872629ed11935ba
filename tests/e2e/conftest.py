"""What every test on a real host needs; each is skipped, with the reason, where it cannot be had."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.homelab.host import LabHost, lab_host
from tests.e2e.homelab.root import provider_mirror
from tests.e2e.homelab.tiny_image import tiny_image
from tests.system.debian_image import UnavailableError, debian_image


@pytest.fixture(scope="module")
def mirror() -> Path:
    """Where Terraform finds the real libvirt provider."""
    return provider_mirror()


@pytest.fixture(scope="module")
def host(mirror: Path) -> Iterator[LabHost]:
    """A libvirtd; not started where there is no provider to use it with."""
    assert mirror
    with lab_host() as started:
        yield started


@pytest.fixture(scope="module")
def tiny(host: LabHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that boots in seconds."""
    assert host
    return _made(tiny_image, tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def debian(host: LabHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of Debian's, as a vendor's is."""
    assert host
    return _made(debian_image, tmp_path_factory.mktemp("debian"))


def _made(make: Callable[[Path], Path], folder: Path) -> Path:
    try:
        return make(folder)
    except UnavailableError as error:
        pytest.skip(str(error))
