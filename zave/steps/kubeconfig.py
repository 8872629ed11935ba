"""Step `kubeconfig`: the cluster's credentials, in a file that only the user can read."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zave.engine.step import Probe, StepRun, digest
from zave.ports import Cluster

MERGED = "kubeconfig.merged"
"""The fact that says into which file of the user's own the kubeconfig was put, on request."""


class Kubeconfig:
    """Fetches the kubeconfig and keeps it at `path`, mode 0600.

    `after` is the step with which the API answers: on AWS Terraform's own.
    """

    name = "kubeconfig"

    def __init__(self, *, cluster: Cluster, instance: str, path: Path, after: str) -> None:
        self.needs = (after,)
        self._cluster = cluster
        self._instance = instance
        self._path = path

    def fingerprint(self) -> str:
        """The place only: the content follows the infrastructure, which this step comes after."""
        return digest({"instance": self._instance})

    def probe(self, outputs: Mapping[str, Any]) -> Probe:
        """The file is the one that was written."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return Probe(False, "the kubeconfig is gone")
        if hashlib.sha256(content).hexdigest() != outputs.get("sha256"):
            return Probe(False, "the kubeconfig was changed by hand")
        return Probe(True)

    def do(self, run: StepRun) -> dict[str, Any]:
        """Fetch and write, atomically."""
        text = self._cluster.kubeconfig(instance=self._instance, outputs=run.outputs["infra"])
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._path.with_name(self._path.name + ".new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        draft.replace(self._path)
        return {"sha256": hashlib.sha256(text.encode()).hexdigest()}

    def undo(self, run: StepRun) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)
