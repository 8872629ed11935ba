"""Platform `libvirt-k3s`: k3s on libvirt virtual machines."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from zave.engine.step import Step
from zave.errors import PreconditionError
from zave.gitops.capacity import require_room
from zave.gitops.tree import GitOpsTree, tree_of
from zave.platforms.blueprint import Blueprint, cluster_steps
from zave.platforms.images import image_request
from zave.platforms.libvirt_machines import machines_of
from zave.platforms.libvirt_values import CLOUD_INIT, first_boot_scripts, terraform_variables
from zave.ports import Hypervisor
from zave.ports.machines import Machines, Release, Releases
from zave.render import Renderer
from zave.spec.load import spec_document
from zave.steps.image import EnsureImage
from zave.steps.infra import Infra
from zave.steps.k3s import K3s
from zave.steps.render import Render, RootTemplate
from zave.steps.site import Site, Tools

if TYPE_CHECKING:
    from zave.spec import LibvirtSpec

# the image whose scripts cloud-init runs on a vendor's cloud image
DEFAULT_IMAGE = "k3s-base"
ROOT = "templates/terraform/libvirt-k3s"
MODULES = ("terraform-modules/k3s-cluster", "terraform-modules/libvirt-vm")


def blueprint(spec: "LibvirtSpec", *, site: Site, ssh_keys: Sequence[str]) -> Blueprint:
    """The Terraform root and the ordered steps that bring one home lab up."""
    instance, tools, folder = site.instance, site.tools, site.folder
    root = RootTemplate(ROOT, MODULES, {})
    request = image_request(
        site.project,
        source=spec.image.source,
        image=spec.image.image or DEFAULT_IMAGE,
        base=spec.image.base,
        builder="qemu",
    )
    hypervisor, machines, releases = _adapters(tools)
    wanted = machines_of(spec, instance)

    # both once a command, and only by those that need it: a teardown must work without the pool, and
    # asks nobody for releases
    @cache
    def acceleration() -> str:
        return hypervisor.capacity(pool=spec.libvirt.pool).acceleration

    @cache
    def release() -> Release:
        return releases.resolve(version=spec.kubernetes.version, artifacts=spec.artifacts)

    def variables(outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        # a plan before the first run does not know yet where the image will be
        image = outputs.get("image", {}).get("location", f"{spec.image.base}.qcow2")
        return terraform_variables(
            spec,
            instance=instance,
            image_path=image,
            acceleration=acceleration(),
            keys=ssh_keys,
            project=site.project,
            release=release(),
        )

    def inputs() -> dict[str, Any]:
        return {
            "spec": spec_document(spec),
            "keys": list(ssh_keys),
            "acceleration": acceleration(),
            "release": asdict(release()),
            "cloud-init": Renderer(site.project).digest_of(CLOUD_INIT, {}),
            "scripts": first_boot_scripts(site.project, spec),
        }

    tree = _tree(spec, site)
    steps: list[Step] = [
        Render(project=site.project, root=root, destination=folder.terraform),
        EnsureImage(images=tools.images, request=request),
        Infra(
            site=site,
            root=root,
            variables=variables,
            inputs=inputs,
            meanwhile=tree.write if tree else None,
            # a pool that is off shows no volumes, and provider 0.9.7 then takes them for gone
            ready=lambda: hypervisor.capacity(pool=spec.libvirt.pool),
        ),
        K3s(site=site, hypervisor=hypervisor, machines=machines, wanted=wanted, release=release),
        *cluster_steps(site, tree, expected=[m.name for m in wanted], after="k3s"),
    ]
    return Blueprint(steps, root, variables, tree)


def _tree(spec: "LibvirtSpec", site: Site) -> GitOpsTree | None:
    """What Flux is given; None where the spec wants a bare cluster."""
    if spec.gitops.profile != "none":
        require_room(spec)
        return tree_of(site.project, spec, instance=site.instance, destination=site.folder.gitops)
    handed_over = site.store.steps(site.instance).get("gitops")
    if handed_over is not None and handed_over.state != "undone":
        raise PreconditionError(
            f"{site.instance} has been handed to Flux already",
            where="gitops.profile",
            resolution=f"zave down {site.instance} first, or another instance (--name) without Flux",
        )
    return None


def _adapters(tools: Tools) -> tuple[Hypervisor, Machines, Releases]:
    if tools.hypervisor is None or tools.machines is None or tools.releases is None:
        raise PreconditionError("no hypervisor is at hand for a libvirt-k3s environment")
    return tools.hypervisor, tools.machines, tools.releases
