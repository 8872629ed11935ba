"""Platform `libvirt-k3s`: k3s on libvirt virtual machines."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from zave.engine.step import Step, StepRun
from zave.errors import PreconditionError
from zave.gitops.tree import GitOpsTree, tree_of
from zave.platforms.blueprint import Blueprint, cluster_steps, publication_of
from zave.platforms.images import image_request
from zave.platforms.libvirt_changes import require_agreed, restarts_several
from zave.platforms.libvirt_machines import machines_of
from zave.platforms.libvirt_values import (
    CLOUD_INIT,
    configuration_inputs,
    configuration_of,
    first_boot_scripts,
    terraform_variables,
)
from zave.ports import Capacity, Hypervisor
from zave.ports.machines import Configuration, Machines, Release, Releases
from zave.render import Renderer
from zave.spec.load import spec_document
from zave.steps.image import EnsureImage
from zave.steps.infra import Infra
from zave.steps.k3s import K3s
from zave.steps.render import Render, RootTemplate
from zave.steps.site import Site, Tools
from zave.tools.terraform import Plan

if TYPE_CHECKING:
    from zave.spec import LibvirtSpec

# the image whose scripts cloud-init runs on a vendor's cloud image
DEFAULT_IMAGE = "k3s-base"
ROOT = "templates/terraform/libvirt-k3s"
MODULES = ("terraform-modules/k3s-cluster", "terraform-modules/libvirt-vm")


@dataclass(frozen=True)
class _HomeLab:
    """One home lab: its spec, its site, and who builds it.

    What is asked of the host and of k3s' vendor is asked once a command, and only by those that need it:
    a teardown must work without the pool, and asks nobody for releases.
    """

    spec: "LibvirtSpec"
    site: Site
    ssh_keys: Sequence[str]
    hypervisor: Hypervisor
    releases: Releases

    def capacity(self) -> Capacity:
        """What the host has; raises when the pool cannot be used."""
        return self.hypervisor.capacity(pool=self.spec.libvirt.pool)

    @cached_property
    def acceleration(self) -> str:
        """How the host runs machines."""
        return self.capacity().acceleration

    @cached_property
    def pinned(self) -> Release:
        """The k3s that the spec means."""
        return self.releases.resolve(version=self.spec.kubernetes.version, artifacts=self.spec.artifacts)

    def release(self) -> Release:
        """The same, for those who ask when they need it."""
        return self.pinned

    def variables(self, outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Terraform's input. Where no image was ever made, any path does: nothing stands on it."""
        image = outputs.get("image", {}).get("location", f"{self.spec.image.base}.qcow2")
        return terraform_variables(
            self.spec,
            instance=self.site.instance,
            image_path=image,
            acceleration=self.acceleration,
            keys=self.ssh_keys,
            project=self.site.project,
            release=self.pinned,
        )

    def configuration(self) -> Configuration:
        """k3s' own files on each machine."""
        return configuration_of(self.site.project, self.spec, instance=self.site.instance)

    def configuration_inputs(self) -> dict[str, Any]:
        """What those files are made of."""
        return configuration_inputs(self.site.project, self.spec, instance=self.site.instance)

    def inputs(self) -> dict[str, Any]:
        """What the machines are made of, as the fingerprint has it."""
        project = self.site.project
        return {
            "spec": spec_document(self.spec),
            "keys": list(self.ssh_keys),
            "acceleration": self.acceleration,
            "release": asdict(self.pinned),
            "cloud-init": Renderer(project).digest_of(CLOUD_INIT, {}),
            "scripts": first_boot_scripts(project, self.spec),
        }


def blueprint(spec: "LibvirtSpec", *, site: Site, ssh_keys: Sequence[str]) -> Blueprint:
    """The Terraform root and the ordered steps that bring one home lab up."""
    root = RootTemplate(ROOT, MODULES, {})
    request = image_request(
        site.project,
        source=spec.image.source,
        image=spec.image.image or DEFAULT_IMAGE,
        base=spec.image.base,
        builder="qemu",
    )
    hypervisor, machines, releases = _adapters(site.tools)
    lab = _HomeLab(spec, site, ssh_keys, hypervisor, releases)
    wanted = machines_of(spec, site.instance)
    tree = _tree(spec, site)
    publication = publication_of(site, tree) if tree is not None else None
    k3s = K3s(
        site=site,
        hypervisor=hypervisor,
        machines=machines,
        wanted=wanted,
        release=lab.release,
        configured=lab.configuration_inputs,
        configuration=lab.configuration,
        # Flux is handed the cluster from here
        talks_to=str(spec.libvirt.network.cidr) if tree is not None else None,
    )

    def planned(plan: Plan, run: StepRun) -> None:
        require_agreed(plan, run)
        # pods leave the workers that Terraform is about to take away
        k3s.empty_leaving(run)

    steps: list[Step] = [
        Render(project=site.project, root=root, destination=site.folder.terraform),
        EnsureImage(images=site.tools.images, request=request),
        Infra(
            site=site,
            root=root,
            variables=lab.variables,
            inputs=lab.inputs,
            meanwhile=publication.make if publication else None,
            # a pool that is off shows no volumes, and provider 0.9.7 then takes them for gone
            ready=lab.capacity,
            planned=planned,
            one_at_a_time=lambda plan: restarts_several(plan.document),
        ),
        k3s,
        *cluster_steps(site, publication, expected=[m.name for m in wanted], after="k3s"),
    ]
    return Blueprint(steps, root, lab.variables, tree)


def _tree(spec: "LibvirtSpec", site: Site) -> GitOpsTree | None:
    """What Flux is given; None where the spec wants a bare cluster."""
    if spec.gitops.profile != "none":
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
