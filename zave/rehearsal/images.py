"""Rehearsed image builds: time passes, and a document says that the image is there."""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zave.clock import from_rfc3339, rfc3339
from zave.errors import StepFailedError, ToolFailedError
from zave.ports import Artifact, ImageRequest, Leftover
from zave.rehearsal.durations import seconds_for
from zave.rehearsal.faults import Disturbance
from zave.rehearsal.world import World

_KIND = "image"
# bytes; assumed, no image is there to be measured
_SIZE = 2 << 30

# what is done, and how far the build then is
_PHASES = {
    "packer": (
        ("starting a machine from the base image", 0.1),
        ("waiting for SSH", 0.35),
        ("running the scripts", 0.85),
        ("shutting down and compressing", 1.0),
    ),
    "cloud": (("downloading the vendor's image", 0.9), ("verifying its checksum", 1.0)),
}


class SimulatedImages:
    """Implements `zave.ports.ImageBuilder` over a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def find(self, request: ImageRequest) -> Artifact | None:
        """The image with this builder and fingerprint, if it was built to the end."""
        document = self._world.get_document(_KIND, _key(request))
        return None if document is None else _artifact(document)

    def build(self, request: ImageRequest, *, say: Callable[[str, float | None], None]) -> Artifact:
        """Let the time of a build pass. Raises StepFailedError or ToolFailedError for a fault."""
        disturbed = self._world.faults.take("build", "image", request.image)
        if disturbed.fault is not None:
            self._world.note("fault", "image", request.image, detail=str(disturbed.fault))
        self._fail_if_struck(disturbed, request)
        seconds = seconds_for(f"image.{request.source}", "build", request.image) * disturbed.factor
        done = 0.0
        for text, fraction in _PHASES[request.source]:
            say(f"{request.image}: {text} (simulated)", done)
            self._world.clock.sleep(seconds * (fraction - done))
            done = fraction
        # written last: a build that is killed half-way leaves no image
        document = _document(request, built_at=rfc3339(self._world.clock.now()))
        self._world.put_document(_KIND, _key(request), document)
        self._world.note("build", "image", request.image, detail=document["location"])
        say(f"{request.image}: {document['location']} (simulated)", 1.0)
        return _artifact(document)

    def list(self) -> Sequence[Artifact]:
        """All images, the newest first."""
        artifacts = [_artifact(document) for document in self._world.documents(_KIND).values()]
        return sorted(artifacts, key=lambda artifact: from_rfc3339(artifact.built_at), reverse=True)

    def remove(self, artifact: Artifact) -> None:
        """Forget one image. Gone already is fine."""
        for key, document in self._world.documents(_KIND).items():
            if document["location"] == artifact.location:
                self._world.delete_document(_KIND, key)
                self._world.note("remove", "image", artifact.name, detail=artifact.location)

    def leftovers(self) -> Sequence[Leftover]:
        """Nothing: a build that is killed leaves no image, and there are no files."""
        return ()

    def discard(self, leftover: Leftover) -> None:
        """Nothing is there to be deleted."""

    def pin(self, base: str, *, source: Path | None, say: Callable[[str, float | None], None]) -> None:
        """Nothing is pinned in a rehearsal: its images have no bytes."""
        say(f"{base}: {source or 'what its vendor publishes now'} would be pinned (simulated)", None)

    def _fail_if_struck(self, disturbed: Disturbance, request: ImageRequest) -> None:
        resolution = "an injected fault of this rehearsal: zave rehearse faults shows and clears them"
        if failing := disturbed.struck("fail"):
            raise StepFailedError(
                f"building the image {request.image} failed", details=failing.message, resolution=resolution
            )
        if hanging := disturbed.struck("hang"):
            self._world.clock.hang(hanging.seconds)
            raise ToolFailedError(
                f"building the image {request.image} did not end in time", resolution=resolution
            )


def _key(request: ImageRequest) -> str:
    return f"{request.builder}/{request.source}/{request.fingerprint}"


def _document(request: ImageRequest, *, built_at: str) -> dict[str, Any]:
    checksum = hashlib.sha256(request.fingerprint.encode()).hexdigest()
    # a file name on a simulated host: nothing of the request may lead out of the folder
    stem = re.sub(r"[^A-Za-z0-9-]+", "-", request.image)[:80].strip("-")
    name = f"zave-{stem}-{checksum[:12]}"
    location = f"/var/lib/libvirt/images/{name}.qcow2"
    return {
        "name": name,
        "location": f"ami-{checksum[:17]}" if request.builder == "amazon-ebs" else location,
        "checksum": f"sha256:{checksum}",
        "fingerprint": request.fingerprint,
        "size": _SIZE,
        "built_at": built_at,
    }


def _artifact(document: dict[str, Any]) -> Artifact:
    return Artifact(**document)
