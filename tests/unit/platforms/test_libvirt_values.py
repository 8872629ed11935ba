"""What a home lab's spec means in addresses, keys, first-boot files and variables."""

import json
import shutil
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from zave.errors import PreconditionError, SpecError
from zave.platforms.libvirt_values import (
    CLOUD_INIT,
    configuration_inputs,
    configuration_of,
    nodes_of,
    reservations_of,
    seeds_of,
    ssh_keys,
    terraform_variables,
)
from zave.ports.machines import Release
from zave.project import Project
from zave.spec.libvirt import LibvirtSpec
from zave.spec.load import parse_spec

REGISTRY = "templates/gitops/platform/registry"
RELEASE = Release("v1.35.9+k3s1", "ab" * 32, "vendor")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPmV8zvvz9Dy/0Kf9wJoFoNw3C0nH1mqYxG3XqT5wZ1x me@example"


def spec_of(**sections: Any) -> LibvirtSpec:
    spec = parse_spec(json.dumps({"platform": "libvirt-k3s", **sections}), where="environment.yaml")
    assert isinstance(spec, LibvirtSpec)
    return spec


def sized(control_plane: int, worker: int, cidr: str = "10.17.3.0/24") -> LibvirtSpec:
    return spec_of(
        nodes={"control-plane": {"count": control_plane}, "worker": {"count": worker}},
        libvirt={"network": {"cidr": cidr}},
    )


def config_of(user_data: str, path: str) -> Any:
    files = {file["path"]: file for file in yaml.safe_load(user_data)["write_files"]}
    return yaml.safe_load(files[path]["content"])


# addresses


def test_nodes_have_names_and_addresses_by_role() -> None:
    nodes = nodes_of(spec_of(), "homelab")
    assert [(n.name, n.role, n.address) for n in nodes] == [
        ("homelab-control-plane-1", "control-plane", "10.17.3.11"),
        ("homelab-worker-1", "worker", "10.17.3.21"),
        ("homelab-worker-2", "worker", "10.17.3.22"),
    ]
    assert {(n.vcpu, n.memory, n.disk) for n in nodes} == {(4, 8 * 2**30, 50 * 2**30)}


def test_a_node_keeps_its_address_when_others_come_and_go() -> None:
    small = {n.name: (n.address, n.mac) for n in nodes_of(sized(1, 1), "lab")}
    large = {n.name: (n.address, n.mac) for n in nodes_of(sized(5, 40), "lab")}
    assert small.items() <= large.items()


def test_the_reservations_do_not_depend_on_the_number_of_nodes() -> None:
    # the provider cannot change a network in place, so scaling must not ask for it
    assert reservations_of(sized(1, 0), "lab") == reservations_of(sized(5, 50), "lab")


@pytest.mark.parametrize(("prefix", "workers"), [(16, 50), (24, 50), (25, 50), (26, 50), (27, 24), (28, 8)])
def test_every_range_has_room_for_as_many_workers_as_fit(prefix: int, workers: int) -> None:
    cidr = IPv4Network(f"10.17.0.0/{prefix}")
    nodes = nodes_of(sized(5, workers, str(cidr)), "lab")
    addresses = [IPv4Address(node.address) for node in nodes]
    gateway = cidr.network_address + 1
    assert len(set(addresses)) == workers + 5
    assert all(
        a in cidr and a not in (cidr.network_address, gateway, cidr.broadcast_address) for a in addresses
    )


def test_a_range_that_is_too_small_is_refused() -> None:
    with pytest.raises(SpecError, match=r"10\.17\.0\.0/28 has addresses for 8 of 9 worker nodes"):
        nodes_of(sized(1, 9, "10.17.0.0/28"), "lab")


@settings(deadline=None)
@given(st.from_regex(r"[a-z]([a-z0-9]{0,30})", fullmatch=True))
def test_mac_addresses_are_unique_deterministic_and_qemus(instance: str) -> None:
    macs = [r.mac for r in reservations_of(sized(1, 1), instance)]
    assert len(set(macs)) == len(macs) == 55
    assert all(mac.startswith("52:54:00:") and mac == mac.lower() for mac in macs)
    assert macs == [r.mac for r in reservations_of(sized(1, 1), instance)]


def test_instances_of_one_environment_have_different_mac_addresses() -> None:
    one, two = ({r.mac for r in reservations_of(spec_of(), name)} for name in ("one", "two"))
    assert not one & two


# keys


def test_keys_are_read_from_the_files_that_the_spec_names(tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/a.pub").write_text(f"# mine\n{KEY}\n\n")
    (tmp_path / "b.pub").write_text(f"{KEY}\nssh-rsa AAAAB3Nz other\n")
    spec = spec_of(ssh={"keys": ["~/.ssh/a.pub", str(tmp_path / "b.pub")]})
    assert ssh_keys(spec, tmp_path) == [KEY, "ssh-rsa AAAAB3Nz other"]


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match="cannot be read") as caught:
        ssh_keys(spec_of(), tmp_path)
    assert "ssh-keygen" in str(caught.value.resolution)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n",
        f"{KEY}\x1b]0;x\x07\n",
        f'command="reboot" {KEY}\n',
        "x" * 100_000,
    ],
)
def test_a_file_without_public_keys_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.pub").write_text(content)
    with pytest.raises(PreconditionError, match="does not hold public SSH keys"):
        ssh_keys(spec_of(ssh={"keys": [str(tmp_path / "a.pub")]}), tmp_path)


# first boot


def seeds(spec: LibvirtSpec, *keys: str) -> dict[str, Any]:
    return seeds_of(Project(), spec, instance="lab", keys=keys or (KEY,), release=RELEASE)


def test_nobody_logs_in_with_a_password() -> None:
    for seed in seeds(spec_of()).values():
        document = yaml.safe_load(seed.user_data)
        assert seed.user_data.startswith("#cloud-config\n")
        assert document["ssh_pwauth"] is False
        assert document["disable_root"] is True
        assert [user["lock_passwd"] for user in document["users"]] == [True]
        assert document["users"][0]["ssh_authorized_keys"] == [KEY]


def test_seeds_hold_no_token_and_wait_for_the_file_instead() -> None:
    for seed in seeds(spec_of()).values():
        config = config_of(seed.user_data, "/etc/rancher/k3s/config.yaml")
        assert config["token-file"] == "/etc/rancher/k3s/token"
        assert "token" not in config
        assert "agent-token" not in config
        assert "PathExists=/etc/rancher/k3s/token" in seed.user_data


def test_the_control_plane_is_hardened() -> None:
    config = config_of(seeds(spec_of())["lab-control-plane-1"].user_data, "/etc/rancher/k3s/config.yaml")
    arguments = dict(argument.split("=", 1) for argument in config["kube-apiserver-arg"])
    assert config["protect-kernel-defaults"] is True
    assert config["secrets-encryption"] is True
    assert config["write-kubeconfig-mode"] == "0600"
    assert arguments["enable-admission-plugins"] == "NodeRestriction,EventRateLimit"
    audit = ("audit-log-maxage", "audit-log-maxbackup", "audit-log-maxsize")
    assert [arguments[name] for name in audit] == ["30", "10", "100"]
    assert config["agent-token-file"] != config["token-file"]


def test_files_that_the_configuration_names_are_there() -> None:
    user_data = seeds(spec_of())["lab-control-plane-1"].user_data
    config = config_of(user_data, "/etc/rancher/k3s/config.yaml")
    named = {
        a.split("=")[1] for a in config["kube-apiserver-arg"] if "config-file" in a or "policy-file" in a
    }
    assert len(named) == 2
    assert named <= {file["path"] for file in yaml.safe_load(user_data)["write_files"]}


def test_workers_join_the_first_control_plane_node() -> None:
    made = seeds(sized(3, 1))

    def config(name: str) -> Any:
        return config_of(made[f"lab-{name}"].user_data, "/etc/rancher/k3s/config.yaml")

    assert config("control-plane-1")["cluster-init"] is True
    assert "server" not in config("control-plane-1")
    assert config("control-plane-2")["server"] == "https://10.17.3.11:6443"
    assert config("worker-1")["server"] == "https://10.17.3.11:6443"
    assert "kube-apiserver-arg" not in config("worker-1")


def test_the_network_configuration_finds_the_interface_by_its_mac_address() -> None:
    by_name = {node.name: node.mac for node in nodes_of(spec_of(), "lab")}
    for name, seed in seeds(spec_of()).items():
        ethernets = yaml.safe_load(seed.network_config)["ethernets"]
        assert [e["match"]["macaddress"] for e in ethernets.values()] == [by_name[name]]
        assert yaml.safe_load(seed.meta_data) == {"instance-id": name, "local-hostname": name}


def files_of(seed: Any) -> dict[str, str]:
    return {file["path"]: file["content"] for file in yaml.safe_load(seed.user_data)["write_files"]}


def test_a_vendors_image_runs_the_scripts_of_the_built_one_at_first_boot() -> None:
    files = files_of(seeds(spec_of())["lab-worker-1"])
    names = ["update-packages.sh", "harden-os.sh", "install-k3s-prereqs.sh"]
    places = [f"/usr/local/lib/zave/{name}" for name in names]
    folder = Project().path("packer-images/k3s-base/scripts")
    assert [files[place] for place in places] == [(folder / name).read_text() for name in names]
    run = files["/usr/local/sbin/zave-first-boot"].splitlines()
    assert [line for line in run if line in places] == places


def test_an_image_built_by_packer_runs_none_of_them() -> None:
    files = files_of(seeds(spec_of(image={"source": "packer"}))["lab-worker-1"])
    assert not [path for path in files if path.startswith("/usr/local/lib/zave/")]
    assert "/usr/local/lib/zave/" not in files["/usr/local/sbin/zave-first-boot"]


def test_seeds_name_the_release_whole_with_its_digest() -> None:
    for seed in seeds(spec_of()).values():
        assert files_of(seed)["/etc/zave/k3s.env"].splitlines() == [
            'ZAVE_K3S_VERSION="v1.35.9+k3s1"',
            f'ZAVE_K3S_SHA256="{RELEASE.sha256}"',
            'ZAVE_K3S_ORIGIN="vendor"',
            'ZAVE_K3S_URL=""',
            'ZAVE_K3S_IMAGES_SHA256=""',
        ]


def test_a_folder_on_this_machine_is_not_named_to_the_nodes() -> None:
    release = Release("v1.35.9+k3s1", "ab" * 32, "folder", location="/srv/mine", images_sha256="cd" * 32)
    made = seeds_of(Project(), spec_of(), instance="lab", keys=[KEY], release=release)
    environment = files_of(made["lab-worker-1"])["/etc/zave/k3s.env"]
    assert "/srv/mine" not in environment
    assert f'ZAVE_K3S_IMAGES_SHA256="{"cd" * 32}"' in environment


def test_seeds_are_the_same_each_time() -> None:
    assert seeds(spec_of()) == seeds(spec_of())


def test_mirrors_of_registries_reach_every_node() -> None:
    mirrors = [{"registry": "docker.io", "endpoints": ["https://a.example.org", "http://10.0.0.5:5000"]}]
    for seed in seeds(spec_of(registry={"kind": "none", "mirrors": mirrors})).values():
        assert yaml.safe_load(files_of(seed)["/etc/rancher/k3s/registries.yaml"]) == {
            "mirrors": {"docker.io": {"endpoint": ["https://a.example.org", "http://10.0.0.5:5000"]}}
        }
    bare = seeds(spec_of(registry={"kind": "none"})).values()
    assert not [seed for seed in bare if "/etc/rancher/k3s/registries.yaml" in files_of(seed)]


def mirrors_of(**sections: Any) -> Any:
    files = configuration_of(Project(), spec_of(**sections), instance="lab")
    (text,) = {each.get("registries.yaml", "{}") for each in files.values()}
    return (yaml.safe_load(text) or {}).get("mirrors", {})


def test_every_node_finds_the_home_labs_own_registry_on_itself() -> None:
    own = {"registry.zave.internal": {"endpoint": ["http://127.0.0.1:30500"]}}
    service = list(yaml.safe_load_all(Project().path(f"{REGISTRY}/deployment.yaml").read_text()))[-1]
    assert [port["nodePort"] for port in service["spec"]["ports"]] == [30500]
    assert mirrors_of() == own
    docker = {"registry": "docker.io", "endpoints": ["https://mirror.example.org"]}
    assert mirrors_of(registry={"mirrors": [docker]}) == {
        "docker.io": {"endpoint": ["https://mirror.example.org"]},
        **own,
    }
    # where there is none, and where somebody says where it is
    assert mirrors_of(gitops={"profile": "none"}) == {}
    assert mirrors_of(registry={"kind": "harbor"}) == {}
    elsewhere = {"registry": "registry.zave.internal", "endpoints": ["http://10.0.0.5:5000"]}
    assert mirrors_of(registry={"mirrors": [elsewhere]}) == {
        "registry.zave.internal": {"endpoint": ["http://10.0.0.5:5000"]}
    }


def test_only_files_that_are_brought_to_running_machines_make_a_new_configuration(tmp_path: Path) -> None:
    folder = tmp_path / CLOUD_INIT
    shutil.copytree(Project().path(CLOUD_INIT), folder)

    def inputs() -> dict[str, Any]:
        return configuration_inputs(Project(tmp_path), spec_of(), instance="lab")

    before = inputs()
    for name in ("network-policies.yaml", "install-k3s.sh", "k3s.service.j2"):
        (folder / "files" / name).write_text("# another\n")
    assert inputs() == before
    (folder / "files/audit.yaml").write_text("# another\n")
    assert inputs() != before


def test_with_nfs_the_volumes_of_k3s_itself_are_off() -> None:
    nfs = {"class": "nfs", "server": "nas.example.org", "path": "/export/zave"}
    made = seeds(spec_of(storage=nfs))["lab-control-plane-1"]
    config = config_of(made.user_data, "/etc/rancher/k3s/config.yaml")
    assert config["disable"] == ["servicelb", "traefik", "local-storage"]


def test_several_control_planes_keep_snapshots_of_etcd() -> None:
    def keys(count: int) -> set[str]:
        made = seeds(sized(count, 1))["lab-control-plane-1"].user_data
        return {k for k in config_of(made, "/etc/rancher/k3s/config.yaml") if k.startswith("etcd-snapshot")}

    assert keys(3) == {"etcd-snapshot-schedule-cron", "etcd-snapshot-retention"}
    assert keys(1) == set()


def test_pods_of_the_namespaces_of_k3s_are_closed_by_default() -> None:
    made = files_of(seeds(spec_of())["lab-control-plane-1"])
    policies = list(
        yaml.safe_load_all(made["/var/lib/rancher/k3s/server/manifests/zave-network-policies.yaml"])
    )
    assert {p["kind"] for p in policies} == {"NetworkPolicy"}
    closed = {p["metadata"]["namespace"] for p in policies if p["spec"]["podSelector"] == {}}
    assert closed == {"default", "kube-public", "kube-system"}


@settings(deadline=None, max_examples=30)  # each renders three machines
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_a_hostile_key_stays_one_value(key: str) -> None:
    document = yaml.safe_load(seeds(spec_of(), key)["lab-worker-1"].user_data)
    assert document["users"][0]["ssh_authorized_keys"] == [key]
    assert document["runcmd"] == [["/usr/local/sbin/zave-first-boot"]]


# variables


def variables(spec: LibvirtSpec, **changes: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"image_path": "/images/a.qcow2", "acceleration": "qemu", "keys": [KEY]}
    return terraform_variables(spec, instance="lab", project=Project(), release=RELEASE, **options | changes)


def test_sizes_are_in_the_units_of_the_modules() -> None:
    made = variables(spec_of(nodes={"worker": {"count": 1, "memory": "768MiB", "disk": "20GiB"}}))
    worker = made["nodes"]["lab-worker-1"]
    assert (worker["memory_mib"], worker["disk_bytes"]) == (768, 20 * 2**30)


def test_variables_are_json_and_the_same_each_time() -> None:
    made = variables(spec_of())
    assert json.loads(json.dumps(made)) == made == variables(spec_of())


def test_the_network_is_named_after_the_instance_unless_the_spec_names_it() -> None:
    assert variables(spec_of())["network"] == {"name": "zave-lab", "cidr": "10.17.3.0/24"}
    named = spec_of(libvirt={"network": {"name": "own"}})
    assert variables(named)["network"]["name"] == "own"


def test_each_node_has_the_address_that_is_reserved_for_its_mac_address() -> None:
    made = variables(sized(3, 7))
    leases = {r["mac"]: r["address"] for r in made["reservations"].values()}
    assert all(leases[node["mac"]] == node["address"] for node in made["nodes"].values())


def test_the_root_declares_exactly_these_variables() -> None:
    text = Project().path("templates/terraform/libvirt-k3s/variables.tf").read_text()
    declared = {line.split('"')[1] for line in text.splitlines() if line.startswith("variable ")}
    assert declared == set(variables(spec_of()))
