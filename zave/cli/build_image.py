"""`zave build-image`: a machine image, unless it is current."""

from typing import Annotated, Literal

import typer

from zave.cli.context import Context, Luck
from zave.cli.lifecycle_options import Fault, FaultFile, Speed
from zave.cli.options import options_of

EXAMPLES = (
    ("zave build-image --rehearse", "the k3s-base image, skipped when it is current"),
    ("zave build-image k3s-base --base debian-12 --rehearse", "on another base"),
    ("zave build-image --builder amazon-ebs --rehearse", "as an AMI"),
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
    fault: Fault = None,
    faults: FaultFile = None,
    speed: Speed = None,
) -> None:
    """Build a machine image with Packer; nothing happens when it is current."""
    zave = Context(options_of(context), speed=speed)
    name = f"image-{zave.checked(image)}"
    with zave.locked(name, command="build-image"):
        zave.try_luck(Luck(tuple(fault or ()), faults))
        from zave.lifecycle.build_image import build_image
        from zave.platforms.images import image_request
        from zave.steps.image import EnsureImage

        request = image_request(zave.project, source="packer", image=image, base=base, builder=builder)
        step = EnsureImage(images=zave.images(), request=request)
        build_image(
            step, journal=zave.journal(name, environment=image, platform=builder), arguments=zave.arguments
        )
