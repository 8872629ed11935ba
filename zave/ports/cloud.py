"""The ports of a cloud account: who asks, the bucket, the dead-man's switch.

What exists in the account is an `Inventory` (zave.ports). Simulated by `zave/rehearsal/cloud.py`;
the boto3 adapters implement the same Protocols.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from zave.ports import Inventory

Mode = Literal["check", "destroy"]


@dataclass(frozen=True)
class Caller:
    """Who the credentials belong to.

    `expires_at` is None for ones that do not end by themselves, and for `temporary` ones that do not tell.
    """

    account: str
    arn: str
    expires_at: datetime | None = None
    temporary: bool = False


@dataclass(frozen=True)
class StoredObject:
    """An object of the bucket. `size` in bytes."""

    key: str
    size: int
    modified_at: datetime


class Bucket(Protocol):
    """The account's state bucket: versioned, encrypted, private."""

    @property
    def name(self) -> str:
        """The bucket's name."""
        ...

    def get(self, key: str) -> bytes | None:
        """The newest version; None when there is none."""
        ...

    def put(self, key: str, content: bytes, *, only_if_absent: bool = False) -> bool:
        """Write an object, durably. False when `only_if_absent` and it was there: S3's If-None-Match."""
        ...

    def put_file(self, key: str, path: Path) -> None:
        """Write a file of any size, durably, without reading it into memory."""
        ...

    def delete(self, key: str) -> None:
        """Delete; absent is fine."""
        ...

    def list(self, prefix: str) -> Sequence[StoredObject]:
        """Objects by key."""
        ...


class LockTable(Protocol):
    """The table in which Terraform keeps locks and digests of states, where no file in the bucket locks.

    `state` is a state's key in the bucket.
    """

    def lock(self, state: str) -> bytes | None:
        """What the holder of the state's lock wrote; None when nobody holds it."""
        ...

    def release(self, state: str, held: bytes) -> bool:
        """Release the lock while it is `held` still; False when it is another one by now, or none."""
        ...

    def forget(self, state: str) -> None:
        """Forget the digest of a state: Terraform refuses any state that does not fit one."""
        ...


@dataclass(frozen=True)
class Schedule:
    """The switch of one instance as the cloud has it.

    Fires at `first_fire_at` and every `every` minutes after that, without an end, until it is
    removed. `bundle` is the key of what it works from, `programs` of what it runs: empty where the
    machine of a build has them. `flaws` names what about it is not as zave sets it.
    """

    instance: str
    first_fire_at: datetime
    bundle: str
    bundle_sha256: str
    every: int = 30
    enabled: bool = True
    flaws: tuple[str, ...] = ()
    programs: str = ""
    programs_sha256: str = ""


@dataclass(frozen=True)
class DestroyerRun:
    """One run of the destroyer (a CodeBuild build)."""

    id: str
    instance: str
    mode: Mode
    state: Literal["running", "succeeded", "failed"]
    started_at: datetime
    finished_at: datetime | None = None
    reason: str = ""


@dataclass(frozen=True)
class Machinery:
    """The standing parts of the switch. `missing` names parts that are absent or were altered.

    `unread` are parts beside the way of a fire that the caller may not look at, each with the reason;
    `undelivered` is how many fires and warnings could start nothing and wait in the dead-letter queue;
    `subscribers` are the addresses, in lower case, that the topic tells, each with whether it is confirmed.
    """

    missing: tuple[str, ...]
    subscription_confirmed: bool
    unread: tuple[str, ...] = ()
    undelivered: int = 0
    subscribers: Mapping[str, bool] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether a schedule could fire and be obeyed."""
        return not self.missing


class Switchboard(Protocol):
    """EventBridge Scheduler and the destroyer's CodeBuild project."""

    def machinery(self) -> Machinery:
        """Read the standing parts back."""
        ...

    def works_from(self) -> str | None:
        """The name of the bucket that the destroyer's project reads; None where there is no project."""
        ...

    def schedule(self, instance: str) -> Schedule | None:
        """The instance's schedule as the cloud has it now."""
        ...

    def schedules(self) -> Sequence[Schedule]:
        """All schedules of zave's group."""
        ...

    def set_schedule(self, schedule: Schedule) -> None:
        """Create or replace: everything is sent each time, what is not sent would be reset."""
        ...

    def remove_schedule(self, instance: str) -> None:
        """Remove, its warnings too; absent is fine.

        Only the destroyer, or `down` after an empty inventory, does this.
        """
        ...

    def subscribe(self, email: str) -> None:
        """Have the topic tell that address as well, once it is confirmed; nothing for one that is there."""
        ...

    def warn(self, instance: str, *, moments: Sequence[datetime], text: str) -> None:
        """Have the topic told `text` at these moments and at no others; past ones are left out."""
        ...

    def warnings(self, instance: str) -> Sequence[datetime]:
        """The moments still to come at which the topic is told, in order."""
        ...

    def start(self, instance: str, *, mode: Mode, candidate: Schedule | None = None) -> DestroyerRun:
        """Start the destroyer now, as a fire of the schedule would, or of `candidate`: it need not be set."""
        ...

    def run(self, run_id: str) -> DestroyerRun:
        """The run's present state. Raises StepFailedError for one that is not known."""
        ...

    def runs(self, instance: str) -> Sequence[DestroyerRun]:
        """The instance's runs, newest first."""
        ...


@dataclass(frozen=True)
class StoredPrograms:
    """The archive of the destroyer's programs in the bucket. `size` in bytes."""

    key: str
    sha256: str
    size: int


class Programs(Protocol):
    """What the destroyer runs in a cloud whose machines have nothing of zave's."""

    def store(
        self, root: Path, *, bucket: Bucket, initialise: Callable[[], None], say: Callable[[str], None]
    ) -> StoredPrograms:
        """See that the programs for the Terraform root `root` are in the bucket.

        `initialise` has Terraform fetch the root's providers. Raises PreconditionError for programs
        that would not run there, or that are not the ones that were published.
        """
        ...


class Cloud(Protocol):
    """One account in one region, as the caller sees it."""

    @property
    def region(self) -> str:
        """The region's name."""
        ...

    def caller(self) -> Caller:
        """Who asks. Raises PreconditionError without usable credentials."""
        ...

    def now(self) -> datetime:
        """The cloud's own time, to the second. Raises StepFailedError where it does not tell."""
        ...

    @property
    def inventory(self) -> Inventory:
        """What exists in the account, whoever made it; owners and standing parts marked."""
        ...

    @property
    def bucket(self) -> Bucket:
        """The state bucket. Raises PreconditionError when the account is not set up."""
        ...

    @property
    def lock_table(self) -> LockTable | None:
        """The table of Terraform's locks; None where a file in the bucket locks."""
        ...

    @property
    def switchboard(self) -> Switchboard:
        """The switch. Its parts may be missing: `machinery` tells."""
        ...
