"""`zave push`: container images into the registry of a demo."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from zave.cli.completion import complete_instances
from zave.cli.context import Context
from zave.cli.nodes import tell_simulated
from zave.cli.options import options_of
from zave.errors import PreconditionError, UsageError
from zave.spec.names import check_name
from zave.state.records import STANDING
from zave.ui.document import show
from zave.ui.push import render_push

EXAMPLES = (
    ("zave push aws-demo docker.io/library/nginx:1.29", "becomes apps:nginx-1.29"),
    ("zave push aws-demo docker-archive:shop.tar --as apps:shop-1", "from `docker save`"),
    ("zave push aws-demo nginx:1.29 --rehearse -o json", "a zave/push/v1 document"),
)


def command(
    context: typer.Context,
    env: Annotated[
        str,
        typer.Argument(metavar="ENV", help="The demo's instance.", autocompletion=complete_instances),
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", help="HOST/PATH:TAG, or docker-archive: or oci-archive:FILE[:NAME:TAG]."
        ),
    ],
    renamed: Annotated[
        str | None, typer.Option("--as", metavar="REPOSITORY:TAG", help="What the one image is to be called.")
    ] = None,
    source_auth: Annotated[
        Path | None,
        typer.Option("--source-auth", metavar="FILE", help="Logins for sources, as `skopeo login` writes."),
    ] = None,
) -> None:
    """Copy container images into a demo's own registry, with all their platforms.

    An image goes into the repository of its name, else into apps with its name
    before the tag. What is there already with the same digest is left.
    """
    zave = Context(options_of(context))
    if source_auth is not None and not source_auth.is_file():
        raise UsageError(f"there is no file {source_auth}", resolution="`skopeo login --authfile` writes one")
    instance = check_name(env, what="instance")
    repositories = _repositories(zave, instance)
    from zave.lifecycle.image_names import shipments
    from zave.lifecycle.push import push

    wanted = shipments(images, repositories, renamed=renamed, instance=instance)
    tell_simulated(zave, "registry and images are simulated: nothing is fetched or sent")

    def say(text: str) -> None:
        if not zave.options.quiet:
            sys.stderr.write(f"{text}\n")

    with zave.registry(instance, source_auth=source_auth) as (registry, copier):
        pushed = push(wanted, registry=registry, copier=copier, say=say)
    document: dict[str, Any] = {
        "schema": "zave/push/v1",
        "instance": instance,
        "rehearsal": zave.rehearsal,
        "images": [vars(each) for each in pushed],
    }
    show(document, render_push, settings=zave.settings)


def _repositories(zave: Context, instance: str) -> dict[str, str]:
    """The URL of each repository by its name, as Terraform told them."""
    record = zave.instances.record(instance)
    if record.platform != "aws-eks":
        raise UsageError(
            f"{instance} is on {record.platform}: it has no repositories in AWS",
            resolution="its own registry, if registry.kind asks for one, is in the cluster",
        )
    infra = zave.store.steps(instance).get("infra")
    told = infra.outputs.get("repositories") if infra is not None and record.phase in STANDING else None
    if not isinstance(told, dict):
        raise PreconditionError(
            f"{instance} has no registry yet, or no longer",
            details=f"its phase is {record.phase}",
            resolution=f"zave up {instance} makes it",
        )
    return {str(name): str(url) for name, url in told.items()}
