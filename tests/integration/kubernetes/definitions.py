"""Definitions of the tree's custom kinds, with no more of a schema than that required fields are there."""

import time
from typing import Any

from tests.integration.gitops.custom_kinds import SPECS
from tests.system.kube_apiserver import KubeApiserver

# of Flux, Karpenter and others whose controllers the teardown has to do with, beyond those in the tree
_MORE = (
    ("karpenter.sh/v1", "NodeClaim"),
    ("monitoring.coreos.com/v1", "Prometheus"),
    ("argoproj.io/v1alpha1", "ApplicationSet"),
)
_CLUSTER_WIDE = frozenset({"NodePool", "NodeClaim", "EC2NodeClass", "ClusterIssuer"})


def install_definitions(server: KubeApiserver) -> None:
    """Make the kinds known to `server`, and wait until it serves them."""
    for each in definitions():
        server.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", each)
    for each in definitions():
        spec = each["spec"]
        path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
        deadline = time.monotonic() + 30
        while server.call("GET", path) is None:
            assert time.monotonic() < deadline, f"{path} is not served"
            time.sleep(0.05)


def definitions() -> list[dict[str, Any]]:
    """CustomResourceDefinitions, one a kind."""
    required = {key: list(schema.get("required", [])) for key, schema in SPECS.items()}
    required |= {key: [] for key in _MORE}
    return [_definition(version, kind, fields) for (version, kind), fields in sorted(required.items())]


def _definition(api_version: str, kind: str, required: list[str]) -> dict[str, Any]:
    group, _, version = api_version.partition("/")
    plural = plural_of(kind)
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    spec = {**loose, "required": required} if required else loose
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster" if kind in _CLUSTER_WIDE else "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": loose}}
                    },
                }
            ],
        },
    }


def plural_of(kind: str) -> str:
    """The plural as the definitions of these kinds, and Kubernetes', make it."""
    word = kind.lower()
    if word.endswith("y") and not word.endswith("ay"):
        return word[:-1] + "ies"
    return word + "es" if word.endswith("s") else word + "s"
