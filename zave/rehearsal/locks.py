"""A state lock that outlives whoever took it: what kill -9 leaves behind in a bucket or a table.

The object is the one that Terraform's S3 backend makes with `use_lockfile` (Terraform >= 1.10): the key
of the state with `.tflock` added, holding the lock's information as JSON. With a table the same
information is in an item of the state's name.
"""

import json
import uuid
from datetime import UTC, datetime

from zave.clock import rfc3339
from zave.rehearsal.aws_family import Family
from zave.rehearsal.bucket import bucket_folder, write_object
from zave.rehearsal.lock_table import has_lock_table, put_lock
from zave.rehearsal.things import Thing
from zave.rehearsal.world import World

# well past zave.aws.locks.LONGEST_APPLY, after which a lock may be broken
_STALE_SECONDS = 6 * 3600.0


def leave_lock(world: World, thing: Thing, *, stale: bool) -> None:
    """Leave the lock of the state that `thing` belongs to; a `stale` one is hours old."""
    belonging = Family([*world.things(provider="aws"), thing]).belonging(thing)
    key = (
        "account/terraform.tfstate"
        if belonging.instance is None
        else f"instances/{belonging.instance}/terraform.tfstate"
    )
    now = world.clock.timestamp()
    made = now - _STALE_SECONDS if stale else now
    number = world.counter("state.lock")
    information = {
        "ID": str(uuid.uuid5(uuid.NAMESPACE_URL, f"zave:rehearsal/lock/{number}")),
        "Operation": "OperationTypeApply",
        "Info": "",
        "Who": "somebody@a-laptop-that-died",
        "Version": "1.15.5",
        "Created": rfc3339(datetime.fromtimestamp(made, UTC)),
        "Path": key,
    }
    content = json.dumps(information).encode()
    if has_lock_table(world):
        left = put_lock(world, key, content, at=made)
    else:
        path = bucket_folder(world) / f"{key}.tflock"
        left = write_object(path, content, at=made, only_if_absent=True)
    if left:
        world.note("lock", "terraform_state", key, detail="its holder is gone")
