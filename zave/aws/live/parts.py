"""What the standing parts are called: the names that `terraform-modules/aws-ttl` and `aws-state` give."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Parts:
    """The standing parts of one account in one region. `bucket` follows the spec's `state.bucket`."""

    account: str
    region: str
    partition: str
    bucket: str

    @property
    def lock_table(self) -> str:
        """The table of Terraform's locks, where the spec asks for one."""
        return f"zave-locks-{self.account}"

    @property
    def group(self) -> str:
        """The schedules' group."""
        return f"zave-switch-{self.account}"

    @property
    def project(self) -> str:
        """The destroyer's CodeBuild project."""
        return f"zave-destroyer-{self.account}"

    @property
    def queue(self) -> str:
        """Where a fire ends up that started nothing."""
        return f"zave-undelivered-{self.account}"

    @property
    def queue_arn(self) -> str:
        """The same, as a schedule names it."""
        return self._arn("sqs", self.queue)

    @property
    def log_group(self) -> str:
        """What the destroyer says."""
        return f"/aws/codebuild/{self.project}"

    @property
    def budget(self) -> str:
        """The backstop: counts the whole account."""
        return f"zave-budget-{self.region}-{self.account}"

    @property
    def topic_arn(self) -> str:
        """The topic of warnings and alarms."""
        return self._arn("sns", f"zave-alarms-{self.account}")

    @property
    def alarms(self) -> tuple[str, ...]:
        """What makes noise when fires fail or are not delivered."""
        return (f"zave-failing-{self.account}", f"zave-undelivered-{self.account}")

    @property
    def roles(self) -> dict[str, tuple[str, ...]]:
        """IAM's names hold for all regions, a switch for one; with the policies that each role has."""
        here = f"{self.region}-{self.account}"
        return {
            f"zave-scheduler-{here}": ("fire",),
            f"zave-project-{here}": ("run",),
            f"zave-destroyer-{here}": ("look", "delete-by-tag", "delete-by-name"),
        }

    @property
    def scheduler_role_arn(self) -> str:
        """What a schedule may do when it fires."""
        return self._role_arn("scheduler")

    @property
    def project_role_arn(self) -> str:
        """What a build may do."""
        return self._role_arn("project")

    @property
    def destroyer_role_arn(self) -> str:
        """With what the destroyer deletes."""
        return self._role_arn("destroyer")

    @property
    def boundary_arn(self) -> str:
        """The most that any of the roles can do."""
        return f"{self._iam()}:policy/zave/standing/zave-boundary-{self.region}-{self.account}"

    @property
    def start_build_arn(self) -> str:
        """The target of a schedule: any call of CodeBuild's StartBuild, whose parameters are the input.

        A project's own ARN is a target as well, but what its input may set is not documented (user
        guide of EventBridge Scheduler, universal targets; aws.md of 2026-11-23, section 4).
        """
        return f"arn:{self.partition}:scheduler:::aws-sdk:codebuild:startBuild"

    @property
    def publish_arn(self) -> str:
        """The target of a warning: any call of SNS's Publish, whose parameters are the input."""
        return f"arn:{self.partition}:scheduler:::aws-sdk:sns:publish"

    def _arn(self, service: str, rest: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{rest}"

    def _iam(self) -> str:
        return f"arn:{self.partition}:iam::{self.account}"

    def _role_arn(self, kind: str) -> str:
        return f"{self._iam()}:role/zave/standing/zave-{kind}-{self.region}-{self.account}"
