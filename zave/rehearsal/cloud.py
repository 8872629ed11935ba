"""The rehearsed AWS account, as the ports of `zave/ports/cloud.py` show one."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from zave.errors import NoBucketError, UsageError
from zave.ports.cloud import Caller, DestroyerRun
from zave.rehearsal.aws_family import STANDING, tags_of
from zave.rehearsal.aws_inventory import SimulatedInventory
from zave.rehearsal.bucket import SimulatedBucket
from zave.rehearsal.builds import Launch
from zave.rehearsal.gate import Gate
from zave.rehearsal.lock_table import SimulatedLockTable, has_lock_table
from zave.rehearsal.switchboard import SimulatedSwitchboard
from zave.rehearsal.world import World


class SimulatedCloud:
    """Implements `zave.ports.cloud.Cloud` over a world.

    `launch` starts the destroyer; `skew` is by how many seconds the clocks of its machines are wrong.
    `bucket` is the name of the state bucket; without one any that is marked as standing.
    """

    def __init__(
        self,
        world: World,
        *,
        region: str,
        account: str,
        launch: Launch,
        skew: float = 0.0,
        bucket: str | None = None,
    ) -> None:
        self._world = world
        self._bucket_name = bucket
        self._region = region
        self._account = account
        self._gate = Gate(world, region=region)
        self._inventory = SimulatedInventory(world, region=region, ask=partial(self._gate.ask, "ec2"))
        self._switchboard = SimulatedSwitchboard(
            world, ask=self._gate.ask, launch=launch, skew=skew, bucket=bucket
        )

    @property
    def region(self) -> str:
        """The region's name."""
        return self._region

    def caller(self) -> Caller:
        """Who asks: the user, or the role of the destroyer. Raises PreconditionError when expired."""
        self._gate.ask("sts", "GetCallerIdentity")
        if self._world.viewpoint.caller == "switch":
            arn = f"arn:aws:sts::{self._account}:assumed-role/zave-destroyer-{self._region}/rehearsal"
        else:
            arn = f"arn:aws:iam::{self._account}:user/rehearsal"
        return Caller(account=self._account, arn=arn)

    def now(self) -> datetime:
        """The world's time: no machine's clock, however wrong, changes it."""
        self._gate.ask("sts", "GetCallerIdentity")
        return datetime.fromtimestamp(int(self._world.clock.timestamp()), UTC)

    @property
    def inventory(self) -> SimulatedInventory:
        """What exists in the account."""
        return self._inventory

    @property
    def bucket(self) -> SimulatedBucket:
        """The state bucket. Raises PreconditionError when the account is not set up."""
        for thing in self._world.things(provider="aws"):
            name = str(thing.attributes.get("bucket") or thing.name)
            if self._bucket_name not in (None, name):
                continue
            if thing.type == "aws_s3_bucket" and tags_of(thing).get(STANDING) == "true":
                return self._bucket(name)
        raise NoBucketError(
            f"account {self._account} has no bucket {self._bucket_name or 'of zave'}",
            resolution="zave account setup makes the standing parts",
        )

    @property
    def lock_table(self) -> SimulatedLockTable | None:
        """The table of Terraform's locks; None where a file in the bucket locks."""
        if not has_lock_table(self._world):
            return None
        return SimulatedLockTable(self._world, ask=partial(self._gate.ask, "dynamodb"))

    @property
    def switchboard(self) -> SimulatedSwitchboard:
        """The switch."""
        return self._switchboard

    def advance(self, seconds: float) -> Iterator[DestroyerRun]:
        """Let time pass, through every fire of every schedule on the way; each run that these started.

        Time passes as the runs are asked for, and each is told when it ends. The time that a destroyer
        takes counts; a destroyer that is at work when the time is over is waited for.
        """
        if seconds < 0:
            raise UsageError("the virtual clock cannot run backwards")
        clock = self._world.clock
        target = clock.timestamp() + seconds
        until = datetime.fromtimestamp(target, UTC)
        board = self._switchboard
        while (fire := board.next_fire(until=until)) is not None:
            self._warn(until=fire.at)
            clock.advance(max(0.0, fire.at.timestamp() - clock.timestamp()))
            run = board.fire(fire)
            if run is not None:
                yield run
        self._warn(until=until)
        clock.advance(max(0.0, target - clock.timestamp()))

    def _warn(self, *, until: datetime) -> None:
        """Let time pass through every warning that is due by then."""
        clock = self._world.clock
        while (warning := self._switchboard.next_warning(until=until)) is not None:
            clock.advance(max(0.0, warning.at.timestamp() - clock.timestamp()))
            self._switchboard.send_warning(warning)

    def _bucket(self, name: str) -> SimulatedBucket:
        return SimulatedBucket(self._world, name=name, ask=partial(self._gate.ask, "s3"))
