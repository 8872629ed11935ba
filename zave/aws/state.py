"""Terraform's state as the bucket holds it: looked at with suspicion, never trusted for what exists."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from zave.aws.keys import state_key
from zave.ports.cloud import Bucket
from zave.tools.terraform_statefile import StateFileError, read_state


@dataclass(frozen=True)
class BucketState:
    """An instance's state. `resources` and `serial` count only where it is `whole`."""

    kind: Literal["absent", "damaged", "whole"]
    content: bytes = field(repr=False, default=b"")
    resources: int = 0
    serial: int = -1
    reason: str = ""

    def describe(self) -> str:
        """In words, for the sentence `Terraform's state is ...`."""
        if self.kind == "whole":
            return f"whole, with {self.resources} resources"
        return f"{self.kind} ({self.reason})" if self.reason else self.kind


def look_at_state(bucket: Bucket, instance: str) -> BucketState:
    """The instance's state in the bucket."""
    return state_of(bucket.get(state_key(instance)))


def state_of(content: bytes | None) -> BucketState:
    """What `content` is as a Terraform state; None: there is none."""
    if content is None:
        return BucketState("absent")
    with tempfile.TemporaryDirectory(prefix="zave-") as folder:
        path = Path(folder, "terraform.tfstate")
        path.write_bytes(content)
        try:
            state = read_state(path)
        except StateFileError as error:
            return BucketState("damaged", content, reason=str(error))
    return BucketState("whole", content, resources=len(state.resources), serial=state.serial)
