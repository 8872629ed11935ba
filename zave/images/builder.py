"""Every image, wherever it boots: chooses by builder who makes and finds it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zave.errors import PreconditionError, StepFailedError, ZaveError
from zave.images.amazon import AmazonImages
from zave.images.local import LocalImages
from zave.ports import Artifact, ImageBuilder, ImageRequest, Leftover
from zave.ports.machines import Say


@dataclass(frozen=True)
class AllImages:
    """Implements `zave.ports.ImageBuilder`.

    `amazon` makes the AMIs' side when one is asked for; None where no account is to be looked at:
    a home lab needs none. `list_amazon` says whether `list` asks the account; one that does not answer
    hides none of the others: `unlisted` is told why, and without it that is an error.
    """

    local: LocalImages
    amazon: Callable[[], AmazonImages] | None = None
    list_amazon: bool = False
    unlisted: Callable[[ZaveError], None] | None = None

    def find(self, request: ImageRequest) -> Artifact | None:
        """The image, if it is there and intact."""
        return self._of(request.builder).find(request)

    def build(self, request: ImageRequest, *, say: Say) -> Artifact:
        """Build or fetch it."""
        return self._of(request.builder).build(request, say=say)

    def pin(self, base: str, *, source: Path | None, say: Say) -> None:
        """Pin a base of this machine's images anew."""
        self.local.pin(base, source=source, say=say)

    def list(self) -> Sequence[Artifact]:
        """All of them, the newest first."""
        found = list(self.local.list())
        if self.list_amazon:
            found += self._amis()
        return sorted(found, key=lambda artifact: artifact.built_at, reverse=True)

    def _amis(self) -> Sequence[Artifact]:
        try:
            return self._of("amazon-ebs").list()
        except (PreconditionError, StepFailedError) as error:
            if self.unlisted is None:
                raise
            self.unlisted(error)
            return ()

    def leftovers(self) -> Sequence[Leftover]:
        """What is no image, on this machine and where `list` asks in the account."""
        found = list(self.local.leftovers())
        if self.list_amazon:
            try:
                found += self._of("amazon-ebs").leftovers()
            except (PreconditionError, StepFailedError):
                # `list` has told why it does not answer
                if self.unlisted is None:
                    raise
        return found

    def discard(self, leftover: Leftover) -> None:
        """Delete one where it is."""
        self._of("amazon-ebs" if _is_ami(leftover.location) else "qemu").discard(leftover)

    def remove(self, artifact: Artifact) -> None:
        """Remove one where it is."""
        self._of("amazon-ebs" if _is_ami(artifact.location) else "qemu").remove(artifact)

    def _of(self, builder: str) -> ImageBuilder:
        if builder != "amazon-ebs":
            return self.local
        if self.amazon is None:
            raise PreconditionError(
                "AMIs need an AWS account, and none is at hand",
                resolution="name a profile (AWS_PROFILE) or sign in (aws sso login): docs/images.md, AMIs",
            )
        return self.amazon()


def _is_ami(location: str) -> bool:
    return location.startswith("ami-")
