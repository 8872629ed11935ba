"""Platform `libvirt-k3s`: k3s on libvirt virtual machines."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zave.engine.step import Step
from zave.gitops.tree import render_tree
from zave.platforms.images import image_request
from zave.platforms.libvirt_values import CLOUD_INIT, nodes_of, root_values, terraform_variables
from zave.render import Renderer
from zave.spec.load import spec_document
from zave.steps.gitops import GitOps
from zave.steps.image import EnsureImage
from zave.steps.infra import Infra
from zave.steps.kubeconfig import Kubeconfig
from zave.steps.render import Render, RootTemplate
from zave.steps.site import Site
from zave.steps.verify import Verify

if TYPE_CHECKING:
    from zave.spec import LibvirtSpec

# the image whose scripts cloud-init runs on a vendor's cloud image
DEFAULT_IMAGE = "k3s-base"
ROOT = "templates/terraform/libvirt-k3s"
MODULES = ("terraform-modules/k3s-cluster", "terraform-modules/libvirt-vm")


def root_template(spec: "LibvirtSpec", *, instance: str) -> RootTemplate:
    """The Terraform root of one instance."""
    return RootTemplate(ROOT, MODULES, root_values(spec, instance=instance))


def steps(spec: "LibvirtSpec", *, site: Site, ssh_keys: Sequence[str]) -> list[Step]:
    """The ordered steps that bring one home lab up."""
    instance, tools, folder = site.instance, site.tools, site.folder
    root = root_template(spec, instance=instance)
    request = image_request(
        site.project,
        source=spec.image.source,
        image=spec.image.image or DEFAULT_IMAGE,
        base=spec.image.base,
        builder="qemu",
    )
    acceleration = tools.hypervisor.capacity(pool=spec.libvirt.pool).acceleration

    def variables(outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        return terraform_variables(
            spec,
            instance=instance,
            image_path=outputs["image"]["location"],
            acceleration=acceleration,
            keys=ssh_keys,
            project=site.project,
        )

    tree = render_tree(site.project, spec, instance=instance, destination=folder.gitops)
    return [
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
        Kubeconfig(cluster=tools.cluster, instance=instance, path=folder.kubeconfig),
        GitOps(
            cluster=tools.cluster,
            clock=tools.clock,
            instance=instance,
            tree=tree,
            limit=site.limits["gitops"],
        ),
        Verify(
            cluster=tools.cluster,
            clock=tools.clock,
            instance=instance,
            nodes=[node.name for node in nodes_of(spec, instance)],
            limit=site.limits["nodes"],
        ),
    ]


def scratch_variables(
    spec: "LibvirtSpec", *, site: Site, ssh_keys: Sequence[str], image: str
) -> dict[str, Any]:
    """Terraform's input for a `plan` that changes nothing, when the image may not be there yet."""
    capacity = site.tools.hypervisor.capacity(pool=spec.libvirt.pool)
    return terraform_variables(
        spec,
        instance=site.instance,
        image_path=image,
        acceleration=capacity.acceleration,
        keys=ssh_keys,
        project=site.project,
    )
