"""The rehearsed registry: which tags the repositories have. No image is fetched, none is sent."""

import hashlib
from collections.abc import Callable, Mapping

from zave.errors import PreconditionError
from zave.ports.registry import Authorization
from zave.rehearsal.aws_blocks import IMAGES
from zave.rehearsal.gate import Gate
from zave.rehearsal.world import World


class SimulatedRegistry:
    """Implements `zave.ports.registry.Registry` and `Copier` over a world.

    The digest of a source is made of its name: nobody can be asked what is in it.
    """

    def __init__(self, world: World, *, region: str, account: str) -> None:
        self._world = world
        self._gate = Gate(world, region=region)
        self._server = f"{account}.dkr.ecr.{region}.amazonaws.com"

    def authorization(self) -> Authorization:
        """One that opens nothing. As the port says."""
        self._gate.ask("ecr", "GetAuthorizationToken")
        return Authorization(self._server, "AWS", "rehearsal-opens-nothing")

    def tags(self, repository: str) -> Mapping[str, str]:
        """As the port says."""
        self._gate.ask("ecr", "DescribeImages")
        if self._world.lookup("aws_ecr_repository", "name", repository) is None:
            raise PreconditionError(
                f"there is no repository {repository} in the rehearsed account",
                resolution="`zave up` makes what is missing",
            )
        found: Mapping[str, str] = (self._world.get_document(IMAGES, repository) or {}).get("tags", {})
        return found

    def digest(self, source: str) -> str:
        """As the port says, of the name alone."""
        return f"sha256:{hashlib.sha256(f'rehearsal {source}'.encode()).hexdigest()}"

    def copy(self, source: str, target: str, *, say: Callable[[str], None]) -> None:
        """As the port says: the tag is in the world from now on."""
        say("simulated: nothing is copied")
        _, _, path = target.partition("/")
        repository, _, tag = path.rpartition(":")
        with self._world.transaction() as ledger:
            known = ledger.document(IMAGES, repository) or {}
            tags = {**known.get("tags", {}), tag: self.digest(source)}
            ledger.put_document(IMAGES, repository, {**known, "count": len(tags), "tags": tags})
            ledger.log("push", "aws_ecr_repository", repository, detail=tag)

    def stored(self, target: str) -> str:
        """As the port says."""
        repository, _, tag = target.partition("/")[2].rpartition(":")
        found: str = self.tags(repository).get(tag, "")
        return found
