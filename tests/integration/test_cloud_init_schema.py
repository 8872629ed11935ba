"""What machines read at their first boot passes cloud-init's own schema check.

cloud-init is Debian's package, unpacked into a cache and never installed. Its Python dependencies that
zave's own environment lacks come from Debian as well.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zave.platforms.libvirt_values import seeds_of
from zave.ports.machines import Release
from zave.project import Project
from zave.spec.libvirt import LibvirtSpec
from zave.spec.load import parse_spec

PACKAGES = (
    "cloud-init",
    "python3-certifi",
    "python3-chardet",
    "python3-configobj",
    "python3-idna",
    "python3-json-pointer",
    "python3-jsonpatch",
    "python3-oauthlib",
    "python3-requests",
    "python3-six",
    "python3-urllib3",
)
# read at import: tests themselves have an empty home
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zave-tests" / "cloud-init"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPmV8zvvz9Dy/0Kf9wJoFoNw3C0nH1mqYxG3XqT5wZ1x me@example"
RELEASE = Release("v1.35.9+k3s1", "ab" * 32, "vendor")
CHECK = "import sys; from cloudinit.cmd.main import main; sys.exit(main())"


def ran(*argv: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def cloud_init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of cloud-init's Python package."""
    if not (CACHE / "complete").exists():
        missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
        if missing:
            pytest.skip(f"{missing[0]} is not here to fetch Debian's cloud-init")
        downloads = tmp_path_factory.mktemp("debs")
        fetched = ran("apt-get", "download", "-q", *PACKAGES, cwd=downloads)
        if fetched.returncode != 0:
            pytest.skip(f"Debian's cloud-init cannot be fetched: {fetched.stderr.strip()[-300:]}")
        CACHE.mkdir(parents=True, exist_ok=True)
        for package in downloads.glob("*.deb"):
            assert ran("dpkg-deb", "-x", str(package), str(CACHE)).returncode == 0
        (CACHE / "complete").touch()
    return CACHE / "usr/lib/python3/dist-packages"


def check(cloud_init: Path, document: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(cloud_init), "PYTHONWARNINGS": "ignore"}
    argv = [sys.executable, "-c", CHECK, "schema", "--config-file", str(document)]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("source", ["cloud", "packer"])
@pytest.mark.parametrize("count", [1, 3])
def test_user_data_passes_the_schema(cloud_init: Path, tmp_path: Path, source: str, count: int) -> None:
    text = (
        f"platform: libvirt-k3s\nimage: {{source: {source}}}\nnodes: {{control-plane: {{count: {count}}}}}\n"
        'registry: {mirrors: [{registry: "*", endpoints: ["https://mirror.example.org"]}]}\n'
    )
    spec = parse_spec(text, where="environment.yaml")
    assert isinstance(spec, LibvirtSpec)
    seeds = seeds_of(Project(), spec, instance="lab", keys=[KEY], release=RELEASE)
    for name in ("lab-control-plane-1", "lab-worker-1"):
        document = tmp_path / f"{name}.yaml"
        document.write_text(seeds[name].user_data)
        result = check(cloud_init, document)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "Valid" in result.stdout
        assert "deprecat" not in (result.stdout + result.stderr).lower()


def test_the_check_refuses_what_is_wrong(cloud_init: Path, tmp_path: Path) -> None:
    # or the test above would prove nothing
    document = tmp_path / "wrong.yaml"
    document.write_text("#cloud-config\nwrite_files:\n  - pth: /etc/motd\n")
    assert check(cloud_init, document).returncode != 0
