"""The composition root: the one place that builds concrete tools, and the only one that knows a rehearsal."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from zave.cli.options import Options
from zave.clock import Clock, SystemClock
from zave.errors import NotThereYetError, UsageError
from zave.spec.names import check_name
from zave.state.directory import StateDirectory

if TYPE_CHECKING:
    from zave.events import Bus, Sink
    from zave.lifecycle.place import Place
    from zave.lifecycle.run import Journal
    from zave.process import ProcessRunner
    from zave.project import Project
    from zave.rehearsal.world import World
    from zave.spec import AwsSpec, LibvirtSpec
    from zave.state.directory import InstanceFolder
    from zave.state.records import InstanceRecord
    from zave.state.store import StateStore
    from zave.steps.site import Tools
    from zave.tools.terraform_factory import BoundTerraform

# a rehearsal's programs take seconds: what takes minutes hangs
_REHEARSED_STEP_TIMEOUT = 120
_REHEARSED_GRACE = 10.0
# how long an earlier zave's Terraform may go on, real seconds: an apply of a home lab takes minutes
_PATIENCE = 600.0
# the world's seconds: images are pulled cold, and Helm's own five minutes are known to be too short
_LIMITS: Mapping[str, float] = {"nodes": 900.0, "gitops": 1800.0}
_STANDING = ("provisioning", "ready", "degraded", "failed", "destroying", "expired")
# a key that opens nothing, for rehearsals on machines without any; says so itself
_REHEARSED_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA rehearsal-opens-nothing"
)


@dataclass(frozen=True)
class Luck:
    """Faults for the simulated world, from flags and from a file."""

    faults: tuple[str, ...] = ()
    file: Path | None = None


class Context:
    """Everything that one command works with, built when it is first asked for."""

    def __init__(
        self, options: Options, *, step_timeout: str | None = None, speed: float | None = None
    ) -> None:
        self.options = options
        self.settings = options.settings.with_flags({"step_timeout": step_timeout, "speed": speed})
        if speed is not None and not options.rehearse:
            raise UsageError("--speed is for rehearsals", resolution="add --rehearse")

    @property
    def rehearsal(self) -> bool:
        """A label for documents and screens."""
        return self.options.rehearse

    @property
    def arguments(self) -> list[str]:
        """The command line as it is recorded. No option of zave's carries a secret."""
        return sys.argv[1:]

    # records

    @cached_property
    def directory(self) -> StateDirectory:
        """The state directory; a rehearsal's is a separate one below the real one."""
        return StateDirectory.locate(os.environ, rehearsal=self.options.rehearse)

    @cached_property
    def store(self) -> "StateStore":
        """The record, opened and checked; what was recovered is said on stderr."""
        from zave.state.store import StateStore

        store = StateStore.open(self.directory, clock=self.clock)
        for notice in store.notices:
            sys.stderr.write(f"warning: {notice}\n")
        return store

    @cached_property
    def project(self) -> "Project":
        """The user's project folder over the packaged files."""
        from zave.project import Project

        return Project.locate(self.options.project, Path.cwd())

    @contextlib.contextmanager
    def locked(self, instance: str, *, command: str) -> Iterator[None]:
        """Hold the instance's lock. Raises LockedError, naming the holder, when it is taken.

        Comes before anything slow is imported: fifty rivals must be turned away within seconds.
        """
        from zave.state.lock import Holder, InstanceLock

        self.directory.prepare()
        folder = self.directory.instance(instance)
        now = SystemClock().now()
        with InstanceLock(folder.lock).acquire(Holder.here(command=command, run_id="", since=now)):
            folder.prepare()
            yield

    # names

    def checked(self, name: str | None) -> str | None:
        """A name from the command line that may be missing."""
        return None if name is None else check_name(name)

    def names(self, env: str, name: str | None) -> tuple[str, str]:
        """(instance, environment) from ENV and --name: ENV may name a recorded instance."""
        check_name(env)
        if name is not None:
            return check_name(name, what="instance"), env
        record = self.store.instance(env) if self.directory.database.exists() else None
        return env, record.environment if record is not None else env

    def only_standing(self, name: str | None) -> str:
        """The named instance, or the only one that stands. Raises UsageError when that is unclear."""
        if name is not None:
            return check_name(name, what="instance")
        standing = [record.name for record in self.store.instances() if record.phase in _STANDING]
        if len(standing) == 1:
            return standing[0]
        if not standing:
            raise UsageError("nothing is up", resolution="zave status shows all; name the instance")
        raise UsageError(
            f"{len(standing)} instances are up: {', '.join(standing[:10])}",
            resolution="name the one you mean",
        )

    def record(self, instance: str) -> "InstanceRecord":
        """The instance's record. Raises UsageError when there is none."""
        found = self.store.instance(instance)
        if found is None:
            import difflib

            near = difflib.get_close_matches(instance, [r.name for r in self.store.instances()], n=1)
            raise UsageError(
                f"no instance {instance} is recorded",
                where=str(self.directory.database),
                resolution=f"did you mean {near[0]}?" if near else f"zave up {instance} makes one",
            )
        return found

    # places

    def place(self, instance: str, environment: str) -> "Place":
        """The instance with the spec that its environment has now."""
        from zave.spec.load import load_spec

        path = self.project.environment_file(environment)
        spec = load_spec(path)
        return self._place(instance, environment, spec)

    def recorded_place(self, instance: str) -> "Place":
        """The instance with the spec that it was made from."""
        from zave.spec.load import spec_from_document

        record = self.record(instance)
        spec = spec_from_document(record.spec, where=f"record of {instance}")
        return self._place(instance, record.environment, spec)

    def _place(self, instance: str, environment: str, spec: "LibvirtSpec | AwsSpec") -> "Place":
        from zave.lifecycle.place import Place
        from zave.steps.site import Site

        folder = self.directory.instance(instance)
        folder.prepare()
        site = Site(
            instance=instance,
            folder=folder,
            project=self.project,
            store=self.store,
            tools=self.tools_for(folder),
            limits=_LIMITS,
            state_folder=folder.terraform,
        )
        journal = self.journal(instance, environment=environment, platform=spec.platform)
        return Place(
            spec=spec,
            site=site,
            journal=journal,
            ssh_keys=self._ssh_keys(spec),
            patience=_PATIENCE,
        )

    def journal(self, instance: str, *, environment: str, platform: str) -> "Journal":
        """Where a run over `instance` is recorded and told."""
        from zave.lifecycle.run import Journal

        folder = self.directory.instance(instance)
        return Journal(
            store=self.store,
            folder=folder,
            clock=self.clock,
            open_bus=lambda run_id: self.bus(folder, run_id),
            instance=instance,
            environment=environment,
            platform=platform,
            rehearsal=self.rehearsal,
            interrupt=self.interrupt,
        )

    def _ssh_keys(self, spec: "LibvirtSpec | AwsSpec") -> tuple[str, ...]:
        if self.options.rehearse:
            return (_REHEARSED_KEY,)
        from zave.platforms.libvirt_values import ssh_keys

        return tuple(ssh_keys(spec, Path.home())) if spec.platform == "libvirt-k3s" else ()

    # adapters: here, and nowhere else, a rehearsal differs from the real thing

    @cached_property
    def runner(self) -> "ProcessRunner":
        """Starts programs."""
        from zave.process import ProcessRunner

        return ProcessRunner()

    def interrupt(self) -> None:
        """Ask everything that works for this command to stop: programs, and waits in the world."""
        self.runner.interrupt()
        if self.options.rehearse:
            self.world.cancel()

    @cached_property
    def clock(self) -> Clock:
        """The world's clock."""
        return self.world.clock if self.options.rehearse else SystemClock()

    @cached_property
    def world(self) -> "World":
        """The simulated world. Raises UsageError outside a rehearsal."""
        if not self.options.rehearse:
            raise UsageError("there is a simulated world in rehearsals only", resolution="add --rehearse")
        from zave.rehearsal.world import World

        self.directory.prepare()
        world = World.open(self.directory.world)
        if self.settings.origins["speed"] != "default":
            world.clock.set_speed(self.settings.speed)
        return world

    def try_luck(self, luck: Luck) -> None:
        """Put faults into the simulated world. Raises UsageError outside a rehearsal."""
        if not (luck.faults or luck.file):
            return
        if not self.options.rehearse:
            raise UsageError("--fault is for rehearsals", resolution="add --rehearse")
        from zave.rehearsal.faults import load_faults, parse_fault

        faults = [parse_fault(text) for text in luck.faults]
        if luck.file is not None:
            faults += load_faults(luck.file)
        for fault in faults:
            self.world.faults.add(fault)

    def tools_for(self, folder: "InstanceFolder") -> "Tools":
        """The adapters for one instance."""
        if not self.options.rehearse:
            raise NotThereYetError(
                "the real half of this command is not built yet",
                resolution="add --rehearse: real templates, modules and Terraform on a simulated host",
            )
        from zave.rehearsal.cluster import SimulatedCluster
        from zave.rehearsal.hypervisor import SimulatedHypervisor
        from zave.rehearsal.images import SimulatedImages
        from zave.steps.site import Tools

        hypervisor = SimulatedHypervisor(self.world)
        return Tools(
            terraform=self._terraform(folder),
            inventory=hypervisor,
            hypervisor=hypervisor,
            images=SimulatedImages(self.world),
            cluster=SimulatedCluster(self.world),
            clock=self.clock,
        )

    def _terraform(self, folder: "InstanceFolder") -> "BoundTerraform":
        from zave.rehearsal.mirror import install_mirror
        from zave.tools.terraform import Limits
        from zave.tools.terraform_engine import choose_engine
        from zave.tools.terraform_factory import BoundTerraform

        engine = choose_engine(
            runner=self.runner, environment=os.environ, cache=self.directory.base / "tool-versions.json"
        )
        chosen = self.settings.origins["step_timeout"] != "default"
        seconds = float(self.settings.step_timeout if chosen else _REHEARSED_STEP_TIMEOUT)
        return BoundTerraform(
            engine=engine,
            runner=self.runner,
            environment={
                "TF_CLI_CONFIG_FILE": str(install_mirror(self.directory.root / "mirror")),
                "ZAVE_WORLD": str(self.directory.world),
            },
            survivors=folder.survivors,
            limits=Limits(
                query=seconds, init=seconds, plan=seconds, apply=seconds, interrupt_grace=_REHEARSED_GRACE
            ),
            relock=True,
            parallelism=self.settings.parallelism,
        )

    # screens

    def bus(self, folder: "InstanceFolder", run_id: str) -> "Bus":
        """The sinks of one run: what the user asked for, and always the event file."""
        from zave.events import Bus
        from zave.ui.eventfile import EventFile, keep_newest

        folder.prepare_run(run_id)
        for kept in (folder.events, folder.logs):
            keep_newest(kept, keep=self.settings.log_keep)
        return Bus(self.clock, [EventFile(folder.run_events(run_id)), self._screen()])

    def _screen(self) -> "Sink":
        from zave.ui.sinks import sink_for

        return sink_for(self.settings, quiet=self.options.quiet, verbose=self.options.verbose > 0)

    def asker(self, *, yes: bool) -> Callable[[str], None] | None:
        """What asks the user, or None when `--yes` answered already."""
        if yes:
            return None
        from zave.ui.ask import confirm, require_somebody

        # now, not after the seconds that a plan takes
        require_somebody(no_input=self.settings.no_input)
        return lambda question: confirm(question, yes=False, no_input=self.settings.no_input)
