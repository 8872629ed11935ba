"""What a home lab's spec means in addresses, machines, first-boot files and Terraform variables.

All of it follows from the spec and the instance's name alone, so a crashed run and the one that
recovers from it name the same things.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zave.errors import PreconditionError, SpecError
from zave.project import Project
from zave.render import Renderer

if TYPE_CHECKING:
    from zave.ports.machines import Release
    from zave.spec.libvirt import LibvirtSpec

Role = Literal["control-plane", "worker"]

CLOUD_INIT = "templates/cloud-init"

LOCAL_REGISTRY = "registry.zave.internal"
"""What images of the home lab's own registry are called by, in every environment."""

# templates/gitops/platform/registry/deployment.yaml: each node has it on this port of its own
_LOCAL_ENDPOINT = "http://127.0.0.1:30500"

SCRIPTS = "packer-images/k3s-base/scripts"
"""What prepares an image when Packer builds it, and a vendor's image at a machine's first boot."""

_FIRST_BOOT_SCRIPTS = ("update-packages.sh", "harden-os.sh", "install-k3s-prereqs.sh")
# k3s' own files, and the templates that they are made from; those of servers only
_CONFIGURATION = {"config.yaml": "k3s-config.yaml.j2", "registries.yaml": "registries.yaml.j2"}
_SERVERS_CONFIGURATION = {"admission.yaml": "admission.yaml", "audit.yaml": "audit.yaml"}
# k3s' own: the platform brings a gateway; NFS volumes come with the platform
_DISABLED = ("servicelb", "traefik")

# the spec's upper bounds: a lease is reserved for each node that a spec may ever ask for, because the
# provider (dmacvicar/libvirt 0.9.7, internal/provider/network_resource.go) updates no network
_SLOTS: Mapping[Role, int] = {"control-plane": 5, "worker": 50}
# host number of the first node of a role; ranges up to /25 have room for the roomy one
_ROOMY: Mapping[Role, int] = {"control-plane": 11, "worker": 21}
_COMPACT: Mapping[Role, int] = {"control-plane": 2, "worker": 7}
_ROOMY_PREFIX = 25

_MIB = 1024 * 1024
_LARGEST_KEY_FILE = 64 * 1024
_PUBLIC_KEY = re.compile(
    r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com"
    r"|sk-ecdsa-sha2-nistp256@openssh\.com) [A-Za-z0-9+/]+={0,3}( [^\x00-\x1f\x7f]*)?"
)


@dataclass(frozen=True)
class Reservation:
    """A fixed DHCP lease."""

    name: str
    role: Role
    address: str
    mac: str


@dataclass(frozen=True)
class NodePlan:
    """A machine to be: memory and disk in bytes."""

    name: str
    role: Role
    address: str
    mac: str
    vcpu: int
    memory: int
    disk: int


@dataclass(frozen=True)
class Seed:
    """What cloud-init reads at a machine's first boot. Lands in Terraform's state: no secrets."""

    user_data: str
    meta_data: str
    network_config: str


def reservations_of(spec: "LibvirtSpec", instance: str) -> list[Reservation]:
    """A lease for every node that the instance can ever have in its range, wanted now or not."""
    cidr = spec.libvirt.network.cidr
    layout = _ROOMY if cidr.prefixlen <= _ROOMY_PREFIX else _COMPACT
    first, last = int(cidr.network_address), int(cidr.broadcast_address)
    taken: set[str] = set()
    reserved: list[Reservation] = []
    for role, slots in _SLOTS.items():
        for slot in range(slots):
            if first + layout[role] + slot >= last:
                break
            name = f"{instance}-{role}-{slot + 1}"
            address = str(cidr.network_address + layout[role] + slot)
            reserved.append(Reservation(name, role, address, _mac(name, taken)))
    return reserved


def nodes_of(spec: "LibvirtSpec", instance: str) -> list[NodePlan]:
    """The machines that the spec wants, control plane first.

    Raises SpecError when the network's range has no address for one of them.
    """
    reserved = {r.name: r for r in reservations_of(spec, instance)}
    groups: Mapping[Role, Any] = {"control-plane": spec.nodes.control_plane, "worker": spec.nodes.worker}
    nodes: list[NodePlan] = []
    for role, group in groups.items():
        for number in range(1, group.count + 1):
            host = reserved.get(f"{instance}-{role}-{number}")
            if host is None:
                raise SpecError(
                    f"{spec.libvirt.network.cidr} has addresses for {number - 1} of {group.count} "
                    f"{role} nodes",
                    where="libvirt.network.cidr",
                    resolution="choose a larger range, such as a /24, or fewer nodes",
                )
            nodes.append(
                NodePlan(
                    host.name,
                    role,
                    address=host.address,
                    mac=host.mac,
                    vcpu=group.vcpu,
                    memory=group.memory,
                    disk=group.disk,
                )
            )
    return nodes


def key_files(spec: "LibvirtSpec", home: Path) -> list[Path]:
    """The files that `ssh.keys` names."""
    return [home / name.removeprefix("~/") for name in spec.ssh.keys]


def ssh_keys(spec: "LibvirtSpec", home: Path) -> list[str]:
    """The public keys in the files that `ssh.keys` names, in order and each once.

    Raises PreconditionError when a file is missing or holds something else.
    """
    keys: dict[str, None] = {}
    for file in key_files(spec, home):
        for key in _keys_in(file):
            keys.setdefault(key)
    return list(keys)


def seeds_of(
    project: Project, spec: "LibvirtSpec", *, instance: str, keys: Sequence[str], release: "Release"
) -> dict[str, Seed]:
    """The first-boot files of each node, by name.

    `keys` are the public keys that may log in. `release` is a whole one, never a channel: what a
    channel means changes from one day to the next, and these files must not.
    """
    nodes = nodes_of(spec, instance)
    renderer = Renderer(project)
    shared = {
        "instance": instance,
        "keys": list(keys),
        "release": asdict(release),
        "scripts": first_boot_scripts(project, spec),
        **_k3s_values(spec, nodes),
    }

    def rendered(node: NodePlan) -> Iterator[str]:
        values = {**shared, "node": node.name, "role": node.role, "address": node.address, "mac": node.mac}
        for name in ("user-data", "meta-data", "network-config"):
            yield renderer.render_text(f"{CLOUD_INIT}/{name}.yaml.j2", values)

    return {node.name: Seed(*rendered(node)) for node in nodes}


def configuration_of(project: Project, spec: "LibvirtSpec", *, instance: str) -> dict[str, dict[str, str]]:
    """k3s' own files below /etc/rancher/k3s as the seeds have them, by node and file name."""
    nodes = nodes_of(spec, instance)
    renderer, shared = Renderer(project), _k3s_values(spec, nodes)
    found: dict[str, dict[str, str]] = {}
    for node in nodes:
        values = {**shared, "node": node.name, "role": node.role, "address": node.address}
        names = dict(_CONFIGURATION)
        if not shared["mirrors"]:
            del names["registries.yaml"]
        if node.role == "control-plane":
            names |= _SERVERS_CONFIGURATION
        found[node.name] = {
            name: renderer.render_text(f"{CLOUD_INIT}/files/{source}", values)
            for name, source in names.items()
        }
    return found


def configuration_inputs(project: Project, spec: "LibvirtSpec", *, instance: str) -> dict[str, Any]:
    """What `configuration_of` follows from; costs no rendering.

    Not the other files of a seed: those are read at a machine's first boot, and come with a new machine.
    """
    names = (*_CONFIGURATION.values(), *_SERVERS_CONFIGURATION.values())
    sources = {name: project.path(f"{CLOUD_INIT}/files/{name}").read_bytes() for name in names}
    templates = {name: hashlib.sha256(content).hexdigest() for name, content in sources.items()}
    return {**_k3s_values(spec, nodes_of(spec, instance)), "templates": templates}


def _k3s_values(spec: "LibvirtSpec", nodes: Sequence[NodePlan]) -> dict[str, Any]:
    """What the templates of k3s' configuration are given on every node."""
    return {
        "control_plane": [node.address for node in nodes if node.role == "control-plane"],
        "mirrors": _mirrors(spec),
        "disabled": [*_DISABLED, *(["local-storage"] if spec.storage.class_ == "nfs" else [])],
    }


def _mirrors(spec: "LibvirtSpec") -> list[dict[str, Any]]:
    """The spec's mirrors, and the registry of the home lab itself, unless the spec says where that is."""
    found = [{"registry": m.registry, "endpoints": list(m.endpoints)} for m in spec.registry.mirrors]
    named = any(mirror["registry"] == LOCAL_REGISTRY for mirror in found)
    if spec.registry.kind == "local" and spec.gitops.profile != "none" and not named:
        found.append({"registry": LOCAL_REGISTRY, "endpoints": [_LOCAL_ENDPOINT]})
    return found


def first_boot_scripts(project: Project, spec: "LibvirtSpec") -> dict[str, str]:
    """The scripts that make a vendor's image like one of Packer's, in order; none where it is one.

    They are part of what machines are made from, beside the templates in `CLOUD_INIT`.
    """
    if spec.image.source == "packer":
        return {}
    folder = project.path(SCRIPTS)
    return {name: (folder / name).read_text() for name in _FIRST_BOOT_SCRIPTS}


def terraform_variables(  # noqa: PLR0913 - each is one fact that the root is told
    spec: "LibvirtSpec",
    *,
    instance: str,
    image_path: str,
    acceleration: str,
    keys: Sequence[str],
    project: Project,
    release: "Release",
) -> dict[str, Any]:
    """The variables of the root `templates/terraform/libvirt-k3s`, JSON-able.

    `acceleration` is `kvm` or `qemu`, `keys` the public keys that may log in, `release` the pinned k3s.
    """
    seeds = seeds_of(project, spec, instance=instance, keys=keys, release=release)
    return {
        "libvirt_uri": spec.libvirt.uri,
        "cluster_name": instance,
        "kubernetes_version": release.version,
        "acceleration": acceleration,
        "pool": spec.libvirt.pool,
        "image_path": image_path,
        "network": {
            "name": spec.libvirt.network.name or f"zave-{instance}",
            "cidr": str(spec.libvirt.network.cidr),
        },
        "reservations": {
            r.name: {"mac": r.mac, "address": r.address} for r in reservations_of(spec, instance)
        },
        "nodes": {node.name: _node_variables(node, seeds[node.name]) for node in nodes_of(spec, instance)},
    }


def _node_variables(node: NodePlan, seed: Seed) -> dict[str, Any]:
    return {
        "role": node.role,
        "address": node.address,
        "mac": node.mac,
        "vcpu": node.vcpu,
        "memory_mib": node.memory // _MIB,
        "disk_bytes": node.disk,
        "user_data": seed.user_data,
        "meta_data": seed.meta_data,
        "network_config": seed.network_config,
    }


def _mac(name: str, taken: set[str]) -> str:
    """A MAC address in QEMU's own range that follows from `name`; not one that is `taken`."""
    for attempt in range(len(taken) + 1):
        raw = hashlib.sha256(f"{name}/{attempt}".encode()).digest()
        mac = "52:54:00:" + ":".join(f"{byte:02x}" for byte in raw[:3])
        if mac not in taken:
            break
    taken.add(mac)
    return mac


def _keys_in(file: Path) -> list[str]:
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST_KEY_FILE + 1)
    except OSError as error:
        raise PreconditionError(
            f"the SSH key {file} cannot be read: {error.strerror}",
            where="ssh.keys",
            resolution=f"ssh-keygen -t ed25519 -f {file.with_suffix('')} makes one, "
            "or name another public key in ssh.keys",
        ) from error
    lines = [line.strip() for line in content.decode(errors="replace").splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys or len(content) > _LARGEST_KEY_FILE or not all(_PUBLIC_KEY.fullmatch(key) for key in keys):
        raise PreconditionError(
            f"{file} does not hold public SSH keys",
            where="ssh.keys",
            resolution="name the .pub file: `ssh-keygen -y -f KEY` prints a key's public half",
        )
    return keys
