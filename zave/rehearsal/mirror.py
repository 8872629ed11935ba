"""Where Terraform finds the simulated providers: a filesystem mirror made of shell scripts.

The scripts below `providers/` never change, so neither do the checksums in a dependency lock file;
what does change (the path of the Python, the certificate's) stands in `run` beside them.
"""

import json
import os
import shlex
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import zave
from zave.errors import PreconditionError
from zave.rehearsal import shelf

if TYPE_CHECKING:
    from zave.rehearsal.schema import Catalogue

# resolves the link that Terraform makes below .terraform/, without starting another program
_WRAPPER = """#!/bin/sh
cd -P -- "${{0%/*}}" && exec ../../../../../../run {catalogue}
"""
_RUN = """#!/bin/sh
exec {python} -I -m zave.rehearsal.plugin "$@" {certificate} {catalogues}
"""
_CLI_CONFIG = """disable_checkpoint = true

provider_installation {{
  filesystem_mirror {{
    path = {path}
  }}
}}
"""
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_CERTIFICATE_YEARS = 30


def install_mirror(folder: Path, *, catalogues: Path = shelf.FOLDER) -> Path:
    """Make or refresh the mirror in `folder` and return the Terraform CLI configuration to use.

    Cheap when nothing changed; safe when many processes do it at once. Raises PreconditionError on a
    machine for which Terraform has no providers.
    """
    folder = folder.absolute()
    config, stamp = folder / "terraform.rc", folder / "stamp.json"
    wanted = _stamp(catalogues)
    with suppress(OSError):
        if stamp.read_text(encoding="utf-8") == wanted and config.exists():
            return config
    # here: a mirror that is up to date needs no catalogue read
    from zave.rehearsal import schema

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate = folder / "certificate.pem"
    if not certificate.exists():
        _make_certificate(certificate)
    run = _RUN.format(
        python=shlex.quote(sys.executable),
        certificate=shlex.quote(str(certificate)),
        catalogues=shlex.quote(str(catalogues)),
    )
    _write(folder / "run", run, mode=0o700, folder=folder)
    for name in shelf.names(folder=catalogues):
        _write_wrapper(folder, schema.load(name, folder=catalogues))
    path = json.dumps(str(folder / "providers"), ensure_ascii=False)
    _write(config, _CLI_CONFIG.format(path=path), mode=0o600, folder=folder)
    # last: a mirror that is only half there has no stamp
    _write(stamp, wanted, mode=0o600, folder=folder)
    return config


def platform() -> str:
    """The machine as Terraform names it, such as `linux_amd64`."""
    machine = os.uname().machine
    architecture = _ARCHITECTURES.get(machine.lower())
    if sys.platform not in ("linux", "darwin") or architecture is None:
        raise PreconditionError(
            f"rehearsals do not run on {sys.platform} {machine}",
            resolution="use Linux or macOS on a 64-bit Intel or ARM machine",
        )
    return f"{sys.platform}_{architecture}"


def _stamp(catalogues: Path) -> str:
    changed = {
        name: (catalogues / f"{name}.behaviour.json").stat().st_mtime_ns
        for name in shelf.names(folder=catalogues)
    }
    return json.dumps(
        {
            "zave": zave.__version__,
            "python": sys.executable,
            "catalogues": str(catalogues),
            "changed": changed,
        }
    )


def _write_wrapper(folder: Path, catalogue: "Catalogue") -> None:
    short = catalogue.address.rsplit("/", 1)[-1]
    package = folder / "providers" / catalogue.address / catalogue.version / platform()
    package.mkdir(mode=0o700, parents=True, exist_ok=True)
    program = package / f"terraform-provider-{short}_v{catalogue.version}"
    _write(program, _WRAPPER.format(catalogue=shlex.quote(catalogue.name)), mode=0o700, folder=folder)


def _temporary(folder: Path, text: str, *, mode: int) -> Path:
    # in the mirror's own folder: below providers/ every file counts as part of a package
    handle, name = tempfile.mkstemp(dir=folder, prefix=".new-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
    return Path(name)


def _write(path: Path, text: str, *, mode: int, folder: Path) -> None:
    with suppress(OSError):
        if path.read_text(encoding="utf-8") == text:
            return
    _temporary(folder, text, mode=mode).replace(path)


def _make_certificate(path: Path) -> None:
    """A key and a certificate of its own for `localhost`, which is the name go-plugin checks."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # a day back: clocks may be set between making and using it
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365 * _CERTIFICATE_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate_text = certificate.public_bytes(serialization.Encoding.PEM)
    new = _temporary(path.parent, (key_text + certificate_text).decode(), mode=0o600)
    # a link, not a rename: the first of several processes wins, and all use its certificate
    with suppress(FileExistsError):
        path.hardlink_to(new)
    new.unlink()
