"""What the slim profile asks for, summed up from the rendered tree, against the nodes of the home lab."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from tests.integration.gitops.conftest import Trees
from tests.integration.gitops.trees import VARIANTS, spec_of
from zave.gitops.kustomize import Built
from zave.gitops.quantity import quantity
from zave.spec.libvirt import LibvirtSpec

GIB = 2**30


@dataclass(frozen=True)
class Workload:
    """One workload of a chart: where in the values its containers' resources are, and its replicas.

    `replicas` is None where the chart makes exactly one, `nodes` where it makes one on each node.
    """

    resources: tuple[str, ...]
    replicas: str | None = None
    nodes: bool = False


# every workload that runs on, as the charts made them with these values (helm template, 2026-11-23); jobs
# that run once are left out
CHARTS: Mapping[str, tuple[Workload, ...]] = {
    "argocd": (
        Workload(("controller.resources",), "controller.replicas"),
        Workload(("server.resources",), "server.replicas"),
        Workload(("repoServer.resources",), "repoServer.replicas"),
        Workload(("applicationSet.resources",), "applicationSet.replicas"),
        Workload(("redis.resources",)),
    ),
    "aws-load-balancer-controller": (Workload(("resources",), "replicaCount"),),
    "base": (),
    "cert-manager": (
        Workload(("resources",), "replicaCount"),
        Workload(("webhook.resources",), "webhook.replicaCount"),
        Workload(("cainjector.resources",), "cainjector.replicaCount"),
    ),
    "csi-driver-nfs": (
        Workload(
            tuple(
                f"controller.resources.{c}" for c in ("csiProvisioner", "csiResizer", "livenessProbe", "nfs")
            ),
            "controller.replicas",
        ),
        Workload(
            tuple(f"node.resources.{c}" for c in ("livenessProbe", "nodeDriverRegistrar", "nfs")), nodes=True
        ),
    ),
    "external-dns": (Workload(("resources",), "replicaCount"),),
    "gateway": (Workload(("resources",), "replicaCount"),),
    "harbor": (
        Workload(("nginx.resources",), "nginx.replicas"),
        Workload(("portal.resources",), "portal.replicas"),
        Workload(("core.resources",), "core.replicas"),
        Workload(("jobservice.resources",), "jobservice.replicas"),
        Workload(("registry.registry.resources", "registry.controller.resources"), "registry.replicas"),
        Workload(("database.internal.resources",)),
        Workload(("redis.internal.resources",)),
    ),
    "istiod": (Workload(("resources",), "replicaCount"),),
    "karpenter": (Workload(("controller.resources",), "replicas"),),
    "karpenter-crd": (),
    "kube-prometheus-stack": (
        Workload(("prometheusOperator.resources",)),
        Workload(
            ("prometheus.prometheusSpec.resources", "prometheusOperator.prometheusConfigReloader.resources"),
            "prometheus.prometheusSpec.replicas",
        ),
        Workload(("kube-state-metrics.resources",), "kube-state-metrics.replicas"),
        Workload(("prometheus-node-exporter.resources",), nodes=True),
        # Grafana and its two sidecars
        Workload(
            ("grafana.resources", "grafana.sidecar.resources", "grafana.sidecar.resources"),
            "grafana.replicas",
        ),
    ),
    "metallb": (Workload(("controller.resources",)), Workload(("speaker.resources",), nodes=True)),
    "podinfo": (Workload(("resources",), "replicaCount"),),
    "velero": (Workload(("resources",)),),
}

# not in the tree, and there all the same: the four controllers of Flux 2.9 (350m, 256Mi: read in its
# manifests) and CoreDNS with metrics-server (200m, 140Mi: an estimate)
BESIDE = (Decimal("0.55"), Decimal(396 * 2**20))


def inside(values: Mapping[str, Any], path: str) -> Any:
    found: Any = values
    for key in path.split("."):
        assert key in found, f"{path} is not set"
        found = found[key]
    return found


def releases(built: Built) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and values of everything that Helm installs, whoever has it do so."""
    for manifest in built.objects.values():
        spec = manifest.value.get("spec", {})
        if manifest.identity.kind == "HelmRelease" and manifest.identity.name != "bigbang":
            yield manifest.identity.name, spec.get("values", {})
        elif manifest.identity.kind == "Application":
            yield manifest.identity.name, spec["source"]["helm"]["valuesObject"]


def requested(built: Built, *, nodes: int) -> tuple[Decimal, Decimal]:
    """Cores and bytes that all workloads together ask for."""
    cores, memory = Decimal(0), Decimal(0)
    for name, values in releases(built):
        for workload in CHARTS[name]:
            pods = (
                nodes
                if workload.nodes
                else int(inside(values, workload.replicas))
                if workload.replicas
                else 1
            )
            for path in workload.resources:
                requests = inside(values, f"{path}.requests")
                cores += pods * quantity(requests["cpu"])
                memory += pods * quantity(requests["memory"])
    for manifest in built.objects.values():
        if manifest.identity.kind == "Deployment":
            spec = manifest.value["spec"]
            for container in spec["template"]["spec"]["containers"]:
                requests = container["resources"]["requests"]
                cores += spec["replicas"] * quantity(requests["cpu"])
                memory += spec["replicas"] * quantity(requests["memory"])
    return cores, memory


@pytest.mark.parametrize("variant", ["homelab", "full-lab", "harbor-lab"])
def test_the_slim_profile_leaves_a_quarter_of_the_home_lab_free(trees: Trees, variant: str) -> None:
    spec = spec_of(variant)
    assert isinstance(spec, LibvirtSpec)
    first, worker = spec.nodes.control_plane, spec.nodes.worker
    cores, memory = requested(trees(variant), nodes=first.count + worker.count)
    # a sum that found nothing would prove nothing
    assert cores > Decimal("0.5")
    assert memory > 2 * GIB
    all_cores = first.count * first.vcpu + worker.count * worker.vcpu
    all_memory = first.count * first.memory + worker.count * worker.memory
    assert cores + BESIDE[0] <= Decimal("0.75") * all_cores
    assert memory + BESIDE[1] <= Decimal("0.75") * all_memory


def test_one_machine_of_the_home_lab_can_fail(trees: Trees) -> None:
    spec = spec_of("homelab")
    assert isinstance(spec, LibvirtSpec)
    worker = spec.nodes.worker
    left = spec.nodes.control_plane.count + worker.count - 1
    cores, memory = requested(trees("homelab"), nodes=left)
    assert cores + BESIDE[0] <= left * worker.vcpu
    assert memory + BESIDE[1] <= left * worker.memory


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_every_workload_says_what_it_needs_and_what_it_may_take(trees: Trees, variant: str) -> None:
    for name, values in releases(trees(variant)):
        assert name in CHARTS, f"say in this test which workloads {name} has"
        for workload in CHARTS[name]:
            if workload.replicas is not None:
                assert inside(values, workload.replicas) >= 1
            for path in workload.resources:
                assert set(inside(values, f"{path}.requests")) == {"cpu", "memory"}, (name, path)
                assert "memory" in inside(values, f"{path}.limits"), (name, path)
