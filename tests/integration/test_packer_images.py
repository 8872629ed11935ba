"""The image templates in Debian's Packer 1.6, the oldest that zave supports, and the scripts run in them."""

import os
import re
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


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """The image's folder as zave lays it out for a Packer without plugins."""
    return laid_out(tmp_path / "template", plugins=False)


def laid_out(folder: Path, *, plugins: bool) -> Path:
    values = {"image": IMAGE.name, "plugins": plugins}
    renderer = Renderer(Project())
    renderer.render_tree(f"packer-images/{IMAGE.name}", folder, values)
    block = renderer.render_text("templates/packer/plugins.pkr.hcl.j2", values)
    (folder / "plugins.pkr.hcl").write_text(block)
    return folder


def run(packer: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
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
    seed = tmp_path / "seed"
    seed.mkdir()
    for name in ("user-data", "meta-data"):
        (seed / name).write_text("#cloud-config\n")
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
        "seed_folder": str(seed),
        "output_directory": str(tmp_path / "output"),
        "manifest_directory": str(tmp_path),
        "fingerprint": "0" * 64,
        "scripts_digest": "0" * 64,
    }
    return [f"-var={name}={value}" for name, value in values.items()]


@pytest.mark.parametrize("builder", ["qemu", "amazon-ebs"])
@pytest.mark.parametrize("file", sorted(path.name for path in IMAGE.glob("*.pkrvars.hcl")))
def test_every_image_is_valid_for_every_builder(
    packer: str, template: Path, build_variables: list[str], file: str, builder: str
) -> None:
    only = f"-only={builder}.k3s-base"
    result = run(packer, "validate", only, f"-var-file={file}", *build_variables, ".", cwd=template)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_variable_file_with_a_mistake_is_refused(
    packer: str, template: Path, build_variables: list[str], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.pkrvars.hcl"
    wrong.write_text((IMAGE / "debian-12.pkrvars.hcl").read_text().replace("debian-12", "debian"))
    only = "-only=qemu.k3s-base"
    result = run(packer, "validate", only, f"-var-file={wrong}", *build_variables, ".", cwd=template)
    assert result.returncode != 0
    assert "The distribution must look like" in result.stdout + result.stderr


def test_every_supported_base_has_its_variable_file() -> None:
    bases = {path.name.removesuffix(".pkrvars.hcl") for path in IMAGE.glob("*.pkrvars.hcl")}
    assert bases == {"debian-12", "ubuntu-22.04", "ubuntu-24.04"}


@pytest.mark.parametrize("plugins", [False, True])
def test_what_packer_reads_is_formatted_for_old_and_new_versions(
    packer: str, tmp_path: Path, plugins: bool
) -> None:
    folder = laid_out(tmp_path / "template", plugins=plugins)
    result = run(packer, "fmt", "-check", "-diff", ".", cwd=folder)
    assert result.returncode == 0, result.stdout + result.stderr


def test_packers_that_know_how_are_told_to_use_imdsv2_alone(tmp_path: Path) -> None:
    new = laid_out(tmp_path / "new", plugins=True)
    source = (new / "amazon-ebs.pkr.hcl").read_text()
    assert re.search(r'http_tokens\s+= "required"', source)
    assert re.search(r'imds_support\s+= "v2.0"', source)
    assert "required_plugins" in (new / "plugins.pkr.hcl").read_text()
    # Packer 1.6 refuses what it does not know: `validate` above shows that this one is without
    assert not re.search(r"ami-[0-9a-f]{8}", source)


@pytest.mark.parametrize("plugins", [False, True])
def test_an_ami_is_encrypted_without_a_copy_in_between(tmp_path: Path, plugins: bool) -> None:
    """`encrypt_boot` makes an AMI without tags first, which a killed build leaves and nobody finds."""
    source = (laid_out(tmp_path / "template", plugins=plugins) / "amazon-ebs.pkr.hcl").read_text()
    assert not re.search(r"^\s*encrypt_boot\s*=", source, re.MULTILINE)
    [mapping] = re.findall(r"launch_block_device_mappings \{(.*?)\n  \}", source, re.DOTALL)
    assert re.search(r"device_name\s+= var.root_device\n", mapping)
    assert re.search(r"encrypted\s+= true\n", mapping)
    assert re.search(r"delete_on_termination\s+= true", mapping)


def test_everything_of_a_build_carries_its_token(template: Path) -> None:
    tags = re.search(r"tags = \{(.*?)\}", (template / "k3s-base.pkr.hcl").read_text(), re.DOTALL)
    assert tags is not None
    assert re.search(r'"zave:build"\s+= var.build_token\n', tags[1])
    source = (template / "amazon-ebs.pkr.hcl").read_text()
    assert re.search(r"run_tags\s+= local.tags\n", source)
    assert re.search(r"snapshot_tags\s+= local.tags\n", source)
    assert re.search(r"  tags\s+= merge\(local.tags, \{ \"zave:source\"", source)


@pytest.mark.parametrize(
    ("base", "device", "user"),
    [("debian-12", "/dev/xvda", "admin"), ("ubuntu-22.04", "/dev/sda1", "ubuntu")],
)
def test_an_amis_root_device_and_user_are_its_vendors(base: str, device: str, user: str) -> None:
    variables = (IMAGE / f"{base}.pkrvars.hcl").read_text()
    assert re.search(rf'^root_device\s+= "{device}"$', variables, re.MULTILINE)
    assert re.search(rf'^ami_ssh_username\s+= "{user}"$', variables, re.MULTILINE)


def test_scripts_are_clean_and_may_be_executed() -> None:
    beside_python = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shellcheck = shutil.which("shellcheck", path=beside_python)
    assert shellcheck is not None
    scripts = [*IMAGE.rglob("*.sh"), *Project().path("templates/cloud-init").rglob("*.sh")]
    assert len(scripts) >= 6
    result = subprocess.run([shellcheck, *scripts], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert [s.name for s in IMAGE.rglob("*.sh") if not os.access(s, os.X_OK)] == []
