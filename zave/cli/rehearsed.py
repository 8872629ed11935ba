"""The rehearsal's adapters, all of them: what `cli/context.py` chooses where `--rehearse` is given."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from zave.ports import Request
from zave.rehearsal.world import World
from zave.settings import Settings
from zave.state.directory import InstanceFolder, StateDirectory

if TYPE_CHECKING:
    from zave.lifecycle import inventory
    from zave.ports.flux import Repository, Source
    from zave.process import ProcessRunner
    from zave.rehearsal.cloud import SimulatedCloud
    from zave.rehearsal.registry import SimulatedRegistry
    from zave.spec import AwsSpec, LibvirtSpec
    from zave.steps.site import Tools
    from zave.tools.terraform_factory import BoundTerraform

# a rehearsal's programs take seconds: what takes minutes hangs
_STEP_TIMEOUT = 120
_GRACE = 10.0
# the destroyer's child rehearses a whole teardown
_DESTROYER_TIMEOUT = 300.0
# whose account it is while the spec does not say; AWS's own documentation uses this number
_ACCOUNT = "123456789012"
_REGION = "us-east-1"

SSH_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA rehearsal-opens-nothing"
)
"""A key that opens nothing, for machines without any; says so itself."""


@dataclass(frozen=True)
class _BesideTheWorld:
    """The repository of every rehearsal, whatever its spec names: nothing remote is asked.

    What it takes is imported when there is something to publish: that is done while Terraform plans.
    """

    folder: Path
    branch: str
    runner: "ProcessRunner"

    def publish(self, *, tree: Path, instance: str, names: Sequence[str], why: str) -> "Source":
        """As `zave.ports.flux.Repository` says; with Git where there is Git."""
        return self._repository().publish(tree=tree, instance=instance, names=names, why=why)

    def beside(self, *, instance: str) -> str:
        """Nothing: a rehearsal's cluster reads no secrets."""
        return ""

    def _repository(self) -> "Repository":
        import shutil

        if shutil.which("git") is None:
            from zave.rehearsal.repository import SimulatedRepository

            return SimulatedRepository(self.branch)
        from zave.gitops.repository import LocalRepository
        from zave.tools.git import Git

        return LocalRepository(
            self.folder, self.branch, lambda: Git.find(runner=self.runner, scratch=self.folder / "scratch")
        )


def _region_told(attributes: Mapping[str, object]) -> str | None:
    """Where a thing is, as it says itself; IAM's and budgets are in no region."""
    parts = str(attributes.get("arn") or "").split(":")
    told = attributes.get("region") or (parts[3] if len(parts) > 3 else None)
    return str(told) if told else None


class Rehearsed:
    """Simulated hypervisor, cloud, cluster and images in one world; Terraform is the real one."""

    def __init__(self, directory: StateDirectory, settings: Settings, runner: "ProcessRunner") -> None:
        self._directory = directory
        self._settings = settings
        self._runner = runner

    @cached_property
    def world(self) -> World:
        """The simulated world: the caller's own, or the one that a simulated cloud hands its builds."""
        handed = os.environ.get("ZAVE_WORLD")
        self._directory.prepare()
        world = World.open(Path(handed) if handed else self._directory.world)
        if self._settings.origins["speed"] != "default":
            world.clock.set_speed(self._settings.speed)
        return world

    def close(self) -> None:
        """Close the world, if it was ever opened."""
        if "world" in self.__dict__:
            self.world.close()

    def tools(self, spec: "LibvirtSpec | AwsSpec", folder: InstanceFolder) -> "Tools":
        """The adapters for one instance of the spec's platform."""
        from zave.rehearsal.cluster import SimulatedCluster
        from zave.rehearsal.flux import SimulatedFlux
        from zave.rehearsal.hypervisor import SimulatedHypervisor
        from zave.rehearsal.images import SimulatedImages
        from zave.steps.site import Tools

        common = {
            "terraform": self._terraform(folder),
            "images": SimulatedImages(self.world),
            "cluster": SimulatedCluster(self.world),
            "clock": self.world.clock,
            "flux": SimulatedFlux(self.world, tree=lambda name: folder.root.with_name(name) / "gitops"),
            "repository": _BesideTheWorld(self.world.folder / "repository", spec.gitops.branch, self._runner),
        }
        if spec.platform == "libvirt-k3s":
            from zave.k3s.versions import check_step
            from zave.rehearsal.machines import SimulatedMachines, SimulatedReleases

            def check(present: str, release: str, machine: str) -> None:
                check_step(present, release, machine=machine)

            hypervisor = SimulatedHypervisor(self.world)
            return Tools(
                **common,  # type: ignore[arg-type]
                inventory=hypervisor,
                hypervisor=hypervisor,
                machines=SimulatedMachines(self.world, instance=folder.root.name, check=check),
                releases=SimulatedReleases(),
            )
        from zave.aws.identity import identity
        from zave.platforms.aws_values import bucket_name
        from zave.rehearsal.facts import SimulatedFacts

        account = spec.aws.account or _ACCOUNT
        cloud = self.cloud(region=spec.aws.region, account=account, bucket=bucket_name(spec, account=account))
        return Tools(
            **common,  # type: ignore[arg-type]
            inventory=cloud.inventory,
            hypervisor=None,
            cloud=cloud,
            identify=identity,
            facts=SimulatedFacts(self.world),
        )

    def sources(self) -> "list[inventory.Source]":
        """Everything that can be swept: the host, and each region of the account that anything is in."""
        from zave.lifecycle.inventory import Source
        from zave.rehearsal.hypervisor import SimulatedHypervisor

        found = [Source.of(SimulatedHypervisor(self.world))]
        things = self.world.things(provider="aws")
        regions = {_region_told(thing.attributes) or _REGION for thing in things}
        for region in sorted(regions):
            ask = partial(self._look_at, region, first=min(regions))
            found.append(Source(f"simulated AWS {region}", ask, account=True))
        return found

    def _look_at(self, region: str, *, first: str) -> "inventory.Seen":
        """What a sweep sees in a region; what is every region's only beside its owner, or in the `first`."""
        from zave.lifecycle.inventory import Seen

        cloud = self.cloud(region=region)
        items, schedules = cloud.inventory.items(), cloud.switchboard.schedules()
        told = [(item, _region_told(item.attributes)) for item in items]
        homes = {item.owner: where for item, where in told if item.owner is not None and where is not None}
        here = tuple(item for item, where in told if (where or homes.get(item.owner or "", first)) == region)
        armed = frozenset(each.instance for each in schedules if homes.get(each.instance, first) == region)
        return Seen(cloud.inventory, here, armed, region)

    def cloud(
        self, *, region: str = _REGION, account: str = _ACCOUNT, bucket: str | None = None
    ) -> "SimulatedCloud":
        """The simulated account; its destroyer is a child process with nothing of the user's."""
        from zave.rehearsal.cloud import SimulatedCloud

        return SimulatedCloud(self.world, region=region, account=account, launch=self._launch, bucket=bucket)

    def registry(self, spec: "AwsSpec") -> "SimulatedRegistry":
        """The registry of the spec's account, into which nothing is copied."""
        from zave.rehearsal.registry import SimulatedRegistry

        return SimulatedRegistry(self.world, region=spec.aws.region, account=spec.aws.account or _ACCOUNT)

    def state_folder(self, key: str) -> Path:
        """Where the simulated bucket keeps the Terraform state of `key`."""
        from zave.rehearsal.bucket import bucket_folder

        return (bucket_folder(self.world) / key).parent

    def backend_override(self, key: str) -> str:
        """What replaces the S3 backend: a local one, in the simulated bucket's own folder."""
        from zave.platforms.aws_values import override_local
        from zave.rehearsal.bucket import bucket_folder

        path = bucket_folder(self.world) / key
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return override_local(str(path))

    def try_luck(self, faults: Sequence[str], file: Path | None) -> None:
        """Put faults into the world."""
        from zave.rehearsal.faults import load_faults, parse_fault

        for fault in [*map(parse_fault, faults), *(load_faults(file) if file is not None else ())]:
            self.world.faults.add(fault)

    def _terraform(self, folder: InstanceFolder) -> "BoundTerraform":
        from zave.rehearsal.mirror import install_mirror
        from zave.tools.terraform import Limits
        from zave.tools.terraform_engine import choose_engine
        from zave.tools.terraform_factory import BoundTerraform

        cache = self._directory.base / "tool-versions.json"
        engine = choose_engine(runner=self._runner, environment=os.environ, cache=cache)
        chosen = self._settings.origins["step_timeout"] != "default"
        seconds = float(self._settings.step_timeout if chosen else _STEP_TIMEOUT)
        limits = Limits(query=seconds, init=seconds, plan=seconds, apply=seconds, interrupt_grace=_GRACE)
        return BoundTerraform(
            engine=engine,
            runner=self._runner,
            environment={
                "TF_CLI_CONFIG_FILE": str(install_mirror(self.world.folder / "mirror")),
                "ZAVE_WORLD": str(self.world.path),
                **{k: v for k, v in os.environ.items() if k.startswith("ZAVE_WORLD_")},
            },
            survivors=folder.survivors,
            limits=limits,
            relock=True,
            parallelism=self._settings.parallelism,
        )

    def _launch(self, argv: Sequence[str], environment: Mapping[str, str], *, cwd: Path, log: Path) -> int:
        request = Request(
            argv=tuple(argv), cwd=cwd, log=log, environment=environment, timeout=_DESTROYER_TIMEOUT
        )
        return self._runner.run(request).exit_code
