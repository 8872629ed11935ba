"""The adapters of real AWS accounts, chosen by `cli/real.py`. boto3 is imported when a call is made."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zave.cli.real_credentials import credentials, usual_region
from zave.errors import PreconditionError, SpecError, StepFailedError, ToolMissingError, UsageError
from zave.installation import pip_install
from zave.state.records import STANDING

if TYPE_CHECKING:
    from zave.aws.live.api import Api, Assumption
    from zave.aws.live.cloud import LiveCloud
    from zave.aws.live.eks import EksCluster
    from zave.aws.live.facts import LiveFacts
    from zave.aws.live.prices import LivePrices
    from zave.aws.live.registry import EcrRegistry
    from zave.cli.real_flux import Handover
    from zave.clock import Clock
    from zave.images.builder import AllImages
    from zave.lifecycle.inventory import Seen, Source
    from zave.ports.flux import Flux
    from zave.process import ProcessRunner
    from zave.spec import AwsSpec
    from zave.state.directory import InstanceFolder
    from zave.state.records import InstanceRecord
    from zave.state.store import StateStore
    from zave.steps.site import Tools
    from zave.tools.skopeo import Skopeo
    from zave.tools.terraform_factory import BoundTerraform

BoundWith = Callable[["InstanceFolder", Mapping[str, str]], "BoundTerraform"]

# all that Terraform's SDK needs to find the same credentials as boto3 does (AWS SDKs and Tools reference
# guide, "Environment variables"); endpoints, too: whoever sends boto3 elsewhere means Terraform as well
_HANDED_ON = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_CA_BUNDLE",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
)
_ENDPOINT = "AWS_ENDPOINT_URL"
# what the switch's project tells its builds (terraform-modules/aws-ttl/destroyer.tf)
_ROLE, _BUCKET = "ZAVE_DESTROYER_ROLE", "ZAVE_BUCKET"


def own_variables() -> dict[str, str]:
    """The user's AWS variables, as far as a program that works in the account needs them."""
    return {
        name: value for name, value in os.environ.items() if name in _HANDED_ON or name.startswith(_ENDPOINT)
    }


@dataclass
class Accounts:
    """Accounts by region, as the caller's credentials show them.

    `terraform` makes a Terraform with variables on top of the usual ones; `images` finds AMIs; `lock` is
    the file of pinned accounts, `programs` the folder of what the destroyer was packed of; `handover` leads
    to Flux.
    """

    runner: "ProcessRunner"
    clock: "Clock"
    terraform: BoundWith
    images: "Callable[[], AllImages]"
    lock: Path
    programs: Path
    handover: "Handover"
    _apis: dict[tuple[str, bool], "Api"] = field(default_factory=dict, init=False)

    def api(self, region: str, *, patient: bool = True) -> "Api":
        """Calls of one region; one adapter for all who ask, as its session signs in once.

        Raises ToolMissingError without boto3.
        """
        if (region, patient) not in self._apis:
            self._apis[region, patient] = new_api(region, patient=patient)
        return self._apis[region, patient]

    def cloud(self, spec: "AwsSpec", *, patient: bool = True) -> "LiveCloud":
        """The spec's account in its region. Another one's is refused before anything in it is looked at."""
        from zave.aws.live.cloud import LiveCloud

        api = self.api(spec.aws.region, patient=patient)
        state, account = spec.state, spec.aws.account
        return LiveCloud(api, clock=self.clock, bucket=state.bucket, account=account, lock=state.lock)

    def facts(self, region: str) -> "LiveFacts":
        """What AWS says of the account beside what exists in it."""
        from zave.aws.live.facts import LiveFacts

        return LiveFacts(self.api(region))

    def prices(self, region: str) -> "LivePrices":
        """Who tells prices."""
        from zave.aws.live.prices import LivePrices

        return LivePrices(self.api(region))

    def pinned(self, environment: str, spec: "AwsSpec") -> "AwsSpec":
        """`spec` with the account that was pinned for its environment, where it leaves that open."""
        if spec.aws.account is not None:
            return spec
        from zave.aws.pinned import pinned_account
        from zave.spec.load import spec_document, spec_from_document

        account = pinned_account(self.lock, environment)
        if account is None:
            return spec
        document = dict(spec_document(spec))
        document["aws"] = {**document["aws"], "account": account}
        found = spec_from_document(document, where=str(self.lock))
        return found if found.platform == "aws-eks" else spec

    def settle(self, environment: str, spec: "AwsSpec", *, ask: Callable[[str], None] | None) -> None:
        """Ask once which account an environment lives in, and pin the answer; told on stderr."""
        if self.pinned(environment, spec).aws.account is not None:
            return
        from zave.aws.pinned import pin_account

        caller = self.cloud(spec).caller()
        if ask is not None:
            ask(f"{environment} names no AWS account. Use {caller.account} ({caller.arn}) from now on?")
        pin_account(self.lock, environment, caller.account)
        sys.stderr.write(f"{environment} lives in account {caller.account} from now on ({self.lock})\n")

    def demo(self, spec: "AwsSpec", folder: "InstanceFolder", *, patient: bool = True) -> "Tools":
        """The adapters for one instance, or for an account's standing parts.

        Not `patient` is who only wants to show what it finds: a call that fails is not repeated.
        """
        region = spec.aws.region
        environment = {**own_variables(), "AWS_REGION": region}
        api, cloud = self.api(region, patient=patient), self.cloud(spec, patient=patient)
        return self._tools(spec, folder, api, cloud, environment)

    def destroyer(self, spec: "AwsSpec", folder: "InstanceFolder", *, instance: str, work: Path) -> "Tools":
        """The adapters of the destroyer: the role that the switch's project names, tagged for `instance`.

        Without such a name, that is by hand, the caller's own credentials. `work` is private.
        """
        from zave.aws.live.api import Assumption
        from zave.aws.live.cloud import LiveCloud
        from zave.aws.live.session import environment_for

        role, region = os.environ.get(_ROLE), spec.aws.region
        if not role:
            return self.demo(spec, folder)
        assume = Assumption(role, f"zave-{instance}", {"instance": instance})
        api = new_api(region, assume=assume)
        bucket = os.environ.get(_BUCKET) or spec.state.bucket
        cloud = LiveCloud(api, clock=self.clock, bucket=bucket, lock=spec.state.lock)
        environment = environment_for(assume, region=region, folder=work, own=own_variables())
        return self._tools(spec, folder, api, cloud, environment)

    def registry(
        self, spec: "AwsSpec", *, scratch: Path, source_auth: Path | None
    ) -> "tuple[EcrRegistry, Skopeo]":
        """The registry of the spec's account, and skopeo, which works in `scratch`, a private folder."""
        from zave.aws.live.registry import EcrRegistry
        from zave.tools.skopeo import Skopeo

        cloud = self.cloud(spec)
        registry = EcrRegistry(self.api(spec.aws.region), account=lambda: cloud.parts.account)
        skopeo = Skopeo.find(
            runner=self.runner,
            scratch=scratch,
            authorization=registry.authorization,
            source_auth=source_auth,
        )
        return registry, skopeo

    def sources(self, store: "StateStore", *, regions: Iterable[str] = ()) -> "list[Source]":
        """Each account and region of an instance that stands; for whoever is signed in the usual one, too.

        `regions` are others where somebody signed in may have a demo, recorded or not; so is where one was
        destroyed, in whatever account.
        """
        from zave.lifecycle.inventory import Source
        from zave.spec.load import spec_from_document

        found: dict[tuple[str, str], Callable[[], LiveCloud]] = {}
        others, unread = set(regions), list[Source]()
        for summary in store.instances():
            record = store.instance(summary.name)
            if record is None or record.platform != "aws-eks" or record.phase == "absent":
                continue
            try:
                spec = spec_from_document(record.spec, where=f"record of {record.name}")
            except SpecError as error:
                unread.append(_unreadable(record.name, error))
                continue
            if spec.platform != "aws-eks":
                continue
            if record.phase in STANDING:
                found.setdefault((spec.aws.region, spec.aws.account or ""), partial(self.cloud, spec))
            else:
                others.add(spec.aws.region)
        places = [(f"AWS {region}", cloud) for (region, _), cloud in sorted(found.items(), key=itemgetter(0))]
        if credentials().found:
            own = self._own_account() if found else None
            known = {region for region, account in found if account in ("", own)}
            for region in sorted({usual_region(), *others} - known):
                places.append((f"AWS {region}", partial(self._usual_cloud, region)))
        return [*unread, *(Source(name, _asked(cloud), account=True) for name, cloud in places)]

    def source_of(self, record: "InstanceRecord") -> "Source":
        """Where the instance on record lives."""
        from zave.lifecycle.inventory import Source
        from zave.spec.load import spec_from_document

        spec = spec_from_document(record.spec, where=f"record of {record.name}")
        if spec.platform != "aws-eks":
            raise UsageError(f"{record.name} does not live in AWS")
        return Source(f"AWS {spec.aws.region}", _asked(partial(self.cloud, spec)), account=True)

    def _own_account(self) -> str | None:
        """Whose the credentials are; None when that cannot be told, which the places say themselves."""
        try:
            return self._usual_cloud(usual_region()).caller().account
        except (PreconditionError, StepFailedError):
            return None

    def _usual_cloud(self, region: str) -> "LiveCloud":
        from zave.aws.live.cloud import LiveCloud

        return LiveCloud(self.api(region), clock=self.clock)

    def _tools(
        self,
        spec: "AwsSpec",
        folder: "InstanceFolder",
        api: "Api",
        cloud: "LiveCloud",
        environment: Mapping[str, str],
    ) -> "Tools":
        from zave.aws.identity import identity
        from zave.aws.live.facts import LiveFacts
        from zave.aws.programs import PackedPrograms, find_kubectl
        from zave.steps.site import Tools

        cluster, terraform = self._cluster(api), self.terraform(folder, environment)
        handed_over = spec.gitops.profile != "none"
        return Tools(
            terraform=terraform,
            inventory=cloud.inventory,
            hypervisor=None,
            images=self.images(),
            cluster=cluster,
            clock=self.clock,
            cloud=cloud,
            identify=identity,
            facts=LiveFacts(api),
            flux=self._flux(cluster, folder, environment) if handed_over else None,
            repository=self.handover.repository(spec, folder) if handed_over else None,
            programs=PackedPrograms(self.programs, terraform.engine, find_kubectl(os.environ.get("PATH"))),
        )

    def _cluster(self, api: "Api") -> "EksCluster":
        from zave.aws.live.eks import EksCluster
        from zave.tools.kubectl import Kubectl

        return EksCluster(
            api,
            runner=self.runner,
            kubectl=lambda: Kubectl.find(self.runner).path,
            profile=os.environ.get("AWS_PROFILE"),
        )

    def _flux(
        self, cluster: "EksCluster", folder: "InstanceFolder", environment: Mapping[str, str]
    ) -> "Flux":
        from zave.cli.real_flux import ShortLived

        way = ShortLived(cluster, folder.root / "kubeconfig.short-lived", self.clock)
        return self.handover.flux(folder, kubeconfig=way, environment=environment)


def new_api(region: str, *, patient: bool = True, assume: "Assumption | None" = None) -> "Api":
    """Calls of a region. Raises ToolMissingError without boto3."""
    from importlib.util import find_spec

    if find_spec("boto3") is None:
        raise ToolMissingError(
            "boto3 is not installed, and AWS is asked by it", resolution=pip_install("aws")
        )
    from zave.aws.live.api import Api

    if patient:
        return Api(region=region, assume=assume)
    return Api(region=region, assume=assume, attempts=1)


def _asked(cloud: "Callable[[], LiveCloud]") -> "Callable[[], Seen]":
    """What a sweep asks of a cloud: everything in it, and which instances there have a switch."""
    from zave.lifecycle.inventory import Seen

    def ask() -> Seen:
        found = cloud()
        armed = frozenset(schedule.instance for schedule in found.switchboard.schedules())
        return Seen(found.inventory, tuple(found.inventory.items()), armed, found.region)

    return ask


def _unreadable(instance: str, error: SpecError) -> "Source":
    """A record that hides where its instance lives: it must not hide the others."""
    from zave.lifecycle.inventory import Source

    def ask() -> "Seen":
        raise PreconditionError(
            f"the record of {instance} cannot be read: {error.brief}",
            details=error.details,
            resolution=error.resolution,
        )

    return Source(f"AWS, for {instance}", ask, account=True)


def ec2_client() -> Any:
    """EC2 by boto3, for AMIs."""
    import boto3

    return boto3.client("ec2", region_name=usual_region())
