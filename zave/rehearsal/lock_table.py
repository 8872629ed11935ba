"""The rehearsed table of Terraform's locks: a folder of the world, a file for each item.

Only what a fault leaves behind is ever in it: a rehearsed Terraform locks its state by itself.
"""

from collections.abc import Callable
from contextlib import suppress

from zave.rehearsal.aws_family import STANDING, tags_of
from zave.rehearsal.bucket import write_object
from zave.rehearsal.world import World

_FOLDER = "lock-table"


class SimulatedLockTable:
    """Implements `zave.ports.cloud.LockTable`. `ask` is called before each call of DynamoDB's API."""

    def __init__(self, world: World, *, ask: Callable[[str], None]) -> None:
        self._world = world
        self._ask = ask

    def lock(self, state: str) -> bytes | None:
        """What the holder of the state's lock wrote; None when nobody holds it."""
        self._ask("GetItem")
        with suppress(FileNotFoundError):
            return (self._world.folder / _FOLDER / state).read_bytes()
        return None

    def release(self, state: str, held: bytes) -> bool:
        """Release the lock while it is `held` still; False when it is another one by now, or none."""
        self._ask("DeleteItem")
        path = self._world.folder / _FOLDER / state
        with suppress(FileNotFoundError):
            if path.read_bytes() == held:
                path.unlink()
                self._world.note("unlock", "terraform_state", state)
                return True
        return False

    def forget(self, state: str) -> None:
        """Nothing: a rehearsed Terraform keeps no digests."""
        self._ask("DeleteItem")


def has_lock_table(world: World) -> bool:
    """Whether the account's standing parts have a table for locks."""
    tables = (each for each in world.things(provider="aws") if each.type == "aws_dynamodb_table")
    return any(tags_of(each).get(STANDING) == "true" for each in tables)


def put_lock(world: World, state: str, content: bytes, *, at: float) -> bool:
    """Lock a state as Terraform would; False when it is locked. `at` is the virtual moment."""
    return write_object(world.folder / _FOLDER / state, content, at=at, only_if_absent=True)
