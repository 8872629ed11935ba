"""Step `kubeconfig`: the cluster's credentials, in a file that only the user can read."""

import base64
import hashlib
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from zave.clock import from_rfc3339, rfc3339
from zave.engine.step import Probe, StepRun, digest
from zave.events import Notice
from zave.ports import Clock, Cluster

MERGED = "kubeconfig.merged"
"""The fact that says into which file of the user's own the kubeconfig was put, on request."""


# k3s' certificates last 365 days; a start of k3s in the last 90 of them renews them (k3s documentation,
# "Advanced Options", 2026-11), and with them the kubeconfig on the machine, but not a copy
_RENEW = timedelta(days=30)


class Kubeconfig:
    """Fetches the kubeconfig and keeps it at `path`, mode 0600; again before its certificate ends.

    `after` is the step with which the API answers: on AWS Terraform's own. `merged` tells into which file
    of the user's own it was put, on request.
    """

    name = "kubeconfig"

    def __init__(
        self,
        *,
        cluster: Cluster,
        clock: Clock,
        instance: str,
        path: Path,
        after: str,
        merged: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.needs = (after,)
        self._merged = merged
        self._cluster = cluster
        self._clock = clock
        self._instance = instance
        self._path = path

    def fingerprint(self) -> str:
        """The place only: the content follows the infrastructure, which this step comes after."""
        # the second form of what is noted: with the certificate's end
        return digest({"instance": self._instance, "form": 2})

    def probe(self, outputs: Mapping[str, Any]) -> Probe:
        """The file is the one that was written, and opens the cluster for a while yet."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return Probe(False, "the kubeconfig is gone")
        if hashlib.sha256(content).hexdigest() != outputs.get("sha256"):
            return Probe(False, "the kubeconfig was changed by hand")
        # noted when it was written: a probe reads no certificates
        ends = outputs.get("expires_at")
        if ends is not None and self._soon(from_rfc3339(ends)):
            return Probe(False, f"the kubeconfig's certificate ends on {ends[:10]}")
        return Probe(True)

    def do(self, run: StepRun) -> dict[str, Any]:
        """Fetch and write, atomically."""
        text = self._cluster.kubeconfig(instance=self._instance, outputs=run.outputs["infra"])
        changed = not self._path.is_file() or self._path.read_text(errors="replace") != text
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._path.with_name(self._path.name + ".new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        draft.replace(self._path)
        if changed and (merged := self._merged()) is not None:
            run.emit(Notice("warning", self._is_behind(merged), step=self.name))
        outputs = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
        ends = _certificate_end(text)
        if ends is not None:
            outputs["expires_at"] = rfc3339(ends)
            if self._soon(ends):
                run.emit(Notice("warning", self._still_ends(ends), step=self.name))
        return outputs

    def undo(self, run: StepRun) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)

    def _soon(self, ends: datetime) -> bool:
        return self._clock.now() > ends - _RENEW

    def _is_behind(self, merged: str) -> str:
        # the file is the user's: it is edited when they say so, and not in passing
        return (
            f"{merged} still has the former kubeconfig of {self._instance}: "
            f"zave kubeconfig {self._instance} --merge puts this one there"
        )

    def _still_ends(self, ends: datetime) -> str:
        return (
            f"the cluster's own kubeconfig ends on {ends:%Y-%m-%d} as well: k3s renews it when it starts "
            f"(on {self._instance}-control-plane-1: sudo systemctl restart k3s); then run the same command"
        )


def _certificate_end(text: str) -> datetime | None:
    """When the client certificate in a kubeconfig ends; None where there is none that can be read."""
    import yaml
    from cryptography import x509

    try:
        user = yaml.safe_load(text)["users"][0]["user"]
        certificate = base64.b64decode(user["client-certificate-data"], validate=True)
        # k3s' holds its issuer as well, after it
        return x509.load_pem_x509_certificates(certificate)[0].not_valid_after_utc
    except (yaml.YAMLError, LookupError, TypeError, ValueError, RecursionError):
        return None
