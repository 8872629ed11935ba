"""Errors that people read: what happened, where, and what to do next.

Every error that zave raises on purpose derives from `ZaveError` and carries the exit code of the
contract in `docs/architecture.md`. Only the error boundary in `zave/cli/app.py` turns one into
output and an exit status.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit statuses of every zave command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    DIFFERENCES = 3
    LOCKED = 4
    PRECONDITION = 5
    LEAK = 6
    DECLINED = 7
    INTERRUPTED = 130


class ZaveError(Exception):
    """An expected failure, told to people in three parts.

    `brief` says what happened in one line; `details` holds what the tool said (hostile text: sinks
    neutralise it); `where` names a file, line or step; `resolution` says what to do next.
    """

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(
        self,
        brief: str,
        *,
        details: str | None = None,
        where: str | None = None,
        resolution: str | None = None,
    ) -> None:
        super().__init__(brief)
        self.brief = brief
        self.details = details
        self.where = where
        self.resolution = resolution

    def to_document(self) -> dict[str, str | int | None]:
        """The error as it appears in JSON output."""
        return {
            "type": type(self).__name__,
            "brief": self.brief,
            "details": self.details,
            "where": self.where,
            "resolution": self.resolution,
            "exit_code": int(self.exit_code),
        }


class StepFailedError(ZaveError):
    """A step or the tool behind it failed."""


class ToolFailedError(StepFailedError):
    """A program that zave ran ended with a failure or did not end in time."""


class NoClusterError(StepFailedError):
    """The cluster is not there, or not yet: what the platform itself says, not what nobody answers."""


class UnreachableError(StepFailedError):
    """What should answer did not: nothing is known, and nothing is said to be gone."""


class StuckError(StepFailedError):
    """A teardown waits for what does not go; going on would leave it behind. `--force` goes on."""


class UsageError(ZaveError):
    """The command line or the configuration is wrong."""

    exit_code = ExitCode.USAGE


class SpecError(UsageError):
    """An `environment.yaml` cannot be accepted. `where` is `file:line`."""


class NothingStandsError(UsageError):
    """Nothing stands of what a command is about; with `--if-any` that is no error."""


class DifferencesError(ZaveError):
    """Differences were found by `plan --detailed-exitcode`, `drift` or `parity`."""

    exit_code = ExitCode.DIFFERENCES


class LockedError(ZaveError):
    """Another run holds the instance's lock; `details` names the holder."""

    exit_code = ExitCode.LOCKED


class PreconditionError(ZaveError):
    """Something that must be there before anything is created is missing."""

    exit_code = ExitCode.PRECONDITION


class RefusedChangeError(PreconditionError):
    """A change that what stands cannot go through; nothing was touched."""


class ToolMissingError(PreconditionError):
    """A program is missing or older than the oldest version that works."""


class NoBucketError(PreconditionError):
    """The account has no state bucket; one that only cannot be asked is another error."""


class StateError(PreconditionError):
    """The state directory or `state.db` cannot be trusted."""


class TerraformStateError(PreconditionError):
    """Terraform's state is empty, unreadable, older than the record or foreign; nothing was changed."""


class LeakError(ZaveError):
    """Something still stands, or may still cost money, after it should be gone."""

    exit_code = ExitCode.LEAK


class DeclinedError(ZaveError):
    """The answer to zave's question was no."""

    exit_code = ExitCode.DECLINED


class InterruptedRunError(ZaveError):
    """The user interrupted the run; what is done is recorded, the same command goes on."""

    exit_code = ExitCode.INTERRUPTED
