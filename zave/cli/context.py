"""The composition root: the one place that builds concrete tools, and the only one that knows a rehearsal."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from zave.cli.instances import Instances
from zave.cli.options import Options
from zave.cli.screens import Screens
from zave.clock import Clock, SystemClock
from zave.errors import UsageError
from zave.spec.names import check_name
from zave.state.directory import StateDirectory

if TYPE_CHECKING:
    from zave.cli.real import Real
    from zave.cli.rehearsed import Rehearsed
    from zave.lifecycle.inventory import Source
    from zave.lifecycle.live import Live
    from zave.lifecycle.place import Place
    from zave.lifecycle.run import Journal
    from zave.ports import Artifact, ImageBuilder
    from zave.ports.registry import Copier, Registry
    from zave.process import ProcessRunner
    from zave.project import Project
    from zave.rehearsal.world import World
    from zave.spec import AwsSpec, LibvirtSpec
    from zave.state.directory import InstanceFolder
    from zave.state.records import InstanceRecord
    from zave.state.store import StateStore
    from zave.steps.site import Tools

# how long an earlier zave's Terraform may go on, real seconds: an apply of a home lab takes minutes
_PATIENCE = 600.0
# the world's seconds: images are pulled cold, and Helm's own five minutes are known to be too short
_LIMITS: Mapping[str, float] = {"nodes": 900.0, "gitops": 1800.0}


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

    def checked(self, name: str | None) -> str | None:
        """A name from the command line that may be missing."""
        return None if name is None else check_name(name)

    @property
    def patience(self) -> float:
        """How long a program of an earlier, killed zave may go on: real seconds."""
        return _PATIENCE

    @property
    def account_folder(self) -> "InstanceFolder":
        """Where the root of an account's standing parts is kept."""
        from zave.state.directory import InstanceFolder

        return InstanceFolder(self.directory.root / "account")

    @cached_property
    def screens(self) -> Screens:
        """What shows a run and asks the user."""
        return Screens(
            self.settings,
            quiet=self.options.quiet,
            verbose=self.options.verbose > 0,
            rehearsal=self.rehearsal,
        )

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
        self.options.closing.callback(store.close)
        for notice in store.notices:
            sys.stderr.write(f"warning: {notice}\n")
        return store

    @cached_property
    def instances(self) -> Instances:
        """Which instance is meant, and what its cloud says of it."""
        return Instances(
            self.directory,
            open_store=lambda: self.store,
            look=self._look,
            environments=self._environments,
            rehearsal=self.rehearsal,
        )

    def _environments(self) -> list[str]:
        return self.project.environments()

    @cached_property
    def project(self) -> "Project":
        """The user's project folder over the packaged files."""
        from zave.project import Project

        return Project.locate(self.options.project, Path.cwd())

    def locked(self, instance: str, *, command: str) -> contextlib.AbstractContextManager[None]:
        """Hold the instance's lock. Raises LockedError, naming the holder, when it is taken.

        Comes before anything slow is imported: fifty rivals must be turned away within seconds.
        """
        return self._holding(self.directory.instance(instance), command=command)

    def account_lock(self, *, command: str) -> contextlib.AbstractContextManager[None]:
        """Hold the lock of the account's standing parts."""
        return self._holding(self.account_folder, command=command)

    @contextlib.contextmanager
    def _holding(self, folder: "InstanceFolder", *, command: str) -> Iterator[None]:
        from zave.state.lock import Holder, InstanceLock

        self.directory.prepare()
        now = SystemClock().now()
        with InstanceLock(folder.lock).acquire(Holder.here(command=command, run_id="", since=now)):
            folder.prepare()
            yield

    # places

    def place(self, instance: str, environment: str, *, ttl: float | None = None) -> "Place":
        """The instance with the spec that its environment has now. `ttl` in seconds, of its first arming."""
        from zave.spec.load import load_spec

        path = self.project.environment_file(environment)
        spec = load_spec(path, kept=self.directory.checked_specs)
        if spec.platform == "aws-eks" and not self.options.rehearse:
            spec = self.pinned(environment, spec)
        return replace(self._place(instance, environment, spec, ttl=ttl), spec_file=path)

    def place_to_build(self, instance: str, environment: str, *, ttl: float | None = None) -> "Place":
        """The same as `place`, once it is sure that its cluster can be handed to Flux.

        Raises PreconditionError otherwise: it would fail only after money was spent.
        """
        found = self.place(instance, environment, ttl=ttl)
        if not self.options.rehearse:
            self.real.handover.require_ready(found.spec, instance=instance)
        return found

    def settle_account(self, environment: str, *, ask: Callable[[str], None] | None) -> None:
        """Ask once which account an environment lives in, where its spec leaves that open.

        Raises PreconditionError without usable credentials, and whatever `ask` raises.
        """
        if not self.options.rehearse:
            from zave.spec.load import load_spec

            path = self.project.environment_file(environment)
            spec = load_spec(path, kept=self.directory.checked_specs)
            if spec.platform == "aws-eks":
                self.real.accounts.settle(environment, spec, ask=ask)

    def pinned(self, environment: str, spec: "AwsSpec") -> "AwsSpec":
        """`spec` with the account that was pinned for its environment, where it leaves that open."""
        return spec if self.options.rehearse else self.real.accounts.pinned(environment, spec)

    def recorded_place(self, instance: str) -> "Place":
        """The instance with the spec that it was made from."""
        record = self.instances.record(instance)
        return self._place(instance, record.environment, self._recorded_spec(record))

    def _place(
        self,
        instance: str,
        environment: str,
        spec: "LibvirtSpec | AwsSpec",
        *,
        ttl: float | None = None,
    ) -> "Place":
        from zave.lifecycle.place import Place
        from zave.steps.site import Site

        folder = self.directory.instance(instance)
        folder.prepare()
        state_folder, override = folder.terraform, None
        if spec.platform == "aws-eks":
            from zave.aws.keys import state_key

            override = self.backend_override(state_key(instance))
            # of a state in S3 a copy is looked at, away from the root that Terraform works in
            state_folder = folder.root / "terraform-state"
            if override is not None:
                state_folder = self.rehearsed.state_folder(state_key(instance))
        site = Site(
            instance=instance,
            folder=folder,
            project=self.project,
            store=self.store,
            tools=self.tools_for(folder, spec),
            limits=_LIMITS,
            state_folder=state_folder,
            environment=environment,
            label_rehearsal=self.rehearsal,
            backend_override=override,
            ttl=ttl,
        )
        journal = self.journal(instance, environment=environment, platform=spec.platform)
        return Place(
            spec=spec,
            site=site,
            journal=journal,
            ssh_keys=self._ssh_keys(spec),
            patience=self.patience,
        )

    def journal(self, instance: str, *, environment: str, platform: str) -> "Journal":
        """Where a run over `instance` is recorded and told."""
        from zave.lifecycle.run import Journal

        folder = self.directory.instance(instance)
        return Journal(
            store=self.store,
            folder=folder,
            clock=self.clock,
            open_bus=lambda run_id: self.screens.bus(folder, run_id, clock=self.clock),
            instance=instance,
            environment=environment,
            platform=platform,
            rehearsal=self.rehearsal,
            interrupt=self.interrupt,
        )

    def _ssh_keys(self, spec: "LibvirtSpec | AwsSpec") -> tuple[str, ...]:
        if self.options.rehearse:
            from zave.cli.rehearsed import SSH_KEY

            return (SSH_KEY,)
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
    def rehearsed(self) -> "Rehearsed":
        """The rehearsal's adapters. Raises UsageError outside a rehearsal."""
        if not self.options.rehearse:
            raise UsageError("that is for rehearsals", resolution="add --rehearse")
        from zave.cli.rehearsed import Rehearsed

        rehearsed = Rehearsed(self.directory, self.settings, self.runner)
        self.options.closing.callback(rehearsed.close)
        return rehearsed

    @cached_property
    def real(self) -> "Real":
        """The adapters of real environments."""
        from zave.cli.real import Real

        real = Real(self.directory, self.settings, self.runner, self.project)
        self.options.closing.callback(real.close)
        return real

    @property
    def world(self) -> "World":
        """The simulated world. Raises UsageError outside a rehearsal."""
        return self.rehearsed.world

    def try_luck(self, luck: Luck) -> None:
        """Put faults into the simulated world. Raises UsageError outside a rehearsal."""
        if luck.faults or luck.file:
            self.rehearsed.try_luck(luck.faults, luck.file)

    def tools_for(self, folder: "InstanceFolder", spec: "LibvirtSpec | AwsSpec") -> "Tools":
        """The adapters for one instance of the spec's platform."""
        if self.options.rehearse:
            return self.rehearsed.tools(spec, folder)
        if spec.platform == "libvirt-k3s":
            return self.real.home_lab(spec, folder)
        return self.real.accounts.demo(spec, folder)

    def destroyer_tools(self, folder: "InstanceFolder", spec: "AwsSpec", *, work: Path) -> "Tools":
        """The adapters of the destroyer, which has a role of its own. `work` is a private folder."""
        if self.options.rehearse:
            return self.rehearsed.tools(spec, folder)
        return self.real.accounts.destroyer(spec, folder, instance=folder.root.name, work=work)

    def recorded_tools(self, record: "InstanceRecord") -> "Tools":
        """The adapters for a recorded instance."""
        return self.tools_for(self.directory.instance(record.name), self._recorded_spec(record))

    def _look(self, record: "InstanceRecord") -> "Live | None":
        """What a recorded instance's cloud says of it; None where it lives in none."""
        from zave.lifecycle.live import look

        tools = self._tools_to_look_with(record)
        if tools.cloud is None:
            return None
        return look(self.store, tools, tools.cloud, record, rehearsal=self.rehearsal)

    def _tools_to_look_with(self, record: "InstanceRecord") -> "Tools":
        """The same for who only looks: whatever does not answer at once is told as recorded."""
        spec = self._recorded_spec(record)
        if self.options.rehearse or spec.platform != "aws-eks":
            return self.recorded_tools(record)
        return self.real.accounts.demo(spec, self.directory.instance(record.name), patient=False)

    def _recorded_spec(self, record: "InstanceRecord") -> "LibvirtSpec | AwsSpec":
        from zave.spec.load import spec_from_document

        kept = self.directory.checked_specs
        return spec_from_document(record.spec, where=f"record of {record.name}", kept=kept)

    def sources(self, instance: str | None) -> "list[Source]":
        """Every place that a sweep can look at; of a recorded instance only where it lives."""
        if not self.options.rehearse:
            return self.real.sources(self.store, instance=instance)
        return self.rehearsed.sources()

    def images_here(self) -> "Sequence[Artifact]":
        """The images that are no part of an account's inventory."""
        return self.images().list() if self.options.rehearse else self.real.images().local.list()

    def images(self) -> "ImageBuilder":
        """Makes and finds images."""
        if not self.options.rehearse:
            return self.real.images()
        from zave.rehearsal.images import SimulatedImages

        return SimulatedImages(self.world)

    def images_to_build(self, environment: str | None) -> "ImageBuilder":
        """The same, with vendors' files from where an environment's `artifacts` are."""
        return self.images() if self.options.rehearse else self.real.images_to_build(environment)

    @contextlib.contextmanager
    def registry(self, instance: str, *, source_auth: Path | None) -> "Iterator[tuple[Registry, Copier]]":
        """The registry of a recorded instance on AWS, and who copies images into it."""
        spec = self._recorded_spec(self.instances.record(instance))
        if spec.platform != "aws-eks":
            raise UsageError(f"{instance} has no registry in AWS")
        if self.options.rehearse:
            simulated = self.rehearsed.registry(spec)
            yield simulated, simulated
            return
        import tempfile

        # not among the records: a killed zave leaves the folder, and in it a token of twelve hours
        with tempfile.TemporaryDirectory(prefix="zave-push-") as folder:
            yield self.real.accounts.registry(spec, scratch=Path(folder), source_auth=source_auth)

    def backend_override(self, key: str) -> str | None:
        """What replaces the backend of the state with this key; None keeps the rendered one."""
        return self.rehearsed.backend_override(key) if self.options.rehearse else None
