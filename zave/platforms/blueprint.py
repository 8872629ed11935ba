"""What a platform makes of a spec."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zave.engine.step import Step
from zave.steps.render import RootTemplate


@dataclass(frozen=True)
class Blueprint:
    """The ordered steps of one instance, its Terraform root, and that root's variables.

    `variables` takes the outputs of earlier steps, as far as there are any yet.
    """

    steps: Sequence[Step]
    root: RootTemplate
    variables: Callable[[Mapping[str, Mapping[str, Any]]], dict[str, Any]]
