"""What a rehearsed platform is made of: things, drafts of them, and the log of what happened."""

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

# attributes that no provider knows: who made a thing if not Terraform, the key of the thing with which it
# goes, and until when (virtual Unix time) the platform keeps what is deleted
MADE_BY = "zave_world:made_by"
WITH = "zave_world:with"
PENDING_UNTIL = "zave_world:pending_until"

ThingState = Literal["creating", "present", "deleting"]


class WorldError(Exception):
    """The platform says no: `summary` in a line, `detail` with more of it. The provider shows both."""

    def __init__(self, summary: str, detail: str = "") -> None:
        super().__init__(summary)
        self.summary = summary
        self.detail = detail


@dataclass(frozen=True)
class Draft:
    """A thing to be made. `unique` is what the platform keeps unique among things of the type.

    `seconds` is how long it takes (virtual; None: as the table of durations says). A `local` thing is
    a file on the machine that runs Terraform: it takes no time and is on no platform. `exists` is what
    the platform says when there is another of that name (empty: the world words it).
    """

    provider: str
    type: str
    name: str
    unique: str | None
    attributes: dict[str, Any]
    seconds: float | None = None
    local: bool = False
    exists: str = ""


@dataclass(frozen=True)
class Thing:
    """A thing that exists. `left_behind`: its deletion was reported but never happened."""

    key: str
    provider: str
    type: str
    name: str
    state: ThingState
    attributes: dict[str, Any]
    created_at: datetime
    ready_at: datetime
    local: bool
    left_behind: bool

    @property
    def pending(self) -> bool:
        """Whether it is deleted as far as its owner can see, and the platform keeps it for a while."""
        return PENDING_UNTIL in self.attributes


@dataclass(frozen=True)
class WorldEvent:
    """One line of the world's log, which only grows. `real_at` is the machine's time."""

    seq: int
    virtual_at: datetime
    real_at: datetime
    verb: str
    type: str
    name: str
    key: str
    detail: str
    pid: int


def thing_of(row: sqlite3.Row, *, now: float, deleting: Collection[str]) -> Thing:
    """The thing in a row of the database at the virtual moment `now`."""
    state: ThingState = "creating" if now < row["ready_at"] else "present"
    return Thing(
        key=row["key"],
        provider=row["provider"],
        type=row["type"],
        name=row["name"],
        state="deleting" if row["key"] in deleting else state,
        attributes=json.loads(row["attributes"]),
        created_at=datetime.fromtimestamp(row["created_at"], UTC),
        ready_at=datetime.fromtimestamp(row["ready_at"], UTC),
        local=bool(row["local"]),
        left_behind=bool(row["left_behind"]),
    )


def event_of(row: sqlite3.Row) -> WorldEvent:
    """The event in a row of the database."""
    return WorldEvent(
        seq=row["seq"],
        virtual_at=datetime.fromtimestamp(row["virtual_at"], UTC),
        real_at=datetime.fromtimestamp(row["real_at"], UTC),
        verb=row["verb"],
        type=row["type"],
        name=row["name"],
        key=row["key"],
        detail=row["detail"],
        pid=row["pid"],
    )


def noun(type_: str) -> str:
    """What people call a thing of this type: `storage volume` for libvirt_volume."""
    bare = type_.partition("_")[2].replace("_", " ") or type_
    return "storage volume" if type_ == "libvirt_volume" else bare


def twin_error(draft: Draft, uuid: str | None) -> WorldError:
    """What the platform says about a second thing with the same name."""
    if draft.exists:
        return WorldError(draft.exists)
    if draft.type == "libvirt_volume":
        return WorldError(f"storage volume '{draft.name}' exists already")
    suffix = f" with uuid {uuid}" if uuid else ""
    return WorldError(f"{noun(draft.type)} '{draft.name}' already exists{suffix}")
