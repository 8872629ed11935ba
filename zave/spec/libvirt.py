"""The model of `platform: libvirt-k3s`: k3s on virtual machines of a libvirt host."""

from collections.abc import Iterator, Mapping
from functools import partial
from ipaddress import IPv4Network
from typing import Annotated, Literal, Self

from pydantic import Field, Strict, ValidationInfo, model_validator

from zave.errors import UsageError
from zave.spec.extras import parse_addresses
from zave.spec.gitops import GitOps, Repository, gitops_problems
from zave.spec.models import Parsed, Problem, Section, duplicates, refuse
from zave.spec.network import first_overlap, parse_domain, parse_private_cidr
from zave.spec.places import (
    parse_export,
    parse_folder,
    parse_host,
    parse_https_url,
    parse_image_name,
    parse_libvirt_name,
    parse_libvirt_uri,
    parse_mirror,
    parse_public_key_file,
    parse_registry,
)
from zave.spec.units import GIB, MIB, TIB, format_size, parse_k3s_version, parse_size

# what k3s takes for pods and for services unless told otherwise (docs of k3s, `k3s server`)
CLUSTER_RANGES = (IPv4Network("10.42.0.0/16"), IPv4Network("10.43.0.0/16"))

# network, broadcast and the host's own address
_TAKEN_ADDRESSES = 3

# what the images of packer-images/ have (`disk_size`): a disk laid over one must not be smaller
_BUILT_DISK = 50 * GIB
# an ordinary cloud image is a disk of 2 to 4 GiB, and an overlay must not be smaller than its base
_Disk = Annotated[
    int,
    Parsed(
        partial(parse_size, what="disk", minimum=4 * GIB, maximum=16 * TIB),
        example="50GiB",
        write=format_size,
        pattern="^[0-9]{1,9}(MiB|GiB|TiB)$",
    ),
]
_Memory = Annotated[
    int,
    Parsed(
        partial(parse_size, what="memory", minimum=512 * MIB, maximum=4 * TIB),
        example="8GiB",
        write=format_size,
        pattern="^[0-9]{1,9}(MiB|GiB|TiB)$",
    ),
]


class Image(Section):
    """The disk image that nodes boot from."""

    source: Literal["cloud", "packer"] = Field(
        default="cloud",
        description="cloud: the vendor's image, prepared at first boot; packer: built by zave. "
        "Default: cloud.",
    )
    base: Annotated[str, Parsed(parse_image_name, example="ubuntu-24.04")] = Field(
        default="ubuntu-24.04", description="The vendor's image to start from. Default: ubuntu-24.04."
    )
    image: Annotated[str | None, Parsed(parse_image_name, example="k3s-base")] = Field(
        default_factory=lambda read: "k3s-base" if read.get("source") == "packer" else None,
        description="With source packer: the folder of packer-images/ to build. Default: k3s-base.",
    )

    def problems(self) -> Iterator[Problem]:
        """What does not fit together."""
        if self.source == "cloud" and self.image is not None:
            yield Problem(
                ("image", "image"),
                "image.image is for images that Packer builds, and image.source is cloud",
                "remove it, or set source: packer",
            )


class Network(Section):
    """The NAT network that zave makes for the nodes."""

    name: Annotated[str | None, Parsed(parse_libvirt_name, example="zave-homelab")] = Field(
        default=None, description="Name in libvirt. Default: zave-<instance>."
    )
    cidr: Annotated[
        IPv4Network, Parsed(partial(parse_private_cidr, widest=16, narrowest=28), example="10.17.3.0/24")
    ] = Field(
        default=IPv4Network("10.17.3.0/24"),
        description="Private range of the nodes, /16 to /28. Default: 10.17.3.0/24.",
    )


class Libvirt(Section):
    """The libvirt host."""

    uri: Annotated[str, Parsed(parse_libvirt_uri, example="qemu:///system")] = Field(
        default="qemu:///system", description="How to reach libvirt. Default: qemu:///system."
    )
    pool: Annotated[str, Parsed(parse_libvirt_name, example="default")] = Field(
        default="default", description="Storage pool for disks. Default: default."
    )
    network: Network = Field(default=Network(), description="The network of the nodes.")


class NodeGroup(Section):
    """Size of the machines of one role."""

    vcpu: int = Field(default=4, ge=1, le=128, description="Virtual CPUs of each. Default: 4.")
    memory: _Memory = Field(default=8 * GIB, description="Memory of each, 512MiB or more. Default: 8GiB.")
    disk: _Disk = Field(default=50 * GIB, description="Disk of each, 4GiB or more. Default: 50GiB.")


class ControlPlane(NodeGroup):
    """The machines that run the API server and its datastore."""

    count: int = Field(
        default=1, ge=1, le=5, description="How many: 1, 3 or 5, since etcd needs a majority. Default: 1."
    )


class Worker(NodeGroup):
    """The machines that run workloads."""

    count: int = Field(
        default=2, ge=0, le=50, description="How many; 0 lets the control plane run workloads. Default: 2."
    )


class Nodes(Section):
    """The virtual machines."""

    control_plane: ControlPlane = Field(
        default=ControlPlane(), alias="control-plane", description="Control plane machines."
    )
    worker: Worker = Field(default=Worker(), description="Worker machines.")


class Kubernetes(Section):
    """Which Kubernetes."""

    version: Annotated[str, Parsed(parse_k3s_version, example="v1.35")] = Field(
        default="v1.35",
        description="A channel of k3s (v1.35) or a release (v1.35.9+k3s1); a channel is resolved once and "
        "pinned. Default: v1.35.",
    )


class Ssh(Section):
    """Who may log in to the nodes."""

    keys: Annotated[
        tuple[Annotated[str, Parsed(parse_public_key_file, example="~/.ssh/id_ed25519.pub")], ...],
        Strict(False),
    ] = Field(
        default=("~/.ssh/id_ed25519.pub",),
        min_length=1,
        max_length=16,
        description="Files of public keys. Default: ~/.ssh/id_ed25519.pub.",
    )


class LabGitOps(GitOps):
    """Where the platform's desired state is kept."""

    repository: Repository = Field(
        default="local",
        description="A Git repository (https://, ssh:// or git@host:path), or local: a repository that zave "
        "keeps beside the state. Default: local.",
    )
    profile: Literal["slim", "bigbang", "none"] = Field(
        default="slim",
        description="What is installed: slim fits 3 nodes of 4 vCPU and 8 GiB, bigbang wants 8 vCPU and "
        "32 GB in all, none leaves a bare cluster without Flux. Default: slim.",
    )
    extras: Annotated[tuple[Literal["metallb", "velero"], ...], Strict(False)] = Field(
        default=(),
        max_length=2,
        description="What is added: metallb (load balancers, by ARP), velero (backups into a bucket). "
        "Default: [].",
    )


class Mirror(Section):
    """Where the images of one registry are asked for first."""

    registry: Annotated[str, Parsed(parse_registry, example="docker.io")] = Field(
        description="The registry that image names begin with, or *. Required."
    )
    endpoints: Annotated[
        tuple[Annotated[str, Parsed(parse_mirror, example="https://mirror.example.org")], ...],
        Strict(False),
    ] = Field(min_length=1, max_length=8, description="URLs to ask, in order. Required.")


class LabRegistry(Section):
    """Where container images are kept."""

    kind: Literal["local", "harbor", "none"] = Field(
        default="local",
        description="local: a plain one in the cluster; harbor: Harbor, with profile slim; none: there is "
        "none. Default: local.",
    )
    mirrors: Annotated[tuple[Mirror, ...], Strict(False)] = Field(
        default=(),
        max_length=32,
        description="Registries whose images the nodes take from elsewhere first. Default: none.",
    )

    def problems(self) -> Iterator[Problem]:
        """What does not fit together."""
        for index in duplicates(mirror.registry for mirror in self.mirrors):
            yield Problem(
                ("registry", "mirrors", index, "registry"),
                f"registry.mirrors names {self.mirrors[index].registry} twice",
                "give one entry all its endpoints, in order",
            )


class LabStorage(Section):
    """What volumes are made of."""

    class_: Literal["local-path", "nfs"] = Field(
        default="local-path",
        alias="class",
        description="The default storage class: local-path keeps volumes on a node's own disk, nfs on a "
        "server. Default: local-path.",
    )
    server: Annotated[str | None, Parsed(parse_host, example="nas.example.org")] = Field(
        default=None, description="The NFS server's name or address; class nfs needs it. Default: none."
    )
    path: Annotated[str | None, Parsed(parse_export, example="/export/zave")] = Field(
        default=None, description="The folder that it exports; class nfs needs it. Default: none."
    )

    def problems(self) -> Iterator[Problem]:
        """What does not fit together."""
        for name, value in (("server", self.server), ("path", self.path)):
            if self.class_ == "nfs" and value is None:
                yield Problem(
                    ("storage", name),
                    f"storage.class nfs needs storage.{name}",
                    "write both: {class: nfs, server: nas.example.org, path: /export/zave}",
                )
            elif self.class_ != "nfs" and value is not None:
                yield Problem(
                    ("storage", name),
                    f"storage.{name} is for NFS, and storage.class is {self.class_}",
                    "remove it, or set class: nfs",
                )


class LabIngress(Section):
    """How requests come in."""

    service: Literal["node-port"] = Field(
        default="node-port", description="Kind of Service of the gateway. Default: node-port."
    )
    domain: Annotated[str | None, Parsed(parse_domain, example="lab.example.org")] = Field(
        default=None, description="Domain under which services are named. Default: none."
    )
    tunnel: Literal["none", "cloudflare"] = Field(
        default="none", description="Publishes the domain through a tunnel. Default: none."
    )


class Artifacts(Section):
    """Where a machine without internet finds what others download."""

    folder: Annotated[str | None, Parsed(parse_folder, example="/srv/zave")] = Field(
        default=None, description="A folder on this machine. Default: none."
    )
    url: Annotated[str | None, Parsed(parse_https_url, example="https://files.example.org/zave")] = Field(
        default=None, description="An https URL with the same files below it. Default: none."
    )


class LibvirtSpec(Section):
    """An environment on a libvirt host."""

    platform: Literal["libvirt-k3s"] = Field(description="Platform kind: libvirt-k3s. Required.")
    image: Image = Field(default=Image(), description="The disk image that nodes boot from.")
    libvirt: Libvirt = Field(default=Libvirt(), description="The libvirt host.")
    nodes: Nodes = Field(default=Nodes(), description="The virtual machines.")
    kubernetes: Kubernetes = Field(default=Kubernetes(), description="Which Kubernetes.")
    ssh: Ssh = Field(default=Ssh(), description="Who may log in to the nodes.")
    gitops: LabGitOps = Field(default=LabGitOps(), description="Where the desired state is kept.")
    registry: LabRegistry = Field(default=LabRegistry(), description="Where container images are kept.")
    storage: LabStorage = Field(default=LabStorage(), description="What volumes are made of.")
    ingress: LabIngress = Field(default=LabIngress(), description="How requests come in.")
    artifacts: Artifacts = Field(
        default=Artifacts(), description="Where a machine without internet finds downloads."
    )

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Self:
        refuse(
            [
                *self.image.problems(),
                *self._network_problems(),
                *self._node_problems(),
                *self._access_problems(),
                *self._gitops_problems(),
                *self.registry.problems(),
                *self.storage.problems(),
            ],
            info,
        )
        return self

    def _network_problems(self) -> Iterator[Problem]:
        cidr = self.libvirt.network.cidr
        clash = first_overlap(cidr, CLUSTER_RANGES)
        if clash:
            yield Problem(
                ("libvirt", "network", "cidr"),
                f"libvirt.network.cidr {cidr} overlaps {clash}, which k3s takes for pods or services",
                "choose another private range, such as 10.17.3.0/24",
            )
        count = self.nodes.control_plane.count + self.nodes.worker.count
        room = cidr.num_addresses - _TAKEN_ADDRESSES
        if count > room:
            yield Problem(
                ("libvirt", "network", "cidr"),
                f"libvirt.network.cidr {cidr} has room for {room} nodes, and {count} are wanted",
                "choose a larger range or fewer nodes",
            )

    def _node_problems(self) -> Iterator[Problem]:
        count = self.nodes.control_plane.count
        if count % 2 == 0:
            yield Problem(
                ("nodes", "control-plane", "count"),
                f"nodes.control-plane.count is {count}: an even number survives no more failures than "
                f"{count - 1}",
                "use 1, 3 or 5",
            )
        if self.image.source != "packer":
            return
        groups: Mapping[str, ControlPlane | Worker] = {
            "control-plane": self.nodes.control_plane,
            "worker": self.nodes.worker,
        }
        for role, group in groups.items():
            if group.count and group.disk < _BUILT_DISK:
                yield Problem(
                    ("nodes", role, "disk"),
                    f"nodes.{role}.disk is {format_size(group.disk)}, and an image that Packer built has "
                    f"{format_size(_BUILT_DISK)}",
                    f"give it {format_size(_BUILT_DISK)} or more: only what is written takes space",
                )

    def _access_problems(self) -> Iterator[Problem]:
        for index in duplicates(self.ssh.keys):
            yield Problem(("ssh", "keys", index), "ssh.keys names the same file twice", "remove one of them")
        if self.ingress.tunnel != "none" and self.ingress.domain is None:
            yield Problem(
                ("ingress", "tunnel"),
                "ingress.tunnel needs a domain to publish",
                "set ingress.domain, or tunnel: none",
            )
        if self.artifacts.folder and self.artifacts.url:
            yield Problem(
                ("artifacts", "url"), "artifacts has a folder and a URL: only one can be used", "remove one"
            )

    def _gitops_problems(self) -> Iterator[Problem]:
        gitops = self.gitops
        yield from gitops_problems(gitops, profile=gitops.profile, extras=gitops.extras)
        if self.registry.kind == "harbor" and gitops.profile != "slim":
            yield Problem(
                ("registry", "kind"),
                f"registry.kind harbor needs profile slim for its gateway; this is {gitops.profile}",
                "use kind: local, or set gitops.profile: slim",
            )
        wanted = gitops.variables.get("metallb_addresses")
        if wanted is not None and "metallb" in gitops.extras:
            yield from self._address_problems(wanted)

    def _address_problems(self, wanted: str) -> Iterator[Problem]:
        """MetalLB answers by ARP: for addresses of the nodes' own network, and for nobody else's."""
        try:
            first, last = parse_addresses(wanted)
        except UsageError:
            # told already, with all the other variables
            return
        cidr = self.libvirt.network.cidr
        if first not in cidr or last not in cidr:
            yield Problem(
                ("gitops", "variables", "metallb_addresses"),
                f"gitops.variables: {wanted} is not in the nodes' network {cidr}",
                "choose addresses at the end of that range",
            )
