"""Platform `aws-eks`: EKS in the user's own account, with an end that it cannot outlive."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zave.aws.bundle import InstanceFacts
from zave.aws.cluster_made import ClusterFirst, made_by_cluster
from zave.aws.findings import Finding, Wanted, Window, stopped
from zave.aws.locks import LONGEST_APPLY
from zave.aws.places import Place, look_at_places
from zave.aws.preconditions import look
from zave.aws.sweep import read_baseline
from zave.clock import rfc3339
from zave.cost.catalogue import Catalogue, Range, Support
from zave.cost.estimate import Estimate, estimate
from zave.cost.ledger import keep_estimate
from zave.engine.step import Step, StepRun
from zave.errors import PreconditionError
from zave.events import Notice
from zave.gitops.tree import GitOpsTree, tree_of
from zave.platforms.aws_values import (
    MODULES,
    OVERRIDE,
    ROOT,
    instance_tags,
    root_values,
    terraform_variables,
)
from zave.platforms.blueprint import Blueprint, cluster_steps, publication_of
from zave.platforms.karpenter import karpenter_limit, node_pools
from zave.ports.cloud import Cloud
from zave.spec.load import spec_document
from zave.state.store import StateStore
from zave.steps.infra import Infra
from zave.steps.render import Render, RootTemplate
from zave.steps.site import Site, Tools
from zave.steps.state_backend import StateBackend
from zave.steps.ttl_switch import TtlSwitch
from zave.tools.terraform import Plan

if TYPE_CHECKING:
    from zave.project import Project
    from zave.spec import AwsSpec


def priced_plan(document: Mapping[str, Any], spec: "AwsSpec", *, ttl: float, site: Site) -> Estimate:
    """What stands after the plan in `document` will cost. `ttl` in seconds, counted from now."""
    catalogue = Catalogue.load(spec.aws.region, refreshed=site.store.prices)
    return estimate(
        document,
        spec,
        ttl_hours=ttl / 3600,
        at=site.tools.clock.now(),
        catalogue=catalogue,
        karpenter=node_pools(site.project) if spec.gitops.profile != "none" else (),
    )


def lifetime(spec: "AwsSpec", site: Site) -> float:
    """Seconds from making to end: as recorded once the switch is armed, before that as asked for."""
    record = site.store.instance(site.instance)
    # of one that the switch destroyed the end stays on record
    if record is not None and record.phase != "destroyed" and record.expires_at is not None:
        return (record.expires_at - record.created_at).total_seconds()
    return spec.ttl.default if site.ttl is None else site.ttl


def look_for(
    spec: "AwsSpec", *, instance: str, project: "Project", tools: Tools, store: StateStore
) -> list[Finding]:
    """What must be so before anything is made, looked at in the account. Raises as `preconditions.look`."""
    if tools.cloud is None or tools.facts is None:
        raise PreconditionError("no cloud is at hand for an aws-eks environment")
    held = any(each.state != "gone" for each in store.resources(instance))
    catalogue = Catalogue.load(spec.aws.region, refreshed=store.prices)
    wanted = wanted_by(spec, instance=instance, project=project, catalogue=catalogue, stands=held)
    found = look(tools.cloud, tools.facts, wanted, clock=tools.clock)
    if not stopped(found):
        found += look_at_places(tools.facts, zone=_zone(spec), backups=_backups(spec))
    return found


def wanted_by(
    spec: "AwsSpec", *, instance: str, project: "Project", catalogue: Catalogue, stands: bool
) -> Wanted:
    """What an instance of the spec will take from its account."""
    support, extended = catalogue.support(spec.eks.version), catalogue.rate("eks.extended")
    # the rate is that of the surcharge, which comes on top of the cluster's own
    surcharge = extended.usd.expected if extended else None
    karpenter = spec.eks.karpenter and spec.gitops.profile != "none"
    return Wanted(
        instance=instance,
        owner=spec.owner,
        account=spec.aws.account,
        version=spec.eks.version,
        instance_types=spec.eks.nodes.instance_types,
        nodes=spec.eks.nodes.maximum,
        spot=spec.eks.nodes.spot,
        addresses=1 if spec.network.nat == "single" else 0,
        window=None if support is None else _window(support, surcharge),
        stands=stands,
        karpenter=karpenter_limit(node_pools(project)) if karpenter else 0,
        public_cidrs=spec.eks.public_cidrs,
        administrators=spec.eks.administrators,
    )


def _zone(spec: "AwsSpec") -> Place | None:
    zone, domain = spec.ingress.zone, spec.ingress.domain
    if "external-dns" not in spec.gitops.extras or zone is None or domain is None:
        return None
    return Place(zone, domain)


def _backups(spec: "AwsSpec") -> Place | None:
    if "velero" not in spec.gitops.extras:
        return None
    given = spec.gitops.variables
    return Place(given["velero_bucket"], given["velero_region"])


def _window(support: Support, surcharge: float | None) -> Window:
    standard, extended = support.standard_until, support.extended_until
    return Window(
        None if standard is None else standard.date(),
        None if extended is None else extended.date(),
        surcharge,
    )


@dataclass(frozen=True)
class _Demo:
    """One demo: whose it is, since when, and until when (`ttl` in seconds)."""

    spec: "AwsSpec"
    site: Site
    account: str
    environment: str
    creation: str
    ttl: float

    def variables(self, _outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Terraform's input: all of it follows from the spec."""
        return terraform_variables(
            self.spec,
            instance=self.site.instance,
            environment=self.environment,
            account=self.account,
            creation=self.creation,
        )

    def facts(self) -> InstanceFacts:
        """What the destroyer must know, when nothing of the user's is at hand."""
        instance, environment = self.site.instance, self.environment
        return InstanceFacts(
            instance=instance,
            environment=environment,
            account=self.account,
            region=self.spec.aws.region,
            creation=self.creation,
            longest_apply=int(LONGEST_APPLY),
            label_rehearsal=self.site.label_rehearsal,
            tags=self.tags(),
        )

    def tags(self) -> dict[str, str]:
        """What everything of the demo's carries, so that the switch and the sweep know it."""
        return instance_tags(
            self.spec, instance=self.site.instance, environment=self.environment, creation=self.creation
        )

    def priced(self, plan: Plan, run: StepRun) -> None:
        """Tell and keep what a plan will cost, before it is applied."""
        if not plan.document:
            return
        ttl = lifetime(self.spec, self.site)
        found = priced_plan(plan.document, self.spec, ttl=ttl, site=self.site)
        keep_estimate(self.site.store, self.site.instance, found.document())
        for warning in found.warnings:
            run.emit(Notice("warning" if "support" in warning else "info", warning, step=run.step))
        if found.lines:
            run.say(f"this will cost {_range(found.ttl)} until its end, {_range(found.month)} in a month")
            if found.unpriced:
                run.say(f"without a price: {', '.join(found.unpriced)}")
        else:
            text = f"what this costs is NOT KNOWN: there is no rate of {self.spec.aws.region}"
            run.emit(
                Notice("warning", text, step=run.step, resolution="zave prices update asks AWS for them")
            )


def _range(usd: Range) -> str:
    return f"about {usd.expected:.2f} USD ({usd.low:.2f} to {usd.high:.2f})"


def blueprint(spec: "AwsSpec", *, site: Site) -> Blueprint:
    """The Terraform root and the ordered steps that bring one demo up."""
    instance, cloud = site.instance, site.tools.cloud
    if cloud is None:
        raise PreconditionError("no cloud is at hand for an aws-eks environment")
    demo = _demo(spec, site, cloud)
    extra = {OVERRIDE: site.backend_override} if site.backend_override is not None else {}
    root = RootTemplate(ROOT, MODULES, root_values(spec, instance=instance, account=demo.account), extra)
    document = spec_document(spec)
    tree = _tree(demo)
    publication = None if tree is None else publication_of(site, tree)
    infra = Infra(
        site=site,
        root=root,
        variables=demo.variables,
        inputs=lambda: document,
        meanwhile=None if publication is None else publication.make,
        planned=demo.priced,
        cluster_first=ClusterFirst(
            site.tools.inventory,
            site.tools.clock,
            instance,
            baseline=lambda: read_baseline(cloud.bucket, instance),
        ),
        needs=("ttl-switch",),
    )
    steps: list[Step] = [
        StateBackend(
            cloud=cloud,
            instance=instance,
            account=spec.aws.account,
            look=lambda: look_for(
                spec, instance=instance, project=site.project, tools=site.tools, store=site.store
            ),
        ),
        Render(project=site.project, root=root, destination=site.folder.terraform),
        _switch(demo, cloud, root, spec=document, beside=infra),
        infra,
        *cluster_steps(
            site,
            publication,
            expected=spec.eks.nodes.minimum,
            outside=lambda: made_by_cluster(site.tools.inventory, instance),
        ),
    ]
    return Blueprint(steps, root, demo.variables, tree)


def _switch(
    demo: _Demo, cloud: Cloud, root: RootTemplate, *, spec: Mapping[str, Any], beside: Infra
) -> TtlSwitch:
    """The step that arms and proves the switch, while Terraform plans `beside` it."""
    return TtlSwitch(
        site=demo.site,
        cloud=cloud,
        root=root,
        variables=demo.variables,
        facts=demo.facts,
        spec=spec,
        ttl=demo.ttl,
        beside=beside.planning_ahead,
        warn=tuple(demo.spec.ttl.warn),
        maximum=demo.spec.ttl.maximum,
        email=demo.spec.notify.email,
    )


def _tree(demo: _Demo) -> GitOpsTree | None:
    """What is handed to Flux; None for a bare cluster."""
    spec, site = demo.spec, demo.site
    if spec.gitops.profile == "none":
        return None
    folder = site.folder.gitops
    return tree_of(site.project, spec, instance=site.instance, destination=folder, tags=demo.tags())


def _demo(spec: "AwsSpec", site: Site, cloud: Cloud) -> _Demo:
    record = site.store.instance(site.instance)
    return _Demo(
        spec=spec,
        site=site,
        account=spec.aws.account or cloud.caller().account,
        environment=site.environment if record is None else record.environment,
        # of the record where there is one: it must not change while the instance stands
        creation=rfc3339(site.tools.clock.now() if record is None else record.created_at),
        ttl=spec.ttl.default if site.ttl is None else site.ttl,
    )
