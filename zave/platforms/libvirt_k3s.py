"""Platform `libvirt-k3s`: k3s on libvirt virtual machines."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zave.engine.step import Step
from zave.errors import PreconditionError
from zave.gitops.tree import render_tree
from zave.platforms.blueprint import Blueprint, cluster_steps
from zave.platforms.images import image_request
from zave.platforms.libvirt_values import CLOUD_INIT, nodes_of, root_values, terraform_variables
from zave.render import Renderer
from zave.spec.load import spec_document
from zave.steps.image import EnsureImage
from zave.steps.infra import Infra
from zave.steps.render import Render, RootTemplate
from zave.steps.site import Site

if TYPE_CHECKING:
    from zave.spec import LibvirtSpec

# the image whose scripts cloud-init runs on a vendor's cloud image
DEFAULT_IMAGE = "k3s-base"
ROOT = "templates/terraform/libvirt-k3s"
MODULES = ("terraform-modules/k3s-cluster", "terraform-modules/libvirt-vm")


def blueprint(spec: "LibvirtSpec", *, site: Site, ssh_keys: Sequence[str]) -> Blueprint:
    """The Terraform root and the ordered steps that bring one home lab up."""
    instance, tools, folder = site.instance, site.tools, site.folder
    root = RootTemplate(ROOT, MODULES, root_values(spec, instance=instance))
    request = image_request(
        site.project,
        source=spec.image.source,
        image=spec.image.image or DEFAULT_IMAGE,
        base=spec.image.base,
        builder="qemu",
    )
    if tools.hypervisor is None:
        raise PreconditionError("no hypervisor is at hand for a libvirt-k3s environment")
    acceleration = tools.hypervisor.capacity(pool=spec.libvirt.pool).acceleration

    def variables(outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        # a plan before the first run does not know yet where the image will be
        image = outputs.get("image", {}).get("location", f"{spec.image.base}.qcow2")
        return terraform_variables(
            spec,
            instance=instance,
            image_path=image,
            acceleration=acceleration,
            keys=ssh_keys,
            project=site.project,
        )

    tree = render_tree(site.project, spec, instance=instance, destination=folder.gitops)
    steps: list[Step] = [
        Render(project=site.project, root=root, destination=folder.terraform),
        EnsureImage(images=tools.images, request=request),
        Infra(
            site=site,
            root=root,
            variables=variables,
            inputs={
                "spec": spec_document(spec),
                "keys": list(ssh_keys),
                "acceleration": acceleration,
                "cloud-init": Renderer(site.project).digest_of(CLOUD_INIT, {}),
            },
        ),
        *cluster_steps(site, tree, expected=[node.name for node in nodes_of(spec, instance)]),
    ]
    return Blueprint(steps, root, variables)
