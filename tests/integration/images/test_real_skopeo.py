"""Real skopeo against a real registry on this machine: TLS, a login, archives, and digests read back."""

import base64
import hashlib
import io
import ipaddress
import json
import os
import shutil
import socket
import ssl
import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from zave.errors import ToolFailedError
from zave.ports.registry import Authorization
from zave.process import ProcessRunner
from zave.tools.skopeo import Skopeo

for program in ("skopeo", "docker-registry"):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: Debian's package", allow_module_level=True)

PASSWORD = "canary-of-a-token"
# bcrypt of it: the only form that docker-registry takes
HASHED = "$2b$04$s27lR60QlVSTSc.dK3PvgOkB3cFAqFRs39lPp8qu9yn6wLHjkKEnu"
LATEST = 500


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with key.pem and cert.pem for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "registry")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    none = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none))
    return folder


@pytest.fixture(scope="module")
def server(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a registry that wants a login."""
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (folder / "htpasswd").write_text(f"AWS:{HASHED}\n")
    told = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {
            "addr": address,
            "tls": {"certificate": str(certificate / "cert.pem"), "key": str(certificate / "key.pem")},
        },
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}},
    }
    # JSON is YAML
    (folder / "config.yml").write_text(json.dumps(told))
    words = ["docker-registry", "serve", str(folder / "config.yml")]
    with (folder / "log").open("wb") as log, subprocess.Popen(words, stdout=log, stderr=log) as process:
        try:
            _wait(address, certificate, process)
            yield address
        finally:
            process.terminate()


def _wait(address: str, certificate: Path, process: subprocess.Popen[bytes]) -> None:
    context = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    pair = base64.b64encode(f"AWS:{PASSWORD}".encode()).decode()
    asked = urllib.request.Request(f"https://{address}/v2/", headers={"Authorization": f"Basic {pair}"})
    for _ in range(LATEST):
        assert process.poll() is None, "the registry did not start"
        try:
            with urllib.request.urlopen(asked, context=context):
                return
        except (ConnectionError, urllib.error.URLError):
            _moment(process)
    raise AssertionError("the registry did not answer")


def _moment(process: subprocess.Popen[bytes]) -> None:
    """Give it a moment, unless it has ended."""
    try:
        process.wait(0.02)
    except subprocess.TimeoutExpired:
        return


@pytest.fixture
def skopeo(server: str, certificate: Path, tmp_path: Path) -> Skopeo:
    return _skopeo(server, certificate, tmp_path, PASSWORD)


def _skopeo(server: str, certificate: Path, folder: Path, password: str) -> Skopeo:
    (folder / "scratch").mkdir(mode=0o700)
    return Skopeo.find(
        runner=ProcessRunner(),
        scratch=folder / "scratch",
        authorization=lambda: Authorization(server, "AWS", password),
        environ={"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(certificate / "cert.pem")},
    )


def docker_archive(path: Path) -> Path:
    """What `docker save` writes of an image with one layer."""
    layer = _tar({"hello": b"hello\n" * 100})
    diff = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": ["shop:1"], "Layers": [f"{diff}.tar"]}]
    files = {name: config, f"{diff}.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    path.write_bytes(_tar(files))
    return path


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_an_archive_arrives_with_the_digest_that_was_told_before(
    skopeo: Skopeo, server: str, tmp_path: Path
) -> None:
    source = f"docker-archive:{docker_archive(tmp_path / 'shop.tar')}"
    digest = skopeo.digest(source)
    said: list[str] = []
    skopeo.copy(source, f"{server}/zave-demo/apps:shop-1", say=said.append)
    assert skopeo.stored(f"{server}/zave-demo/apps:shop-1") == digest
    assert any("Copying blob" in line for line in said)
    # the same tag once more: nothing else comes of it
    skopeo.copy(source, f"{server}/zave-demo/apps:shop-1", say=said.append)
    assert skopeo.stored(f"{server}/zave-demo/apps:shop-1") == digest


def test_with_the_wrong_token_nothing_is_copied(
    skopeo: Skopeo, server: str, certificate: Path, tmp_path: Path
) -> None:
    source = f"docker-archive:{docker_archive(tmp_path / 'shop.tar')}"
    (tmp_path / "wrong").mkdir()
    wrong = _skopeo(server, certificate, tmp_path / "wrong", "another-token")
    with pytest.raises(ToolFailedError, match="failed") as caught:
        wrong.copy(source, f"{server}/zave-demo/refused:1", say=lambda _: None)
    assert "another-token" not in str(caught.value.details)
    with pytest.raises(ToolFailedError):
        skopeo.stored(f"{server}/zave-demo/refused:1")
