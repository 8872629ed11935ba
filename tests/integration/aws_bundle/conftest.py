"""A demo that is up in moto, and machines that have nothing."""

from collections.abc import Iterator

import pytest

from tests.integration.aws_bundle.demo import Demo
from tests.integration.aws_bundle.machine import machines, why_not
from tests.system.moto_server import moto_server


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One demo for all tests of a file: arming and bringing it up takes a while."""
    pytest.importorskip("boto3", reason="the extra `aws` is not installed")
    pytest.importorskip("moto", reason="moto[server] of the extra `dev` is not installed")
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch, moto_server(folder / "moto.log") as server:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with machines(folder, server) as machine:
            made = Demo(folder, server, machine)
            made.up()
            yield made
