"""A spec that was kept from an earlier command means what it meant when it was checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from zave.gitops.capacity import too_small
from zave.gitops.tree import tree_of
from zave.platforms import aws_values, libvirt_machines, libvirt_values
from zave.ports.machines import Release
from zave.project import Project
from zave.spec.kept import KeptSection
from zave.spec.load import load_spec, spec_document

if TYPE_CHECKING:
    from zave.spec import AwsSpec, LibvirtSpec

VALID = sorted((Path(__file__).parents[2] / "specs" / "valid").glob("*.yaml"))
ACCOUNT = "123456789012"


def lab_values(spec: LibvirtSpec) -> dict[str, Any]:
    """All that the home lab's platform makes of a spec."""
    project = Project()
    return {
        "variables": libvirt_values.terraform_variables(
            spec,
            instance="lab",
            image_path="/images/base.qcow2",
            acceleration="kvm",
            keys=["ssh-ed25519 AAAA me@example.org"],
            project=project,
            release=Release("v1.35.9+k3s1", "ab" * 32, "vendor"),
        ),
        "keys": libvirt_values.key_files(spec, Path("/home/me")),
        "machines": libvirt_machines.machines_of(spec, "lab"),
    }


def demo_values(spec: AwsSpec) -> dict[str, Any]:
    """All that the demo's platform makes of a spec."""
    return {
        "variables": aws_values.terraform_variables(
            spec, instance="demo", environment="aws-demo", account=ACCOUNT, creation="now"
        ),
        "root": aws_values.root_values(spec, instance="demo", account=ACCOUNT),
        "account": aws_values.account_variables(spec, account=ACCOUNT),
        "account-root": aws_values.account_root_values(spec, account=ACCOUNT, bucket_exists=True),
    }


def values(spec: LibvirtSpec | AwsSpec, folder: Path) -> dict[str, Any]:
    own = lab_values(spec) if spec.platform == "libvirt-k3s" else demo_values(spec)
    tree: Any = None
    if spec.gitops.profile != "none":
        tree = tree_of(Project(), spec, instance="one", destination=folder).values
    return {"own": own, "tree": tree, "too-small": too_small(spec), "document": spec_document(spec)}


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_a_kept_spec_makes_the_same_values(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "environment.yaml"
    shutil.copy(file, path)
    checked = load_spec(path, kept=tmp_path / "kept")
    kept = load_spec(path, kept=tmp_path / "kept")
    assert isinstance(kept, KeptSection)
    expected = values(checked, tmp_path)
    assert values(kept, tmp_path) == expected
    assert json.dumps(expected["own"], default=str)
