"""The image templates in Debian's Packer 1.6, the oldest that zave supports, and the scripts run in them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zave.project import Project
from zave.render import Renderer

IMAGE = Project().path("packer-images/k3s-base")
# read at import: tests themselves have an empty home
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zave-tests" / "packer"


@pytest.fixture(scope="module")
def packer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Packer from PATH when it has the builders inside, else Debian's, unpacked and never installed."""
    program = CACHE / "usr/bin/packer"
    if not program.exists():
        missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
        if missing:
            pytest.skip(f"{missing[0]} is not here to fetch Debian's Packer")
        downloads = tmp_path_factory.mktemp("debs")
        fetch = ["apt-get", "download", "-q", "packer"]
        fetched = subprocess.run(
            fetch, cwd=downloads, capture_output=True, text=True, check=False, timeout=120
        )
        if fetched.returncode != 0:
            pytest.skip(f"Debian's Packer cannot be fetched: {fetched.stderr.strip()[-300:]}")
        CACHE.mkdir(parents=True, exist_ok=True)
        [package] = downloads.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, CACHE], check=True)
    return str(program)


def run(packer: str, *arguments: str, cwd: Path = IMAGE) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "CHECKPOINT_DISABLE": "1",
        # validate makes no call; the builder only wants to see some
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
    }
    return subprocess.run(
        [packer, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def build_variables(tmp_path: Path) -> list[str]:
    """What zave adds to a variable file for one build."""
    for name in ("user-data", "meta-data"):
        (tmp_path / name).write_text("#cloud-config\n")
    (tmp_path / "source.qcow2").write_bytes(b"")
    key = tmp_path / "key"
    key.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    values = {
        "source_image": str(tmp_path / "source.qcow2"),
        "source_checksum": "sha256:" + "0" * 64,
        "ssh_private_key_file": str(key),
        "seed_folder": str(tmp_path),
        "output_directory": str(tmp_path / "output"),
    }
    return [f"-var={name}={value}" for name, value in values.items()]


@pytest.mark.parametrize("builder", ["qemu", "amazon-ebs"])
@pytest.mark.parametrize("file", sorted(path.name for path in IMAGE.glob("*.pkrvars.hcl")))
def test_every_image_is_valid_for_every_builder(
    packer: str, build_variables: list[str], file: str, builder: str
) -> None:
    result = run(packer, "validate", f"-only={builder}.k3s-base", f"-var-file={file}", *build_variables, ".")
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_variable_file_with_a_mistake_is_refused(
    packer: str, build_variables: list[str], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.pkrvars.hcl"
    wrong.write_text((IMAGE / "debian-12.pkrvars.hcl").read_text().replace("debian-12", "debian"))
    result = run(packer, "validate", "-only=qemu.k3s-base", f"-var-file={wrong}", *build_variables, ".")
    assert result.returncode != 0
    assert "The distribution must look like" in result.stdout + result.stderr


def test_templates_and_the_rendered_plugin_block_are_formatted(packer: str, tmp_path: Path) -> None:
    for file in IMAGE.glob("*.hcl"):
        shutil.copy(file, tmp_path)
    Renderer(Project()).render_tree("templates/packer", tmp_path, {"image": "k3s-base"})
    assert (tmp_path / "plugins.pkr.hcl").exists()
    result = run(packer, "fmt", "-check", "-diff", str(tmp_path), cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_scripts_are_clean_and_may_be_executed() -> None:
    beside_python = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shellcheck = shutil.which("shellcheck", path=beside_python)
    assert shellcheck is not None
    scripts = [*IMAGE.rglob("*.sh"), *Project().path("templates/cloud-init").rglob("*.sh")]
    assert len(scripts) == 4
    result = subprocess.run([shellcheck, *scripts], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert [s.name for s in IMAGE.rglob("*.sh") if not os.access(s, os.X_OK)] == []
