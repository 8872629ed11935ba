from collections.abc import Callable
from ipaddress import IPv4Network

import pytest
from pydantic import ValidationError

from zave.errors import SpecError
from zave.spec.libvirt import LibvirtSpec

GIB = 1024**3
Parse = Callable[[str], LibvirtSpec]
Refused = Callable[[Callable[[str], object], str], SpecError]


def test_platform_alone_gives_the_documented_lab(lab: Parse) -> None:
    spec = lab("")
    assert isinstance(spec, LibvirtSpec)
    assert (spec.nodes.control_plane.count, spec.nodes.worker.count) == (1, 2)
    for group in (spec.nodes.control_plane, spec.nodes.worker):
        assert (group.vcpu, group.memory, group.disk) == (4, 8 * GIB, 50 * GIB)
    assert (spec.image.source, spec.image.base, spec.image.image) == ("cloud", "ubuntu-24.04", None)
    assert (spec.libvirt.uri, spec.libvirt.pool, spec.libvirt.network.name) == (
        "qemu:///system",
        "default",
        None,
    )
    assert spec.libvirt.network.cidr == IPv4Network("10.17.3.0/24")
    assert spec.kubernetes.version == "v1.35"
    assert spec.ssh.keys == ("~/.ssh/id_ed25519.pub",)
    assert (spec.gitops.repository, spec.gitops.branch, spec.gitops.profile) == ("local", "main", "slim")
    assert (spec.registry.kind, spec.storage.class_) == ("local", "local-path")
    assert (spec.ingress.service, spec.ingress.domain, spec.ingress.tunnel) == ("node-port", None, "none")
    assert (spec.artifacts.folder, spec.artifacts.url) == (None, None)


def test_one_key_of_a_group_leaves_the_others_at_their_defaults(lab: Parse) -> None:
    spec = lab("nodes: {worker: {vcpu: 2}, control-plane: {memory: 768MiB}}\n")
    assert (spec.nodes.worker.count, spec.nodes.worker.vcpu) == (2, 2)
    assert (spec.nodes.control_plane.count, spec.nodes.control_plane.memory) == (1, 768 * 1024**2)


def test_packer_image_is_k3s_base_unless_named(lab: Parse) -> None:
    assert lab("image: {source: packer}\n").image.image == "k3s-base"
    assert lab("image: {source: packer, image: other}\n").image.image == "other"


def test_specs_are_frozen_and_comparable(lab: Parse) -> None:
    spec = lab("")
    assert spec == lab("nodes: {worker: {memory: 8192MiB}}\n")
    assert hash(spec) == hash(lab(""))
    with pytest.raises(ValidationError):
        spec.platform = "aws-eks"  # type: ignore[assignment]


@pytest.mark.parametrize("count", [1, 3, 5])
def test_odd_control_planes_are_accepted(lab: Parse, count: int) -> None:
    assert lab(f"nodes: {{control-plane: {{count: {count}}}}}\n").nodes.control_plane.count == count


@pytest.mark.parametrize("count", [2, 4])
def test_even_control_planes_are_refused(lab: Parse, refused: Refused, count: int) -> None:
    error = refused(lab, f"nodes:\n  control-plane:\n    count: {count}\n")
    assert "even number" in error.brief
    assert error.where == "environment.yaml:4"


def test_network_holds_as_many_nodes_as_it_has_free_addresses(lab: Parse, refused: Refused) -> None:
    fits = "libvirt: {network: {cidr: 10.17.3.0/28}}\nnodes: {worker: {count: 12}}\n"
    assert lab(fits).nodes.worker.count == 12
    assert "room for 13 nodes, and 14" in refused(lab, fits.replace("12", "13")).brief


@pytest.mark.parametrize("cidr", ["10.42.0.0/16", "10.43.128.0/20"])
def test_network_must_not_overlap_pods_or_services(lab: Parse, refused: Refused, cidr: str) -> None:
    error = refused(lab, f"libvirt:\n  network:\n    cidr: {cidr}\n")
    assert "overlaps 10.4" in error.brief
    assert error.where == "environment.yaml:4"
    assert lab("libvirt: {network: {cidr: 10.44.0.0/16}}\n").libvirt.network.cidr.prefixlen == 16


def test_tunnel_wants_a_domain(lab: Parse, refused: Refused) -> None:
    assert refused(lab, "ingress: {tunnel: cloudflare}\n").brief == "ingress.tunnel needs a domain to publish"
    spec = lab("ingress: {tunnel: cloudflare, domain: lab.example.org}\n")
    assert spec.ingress.domain == "lab.example.org"


def test_image_of_packer_is_refused_for_the_vendors(lab: Parse, refused: Refused) -> None:
    assert "image.source is cloud" in refused(lab, "image: {image: k3s-base}\n").brief


def test_artifacts_come_from_one_place(lab: Parse, refused: Refused) -> None:
    assert lab("artifacts: {folder: /srv/zave}\n").artifacts.folder == "/srv/zave"
    both = "artifacts:\n  folder: /srv/zave\n  url: https://files.example.org/zave\n"
    assert refused(lab, both).where == "environment.yaml:4"


def test_cross_checks_are_told_together(lab: Parse, refused: Refused) -> None:
    error = refused(lab, "nodes: {control-plane: {count: 2}}\ningress: {tunnel: cloudflare}\n")
    assert error.details is not None
    assert "line 2: nodes.control-plane.count" in error.details
    assert "line 3: ingress.tunnel" in error.details


def test_a_bare_cluster_is_a_profile_of_the_lab_alone(lab: Parse) -> None:
    assert lab("gitops: {profile: none}\n").gitops.profile == "none"


def test_volumes_may_be_on_a_server(lab: Parse) -> None:
    storage = lab("storage: {class: nfs, server: 192.168.1.5, path: /export/zave}\n").storage
    assert (storage.class_, storage.server, storage.path) == ("nfs", "192.168.1.5", "/export/zave")


def test_mirrors_keep_their_order(lab: Parse) -> None:
    text = 'registry: {mirrors: [{registry: ghcr.io, endpoints: ["http://a:5000", "https://b.example.org/x"]}]}\n'
    (mirror,) = lab(text).registry.mirrors
    assert (mirror.registry, mirror.endpoints) == ("ghcr.io", ("http://a:5000", "https://b.example.org/x"))
    assert hash(lab(text)) == hash(lab(text))
