"""`zave parity` on the shipped environments: they are one platform, and no seeded difference escapes."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.integration.gitops.conftest import Trees
from tests.integration.gitops.trees import real_kubectl, render
from zave.gitops.declared import PARITY_FILE, Declaration, read_declarations
from zave.gitops.kustomize import build_tree
from zave.gitops.parity import Parity, Side, compare_sides
from zave.project import Project
from zave.schemas import load_schema
from zave.tools.kubectl import Kubectl

CONTROLLERS, CONFIGS = "infrastructure/controllers", "infrastructure/configs"
CLUSTER = "clusters/aws-demo"
IN_CONTROLLERS, IN_CONFIGS = f"{CLUSTER}/infrastructure-controllers", f"{CLUSTER}/infrastructure-configs"
IN_PLATFORM, IN_APPS = f"{CLUSTER}/platform", f"{CLUSTER}/apps"


@dataclass(frozen=True)
class Seed:
    """One change to the AWS tree: in `file`, `old` becomes `new`; it shows when `folder` is built.

    What must be told: the object and a part of the path (empty: the object as a whole).
    """

    name: str
    folder: str
    file: str
    old: str
    new: str
    object: str
    path: str


def seed(name: str, where: tuple[str, str], change: tuple[str, str], told: tuple[str, str]) -> Seed:
    return Seed(name, *where, *change, *told)


SEEDS = [
    # versions and images
    seed(
        "another chart",
        (IN_CONTROLLERS, f"{CONTROLLERS}/cert-manager/release.yaml"),
        ("tag: v1.21.1", "tag: v1.21.0"),
        ("OCIRepository cert-manager/cert-manager", "spec.ref.tag"),
    ),
    seed(
        "another chart in a repository",
        (IN_PLATFORM, "platform/slim/argocd/release.yaml"),
        ("version: 10.1.1", "version: 10.1.0"),
        ("HelmRelease argocd/argocd", "spec.chart.spec.version"),
    ),
    seed(
        "another application",
        (IN_APPS, "apps/podinfo/application.yaml"),
        ("targetRevision: 6.14.1", "targetRevision: 6.14.0"),
        ("Application argocd/podinfo", "spec.source.targetRevision"),
    ),
    seed(
        "another place to pull from",
        (IN_PLATFORM, "platform/slim/monitoring/release.yaml"),
        ("oci://ghcr.io/prometheus-community", "oci://ghcr.io/somebody-else"),
        ("OCIRepository monitoring/kube-prometheus-stack", "spec.url"),
    ),
    # network
    seed(
        "a namespace that is open",
        (IN_CONTROLLERS, f"{CONTROLLERS}/istio/kustomization.yaml"),
        ("  - ../../network/closed\n", ""),
        ("NetworkPolicy istio-system/default-deny", ""),
    ),
    seed(
        "a policy that allows more",
        (IN_APPS, "apps/namespace/policies.yaml"),
        ("kubernetes.io/metadata.name: istio-ingress", "kubernetes.io/metadata.name: default"),
        ("NetworkPolicy zave-apps/allow-gateway", "spec.ingress[0].from[0].namespaceSelector"),
    ),
    seed(
        "a policy with one port more",
        (IN_CONTROLLERS, f"{CONTROLLERS}/istio/policies.yaml"),
        (
            "        - {port: 15017, protocol: TCP}",
            "        - {port: 15017, protocol: TCP}\n        - {port: 22}",
        ),
        ("NetworkPolicy istio-system/allow-istiod", "spec.ingress[1].ports[1]"),
    ),
    seed(
        "another port of the gateway",
        (IN_CONFIGS, f"{CONFIGS}/gateway/release.yaml"),
        ("port: 443, targetPort: 443", "port: 8443, targetPort: 443"),
        ("HelmRelease istio-ingress/gateway", "spec.values.service.ports.https.port"),
    ),
    seed(
        "plain HTTP",
        (IN_CONFIGS, f"{CONFIGS}/ingress/gateway.yaml"),
        ("httpsRedirect: true", "httpsRedirect: false"),
        ("Gateway istio-ingress/public", "spec.servers[0].tls.httpsRedirect"),
    ),
    seed(
        "old TLS",
        (IN_CONFIGS, f"{CONFIGS}/ingress/gateway.yaml"),
        ("TLSV1_2", "TLSV1_0"),
        ("Gateway istio-ingress/public", "spec.servers[1].tls.minProtocolVersion"),
    ),
    seed(
        "a route that is missing",
        (IN_PLATFORM, "platform/slim/monitoring/kustomization.yaml"),
        ("  - route.yaml\n", ""),
        ("VirtualService monitoring/grafana", ""),
    ),
    # rights
    seed(
        "weaker pod security",
        (IN_APPS, "apps/namespace/namespace.yaml"),
        ("enforce: restricted", "enforce: privileged"),
        ("Namespace zave-apps", "enforce"),
    ),
    seed(
        "a label more",
        (IN_APPS, "apps/namespace/namespace.yaml"),
        ("  labels:\n", "  labels:\n    istio-injection: enabled\n"),
        ("Namespace zave-apps", "metadata.labels.istio-injection"),
    ),
    seed(
        "more for Argo CD to own",
        (IN_APPS, "apps/podinfo/project.yaml"),
        ("clusterResourceWhitelist: []", 'clusterResourceWhitelist: [{group: "*", kind: "*"}]'),
        ("AppProject argocd/applications", "spec.clusterResourceWhitelist[0]"),
    ),
    seed(
        "charts from anywhere",
        (IN_APPS, "apps/podinfo/project.yaml"),
        ("    - ghcr.io/stefanprodan/charts", '    - "*"'),
        ("AppProject argocd/applications", "spec.sourceRepos[0]"),
    ),
    # certificates and storage
    seed(
        "another issuer",
        (IN_CONFIGS, f"{CONFIGS}/ingress/certificate.yaml"),
        ("name: platform-ca", "name: self-signed"),
        ("Certificate istio-ingress/gateway", "spec.issuerRef.name"),
    ),
    seed(
        "a name less",
        (IN_CONFIGS, f"{CONFIGS}/ingress/certificate.yaml"),
        ('    - "*.${domain}"\n', ""),
        ("Certificate istio-ingress/gateway", "spec.dnsNames[1]"),
    ),
    seed(
        "a storage class written down",
        (IN_PLATFORM, "platform/slim/monitoring/release.yaml"),
        ("storageClassName: ${storage_class}", "storageClassName: gp2"),
        ("HelmRelease monitoring/kube-prometheus-stack", "storageClassName"),
    ),
    seed(
        "a storage class by another name",
        (IN_CONFIGS, f"{CONFIGS}/storage-on-aws/gp3.yaml"),
        ("name: gp3", "name: fast"),
        ("StorageClass fast", ""),
    ),
    # sizes
    seed(
        "other requests",
        (IN_CONTROLLERS, f"{CONTROLLERS}/istio/release.yaml"),
        ("requests: {cpu: 100m, memory: 448Mi}", "requests: {cpu: 100m, memory: 2Gi}"),
        ("HelmRelease istio-system/istiod", "spec.values.resources.requests.memory"),
    ),
    seed(
        "no limit",
        (IN_PLATFORM, "platform/slim/argocd/release.yaml"),
        ("cpu: 20m, memory: 64Mi}\n        limits: {memory: 128Mi}\n", "cpu: 20m, memory: 64Mi}\n"),
        ("HelmRelease argocd/argocd", "spec.values.redis.resources.limits"),
    ),
    seed(
        "fewer replicas",
        (IN_APPS, "apps/podinfo/application.yaml"),
        ("replicaCount: 2", "replicaCount: 1"),
        ("Application argocd/podinfo", "spec.source.helm.valuesObject.replicaCount"),
    ),
    seed(
        "a number as a text",
        (IN_APPS, "apps/podinfo/application.yaml"),
        ("replicaCount: 2", 'replicaCount: "2"'),
        ("Application argocd/podinfo", "spec.source.helm.valuesObject.replicaCount"),
    ),
    # what is switched on
    seed(
        "a component more",
        (IN_PLATFORM, "platform/slim/monitoring/release.yaml"),
        ("alertmanager: {enabled: false}", "alertmanager: {enabled: true}"),
        ("HelmRelease monitoring/kube-prometheus-stack", "spec.values.alertmanager.enabled"),
    ),
    seed(
        "a setting less",
        (IN_PLATFORM, "platform/slim/monitoring/release.yaml"),
        ("        podMonitorSelectorNilUsesHelmValues: false\n", ""),
        ("HelmRelease monitoring/kube-prometheus-stack", "podMonitorSelectorNilUsesHelmValues"),
    ),
    seed(
        "a monitor less",
        (IN_APPS, "apps/monitors/monitors.yaml"),
        ("name: istiod", "name: pilot"),
        ("PodMonitor monitoring/istiod", ""),
    ),
    # how it is brought
    seed(
        "shorter patience",
        (IN_CONTROLLERS, "infrastructure/releases/kustomization.yaml"),
        ("timeout: 15m", "timeout: 5m"),
        ("HelmRelease cert-manager/cert-manager", "spec.timeout"),
    ),
    seed(
        "definitions that are never upgraded",
        (IN_PLATFORM, "infrastructure/releases/kustomization.yaml"),
        ("        upgrade:\n          crds: CreateReplace", "        upgrade:\n          crds: Skip"),
        ("HelmRelease argocd/argocd", "spec.upgrade.crds"),
    ),
    seed(
        "a layer that does not wait",
        (CLUSTER, f"{CLUSTER}/kustomizations.yaml"),
        ("  wait: true", "  wait: false"),
        ("Kustomization flux-system/platform", "spec.wait"),
    ),
    seed(
        "a layer in no order",
        (CLUSTER, f"{CLUSTER}/kustomizations.yaml"),
        ('  dependsOn:\n    - name: "platform"\n', ""),
        ("Kustomization flux-system/apps", "spec.dependsOn"),
    ),
    seed(
        "an application that is not pruned",
        (IN_APPS, "apps/podinfo/application.yaml"),
        ("prune: true, selfHeal: true", "prune: false, selfHeal: true"),
        ("Application argocd/podinfo", "spec.syncPolicy.automated.prune"),
    ),
    # variables
    seed(
        "a value written down where the other has a variable",
        (IN_PLATFORM, "platform/slim/monitoring/route.yaml"),
        ("grafana.${domain}", "grafana.aws-demo.internal"),
        ("VirtualService monitoring/grafana", "spec.hosts[0]"),
    ),
    seed(
        "a value beside a declared variable",
        (IN_PLATFORM, "platform/slim/argocd/route.yaml"),
        ("argocd.${domain}", "cd.${domain}"),
        ("VirtualService argocd/argocd", "spec.hosts[0]"),
    ),
    seed(
        "a variable that nobody declared",
        (CLUSTER, f"{CLUSTER}/variables.yaml"),
        ("data:\n", "data:\n  color: blue\n"),
        ("ConfigMap flux-system/platform-variables", "data.color"),
    ),
    # more than declared
    seed(
        "a second pool of machines",
        (IN_CONFIGS, f"{CONFIGS}/karpenter/nodes.yaml"),
        ("kind: NodePool\nmetadata:\n  name: default", "kind: NodePool\nmetadata:\n  name: large"),
        ("NodePool large", ""),
    ),
    seed(
        "a piece more",
        (IN_CONTROLLERS, f"{IN_CONTROLLERS}/kustomization.yaml"),
        ("resources:\n", 'resources:\n  - "../../../infrastructure/controllers/velero"\n'),
        ("Namespace velero", ""),
    ),
    seed(
        "an annotation of the load balancer on another object",
        (IN_CONFIGS, f"{CONFIGS}/gateway/namespace.yaml"),
        ("  labels:\n", "  annotations: {a: b}\n  labels:\n"),
        ("Namespace istio-ingress", "metadata.annotations"),
    ),
]


class Cached:
    """kustomize that builds one folder anew and takes the others from before."""

    def __init__(self, real: Kubectl, tree: Path, known: dict[str, str], fresh: str | None = None) -> None:
        self._real, self._tree, self._known, self._fresh = real, tree, known, fresh

    def kustomize(self, folder: Path) -> str:
        name = folder.relative_to(self._tree).as_posix()
        if name == self._fresh:
            return self._real.kustomize(folder)
        if name not in self._known:
            self._known[name] = self._real.kustomize(folder)
        return self._known[name]


@dataclass(frozen=True)
class Shipped:
    """The shipped environments: the home lab built, the AWS demo as a folder with what it builds to."""

    homelab: Side
    aws: Path
    built: Mapping[str, str]
    declarations: tuple[Declaration, ...]

    def compare(self, tree: Path, *, fresh: str | None = None) -> Parity:
        """The home lab and the AWS demo in `tree`, of which `fresh` is to be built."""
        kustomize = Cached(real_kubectl(), tree, dict(self.built), fresh)
        built = build_tree(tree, instance="aws-demo", kustomize=kustomize)
        return compare_sides(self.homelab, Side("aws-demo", "aws-eks", built), self.declarations)


@pytest.fixture(scope="module")
def shipped(trees: Trees, tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    tree = tmp_path_factory.mktemp("aws")
    render("aws-demo", tree)
    known: dict[str, str] = {}
    build_tree(tree, instance="aws-demo", kustomize=Cached(real_kubectl(), tree, known))
    file = Project().path(PARITY_FILE)
    declarations = read_declarations(file.read_bytes(), where=str(file), platforms=("libvirt-k3s", "aws-eks"))
    return Shipped(Side("homelab", "libvirt-k3s", trees("homelab")), tree, known, declarations)


def document(parity: Parity) -> dict[str, Any]:
    found = parity.document()
    jsonschema.validate(found, load_schema("parity"))
    return found


def test_the_shipped_environments_are_one_platform(shipped: Shipped) -> None:
    parity = shipped.compare(shipped.aws)
    found = document(parity)
    assert (found["undeclared"], found["undefined"], found["unused"]) == ([], [], [])
    assert parity.holds
    assert found["objects"]["both"] >= 60


def test_there_are_enough_seeds() -> None:
    assert len({each.name for each in SEEDS}) == len(SEEDS) >= 25


@pytest.mark.parametrize("change", SEEDS, ids=lambda change: change.name)
def test_a_seeded_difference_is_found(shipped: Shipped, tmp_path: Path, change: Seed) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(shipped.aws, tree)
    file = tree / change.file
    text = file.read_text()
    assert text.count(change.old) >= 1, "the seed has no ground to fall on"
    file.write_text(text.replace(change.old, change.new))
    parity = shipped.compare(tree, fresh=change.folder)
    assert not parity.holds
    entries = document(parity)["undeclared"]
    told = [(e["object"], e["path"]) for e in entries if e["object"] == change.object]
    if change.path:
        assert any(change.path in path for _, path in told), entries
    else:
        assert (change.object, "") in told, entries


@pytest.mark.parametrize(
    ("file", "old", "new", "fresh"),
    [
        (f"{CONFIGS}/ingress/certificate.yaml", "${domain}", "${domian}", IN_CONFIGS),
        (f"{CLUSTER}/variables.yaml", "  domain: ", "  domane: ", CLUSTER),
        (f"{CONFIGS}/gateway/release.yaml", "${gateway_service}", "${gateway_service", IN_CONFIGS),
    ],
    ids=["misspelt", "taken away", "not closed"],
)
def test_a_variable_that_flux_would_refuse_is_found(
    shipped: Shipped, tmp_path: Path, file: str, old: str, new: str, fresh: str
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(shipped.aws, tree)
    (tree / file).write_text((tree / file).read_text().replace(old, new))
    parity = shipped.compare(tree, fresh=fresh)
    assert not parity.holds
    entries = document(parity)["undefined"]
    assert entries
    assert all(entry["environment"] == "aws-demo" and entry["path"] for entry in entries)


def test_an_object_in_two_layers_is_refused(shipped: Shipped, tmp_path: Path) -> None:
    from zave.errors import UsageError

    tree = tmp_path / "tree"
    shutil.copytree(shipped.aws, tree)
    file = tree / IN_APPS / "kustomization.yaml"
    file.write_text(file.read_text() + '  - "../../../infrastructure/configs/issuers"\n')
    with pytest.raises(UsageError, match="in two layers"):
        shipped.compare(tree, fresh=IN_APPS)


def test_each_declaration_is_needed(shipped: Shipped) -> None:
    for index, declaration in enumerate(shipped.declarations):
        left = tuple(d for place, d in enumerate(shipped.declarations) if place != index)
        parity = compare_sides(shipped.homelab, shipped.compare(shipped.aws).right, left)
        assert not parity.holds, f"nothing needs line {declaration.line}: {declaration}"
