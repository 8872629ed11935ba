"""The switch in EventBridge Scheduler: one schedule an instance, in zave's group."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from zave.aws.live.api import Api, RefusedError
from zave.aws.live.builds import Builds
from zave.aws.live.machinery import read_machinery, subscribers, told_bucket
from zave.aws.live.parts import Parts
from zave.aws.live.switchboard_schedule import document, schedule_of, warning_document
from zave.clock import Clock
from zave.errors import StepFailedError
from zave.ports.cloud import DestroyerRun, Machinery, Mode, Schedule
from zave.spec.names import check_name

_ABSENT = "ResourceNotFoundException"
# a StartDate further back than this is refused (EventBridge Scheduler user guide, schedule types)
_PAST = timedelta(minutes=5)
# no instance's name has a dot
_WARNING = ".warn-"
_STAMP = "%Y%m%dT%H%M%SZ"


class SchedulerSwitchboard:
    """Implements `zave.ports.cloud.Switchboard` over EventBridge Scheduler and CodeBuild.

    AWS takes much without a word that never fires; so what is sent is checked here against `clock`.
    """

    def __init__(self, api: Api, *, parts: Parts, clock: Clock) -> None:
        self._api = api
        self._parts = parts
        self._clock = clock
        self._builds = Builds(api, project=parts.project)

    def machinery(self) -> Machinery:
        """Read the standing parts back."""
        return read_machinery(self._api, self._parts)

    def works_from(self) -> str | None:
        """The name of the bucket that the destroyer's project reads; None where there is no project."""
        return told_bucket(self._api, self._parts)

    # schedules

    def schedule(self, instance: str) -> Schedule | None:
        """The instance's schedule as the cloud has it now."""
        try:
            found = self._api.call("scheduler", "get_schedule", **self._named(instance))
        except RefusedError as error:
            if error.code == _ABSENT:
                return None
            raise
        return schedule_of(found, parts=self._parts)

    def schedules(self) -> Sequence[Schedule]:
        """All schedules of zave's group."""
        names: list[str] = []
        try:
            for page in self._api.pages("scheduler", "list_schedules", GroupName=self._parts.group):
                names += [each["Name"] for each in page["Schedules"]]
        except RefusedError as error:
            if error.code != _ABSENT:
                raise
        # a list shows neither dates nor inputs; one that went meanwhile is left out
        found = [self.schedule(name) for name in sorted(names) if _WARNING not in name]
        return [schedule for schedule in found if schedule is not None]

    def set_schedule(self, schedule: Schedule) -> None:
        """Create or replace. Raises StepFailedError for what AWS refuses, or should."""
        self._require_sensible(schedule)
        self._put(document(schedule, parts=self._parts))

    def _put(self, wanted: Mapping[str, Any]) -> None:
        try:
            # whatever an update leaves out falls back to its default: everything is sent
            self._api.call("scheduler", "update_schedule", **wanted)
        except RefusedError as error:
            if error.code != _ABSENT:
                raise
            self._create(wanted)

    def remove_schedule(self, instance: str) -> None:
        """Remove, its warnings too; absent is fine."""
        # first: cut off in between, the switch still fires and comes here again
        with suppress(RefusedError):
            # a mail too many does no harm, a switch that stays would fire for ever
            for name in self._warnings(instance):
                self._remove(name)
        self._remove(instance)

    def subscribe(self, email: str) -> None:
        """Have the topic tell that address as well; AWS mails it a link that confirms it."""
        # not again for one that waits: it would get another link at every arming
        if email.lower() not in subscribers(self._api, self._parts):
            topic = self._parts.topic_arn
            self._api.call("sns", "subscribe", TopicArn=topic, Protocol="email", Endpoint=email)

    # warnings: schedules of their own, which fire once and are gone

    def warn(self, instance: str, *, moments: Sequence[datetime], text: str) -> None:
        """Have the topic told `text` at these moments and at no others; past ones are left out."""
        check_name(instance, what="instance")
        now = self._clock.now()
        wanted = {_warning_name(instance, moment): moment for moment in moments if moment > now}
        for name in self._warnings(instance):
            if name not in wanted:
                self._remove(name)
        for name, moment in sorted(wanted.items()):
            self._put(warning_document(name, moment, instance=instance, text=text, parts=self._parts))

    def warnings(self, instance: str) -> Sequence[datetime]:
        """The moments still to come at which the topic is told, in order."""
        now = self._clock.now()
        moments = (_warning_moment(name) for name in self._warnings(instance))
        # one that has fired may still be listed for a while
        return sorted(moment for moment in moments if moment is not None and moment > now)

    def _warnings(self, instance: str) -> list[str]:
        prefix, names = f"{instance}{_WARNING}", list[str]()
        try:
            for page in self._api.pages(
                "scheduler", "list_schedules", GroupName=self._parts.group, NamePrefix=prefix
            ):
                names += [each["Name"] for each in page["Schedules"]]
        except RefusedError as error:
            if error.code != _ABSENT:
                raise
        return sorted(name for name in names if name.startswith(prefix))

    def _remove(self, name: str) -> None:
        try:
            self._api.call("scheduler", "delete_schedule", **self._named(name))
        except RefusedError as error:
            if error.code != _ABSENT:
                raise

    # runs

    def start(self, instance: str, *, mode: Mode, candidate: Schedule | None = None) -> DestroyerRun:
        """Start the destroyer now, as a fire of the schedule would, or of one that is not set yet."""
        schedule = candidate or self.schedule(instance)
        if schedule is None:
            raise StepFailedError(
                f"{instance} has no schedule, so there is nothing that the destroyer could run",
                details="ResourceNotFoundException: Schedule does not exist.",
                resolution=f"zave up {instance} arms it",
            )
        return self._builds.start(schedule, mode=mode)

    def run(self, run_id: str) -> DestroyerRun:
        """The run's present state. Raises StepFailedError for one that is not known."""
        return self._builds.found(run_id)

    def runs(self, instance: str) -> Sequence[DestroyerRun]:
        """The instance's runs, newest first."""
        return self._builds.all(instance)

    def _named(self, instance: str) -> dict[str, str]:
        return {"GroupName": self._parts.group, "Name": instance}

    def _create(self, wanted: Mapping[str, Any]) -> None:
        self._require_group()
        try:
            self._api.call("scheduler", "create_schedule", **wanted)
        except RefusedError as error:
            if error.code != "ConflictException":
                raise
            # made by somebody else between the two calls
            self._api.call("scheduler", "update_schedule", **wanted)

    def _require_group(self) -> None:
        try:
            self._api.call("scheduler", "get_schedule_group", Name=self._parts.group)
        except RefusedError as error:
            if error.code != _ABSENT:
                raise
            raise StepFailedError(
                "the schedule group of the switch is missing in this account",
                details=error.details,
                resolution="zave account setup makes it",
            ) from error

    def _require_sensible(self, schedule: Schedule) -> None:
        check_name(schedule.instance, what="instance")
        if schedule.first_fire_at < self._clock.now() - _PAST:
            raise StepFailedError(
                f"the schedule of {schedule.instance} would begin in the past",
                details="The StartDate cannot be earlier than 5 minutes ago.",
                resolution="give a time to come",
            )
        if schedule.every < 1:
            raise StepFailedError(f"the schedule of {schedule.instance} fires every {schedule.every} minutes")


def _warning_name(instance: str, moment: datetime) -> str:
    """The moment is in the name: a list of schedules shows no dates."""
    return f"{instance}{_WARNING}{moment.astimezone(UTC):{_STAMP}}"


def _warning_moment(name: str) -> datetime | None:
    try:
        return datetime.strptime(name.rpartition(_WARNING)[2], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None  # somebody else's
