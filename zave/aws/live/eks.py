"""A cluster of EKS: its kubeconfig, and its nodes as its API server reports them."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zave.aws.live.api import Api, RefusedError
from zave.aws.live.token import API_VERSION, token
from zave.errors import NoClusterError, StepFailedError
from zave.ports import Node, Request, Runner
from zave.render import write_private
from zave.text import clean
from zave.tools.child_environment import inherited

# EKS's own word (API reference, DescribeCluster)
_NO_CLUSTER = "ResourceNotFoundException"
# one look at the nodes; `verify` looks again
_LIMIT = 30.0
_LARGEST = 32 * 1024 * 1024
_INHERITED = ("PATH", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")


@dataclass(frozen=True)
class EksCluster:
    """Implements `zave.ports.Cluster` for EKS.

    `kubectl` finds the program, only when nodes are asked for. `profile` is the AWS profile that the
    user works with, if it is a named one: the kubeconfig must go on using it.
    """

    api: Api
    runner: Runner
    kubectl: Callable[[], Path]
    profile: str | None = None

    def kubeconfig(self, *, instance: str, outputs: Mapping[str, Any]) -> str:
        """A kubeconfig that fetches a token for each use; nothing in it is secret.

        The AWS CLI fetches it, or where it is missing this Python. Raises StepFailedError when Terraform
        did not give the cluster's name, address and authority.
        """
        names = ("cluster_name", "cluster_endpoint", "certificate_authority")
        missing = [name for name in names if not isinstance(outputs.get(name), str) or not outputs[name]]
        if missing:
            raise StepFailedError(
                f"Terraform gave no {' and no '.join(missing)}",
                where=f"outputs of {instance}",
                resolution="the module aws-eks must have these outputs; then run the same command again",
            )
        user = {"exec": self._plugin(str(outputs["cluster_name"]))}
        return _text(
            f"zave-{instance}",
            server=str(outputs["cluster_endpoint"]),
            authority=str(outputs["certificate_authority"]),
            user=user,
        )

    def nodes(self, *, instance: str) -> Sequence[Node]:
        """The nodes; none while the API server does not answer, or there is none.

        Raises PreconditionError without kubectl, or without usable credentials.
        """
        with tempfile.TemporaryDirectory(prefix="zave-nodes-") as name:
            folder = Path(name)
            try:
                write_private(folder / "kubeconfig", self.short_lived(instance).encode())
                document = self._ask(folder)
                return [_node(each) for each in document["items"]]
            except (StepFailedError, ValueError, KeyError, TypeError):
                return []  # not there yet, or not any more: whoever waits looks again

    def short_lived(self, instance: str) -> str:
        """A kubeconfig with a token in it, which is good for 15 minutes: for zave's own programs alone.

        Raises NoClusterError when there is no such cluster, or none yet, and as `Api.call` does.
        """
        name = f"zave-{instance}"
        try:
            found = self.api.call("eks", "describe_cluster", name=name)["cluster"]
        except RefusedError as error:
            if error.code != _NO_CLUSTER:
                raise
            raise NoClusterError(f"there is no cluster {name}", where=self.api.region) from error
        server, authority = found.get("endpoint"), found.get("certificateAuthority", {}).get("data")
        if not server or not authority:
            raise NoClusterError(f"the cluster {name} has no address yet", where=self.api.region)
        user = {"token": token(self.api, cluster=name)}
        return _text(name, server=server, authority=authority, user=user)

    def _plugin(self, cluster: str) -> dict[str, Any]:
        region = self.api.region
        chosen = [{"name": "AWS_PROFILE", "value": self.profile}] if self.profile else None
        common = {"apiVersion": API_VERSION, "interactiveMode": "IfAvailable", "env": chosen}
        if shutil.which("aws"):
            words = ["--region", region, "eks", "get-token", "--cluster-name", cluster, "--output", "json"]
            return {**common, "command": "aws", "args": words}
        words = ["-I", "-m", "zave.aws.live.token", region, cluster]
        return {**common, "command": sys.executable, "args": words}

    def _ask(self, folder: Path) -> Any:
        said = folder / "nodes.json"
        argv = (str(self.kubectl()), "--kubeconfig", str(folder / "kubeconfig"), "get", "nodes", "-o", "json")
        outcome = self.runner.run(
            Request(
                argv=argv,
                cwd=folder,
                log=said,
                errors=folder / "errors",
                environment=_surroundings(folder),
                timeout=_LIMIT,
                interrupt_grace=2.0,
            )
        )
        if outcome.exit_code != 0 or said.stat().st_size > _LARGEST:
            raise StepFailedError("the API server did not list its nodes")
        return json.loads(said.read_bytes())


def _surroundings(folder: Path) -> dict[str, str]:
    """Without the user's HOME: no kubeconfig, no cache of theirs."""
    kept = inherited(_INHERITED, environ=os.environ)
    return {"PATH": os.defpath, **kept, "HOME": str(folder)}


def _text(name: str, *, server: str, authority: str, user: Mapping[str, Any]) -> str:
    """A kubeconfig with one context. JSON is YAML as well, and needs no care with quoting."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": name, "user": dict(user)}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    return json.dumps(document, indent=2) + "\n"


def _node(found: Mapping[str, Any]) -> Node:
    """What is shown of a node; EKS keeps the control plane to itself, so each is a worker."""
    status = found["status"]
    addresses = {each["type"]: str(each["address"]) for each in status.get("addresses", ())}
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", ()))
    return Node(
        clean(str(found["metadata"]["name"])),
        "worker",
        clean(addresses.get("ExternalIP") or addresses.get("InternalIP") or ""),
        "Ready" if ready else "NotReady",
    )
