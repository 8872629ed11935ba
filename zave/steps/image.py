"""Step `image`: the machine image that the nodes boot, built or fetched once and kept."""

from collections.abc import Mapping
from typing import Any

from zave.engine.step import Probe, StepRun
from zave.ports import Artifact, ImageBuilder, ImageRequest


class EnsureImage:
    """Finds the wanted image or makes it. Images outlive instances: undoing keeps them."""

    name = "image"
    needs: tuple[str, ...] = ()

    def __init__(self, *, images: ImageBuilder, request: ImageRequest) -> None:
        self._images = images
        self._request = request

    def fingerprint(self) -> str:
        """Covers everything that goes into the image."""
        return self._request.fingerprint

    def probe(self, outputs: Mapping[str, Any]) -> Probe:
        """The image is still there and intact."""
        found = self._images.find(self._request)
        if found is None:
            return Probe(False, "the image is gone")
        return Probe(found.location == outputs.get("location"), "the image moved")

    def do(self, run: StepRun) -> dict[str, Any]:
        """Take the current image, or build it."""
        artifact = self._images.find(self._request)
        if artifact is None:
            artifact = self._images.build(self._request, say=run.say)
        return _outputs(artifact)

    def foreseen(self) -> dict[str, Any]:
        """The image, where it is there already. Where one that is yet to be made will be, is not known."""
        artifact = self._images.find(self._request)
        if artifact is not None:
            return _outputs(artifact)
        name = f"{self._request.image}-{self._request.base}-{self._request.fingerprint[:12]}"
        return {"name": name, "location": f"not-made-yet/{name}.qcow2", "checksum": ""}

    def undo(self, run: StepRun) -> None:
        """Keep the image: the next `up` starts from it."""


def _outputs(artifact: Artifact) -> dict[str, Any]:
    return {"name": artifact.name, "location": artifact.location, "checksum": artifact.checksum}
