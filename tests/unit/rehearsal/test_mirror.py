import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

import zave
from zave.errors import PreconditionError
from zave.rehearsal import mirror, schema
from zave.rehearsal.mirror import install_mirror

LIBVIRT = Path("providers/registry.terraform.io/dmacvicar/libvirt/0.9.7")


def program(folder: Path) -> Path:
    return folder / LIBVIRT / mirror.platform() / "terraform-provider-libvirt_v0.9.7"


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_mirror_has_terraforms_unpacked_layout(tmp_path: Path) -> None:
    config = install_mirror(tmp_path / "mirror")
    text = config.read_text()
    assert json.dumps(str(tmp_path / "mirror" / "providers")) in text
    assert "direct" not in text
    assert os.access(program(tmp_path / "mirror"), os.X_OK)
    # whatever lies beside the program counts as part of the package
    assert len(list(program(tmp_path / "mirror").parent.iterdir())) == 1


def test_only_the_owner_may_read_the_key(tmp_path: Path) -> None:
    install_mirror(tmp_path / "mirror")
    modes = {
        path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "mirror").iterdir() if path.is_file()
    }
    assert modes == {
        "certificate.pem": 0o600,
        "run": 0o700,
        "stamp.json": 0o600,
        "terraform.rc": 0o600,
    }
    assert (tmp_path / "mirror").stat().st_mode & 0o777 == 0o700


def test_a_second_installation_writes_nothing(tmp_path: Path) -> None:
    install_mirror(tmp_path / "mirror")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "mirror").rglob("*")}
    install_mirror(tmp_path / "mirror")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "mirror").rglob("*")} == before


def test_another_python_changes_the_launcher_but_not_what_terraform_checksums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mirror"
    install_mirror(folder)
    before = contents(folder)
    monkeypatch.setattr(sys, "executable", "/some where/python")
    install_mirror(folder)
    after = contents(folder)
    assert {name for name in before if before[name] != after[name]} == {"run", "stamp.json"}
    assert "'/some where/python' -I -m zave.rehearsal.plugin" in after["run"]


def test_another_version_of_zave_refreshes_the_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mirror"
    install_mirror(folder)
    program(folder).write_text("#!/bin/sh\necho from an earlier version\n")
    install_mirror(folder)
    assert "earlier version" in program(folder).read_text()
    monkeypatch.setattr(zave, "__version__", "99")
    install_mirror(folder)
    assert "exec" in program(folder).read_text()


def test_a_mirror_that_lost_its_configuration_is_made_again(tmp_path: Path) -> None:
    config = install_mirror(tmp_path / "mirror")
    config.unlink()
    assert install_mirror(tmp_path / "mirror") == config
    assert config.exists()


def test_many_processes_at_once_agree_on_one_certificate(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from zave.rehearsal.mirror import install_mirror;"
        "print(install_mirror(Path(sys.argv[1])), (Path(sys.argv[1]) / 'certificate.pem').read_text())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "mirror")]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(12)]
    answers = {child.communicate()[0] for child in children}
    assert [child.returncode for child in children] == [0] * 12
    assert len(answers) == 1
    # no half-written file is left
    assert not list((tmp_path / "mirror").rglob(".new-*"))


def test_the_certificate_names_localhost_and_outlives_the_project(tmp_path: Path) -> None:
    install_mirror(tmp_path)
    text = (tmp_path / "certificate.pem").read_bytes()
    certificate = x509.load_pem_x509_certificate(text[text.index(b"-----BEGIN CERTIFICATE") :])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    years = (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days / 365
    assert years >= 30


def test_other_catalogues_can_be_served(tmp_path: Path) -> None:
    toys = Path(__file__).parent / "catalogue"
    install_mirror(tmp_path / "mirror", catalogues=toys)
    assert (tmp_path / "mirror/providers/registry.terraform.io/example/toy/1.2.3").is_dir()
    assert schema.names(folder=toys) == ["toy"]


def test_a_machine_without_terraform_providers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = os.uname_result(("Linux", "host", "6", "1", "riscv64"))
    monkeypatch.setattr(os, "uname", lambda: machine)
    with pytest.raises(PreconditionError, match="riscv64"):
        mirror.platform()
