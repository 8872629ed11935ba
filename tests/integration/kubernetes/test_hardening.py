"""The home lab's hardening on a real API server: arguments, admission, audit and policies as rendered."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.gitops.trees import real_kubectl
from tests.system.kube_apiserver import KubeApiserver, kube_apiserver
from zave.platforms.libvirt_values import CLOUD_INIT, configuration_of
from zave.project import Project
from zave.spec.libvirt import LibvirtSpec
from zave.spec.load import parse_spec

pytestmark = pytest.mark.machine

PRIVILEGED = {"containers": [{"name": "any", "image": "any", "securityContext": {"privileged": True}}]}
RESTRICTED = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "any",
            "image": "any",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApiserver]:
    """A server that was started as k3s is told to start its own on a control plane machine."""
    real_kubectl()
    folder = tmp_path_factory.mktemp("hardened")
    spec = parse_spec("platform: libvirt-k3s\n", where="environment.yaml")
    assert isinstance(spec, LibvirtSpec)
    files = configuration_of(Project(), spec, instance="lab")["lab-control-plane-1"]
    for name in ("admission.yaml", "audit.yaml"):
        (folder / name).write_text(files[name])
    asked = yaml.safe_load(files["config.yaml"])["kube-apiserver-arg"]
    places = {"/etc/rancher/k3s": str(folder), "/var/lib/rancher/k3s/server/logs": str(folder)}
    arguments = [f"--{each}" for each in asked]
    for there, here in places.items():
        arguments = [each.replace(there, here) for each in arguments]
    with kube_apiserver(folder / "server", arguments=arguments) as server:
        yield server


def kubectl(server: KubeApiserver, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    argv = ["kubectl", "--kubeconfig", str(server.kubeconfig), *words]
    return subprocess.run(argv, input=text, capture_output=True, text=True, check=False, timeout=60)


def create(server: KubeApiserver, document: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return kubectl(server, "create", "-f", "-", text=json.dumps({"apiVersion": "v1", **document}))


def pod(namespace: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def test_a_privileged_pod_is_refused_but_where_k3s_has_its_own(server: KubeApiserver) -> None:
    assert create(server, {"kind": "Namespace", "metadata": {"name": "new"}}).returncode == 0
    refused = create(server, pod("new", "privileged", PRIVILEGED))
    assert refused.returncode != 0
    assert 'violates PodSecurity "restricted:latest"' in refused.stderr
    assert create(server, pod("new", "restricted", RESTRICTED)).returncode == 0
    accepted = create(server, pod("kube-system", "privileged", PRIVILEGED))
    assert accepted.returncode == 0, accepted.stderr


def test_a_namespace_may_ask_for_more_by_its_labels(server: KubeApiserver) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    create(server, {"kind": "Namespace", "metadata": {"name": "open", "labels": labels}})
    accepted = create(server, pod("open", "privileged", PRIVILEGED))
    assert accepted.returncode == 0, accepted.stderr


def test_a_kubelet_changes_no_other_node_and_gives_itself_no_role(server: KubeApiserver) -> None:
    for name in ("lab-worker-1", "lab-worker-2"):
        assert create(server, {"kind": "Node", "metadata": {"name": name}}).returncode == 0
    # who it is makes it a kubelet; the second group lets it past the rights that k3s would give it
    kubelet = ("--as=system:node:lab-worker-1", "--as-group=system:nodes", "--as-group=system:masters")
    assert kubectl(server, *kubelet, "annotate", "node", "lab-worker-1", "own=yes").returncode == 0
    other = kubectl(server, *kubelet, "annotate", "node", "lab-worker-2", "own=no")
    assert "is not allowed to modify node" in other.stderr
    role = "node-restriction.kubernetes.io/any=yes"
    assert (
        "is not allowed to modify labels"
        in kubectl(server, *kubelet, "label", "node", "lab-worker-1", role).stderr
    )


def test_events_go_through_the_limit_of_their_rate(server: KubeApiserver) -> None:
    event = {
        "kind": "Event",
        "metadata": {"name": "any", "namespace": "default"},
        "involvedObject": {"kind": "Node", "name": "lab-worker-1"},
    }
    created = create(server, event)
    assert created.returncode == 0, created.stderr
    metrics = kubectl(server, "get", "--raw", "/metrics").stdout
    assert 'apiserver_admission_controller_admission_duration_seconds_count{name="EventRateLimit"' in metrics


def test_the_audit_log_says_who_did_what_and_never_what_is_in_it(server: KubeApiserver) -> None:
    secret = {"kind": "Secret", "metadata": {"name": "any", "namespace": "default"}}
    assert create(server, secret | {"stringData": {"key": "in-no-log"}}).returncode == 0
    log = Path(server.folder).parent / "audit.log"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    created = [each for each in events if (each["verb"], each["stage"]) == ("create", "ResponseComplete")]
    places = [(each.get("objectRef") or {}, each) for each in created]
    (found,) = [
        each for place, each in places if (place.get("resource"), place.get("name")) == ("secrets", "any")
    ]
    assert (found["user"]["username"], found["level"]) == ("administrator", "Metadata")
    # neither the text nor its base64
    assert "in-no-log" not in log.read_text()
    assert "aW4tbm8tbG9n" not in log.read_text()


def test_the_policies_of_k3s_own_namespaces_are_taken(server: KubeApiserver) -> None:
    file = Project().path(f"{CLOUD_INIT}/files/network-policies.yaml")
    applied = kubectl(server, "apply", "-f", str(file))
    assert applied.returncode == 0, applied.stderr
    listed = kubectl(server, "get", "networkpolicies", "--all-namespaces", "-o", "json")
    there = {(i["metadata"]["namespace"], i["metadata"]["name"]) for i in json.loads(listed.stdout)["items"]}
    wanted = {
        (each["metadata"]["namespace"], each["metadata"]["name"])
        for each in yaml.safe_load_all(file.read_text())
    }
    assert wanted <= there
