"""Runs of the destroyer: builds of its CodeBuild project."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from itertools import islice
from typing import Any, Literal

from zave.aws.live.api import Api, RefusedError
from zave.errors import StepFailedError
from zave.ports.cloud import DestroyerRun, Mode, Schedule
from zave.text import clean

# CodeBuild's API reference: so many ids a call of BatchGetBuilds
_BATCH = 100
# builds are kept for a year: of one that fires every half hour the newest three weeks
_MOST_BUILDS = 1000
_LONGEST_REASON = 300


def environment(schedule: Schedule, *, mode: Mode) -> dict[str, str]:
    """What a build is told of its work; the project's build specification reads it."""
    return {
        "ZAVE_INSTANCE": schedule.instance,
        "ZAVE_BUNDLE": schedule.bundle,
        "ZAVE_BUNDLE_SHA256": schedule.bundle_sha256,
        "ZAVE_PROGRAMS": schedule.programs,
        "ZAVE_PROGRAMS_SHA256": schedule.programs_sha256,
        "ZAVE_MODE": mode,
    }


class Builds:
    """The builds of the project `project`."""

    def __init__(self, api: Api, *, project: str) -> None:
        self._api = api
        self._project = project

    def start(self, schedule: Schedule, *, mode: Mode) -> DestroyerRun:
        """Start one as a fire of the schedule would. Raises StepFailedError when it cannot be started."""
        variables = environment(schedule, mode=mode)
        try:
            answer = self._api.call(
                "codebuild",
                "start_build",
                projectName=self._project,
                environmentVariablesOverride=[
                    {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in variables.items()
                ],
                # a call whose answer was lost is repeated: it must not start a second build
                idempotencyToken=uuid.uuid4().hex,
            )
        except RefusedError as error:
            if error.code != "ResourceNotFoundException":
                raise
            raise StepFailedError(
                "the destroyer project of the switch is missing in this account",
                details=error.details,
                resolution="zave account setup makes it",
            ) from error
        return _run_of(answer["build"])

    def found(self, run_id: str) -> DestroyerRun:
        """One run. Raises StepFailedError for one that is not known."""
        builds = self._batch([run_id])
        if not builds:
            raise StepFailedError(f"there is no run {clean(run_id)} of the destroyer", where=self._project)
        return _run_of(builds[0])

    def all(self, instance: str) -> Sequence[DestroyerRun]:
        """The instance's runs, newest first."""
        ids = list(islice(self._ids(), _MOST_BUILDS))
        builds = [build for at in range(0, len(ids), _BATCH) for build in self._batch(ids[at : at + _BATCH])]
        runs = [run for run in map(_run_of, builds) if run.instance == instance]
        return sorted(runs, key=lambda run: run.started_at, reverse=True)

    def _ids(self) -> Iterator[str]:
        pages = self._api.pages(
            "codebuild", "list_builds_for_project", projectName=self._project, sortOrder="DESCENDING"
        )
        try:
            for page in pages:
                yield from page["ids"]
        except RefusedError as error:
            # without the project there were no builds
            if error.code != "ResourceNotFoundException":
                raise

    def _batch(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._api.call("codebuild", "batch_get_builds", ids=list(ids))["builds"]
        return found


def _run_of(build: Mapping[str, Any]) -> DestroyerRun:
    told = {each["name"]: each["value"] for each in build["environment"].get("environmentVariables", ())}
    ended = build.get("endTime")
    state = _state(build)
    return DestroyerRun(
        id=build["id"],
        instance=clean(told.get("ZAVE_INSTANCE", "")),
        # whatever was not told to check must be taken for the worse
        mode="check" if told.get("ZAVE_MODE") == "check" else "destroy",
        state=state,
        started_at=build["startTime"].astimezone(UTC),
        finished_at=None if ended is None or state == "running" else ended.astimezone(UTC),
        reason=_reason(build) if state == "failed" else "",
    )


def _state(build: Mapping[str, Any]) -> Literal["running", "succeeded", "failed"]:
    """A pass is a build that is complete *and* succeeded (CodeBuild's API reference, Build)."""
    if not build.get("buildComplete", False):
        return "running"
    return "succeeded" if build.get("buildStatus") == "SUCCEEDED" else "failed"


def _reason(build: Mapping[str, Any]) -> str:
    """The first phase that went wrong, with CodeBuild's words."""
    for phase in build.get("phases", ()):
        if phase.get("phaseStatus") not in (None, "SUCCEEDED"):
            said = " ".join(str(context.get("message", "")) for context in phase.get("contexts", ()))
            told = f"{phase.get('phaseType')}: {phase['phaseStatus']} {said}"
            return clean(told).strip()[:_LONGEST_REASON]
    return clean(f"the build ended as {build.get('buildStatus')}")[:_LONGEST_REASON]
