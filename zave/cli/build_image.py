"""`zave build-image`: a machine image, unless it is current."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from zave.cli.context import Context, Luck
from zave.cli.lifecycle_options import Fault, FaultFile, Speed, Yes
from zave.cli.options import options_of
from zave.errors import UsageError

if TYPE_CHECKING:
    from zave.ports import ImageBuilder, ImageRequest

EXAMPLES = (
    ("zave build-image --rehearse", "the k3s-base image, skipped when it is current"),
    ("zave build-image --base debian-12 --update", "pin the vendor's newest, build on it"),
    ("zave build-image --prune --keep 2", "remove old images that nothing uses"),
)


def command(
    context: typer.Context,
    image: Annotated[str, typer.Argument(metavar="[IMAGE]", help="A folder of packer-images/.")] = "k3s-base",
    builder: Annotated[
        Literal["qemu", "amazon-ebs"], typer.Option("--builder", help="Where the image will boot.")
    ] = "qemu",
    base: Annotated[
        str, typer.Option("--base", metavar="BASE", help="The distribution: a var file of the image.")
    ] = "ubuntu-24.04",
    update: Annotated[
        bool, typer.Option("--update", help="Pin the base that its vendor publishes now.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option("--source", metavar="FILE", help="Pin a qcow2 file of your own instead."),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option("--for", metavar="ENV", help="Take vendors' files from this environment's artifacts."),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List all images; build nothing.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove old images; build nothing.")] = False,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep", metavar="N", min=0, help="With --prune: the newest N of a kind stay; 1 unless given."
        ),
    ] = None,
    yes: Yes = False,
    fault: Fault = None,
    faults: FaultFile = None,
    speed: Speed = None,
) -> None:
    """Build a machine image with Packer; nothing happens when it is current."""
    zave = Context(options_of(context), speed=speed)
    if keep is not None and not prune:
        raise UsageError("--keep says what --prune leaves", resolution="add --prune")
    if listing or prune:
        _show(zave, prune=prune, keep=1 if keep is None else keep, yes=yes)
        return
    from zave.spec.places import parse_image_name

    base = parse_image_name(base)
    if builder == "amazon-ebs" and (update or source):
        raise UsageError(
            "an AMI's base is not pinned: its owner and its name say which it is",
            resolution="leave out --update and --source",
        )
    from zave.platforms.images import image_request

    with zave.locked(f"image-{zave.checked(image)}", command="build-image"):
        zave.try_luck(Luck(tuple(fault or ()), faults))
        request = image_request(zave.project, source="packer", image=image, base=base, builder=builder)
        images = zave.images_to_build(None if environment is None else zave.checked(environment))
        _build(zave, images, request, pin=update or source is not None, source=source)


def _build(
    zave: Context, images: "ImageBuilder", request: "ImageRequest", *, pin: bool, source: Path | None
) -> None:
    """Build what is asked for, under the lock of its name; `pin` looks for its base anew before."""
    from zave.lifecycle.build_image import build_image
    from zave.steps.image import EnsureImage

    name = f"image-{request.image}"
    build_image(
        EnsureImage(images=images, request=request),
        journal=zave.journal(name, environment=request.image, platform=request.builder),
        arguments=zave.arguments,
        pin=(lambda say: images.pin(request.base, source=source, say=say)) if pin else None,
    )


def _show(zave: Context, *, prune: bool, keep: int, yes: bool) -> None:
    from zave.lifecycle.build_image import images_document, outdated, remove_images, users_of
    from zave.ui.document import show
    from zave.ui.images import render_images, render_removal

    images, users = zave.images(), users_of(zave.store)
    found = images.list()
    # an instance that stands on it says that it is one
    leftovers = [each for each in images.leftovers() if each.location not in users]
    going = outdated(found, keep=keep, users=users) if prune else []
    discarded = leftovers if prune else []
    if going or discarded:
        ask = zave.screens.asker(yes=yes)
        if ask is not None:
            shown = images_document((), users=users, removed=going, discarded=discarded)
            sys.stderr.write(render_removal(shown))
            ask(f"Remove {' and '.join(_counted(len(going), len(discarded)))}?")
        remove_images(going, images, leftovers=discarded)
    document = images_document(
        [i for i in found if i not in going],
        users=users,
        removed=going,
        leftovers=[] if prune else leftovers,
        discarded=discarded,
    )
    show(document, render_images, settings=zave.settings)


def _counted(images: int, leftovers: int) -> list[str]:
    found = [f"{images} image{'s' if images > 1 else ''}"] if images else []
    return [*found, f"{leftovers} leftover{'s' if leftovers > 1 else ''}"] if leftovers else found
