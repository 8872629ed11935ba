from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from zave.errors import StepFailedError
from zave.ports.machines import Machine, Release
from zave.rehearsal.cluster import SimulatedCluster
from zave.rehearsal.machines import SimulatedMachines
from zave.rehearsal.world import Draft, World

DraftOf = Callable[..., Draft]
RELEASE = Release("v1.35.9+k3s1", "0" * 64, "vendor")
NAMES = ("infrastructure-controllers", "infrastructure-configs", "platform", "apps")


@pytest.fixture
def cluster(world: World) -> SimulatedCluster:
    return SimulatedCluster(world)


def join(world: World, *names: str) -> None:
    """Bring machines of the home lab into its cluster."""
    machines = [
        Machine(f"homelab-{name}", "worker" if name.startswith("worker") else "control-plane", "")
        for name in names
    ]
    SimulatedMachines(world, instance="homelab").join(
        machines, release=RELEASE, say=lambda _text, _fraction: None
    )


@pytest.fixture
def homelab(world: World, draft: DraftOf) -> World:
    """A world with one control plane and two workers that have joined."""
    hosts = [{"mac": f"52:54:00:00:00:0{n}", "ip": f"10.17.3.1{n}"} for n in (1, 2, 3)]
    ips = [{"address": "10.17.3.1", "prefix": 24, "dhcp": {"hosts": hosts}}]
    world.create(draft("lab", type="libvirt_network", ips=ips))
    for number, name in enumerate(("worker-2", "worker-1", "control-plane-1"), start=1):
        mac = {"address": f"52:54:00:00:00:0{number}"}
        interface = {"mac": mac, "source": {"network": {"network": "lab"}}}
        world.create(draft(f"zave-homelab-{name}", running=True, devices={"interfaces": [interface]}))
    join(world, "control-plane-1", "worker-1", "worker-2")
    return world


def _ready(cluster: SimulatedCluster) -> list[str]:
    return [each.name for each in cluster.reconciliations(instance="homelab") if each.ready]


def _settle(world: World, cluster: SimulatedCluster) -> None:
    for _ in range(100):
        if len(_ready(cluster)) == len(NAMES):
            return
        world.clock.sleep(5)
    raise AssertionError(cluster.reconciliations(instance="homelab"))


def test_kubeconfig_names_the_endpoint_and_says_that_it_is_simulated(
    homelab: World, cluster: SimulatedCluster
) -> None:
    endpoint = "https://10.17.3.11:6443"
    text = cluster.kubeconfig(instance="homelab", outputs={"cluster_endpoint": endpoint})
    assert text.startswith("# simulated")
    document: Any = yaml.safe_load(text)
    assert document["current-context"] == "zave-homelab"
    assert document["clusters"][0]["cluster"]["server"] == endpoint
    (context,) = document["contexts"]
    assert context == {"name": "zave-homelab", "context": {"cluster": "zave-homelab", "user": "zave-homelab"}}
    assert set(document["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}


def test_hostile_endpoint_stays_a_string_in_the_kubeconfig(homelab: World, cluster: SimulatedCluster) -> None:
    endpoint = 'https://x"\nusers: []\n# \u2028'
    text = cluster.kubeconfig(instance="homelab", outputs={"cluster_endpoint": endpoint})
    assert yaml.safe_load(text)["clusters"][0]["cluster"]["server"] == endpoint


@pytest.mark.parametrize("outputs", [{}, {"cluster_endpoint": ""}, {"cluster_endpoint": 3}])
def test_kubeconfig_needs_an_endpoint(
    homelab: World, cluster: SimulatedCluster, outputs: dict[str, object]
) -> None:
    with pytest.raises(StepFailedError, match="cluster_endpoint"):
        cluster.kubeconfig(instance="homelab", outputs=outputs)


def test_without_a_control_plane_nothing_answers(cluster: SimulatedCluster, tmp_path: Path) -> None:
    with pytest.raises(StepFailedError, match="no control plane of homelab"):
        cluster.kubeconfig(instance="homelab", outputs={"cluster_endpoint": "https://x"})
    with pytest.raises(StepFailedError, match="no control plane of homelab"):
        cluster.bootstrap(instance="homelab", tree=tmp_path, names=NAMES)
    assert cluster.nodes(instance="homelab") == []
    assert cluster.reconciliations(instance="homelab") == []
    cluster.teardown(instance="homelab")


def test_nodes_are_the_instances_machines_control_plane_first(
    homelab: World, cluster: SimulatedCluster, draft: DraftOf
) -> None:
    # others whose names only look alike
    for name in ("zave-homelab-2-worker-1", "zave-home-worker-1", "zave-homelab-worker-1-old"):
        homelab.create(draft(name, running=True))
    homelab.create(draft("zave-homelab-worker-1", type="libvirt_volume"))
    assert [(n.name, n.role, n.address, n.state) for n in cluster.nodes(instance="homelab")] == [
        ("homelab-control-plane-1", "control-plane", "10.17.3.13", "Ready"),
        ("homelab-worker-1", "worker", "10.17.3.12", "Ready"),
        ("homelab-worker-2", "worker", "10.17.3.11", "Ready"),
    ]


def test_instance_name_is_no_pattern(homelab: World, cluster: SimulatedCluster) -> None:
    assert cluster.nodes(instance="home.*") == []
    assert cluster.nodes(instance="h(") == []


def test_machine_is_a_node_only_once_it_has_joined(
    world: World, cluster: SimulatedCluster, draft: DraftOf
) -> None:
    for name in ("control-plane-1", "worker-1"):
        world.create(draft(f"zave-homelab-{name}", running=True))
    world.clock.sleep(3600)
    assert cluster.nodes(instance="homelab") == []
    join(world, "control-plane-1")
    names = [(node.name, node.state) for node in cluster.nodes(instance="homelab")]
    assert names == [("homelab-control-plane-1", "Ready")]
    join(world, "control-plane-1", "worker-1")
    assert [node.state for node in cluster.nodes(instance="homelab")] == ["Ready", "Ready"]


def test_node_whose_machine_is_off_is_not_ready(homelab: World, cluster: SimulatedCluster) -> None:
    homelab.stop("libvirt_domain", "zave-homelab-worker-1")
    homelab.lose("libvirt_domain", "zave-homelab-worker-2")
    assert [(node.name, node.state) for node in cluster.nodes(instance="homelab")] == [
        ("homelab-control-plane-1", "Ready"),
        ("homelab-worker-1", "NotReady"),
    ]


def test_kustomizations_become_ready_in_order_as_time_passes(
    homelab: World, cluster: SimulatedCluster, tmp_path: Path
) -> None:
    cluster.bootstrap(instance="homelab", tree=tmp_path, names=NAMES)
    seen: list[list[str]] = [_ready(cluster)]
    start = homelab.clock.now()
    while len(seen[-1]) < len(NAMES):
        homelab.clock.sleep(5)
        if _ready(cluster) != seen[-1]:
            seen.append(_ready(cluster))
    assert seen == [list(NAMES[:count]) for count in range(5)]
    assert 80 <= (homelab.clock.now() - start).total_seconds() <= 265


def test_waiting_kustomizations_say_what_they_wait_for(
    homelab: World, cluster: SimulatedCluster, tmp_path: Path
) -> None:
    cluster.bootstrap(instance="homelab", tree=tmp_path, names=NAMES)
    messages = [each.message for each in cluster.reconciliations(instance="homelab")]
    assert messages[0] == "reconciling"
    assert messages[1] == "dependency 'infrastructure-controllers' is not ready"


def test_time_that_passed_unseen_counts(homelab: World, cluster: SimulatedCluster, tmp_path: Path) -> None:
    cluster.bootstrap(instance="homelab", tree=tmp_path, names=NAMES)
    homelab.clock.advance(4 * 60)
    assert _ready(cluster) == list(NAMES)


def test_nothing_answers_where_no_control_plane_has_joined(
    world: World, cluster: SimulatedCluster, draft: DraftOf, tmp_path: Path
) -> None:
    world.create(draft("zave-homelab-control-plane-1", running=True))
    world.clock.sleep(3600)
    with pytest.raises(StepFailedError, match="no control plane of homelab"):
        cluster.kubeconfig(instance="homelab", outputs={"cluster_endpoint": "https://x"})
    with pytest.raises(StepFailedError, match="no control plane of homelab"):
        cluster.bootstrap(instance="homelab", tree=tmp_path, names=NAMES)


def test_bootstrap_needs_the_tree(homelab: World, cluster: SimulatedCluster, tmp_path: Path) -> None:
    with pytest.raises(StepFailedError) as caught:
        cluster.bootstrap(instance="homelab", tree=tmp_path / "absent", names=NAMES)
    assert caught.value.where == str(tmp_path / "absent")


def test_second_bootstrap_goes_on_where_the_first_one_was(
    homelab: World, cluster: SimulatedCluster, tmp_path: Path
) -> None:
    cluster.bootstrap(instance="homelab", tree=tmp_path, names=NAMES)
    _settle(homelab, cluster)
    cluster.bootstrap(instance="homelab", tree=tmp_path, names=NAMES)
    assert _ready(cluster) == list(NAMES)
    cluster.bootstrap(instance="homelab", tree=tmp_path, names=[*NAMES, "more"])
    assert _ready(cluster) == []


def test_rebuilt_cluster_has_no_flux_yet(
    homelab: World, cluster: SimulatedCluster, draft: DraftOf, tmp_path: Path
) -> None:
    cluster.bootstrap(instance="homelab", tree=tmp_path, names=NAMES)
    _settle(homelab, cluster)
    homelab.lose("libvirt_domain", "zave-homelab-control-plane-1")
    assert cluster.reconciliations(instance="homelab") == []
    homelab.create(draft("zave-homelab-control-plane-1", running=True))
    assert cluster.reconciliations(instance="homelab") == []
    join(homelab, "control-plane-1")
    assert cluster.reconciliations(instance="homelab") == []
    cluster.bootstrap(instance="homelab", tree=tmp_path, names=NAMES)
    assert _ready(cluster) == []


def test_nothing_is_ready_while_the_control_plane_is_off(
    homelab: World, cluster: SimulatedCluster, tmp_path: Path
) -> None:
    cluster.bootstrap(instance="homelab", tree=tmp_path, names=NAMES)
    _settle(homelab, cluster)
    homelab.stop("libvirt_domain", "zave-homelab-control-plane-1")
    states = cluster.reconciliations(instance="homelab")
    assert {(each.ready, each.message) for each in states} == {(False, "the control plane does not answer")}


def test_failing_kustomization_is_never_ready_while_the_fault_stands(
    homelab: World, cluster: SimulatedCluster, tmp_path: Path
) -> None:
    homelab.faults.add('fail reconcile platform with "no such chart"')
    cluster.bootstrap(instance="homelab", tree=tmp_path, names=NAMES)
    for _ in range(200):
        homelab.clock.sleep(30)
        assert _ready(cluster) in ([], list(NAMES[:1]), list(NAMES[:2]))
    states = {each.name: each for each in cluster.reconciliations(instance="homelab")}
    assert states["platform"].message == "no such chart"
    assert states["apps"].message == "dependency 'platform' is not ready"
    homelab.faults.clear()
    _settle(homelab, cluster)


def test_kustomization_that_fails_once_is_tried_again(
    homelab: World, cluster: SimulatedCluster, tmp_path: Path
) -> None:
    homelab.faults.add("fail reconcile apps once")
    cluster.bootstrap(instance="homelab", tree=tmp_path, names=NAMES)
    _settle(homelab, cluster)
    assert homelab.faults.list() == []


def test_teardown_takes_flux_away_and_time(homelab: World, cluster: SimulatedCluster, tmp_path: Path) -> None:
    cluster.bootstrap(instance="homelab", tree=tmp_path, names=NAMES)
    _settle(homelab, cluster)
    before = homelab.clock.now()
    cluster.teardown(instance="homelab")
    assert cluster.reconciliations(instance="homelab") == []
    assert homelab.clock.now() > before
    cluster.teardown(instance="homelab")
