"""`zave build-image`: one step, recorded and told like any other run; and what it has made so far."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from zave.engine.execute import execute
from zave.engine.plan import plan
from zave.errors import StepFailedError, ZaveError
from zave.events import PlannedStep
from zave.lifecycle.run import Journal, close_cut_off_runs, running
from zave.ports import Artifact, ImageBuilder, Leftover
from zave.ports.machines import Say
from zave.state.store import StateStore
from zave.steps.image import EnsureImage


def build_image(
    step: EnsureImage,
    *,
    journal: Journal,
    arguments: Sequence[str],
    pin: Callable[[Say], None] | None = None,
) -> None:
    """Build the image unless it is current and intact; `pin` first pins its base anew."""
    with running(journal, command="build-image", arguments=arguments) as run:
        for command in close_cut_off_runs(journal.store, journal.instance, own=run.id):
            run.notice(f"an earlier build was cut off: {command}; starting over")
        if pin is not None:
            # before the plan: it asks whether the image is built on what is pinned
            pin(lambda text, _: run.notice(text))
        actions = plan([step], journal.store.steps(journal.instance))
        run.started(tuple(PlannedStep(p.step.name, p.action.value, p.reason) for p in actions))
        execute(run.execution, actions)


def users_of(store: StateStore) -> dict[str, list[str]]:
    """Location of an image -> the recorded instances that stand on it."""
    users: dict[str, list[str]] = {}
    for record in store.instances():
        step = store.steps(record.name).get("image")
        location = (step.outputs or {}).get("location") if step is not None else None
        if record.phase not in ("destroyed", "absent") and isinstance(location, str):
            users.setdefault(location, []).append(record.name)
    return users


def images_document(
    images: Iterable[Artifact],
    *,
    users: Mapping[str, Sequence[str]],
    removed: Sequence[Artifact] = (),
    leftovers: Sequence[Leftover] = (),
    discarded: Sequence[Leftover] = (),
) -> dict[str, Any]:
    """The `zave/images/v1` document."""

    def entry(image: Artifact) -> dict[str, Any]:
        return {
            "name": image.name,
            "location": image.location,
            "checksum": image.checksum,
            "size": image.size,
            "built_at": image.built_at,
            "used_by": sorted(users.get(image.location, ())),
        }

    return {
        "schema": "zave/images/v1",
        "images": [entry(image) for image in images],
        "removed": [entry(image) for image in removed],
        "leftovers": [asdict(leftover) for leftover in leftovers],
        "discarded": [asdict(leftover) for leftover in discarded],
    }


def outdated(images: Iterable[Artifact], *, keep: int, users: Mapping[str, Sequence[str]]) -> list[Artifact]:
    """The images that may go: beyond the newest `keep` of their kind, and of no instance's.

    `images` come newest first. What an instance uses does not count: it stays beside the newest.
    """
    kept: dict[tuple[str, str], int] = {}
    found: list[Artifact] = []
    for image in images:
        if image.location in users:
            continue
        # a name ends in what tells the builds of one kind apart: a digest, or a time. The newest AMI stands
        # for no file of this machine
        place = "" if image.location.startswith("ami-") else image.location.rpartition("/")[0]
        kind = place, image.name.rpartition("-")[0]
        kept[kind] = kept.get(kind, 0) + 1
        if kept[kind] > keep:
            found.append(image)
    return found


def remove_images(
    images: Sequence[Artifact], builder: ImageBuilder, *, leftovers: Sequence[Leftover] = ()
) -> None:
    """Remove each. Raises StepFailedError, once all were tried, naming those that stayed."""
    removals: list[tuple[str, Callable[[], None]]] = [
        *((image.name, partial(builder.remove, image)) for image in images),
        *((leftover.name, partial(builder.discard, leftover)) for leftover in leftovers),
    ]
    refused: list[str] = []
    for name, remove in removals:
        try:
            remove()
        except ZaveError as error:
            refused.append(f"{name}: {error.details or error.brief}")
    if refused:
        raise StepFailedError(
            f"{len(refused)} of {len(removals)} images could not be removed", details="\n".join(refused)
        )
