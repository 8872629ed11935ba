"""Terraform's state as the bucket holds it: looked at with suspicion, never trusted for what exists."""

import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from zave.aws.keys import old_state_key, state_key
from zave.ports.cloud import Bucket, Cloud
from zave.tools.terraform_plan import HeldResource
from zave.tools.terraform_statefile import StateFileError, read_state


@dataclass(frozen=True)
class BucketState:
    """An instance's state. `resources`, `held` and `serial` count only where it is `whole`."""

    kind: Literal["absent", "damaged", "whole"]
    content: bytes = field(repr=False, default=b"")
    resources: int = 0
    serial: int = -1
    reason: str = ""
    held: tuple[HeldResource, ...] = field(repr=False, default=())

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
    held = state.resources
    return BucketState("whole", content, resources=len(held), serial=state.serial, held=held)


def replace_state(cloud: Cloud, key: str, content: bytes | None) -> None:
    """Put a state in another's place without Terraform; None removes it. Older versions stay."""
    if cloud.lock_table is not None:
        # first: without a digest Terraform takes either state, with one only what it wrote itself
        cloud.lock_table.forget(key)
    if content is None:
        cloud.bucket.delete(key)
    else:
        cloud.bucket.put(key, content)


def put_state_away(cloud: Cloud, instance: str, *, at: datetime) -> bool:
    """Keep as evidence a state that names what no longer exists; False when there is none such."""
    state = look_at_state(cloud.bucket, instance)
    if state.kind != "damaged" and not state.resources:
        return False
    cloud.bucket.put(old_state_key(instance, at), state.content)
    replace_state(cloud, state_key(instance), None)
    return True
