"""A demo that is armed for real: Terraform's state in moto's S3, its resources in a simulated world."""

import os
import shutil
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from tests.integration.aws_bundle.machine import Machine
from tests.integration.aws_live.codebuild import ActingSwitchboard
from tests.integration.aws_live.leftovers import Leftovers
from tests.integration.aws_live.standing import ACCOUNT, PARTS, REGION, set_up
from tests.system.moto_server import MotoServer
from zave.aws.bundle import InstanceFacts
from zave.aws.identity import identity
from zave.aws.keys import receipt_prefix, state_key
from zave.aws.live.api import Api
from zave.aws.live.builds import environment
from zave.aws.live.cloud import LiveCloud
from zave.aws.live.switchboard import SchedulerSwitchboard
from zave.aws.programs import PackedPrograms, find_kubectl
from zave.clock import SystemClock
from zave.engine.step import StepRun
from zave.platforms.aws_values import (
    MODULES,
    OVERRIDE,
    ROOT,
    instance_tags,
    root_values,
    terraform_variables,
)
from zave.ports.cloud import DestroyerRun, Schedule
from zave.process import ProcessRunner
from zave.project import Project
from zave.rehearsal import shelf
from zave.rehearsal.mirror import install_mirror, platform
from zave.rehearsal.schema import load
from zave.rehearsal.world import World
from zave.spec.aws import AwsSpec
from zave.spec.load import parse_spec, spec_document
from zave.state.directory import StateDirectory
from zave.state.store import StateStore
from zave.steps.render import RootTemplate
from zave.steps.site import Site, Tools
from zave.steps.ttl_switch import TtlSwitch
from zave.tools.terraform import Limits
from zave.tools.terraform_engine import choose_engine
from zave.tools.terraform_factory import BoundTerraform
from zave.tools.terraform_mirror import cli_configuration

INSTANCE = "demo"
TAGS = {"zave:instance": INSTANCE, "zave:environment": "aws-demo", "zave:owner": "me@example.org"}
_SPEC = """
platform: aws-eks
owner: me@example.org
aws: {account: "123456789012", region: us-east-1}
notify: {email: alarms@example.org}
eks: {public_cidrs: [203.0.113.7/32]}
gitops: {repository: "https://git.example.org/me/platform.git", profile: none}
"""
# the rendered backend once more, and how moto is addressed
_BACKEND = """
terraform {
  backend "s3" {
    bucket              = "%s"
    key                 = "%s"
    region              = "%s"
    allowed_account_ids = ["%s"]
    encrypt             = true
    use_lockfile        = true
    use_path_style      = true
  }
}
"""
# the simulated provider as one package, as a vendor's is; where it was packed it uses what was packed with it
_PROVIDER = """#!/bin/sh
cd -P -- "${{0%/*}}" || exit 1
ZAVE_WORLD='{world}'
export ZAVE_WORLD
programs=$(cd ../../../../../.. && pwd)
if [ -d "$programs/packages" ]; then
  exec sh "$programs/interpreter" -c 'import sys; sys.path.insert(0, sys.argv[1])
from zave.rehearsal.plugin import main; sys.exit(main(sys.argv[2:]))' \\
    "$programs/packages" aws "$PWD/certificate.pem" "$programs/packages/zave/rehearsal/catalogue"
fi
exec '{python}' -I -m zave.rehearsal.plugin aws "$PWD/certificate.pem" '{catalogues}'
"""


class _Cloud(LiveCloud):
    """The account, with a CodeBuild that works."""

    acting: ActingSwitchboard

    @property
    def switchboard(self) -> SchedulerSwitchboard:
        return self.acting


def _switch(spec: AwsSpec, site: Site, cloud: LiveCloud) -> TtlSwitch:
    """The step that arms, over a root that is rendered; as `zave.platforms.aws_eks` makes it."""
    backend = _BACKEND % (PARTS.bucket, state_key(INSTANCE), REGION, ACCOUNT)
    values = root_values(spec, instance=INSTANCE, account=ACCOUNT)
    root = RootTemplate(ROOT, MODULES, values, {OVERRIDE: backend})
    root.write(site.project, site.folder.terraform)
    named = {"instance": INSTANCE, "environment": "aws-demo", "creation": "2026-11-23T12:00:00Z"}
    facts = InstanceFacts(
        instance=INSTANCE,
        environment="aws-demo",
        creation=named["creation"],
        account=ACCOUNT,
        region=REGION,
        longest_apply=1800,
        tags=instance_tags(spec, **named),
    )
    return TtlSwitch(
        site=site,
        cloud=cloud,
        root=root,
        variables=lambda outputs: terraform_variables(spec, **named, account=ACCOUNT),
        facts=lambda: facts,
        spec=spec_document(spec),
        ttl=48 * 3600.0,
        beside=lambda run: nullcontext(),
    )


@dataclass
class Demo:
    """One demo. `said` is what its builds said, the last one's at the end."""

    folder: Path
    server: MotoServer
    machine: Machine

    def __post_init__(self) -> None:
        self.said: list[str] = []
        self.api = Api(region=REGION, endpoint_url=self.server.url, attempts=1)
        self.cloud = _Cloud(self.api, clock=SystemClock(), account=ACCOUNT)
        self.cloud.acting = ActingSwitchboard(
            self.api, server=self.server, clock=SystemClock(), act=self._act
        )
        self.world = self.folder / "world" / "world.db"
        self.world.parent.mkdir(mode=0o700)
        self.runner = ProcessRunner()
        self.programs = self._programs()

    def schedule(self) -> Schedule:
        found = self.cloud.switchboard.schedule(INSTANCE)
        assert found is not None
        return found

    def up(self) -> None:
        """An account that is set up, a switch that is armed and proven, and Terraform's resources."""
        set_up(self.api)
        directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(self.folder / "state")}, rehearsal=False)
        directory.prepare()
        store = StateStore.open(directory, clock=SystemClock())
        try:
            self._up(directory, store)
        finally:
            store.close()

    def _up(self, directory: StateDirectory, store: StateStore) -> None:
        spec = parse_spec(_SPEC, where="environment.yaml")
        assert isinstance(spec, AwsSpec)
        folder = directory.instance(INSTANCE)
        folder.prepare()
        site = Site(
            instance=INSTANCE,
            folder=folder,
            project=Project(),
            store=store,
            tools=self._tools(folder.survivors),
            limits={"nodes": 1.0, "gitops": 1.0},
            state_folder=folder.terraform,
            environment="aws-demo",
            label_rehearsal=False,
        )
        run = StepRun("20261123T120000-abcdef", folder.logs / "log", lambda event: None, {})
        _switch(spec, site, self.cloud).do(run)
        terraform = site.tools.terraform(root=folder.terraform, log=run.log)
        terraform.init()
        terraform.apply(terraform.plan())

    def _tools(self, survivors: Path) -> Tools:
        mirror = self._mirror()
        terraform = BoundTerraform(
            engine=self.programs.engine,
            runner=self.runner,
            environment={
                "TF_CLI_CONFIG_FILE": str(cli_configuration(mirror, self.folder / "providers.tfrc")),
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_ENDPOINT_URL": self.server.url,
            },
            survivors=survivors,
            limits=Limits(),
            relock=False,
        )
        nothing = cast(Any, None)
        return Tools(
            terraform=terraform,
            inventory=self.cloud.inventory,
            hypervisor=None,
            images=nothing,
            cluster=nothing,
            clock=SystemClock(),
            cloud=self.cloud,
            identify=identity,
            programs=self.programs,
        )

    def _programs(self) -> PackedPrograms:
        engine = choose_engine(
            runner=self.runner, environment=os.environ, cache=self.folder / "tool-versions.json"
        )
        return PackedPrograms(self.folder / "programs", engine, find_kubectl(os.environ.get("PATH")))

    def _mirror(self) -> Path:
        """The simulated AWS provider in a mirror, all of it in one package."""
        made = install_mirror(self.folder / "made")
        catalogue = load("aws", folder=shelf.FOLDER)
        mirror = self.folder / "mirror"
        package = mirror / catalogue.address / catalogue.version / platform()
        package.mkdir(parents=True)
        shutil.copy(made.with_name("certificate.pem"), package)
        program = package / f"terraform-provider-aws_v{catalogue.version}"
        text = _PROVIDER.format(world=self.world, python=sys.executable, catalogues=shelf.FOLDER)
        program.write_text(text)
        program.chmod(0o700)
        return mirror

    # the end

    def _act(self, run: DestroyerRun, schedule: Schedule) -> str:
        code, said = self.machine.build(environment(schedule, mode=run.mode), run=run.id)
        self.said.append(said)
        return "" if code == 0 else f"exit code {code}: {said[-2000:]}"

    def let_it_expire(self) -> None:
        """Time cannot be passed in moto: the expiry is moved to where the cloud's clock is."""
        now = self.api.call("scheduler", "get_schedule", GroupName=PARTS.group, Name=INSTANCE)
        names = ("GroupName", "Name", "ScheduleExpression", "State", "FlexibleTimeWindow", "Target")
        kept = {name: now[name] for name in names}
        past = SystemClock().now() - timedelta(minutes=4)
        self.api.call("scheduler", "update_schedule", StartDate=past, **kept)

    def leave(self, instance: str, *, cidr: str) -> None:
        """What an EKS demo leaves behind, of that instance."""
        Leftovers(self.api, instance, tags={**TAGS, "zave:instance": instance}, cidr=cidr).make()

    # what there is

    def things(self) -> list[str]:
        """What Terraform made, in the simulated world."""
        world = World.open(self.world)
        try:
            return sorted(f"{each.type} {each.name}" for each in world.things() if not each.pending)
        finally:
            world.close()

    def items(self, instance: str) -> list[str]:
        """What the account shows of an instance, and does not go by itself."""
        found = self.cloud.inventory.items()
        return sorted(f"{i.type} {i.id}" for i in found if i.owner == instance and i.state == "present")

    def receipts(self) -> list[bytes]:
        found = self.cloud.bucket.list(receipt_prefix(INSTANCE))
        return [self.cloud.bucket.get(each.key) or b"" for each in found]
