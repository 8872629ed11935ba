"""What zave renders, word for word. `ZAVE_UPDATE_GOLDEN=1 pytest tests/golden` accepts a change."""

import os
import shutil
import textwrap
from pathlib import Path

import pytest

from zave.gitops.tree import tree_of
from zave.platforms.libvirt_values import first_boot_scripts, terraform_variables
from zave.ports.machines import Release
from zave.project import Project
from zave.render import MANIFEST, write_tfvars
from zave.spec.libvirt import LibvirtSpec
from zave.spec.load import parse_spec

HERE = Path(__file__).parent
# read at import: tests themselves see none of the caller's ZAVE_ variables
UPDATE = os.environ.get("ZAVE_UPDATE_GOLDEN") == "1"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPmV8zvvz9Dy/0Kf9wJoFoNw3C0nH1mqYxG3XqT5wZ1x me@example"
RELEASE = Release("v1.35.9+k3s1", "0123456789abcdef" * 4, "vendor")
CASES = {
    "homelab": "platform: libvirt-k3s\n",
    "three-control-planes": """
platform: libvirt-k3s
image: {source: packer, image: k3s-base}
libvirt: {network: {name: own, cidr: 192.168.77.0/27}}
nodes:
  control-plane: {count: 3, vcpu: 2, memory: 4GiB, disk: 60GiB}
  worker: {count: 1}
kubernetes: {version: v1.35.9+k3s1}
gitops: {repository: "git@git.example.org:me/lab.git", branch: next, profile: bigbang}
""",
}


def render(case: str, destination: Path) -> None:
    spec = parse_spec(CASES[case], where=f"{case}.yaml")
    assert isinstance(spec, LibvirtSpec)
    project = Project()
    variables = terraform_variables(
        spec,
        instance=case,
        image_path="/var/lib/libvirt/images/base.qcow2",
        acceleration="kvm",
        keys=[KEY],
        project=project,
        release=RELEASE,
    )
    scripts = first_boot_scripts(project, spec)
    first = variables["nodes"][f"{case}-control-plane-1"], variables["nodes"][f"{case}-worker-1"]
    for role, node in zip(("control-plane", "worker"), first, strict=True):
        for name in ("user_data", "meta_data", "network_config"):
            text = without(scripts, node[name]) if name == "user_data" else node[name]
            (destination / f"{role}.{name}").write_text(text)
    for node in variables["nodes"].values():
        # each has its own file above, or is like one that has
        for name in ("user_data", "meta_data", "network_config"):
            del node[name]
    write_tfvars(destination / "variables.json", variables)
    tree_of(project, spec, instance=case, destination=destination / "gitops").write()
    # copied as they are: what points at them is all that is rendered
    for base in ("infrastructure", "platform", "apps"):
        shutil.rmtree(destination / "gitops" / base)


def without(scripts: dict[str, str], text: str) -> str:
    """`text` with a line in place of each script, which is not rendered and changes for its own reasons."""
    for name, script in scripts.items():
        embedded = textwrap.indent(script, " " * 6)
        assert embedded in text
        text = text.replace(embedded, f"      [{name}]\n")
    return text


def files_below(folder: Path) -> dict[str, str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(paths)}


@pytest.mark.parametrize("case", sorted(CASES))
def test_rendering_is_as_accepted(case: str, tmp_path: Path) -> None:
    render(case, tmp_path)
    if UPDATE:
        shutil.rmtree(HERE / case, ignore_errors=True)
        for name, text in files_below(tmp_path).items():
            (HERE / case / name).parent.mkdir(parents=True, exist_ok=True)
            (HERE / case / name).write_text(text)
    assert files_below(tmp_path) == files_below(HERE / case)
