"""Terraform bound to one instance's tools: what the composition root hands to steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zave.ports import Runner
from zave.tools.terraform import Limits, Terraform
from zave.tools.terraform_engine import Engine
from zave.tools.terraform_json import TerraformEvent


@dataclass(frozen=True)
class BoundTerraform:
    """Makes a `Terraform` for any root; the fields are `Terraform`'s own."""

    engine: Engine
    runner: Runner
    environment: Mapping[str, str]
    survivors: Path
    limits: Limits
    relock: bool
    parallelism: int = 10

    @property
    def version(self) -> str:
        """Name and version of the engine, for fingerprints."""
        return self.engine.title

    def __call__(
        self, *, root: Path, log: Path, on_event: Callable[[TerraformEvent], None] | None = None
    ) -> Terraform:
        """A Terraform in the folder `root`."""
        return Terraform(
            engine=self.engine,
            runner=self.runner,
            root=root,
            log=log,
            environment=self.environment,
            survivors=self.survivors,
            on_event=on_event,
            limits=self.limits,
            relock=self.relock,
            parallelism=self.parallelism,
        )
