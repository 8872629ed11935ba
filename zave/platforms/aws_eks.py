"""Platform `aws-eks`: EKS in the user's own account, with an end that it cannot outlive."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from zave.aws.bundle import InstanceFacts
from zave.aws.locks import LONGEST_APPLY
from zave.clock import rfc3339
from zave.cost.catalogue import Catalogue
from zave.cost.estimate import Estimate, estimate
from zave.cost.ledger import keep_estimate
from zave.engine.step import Step, StepRun
from zave.errors import PreconditionError
from zave.events import Notice
from zave.gitops.tree import render_tree
from zave.platforms.aws_values import MODULES, OVERRIDE, ROOT, instance_tags, root_values, terraform_variables
from zave.platforms.blueprint import Blueprint
from zave.spec.load import spec_document
from zave.steps.gitops import GitOps
from zave.steps.infra import Infra
from zave.steps.kubeconfig import Kubeconfig
from zave.steps.render import Render, RootTemplate
from zave.steps.site import Site
from zave.steps.state_backend import StateBackend
from zave.steps.ttl_switch import TtlSwitch
from zave.steps.verify import Verify
from zave.tools.terraform import Plan

if TYPE_CHECKING:
    from zave.spec import AwsSpec


def priced_plan(document: Mapping[str, Any], spec: "AwsSpec", *, ttl: float, at: datetime) -> Estimate:
    """What stands after the plan in `document` will cost. `ttl` in seconds, counted from `at`."""
    return estimate(document, spec, ttl_hours=ttl / 3600, at=at, catalogue=Catalogue.load(spec.aws.region))


def blueprint(spec: "AwsSpec", *, site: Site) -> Blueprint:
    """The Terraform root and the ordered steps that bring one demo up."""
    instance, tools, folder = site.instance, site.tools, site.folder
    cloud = tools.cloud
    if cloud is None:
        raise PreconditionError("no cloud is at hand for an aws-eks environment")
    # the tools' clock, not the record's own moment: a fresh record has the same one
    record = site.store.instance(instance)
    creation = rfc3339(record.created_at if record is not None else tools.clock.now())
    account = spec.aws.account or cloud.caller().account
    environment = record.environment if record is not None else site.environment
    extra = {OVERRIDE: site.backend_override} if site.backend_override is not None else {}
    root = RootTemplate(ROOT, MODULES, root_values(spec, instance=instance, account=account), extra)
    document = spec_document(spec)

    def variables(_outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        return terraform_variables(
            spec, instance=instance, environment=environment, account=account, creation=creation
        )

    def facts() -> InstanceFacts:
        return InstanceFacts(
            instance=instance,
            environment=environment,
            account=account,
            region=spec.aws.region,
            creation=creation,
            longest_apply=int(LONGEST_APPLY),
            label_rehearsal=site.label_rehearsal,
            tags=instance_tags(spec, instance=instance, environment=environment, creation=creation),
        )

    ttl = site.ttl if site.ttl is not None else spec.ttl.default

    def priced(plan: Plan, run: StepRun) -> None:
        if plan.document:
            found = priced_plan(plan.document, spec, ttl=ttl, at=tools.clock.now())
            keep_estimate(site.store, instance, found.document())
            for warning in found.warnings:
                run.emit(Notice("warning" if "support" in warning else "info", warning, step=run.step))
            run.say(f"this will cost about {found.ttl.expected:.2f} USD until its end")

    tree = render_tree(site.project, spec, instance=instance, destination=folder.gitops)
    steps: list[Step] = [
        StateBackend(cloud=cloud, instance=instance, account=spec.aws.account),
        Render(project=site.project, root=root, destination=folder.terraform),
        TtlSwitch(
            site=site,
            cloud=cloud,
            root=root,
            variables=variables,
            facts=facts,
            spec=document,
            ttl=ttl,
        ),
        Infra(
            site=site,
            root=root,
            variables=variables,
            inputs=document,
            planned=priced,
            needs=("ttl-switch",),
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
            expected=spec.eks.nodes.minimum,
            limit=site.limits["nodes"],
        ),
    ]
    return Blueprint(steps, root, variables)
