"""Every tree that the templates can make: it builds, it is valid, and it keeps the rules of the house."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.integration.gitops.conftest import Trees
from tests.integration.gitops.custom_kinds import SPECS
from tests.integration.gitops.trees import TAGS, VARIANTS, render
from zave.gitops.kustomize import ROOT, Built
from zave.gitops.manifests import Identity, Manifest
from zave.gitops.pieces import LAYERS

TEMPLATES = Path(__file__).resolve().parents[3] / "templates/gitops"
BUILTIN = {"v1", "apps/v1", "networking.k8s.io/v1", "storage.k8s.io/v1"}
# which release brings the definitions of a group; they must be there before the first object of a kind
DEFINED_BY = {
    "argoproj.io": ("argocd", "argocd"),
    "cert-manager.io": ("cert-manager", "cert-manager"),
    "karpenter.k8s.aws": ("kube-system", "karpenter-crd"),
    "karpenter.sh": ("kube-system", "karpenter-crd"),
    "metallb.io": ("metallb-system", "metallb"),
    "monitoring.coreos.com": ("monitoring", "kube-prometheus-stack"),
    "networking.istio.io": ("istio-system", "base"),
}
EVERY = pytest.mark.parametrize("variant", sorted(VARIANTS))


def of_kind(built: Built, *kinds: str) -> list[Manifest]:
    return [m for m in built.objects.values() if m.identity.kind in kinds]


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, keys left out."""
    if isinstance(value, Mapping):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)
    elif isinstance(value, str):
        yield value


def position(manifest: Manifest) -> int:
    """When it is applied: 0 for what the bootstrap makes, then layer by layer."""
    return 0 if manifest.layer == ROOT else 1 + LAYERS.index(manifest.layer)


# it builds and is valid


@EVERY
def test_every_variable_has_a_value(trees: Trees, variant: str) -> None:
    built = trees(variant)
    assert [(m.identity, m.undefined) for m in built.objects.values() if m.undefined] == []
    left = [str(m.identity) for m in built.objects.values() if any("${" in text for text in texts(m.value))]
    assert left == []


def test_kinds_of_kubernetes_pass_its_own_schemas(trees: Trees) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="PyPI kubernetes-validate is not installed")
    # each once: the variants have most of them in common, and a check takes 50 ms
    found = {
        json.dumps(m.value, sort_keys=True): m
        for variant in VARIANTS
        for m in trees(variant).objects.values()
        if m.value["apiVersion"] in BUILTIN
    }
    assert len(found) > 60
    for manifest in found.values():
        validator.validate(dict(manifest.value), "1.35", strict=True)


@EVERY
def test_custom_kinds_pass_schemas_that_know_only_what_is_used(trees: Trees, variant: str) -> None:
    found = [m for m in trees(variant).objects.values() if m.value["apiVersion"] not in BUILTIN]
    assert found
    for manifest in found:
        schema = SPECS[(manifest.value["apiVersion"], manifest.identity.kind)]
        assert set(manifest.value) == {"apiVersion", "kind", "metadata", "spec"}, manifest.identity
        errors = list(jsonschema.Draft202012Validator(schema).iter_errors(manifest.value["spec"]))
        assert not errors, f"{manifest.identity}: {[(list(e.path), e.message) for e in errors]}"


def test_all_pieces_are_in_some_variant(trees: Trees, tmp_path: Path) -> None:
    used: set[str] = set()
    for variant in VARIANTS:
        render(variant, tmp_path / variant)
        for file in (tmp_path / variant / "clusters").rglob("kustomization.yaml"):
            used |= set(re.findall(r'"\.\./\.\./\.\./([^"]+)"', file.read_text()))
    folders = {
        file.parent.relative_to(TEMPLATES).as_posix()
        for file in TEMPLATES.rglob("kustomization.yaml")
        if "kind: Component" not in file.read_text()
    }
    # shared by pieces, or the base of one
    shared = {f"infrastructure/network/{name}" for name in ("closed", "api-server", "pod-identity")}
    assert folders - shared == used


# what it consists of


@EVERY
def test_nothing_floats(trees: Trees, variant: str) -> None:
    for manifest in trees(variant).objects.values():
        assert not [t for t in texts(manifest.value) if re.search(r"\blatest\b", t)], manifest.identity
    for manifest in of_kind(trees(variant), "Deployment"):
        for container in manifest.value["spec"]["template"]["spec"]["containers"]:
            assert re.fullmatch(r"[a-z.]+/[a-z0-9/_-]+:[0-9][0-9.]+", container["image"])


def test_every_pinned_version_names_its_source_and_date() -> None:
    pinned = [
        file
        for file in TEMPLATES.rglob("*.yaml")
        if re.search(r"^ +(tag|version|image|targetRevision|- alias): ", file.read_text(), re.MULTILINE)
    ]
    assert len(pinned) >= 12
    for file in pinned:
        comments = " ".join(line for line in file.read_text().splitlines() if line.lstrip().startswith("#"))
        assert re.search(r"2026-\d\d-\d\d", comments), file


@EVERY
def test_every_namespace_is_closed_and_says_what_pods_may_do(trees: Trees, variant: str) -> None:
    built = trees(variant)
    namespaces = of_kind(built, "Namespace")
    assert len(namespaces) >= 3
    for manifest in namespaces:
        labels = manifest.value["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] in {"restricted", "baseline", "privileged"}
        assert labels["pod-security.kubernetes.io/warn"] == "restricted"
        deny = built.objects[
            Identity("NetworkPolicy", manifest.identity.name, "default-deny", "networking.k8s.io")
        ]
        assert deny.value["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@EVERY
def test_a_policy_in_a_namespace_that_is_not_ours_shuts_nobody_out(trees: Trees, variant: str) -> None:
    for manifest in of_kind(trees(variant), "NetworkPolicy"):
        if manifest.identity.namespace == "kube-system":
            spec = manifest.value["spec"]
            # whoever is named is closed to all others from then on: the name service must answer everybody
            assert spec["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}
            assert spec["policyTypes"] == ["Ingress"]
            assert [p["port"] for rule in spec["ingress"] if "from" not in rule for p in rule["ports"]] == [
                53,
                53,
            ]


@EVERY
def test_privileged_namespaces_are_known(trees: Trees, variant: str) -> None:
    levels = {
        m.identity.name: m.value["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for m in of_kind(trees(variant), "Namespace")
    }
    # what reads or mounts the hosts
    assert {name for name, level in levels.items() if level == "privileged"} <= {
        "monitoring",
        "metallb-system",
    }


@EVERY
def test_own_workloads_run_without_rights_and_with_limits(trees: Trees, variant: str) -> None:
    for manifest in of_kind(trees(variant), "Deployment"):
        pod = manifest.value["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@EVERY
def test_no_secret_is_in_the_tree(trees: Trees, variant: str) -> None:
    assert of_kind(trees(variant), "Secret") == []


# in which order


@EVERY
def test_each_object_comes_after_its_namespace_and_its_definition(trees: Trees, variant: str) -> None:
    built = trees(variant)
    namespaces = {m.identity.name: position(m) for m in of_kind(built, "Namespace")}
    releases = {(m.identity.namespace, m.identity.name): position(m) for m in of_kind(built, "HelmRelease")}
    for manifest in built.objects.values():
        namespace = manifest.identity.namespace
        if namespace and namespace not in {"kube-system", "flux-system"}:
            assert namespaces[namespace] <= position(manifest), manifest.identity
        if manifest.identity.group in DEFINED_BY:
            assert releases[DEFINED_BY[manifest.identity.group]] < position(manifest), manifest.identity


@EVERY
def test_each_release_finds_its_source_and_what_it_depends_on(trees: Trees, variant: str) -> None:
    built = trees(variant)
    known = {(m.identity.kind, m.identity.namespace, m.identity.name) for m in built.objects.values()}
    releases = of_kind(built, "HelmRelease")
    assert releases
    for manifest in releases:
        spec, namespace = manifest.value["spec"], manifest.identity.namespace
        source = spec.get("chartRef") or spec["chart"]["spec"]["sourceRef"]
        assert (source["kind"], namespace, source["name"]) in known
        for other in spec.get("dependsOn", []):
            assert ("HelmRelease", other.get("namespace", namespace), other["name"]) in known


@EVERY
def test_definitions_are_upgraded_with_their_release(trees: Trees, variant: str) -> None:
    for manifest in of_kind(trees(variant), "HelmRelease"):
        # its definitions are a release of their own
        crds = "Skip" if manifest.identity.name == "karpenter" else "CreateReplace"
        spec = manifest.value["spec"]
        assert (spec["install"]["crds"], spec["upgrade"]["crds"]) == (crds, crds), manifest.identity


# who owns what


@pytest.mark.parametrize("variant", ["homelab", "aws-demo"])
def test_no_object_belongs_to_flux_and_to_argo_cd(trees: Trees, variant: str) -> None:
    built = trees(variant)
    [project], applications = of_kind(built, "AppProject"), of_kind(built, "Application")
    places = {d["namespace"] for d in project.value["spec"]["destinations"]}
    kinds = {(k["group"], k["kind"]) for k in project.value["spec"]["namespaceResourceWhitelist"]}
    assert applications
    for application in applications:
        spec = application.value["spec"]
        assert spec["project"] == project.identity.name
        assert spec["destination"] in project.value["spec"]["destinations"]
        assert spec["source"]["repoURL"] in project.value["spec"]["sourceRepos"]
    # nothing outside of namespaces, no other namespace, and none of Flux's kinds in this one
    assert project.value["spec"]["clusterResourceWhitelist"] == []
    assert places == {"zave-apps"}
    claimed = [
        str(m.identity)
        for m in built.objects.values()
        if m.identity.namespace in places and (m.identity.group, m.identity.kind) in kinds
    ]
    assert claimed == []
    # where applications run, Argo CD's own objects and Flux's are not
    assert not places & {
        m.identity.namespace for m in [project, *applications, *of_kind(built, "HelmRelease")]
    }


def test_a_load_balancer_on_aws_has_its_kind_from_the_start(trees: Trees) -> None:
    [gateway] = [m for m in of_kind(trees("aws-demo"), "HelmRelease") if m.identity.name == "gateway"]
    service = gateway.value["spec"]["values"]["service"]
    prefix = "service.beta.kubernetes.io/aws-load-balancer-"
    assert service["type"] == "LoadBalancer"
    assert service["annotations"] == {
        f"{prefix}type": "external",
        f"{prefix}nlb-target-type": "ip",
        f"{prefix}scheme": "internet-facing",
        "service.beta.kubernetes.io/load-balancer-source-ranges": "203.0.113.7/32",
        # what the gateway listens to, for external-dns
        "external-dns.alpha.kubernetes.io/hostname": "*.aws-demo.internal",
    }
    # it comes after what makes the load balancer, and goes before it: layers are taken away in reverse
    makers = [m for m in of_kind(trees("aws-demo"), "HelmRelease") if "load-balancer" in m.identity.name]
    assert [position(maker) < position(gateway) for maker in makers] == [True]


MODULE = TEMPLATES.parents[1] / "terraform-modules" / "aws-eks"


def test_pods_with_a_role_on_aws_have_the_service_account_that_it_is_bound_to(trees: Trees) -> None:
    terraform = "".join(file.read_text() for file in MODULE.glob("*.tf"))
    bound = set(re.findall(r'namespace += "([\w-]+)"\n +service_account += "([\w-]+)"', terraform))
    built = trees("full-aws")
    releases = {str(m.identity.name): m for m in of_kind(built, "HelmRelease")}
    dns, backups = releases["external-dns"], releases["velero"]
    accounts = {
        (dns.identity.namespace, dns.value["spec"]["values"]["serviceAccount"]["name"]),
        (backups.identity.namespace, backups.value["spec"]["values"]["serviceAccount"]["server"]["name"]),
    }
    assert accounts <= bound
    # and the agent that hands out credentials is not cut off with all else
    for namespace in ("external-dns", "velero"):
        policy = built.objects[
            Identity("NetworkPolicy", namespace, "allow-pod-identity", "networking.k8s.io")
        ]
        [rule] = policy.value["spec"]["egress"]
        assert rule["to"] == [{"ipBlock": {"cidr": "169.254.170.23/32"}}]
        assert rule["ports"] == [{"port": 80, "protocol": "TCP"}]


def test_external_dns_keeps_to_what_its_role_lets_it_do(trees: Trees) -> None:
    [release] = [m for m in of_kind(trees("full-aws"), "HelmRelease") if m.identity.name == "external-dns"]
    values = release.value["spec"]["values"]
    assert values["extraArgs"]["zone-id-filter"] == "Z0123456789ABCDEFGHIJ"
    assert values["extraArgs"]["aws-zone-match-parent"] is True
    assert values["domainFilters"] == ["demo.example.org"]
    assert values["env"] == [{"name": "AWS_DEFAULT_REGION", "value": "us-east-1"}]
    # what is gone from the cluster goes from the zone, and soon: a teardown ends the machine a little later
    assert (values["policy"], values["triggerLoopOnEvent"], values["txtOwnerId"]) == (
        "sync",
        True,
        "zave-full-aws",
    )
    [gateway] = [m for m in of_kind(trees("full-aws"), "HelmRelease") if m.identity.name == "gateway"]
    annotations = gateway.value["spec"]["values"]["service"]["annotations"]
    assert annotations["external-dns.alpha.kubernetes.io/hostname"] == "*.demo.example.org"


def test_velero_has_a_role_on_aws_and_credentials_elsewhere(trees: Trees) -> None:
    credentials = {}
    for variant in ("full-aws", "full-lab"):
        [release] = [m for m in of_kind(trees(variant), "HelmRelease") if m.identity.name == "velero"]
        values = release.value["spec"]["values"]
        credentials[variant] = values["credentials"]
        [location] = values["configuration"]["backupStorageLocation"]
        # the one folder that the role opens
        assert location["prefix"] == f"zave-{variant}"
    assert credentials == {
        "full-aws": {"useSecret": False},
        "full-lab": {"useSecret": True, "existingSecret": "velero"},
    }


def test_big_bangs_load_balancers_on_aws_have_their_kind_as_well(trees: Trees) -> None:
    built = trees("big-aws")
    [release] = [m for m in of_kind(built, "HelmRelease") if m.identity.name == "bigbang"]
    sources = [source["name"] for source in release.value["spec"]["valuesFrom"]]
    # what is later wins, and the credentials come from nowhere else
    assert sources == ["bigbang-values", "bigbang-values-on-aws", "bigbang-credentials"]
    values = built.objects[Identity("ConfigMap", "bigbang", "bigbang-values-on-aws")].value["data"][
        "values.yaml"
    ]
    service = yaml.safe_load(values)["istioGateway"]["values"]["shared"]["upstream"]["service"]
    assert service["annotations"]["service.beta.kubernetes.io/aws-load-balancer-type"] == "external"
    assert (
        service["annotations"]["service.beta.kubernetes.io/load-balancer-source-ranges"] == "203.0.113.7/32"
    )


def test_machines_that_karpenter_adds_carry_their_owner(trees: Trees) -> None:
    [machines] = of_kind(trees("full-aws"), "EC2NodeClass")
    assert machines.value["spec"]["tags"] == TAGS
    assert machines.value["spec"]["instanceProfile"] == "zave-full-aws-provisioned"


# how it is written


def test_yamllint_has_nothing_to_say(tmp_path: Path) -> None:
    render("aws-demo", tmp_path)
    # the house's rules, but for the length of lines that hold a user's values
    rules = f"{{extends: {TEMPLATES.parents[1] / '.yamllint.yaml'}, rules: {{line-length: disable}}}}"
    lint = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "-d", rules, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr
