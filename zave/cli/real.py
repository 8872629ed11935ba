"""The adapters of real environments: what `cli/context.py` chooses where `--rehearse` is not given."""

import hashlib
import math
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from zave.cli.real_credentials import credentials
from zave.clock import SystemClock
from zave.errors import PreconditionError, UsageError, ZaveError
from zave.settings import Settings
from zave.state.directory import InstanceFolder, StateDirectory
from zave.text import clean

if TYPE_CHECKING:
    from zave.cli.real_aws import Accounts
    from zave.cli.real_flux import Handover
    from zave.hypervisor.host import LibvirtHypervisor
    from zave.images.amazon import AmazonImages
    from zave.images.builder import AllImages
    from zave.images.local import LocalImages
    from zave.images.workshop import Workshop
    from zave.k3s.machines import SshMachines
    from zave.lifecycle.inventory import Source
    from zave.process import ProcessRunner
    from zave.project import Project
    from zave.spec import LibvirtSpec
    from zave.spec.libvirt import Artifacts
    from zave.state.store import StateStore
    from zave.steps.site import Tools
    from zave.tools.terraform_factory import BoundTerraform

# the way to a hypervisor on another machine (`qemu+ssh://`), and to one of the user's own
_TO_LIBVIRT = ("SSH_AUTH_SOCK", "XDG_RUNTIME_DIR", "LIBVIRT_AUTH_FILE")
# leaves room for the name of a socket
_LONGEST_FOLDER = 70


class Real:
    """A libvirt host, its machines over SSH, and images; Terraform with its real providers."""

    def __init__(
        self, directory: StateDirectory, settings: Settings, runner: "ProcessRunner", project: "Project"
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._runner = runner
        self._project = project
        self._clock = SystemClock()
        self._hypervisors: dict[str, LibvirtHypervisor] = {}

    def hypervisor(self, uri: str) -> "LibvirtHypervisor":
        """The host at `uri`; one adapter for all who ask."""
        from zave.hypervisor.host import LibvirtHypervisor

        if uri not in self._hypervisors:
            self._hypervisors[uri] = LibvirtHypervisor(uri, runner=self._runner)
        return self._hypervisors[uri]

    def close(self) -> None:
        """Hang up."""
        for hypervisor in self._hypervisors.values():
            hypervisor.close()

    def home_lab(self, spec: "LibvirtSpec", folder: InstanceFolder) -> "Tools":
        """The adapters for one home lab."""
        from zave.images.builder import AllImages
        from zave.k3s.cluster import LabCluster
        from zave.k3s.release import VendorReleases
        from zave.platforms.libvirt_machines import machines_of
        from zave.steps.site import Tools

        hypervisor = self.hypervisor(spec.libvirt.uri)
        machines = self._machines(spec, folder)
        handed_over = spec.gitops.profile != "none"
        return Tools(
            terraform=self._terraform(folder),
            inventory=hypervisor,
            hypervisor=hypervisor,
            # its machines boot no AMI: nobody's credentials are looked for
            images=AllImages(self._local_images(spec.artifacts)),
            cluster=LabCluster(
                machines=lambda _instance: machines, members=lambda instance: machines_of(spec, instance)
            ),
            clock=self._clock,
            machines=machines,
            releases=VendorReleases(lock=self._lock_file("k3s.lock"), clock=self._clock),
            flux=self.handover.flux(folder, kubeconfig=lambda _instance: folder.kubeconfig, environment={})
            if handed_over
            else None,
            repository=self.handover.repository(spec, folder) if handed_over else None,
        )

    @cached_property
    def handover(self) -> "Handover":
        """The way to Flux in real clusters."""
        from zave.cli.real_flux import Handover

        return Handover(self._runner, self._settings, self._clock, self._directory)

    @cached_property
    def accounts(self) -> "Accounts":
        """AWS accounts."""
        from zave.aws.pinned import FILE
        from zave.cli.real_aws import Accounts

        return Accounts(
            runner=self._runner,
            clock=self._clock,
            terraform=self._terraform_in_an_account,
            images=self.images,
            lock=self._lock_file(FILE),
            programs=self._directory.base / "programs",
            handover=self.handover,
        )

    def sources(self, store: "StateStore", *, instance: str | None) -> "list[Source]":
        """Everything that can be swept: hosts of home labs, accounts on record or signed in to.

        Where there is neither it is this machine. Of a recorded `instance` only the place where it
        lives: whoever asks for a home lab need not be signed in.
        """
        from zave.lifecycle.inventory import Source

        record = None if instance is None else store.instance(instance)
        if record is not None and record.platform == "aws-eks":
            return [self.accounts.source_of(record)]
        accounts: list[Source] = []
        if record is None:
            accounts = self.accounts.sources(store, regions=self._regions())
            if not accounts:
                _note_that_no_account_was_looked_at()
        labs = [each for each in store.instances() if each.platform == "libvirt-k3s"]
        uris = {each.spec["libvirt"]["uri"] for each in labs if record is None or each.name == record.name}
        if not uris and (not accounts or find_spec("libvirt") is not None):
            # whoever works in an account only need not have libvirt
            uris = {"qemu:///system"}
        return [*(Source.of(self.hypervisor(uri)) for uri in sorted(uris)), *accounts]

    def _regions(self) -> Iterator[str]:
        """Where the project's environments on AWS live, which may be up although no record says so."""
        from zave.spec.load import load_spec

        for name in self._project.environments():
            try:
                spec = load_spec(self._project.environment_file(name))
            except ZaveError as error:
                sys.stderr.write(f"warning: {name} is passed over: {error.brief}\n")
                continue
            if spec.platform == "aws-eks":
                yield spec.aws.region

    def images_to_build(self, environment: str | None) -> "AllImages":
        """The same with vendors' files from the `artifacts` of `environment`.

        Without one from those that the project's home labs name, where they name one place. Raises
        UsageError where they name several.
        """
        found = {str(_place(each)): each for each in self._artifacts(environment) if _place(each) is not None}
        if len(found) > 1:
            raise UsageError(
                f"the project's environments name different artifacts: {', '.join(sorted(found))}",
                resolution="zave build-image --for ENV says whose",
            )
        return self.images(*found.values())

    def _artifacts(self, environment: str | None) -> "Iterator[Artifacts]":
        from zave.spec.load import load_spec

        for name in self._project.environments() if environment is None else (environment,):
            try:
                spec = load_spec(self._project.environment_file(name))
            except ZaveError as error:
                if environment is not None:
                    raise
                sys.stderr.write(f"warning: {name} is passed over: {error.brief}\n")
                continue
            if spec.platform == "libvirt-k3s":
                yield spec.artifacts

    def images(self, artifacts: "Artifacts | None" = None) -> "AllImages":
        """Makes and finds images, AMIs for whoever is signed in."""
        from zave.images.builder import AllImages

        signed_in = credentials().found
        return AllImages(
            self._local_images(artifacts),
            amazon=self._amazon_images if signed_in else None,
            list_amazon=signed_in,
            unlisted=_warn_that_amis_are_not_listed,
        )

    def _local_images(self, artifacts: "Artifacts | None" = None) -> "LocalImages":
        from zave.images.bases import Bases
        from zave.images.cache import VendorCache
        from zave.images.local import LocalImages
        from zave.images.lock import FILE, ImagesLock
        from zave.images.publisher import Publisher
        from zave.images.store import Store
        from zave.tools.download import Web
        from zave.tools.gpg import Gpgv

        folder = self._directory.base / "images"
        publisher = Publisher(
            web=Web(clock=self._clock, interrupted=self._interrupted),
            gpgv=lambda: Gpgv.find(runner=self._runner, environment=os.environ),
            keys=folder / "keys",
            clock=self._clock,
            artifacts=_place(artifacts),
        )
        cache = VendorCache(folder / "vendors", publisher, self._clock, self._interrupted)
        return LocalImages(
            bases=Bases(ImagesLock(self._lock_file(FILE)), cache),
            workshop=self._workshop(amazon=False),
            store=Store(folder / "built", self._interrupted),
            clock=self._clock,
        )

    def _amazon_images(self) -> "AmazonImages":
        from zave.cli.real_aws import ec2_client
        from zave.images.amazon import AmazonImages

        return AmazonImages(ec2_client, self._workshop(amazon=True), tell=_note_once)

    def _workshop(self, *, amazon: bool) -> "Workshop":
        from zave.cli.real_credentials import usual_region
        from zave.hypervisor.kvm import accelerator
        from zave.images.workshop import Workshop
        from zave.tools.packer import Packer

        folder = self._directory.base / "images"
        return Workshop(
            folder=folder / "builds",
            project=self._project,
            packer=lambda: Packer.find(
                runner=self._runner, environment=os.environ, plugins=folder / "plugins", amazon=amazon
            ),
            clock=self._clock,
            interrupted=self._interrupted,
            accelerator=lambda say: accelerator(self._runner, say=say),
            token=lambda: secrets.token_hex(8),
            region=usual_region(),
        )

    def _machines(self, spec: "LibvirtSpec", folder: InstanceFolder) -> "SshMachines":
        from zave.k3s.machines import Access, SshMachines
        from zave.platforms.libvirt_values import key_files

        uri = spec.libvirt.uri
        return SshMachines(
            instance=folder.root.name,
            folder=folder.root,
            access=Access(self._runner, keys=key_files(spec, Path.home()), uri=uri),
            console=self.hypervisor(uri),
            clock=self._clock,
        )

    def _interrupted(self) -> bool:
        return self._runner.interrupted

    def _lock_file(self, name: str) -> Path:
        return self._project.lock_file(name, otherwise=self._directory.base)

    @cached_property
    def _environment(self) -> dict[str, str]:
        given = {name: os.environ[name] for name in _TO_LIBVIRT if name in os.environ}
        given["TMPDIR"] = str(private_temporary_folder(self._directory.base))
        if not self._settings.provider_mirror:
            return given
        from zave.tools.terraform_mirror import cli_configuration

        mirror = Path(self._settings.provider_mirror)
        return given | {
            "TF_CLI_CONFIG_FILE": str(cli_configuration(mirror, self._directory.base / "providers.tfrc"))
        }

    def _terraform_in_an_account(
        self, folder: InstanceFolder, environment: Mapping[str, str]
    ) -> "BoundTerraform":
        """One whose locks others believe for a while, and not longer."""
        from zave.aws.locks import LONGEST_APPLY

        return self._terraform(folder, environment, longest_apply=LONGEST_APPLY)

    def _terraform(
        self,
        folder: InstanceFolder,
        more: Mapping[str, str] | None = None,
        *,
        longest_apply: float = math.inf,
    ) -> "BoundTerraform":
        from zave.tools.terraform import Limits
        from zave.tools.terraform_engine import choose_engine
        from zave.tools.terraform_factory import BoundTerraform

        cache = self._directory.base / "tool-versions.json"
        longest = float(self._settings.step_timeout)
        usual = Limits()
        return BoundTerraform(
            engine=choose_engine(runner=self._runner, environment=os.environ, cache=cache),
            runner=self._runner,
            environment={**self._environment, **(more or {})},
            survivors=folder.survivors,
            limits=Limits(
                query=min(usual.query, longest),
                init=min(usual.init, longest),
                plan=min(usual.plan, longest),
                apply=min(longest, longest_apply),
            ),
            relock=False,
            parallelism=self._settings.parallelism,
        )


def _note_that_no_account_was_looked_at() -> None:
    reason = credentials().note
    if reason is not None:
        sys.stderr.write(f"note: no AWS account was looked at: {clean(reason)}\n")


@cache
def _note_once(text: str) -> None:
    """A step is looked at more than once."""
    sys.stderr.write(f"note: {clean(text)}\n")


def _warn_that_amis_are_not_listed(error: ZaveError) -> None:
    why = ": ".join(filter(None, [error.brief, error.details]))
    sys.stderr.write(f"warning: the account's AMIs are not in the list: {clean(why)}\n")


def private_temporary_folder(base: Path) -> Path:
    """Where Terraform and its providers put what others must neither read nor plant; always the same one.

    The libvirt provider 0.9.7 writes seeds into a folder of a fixed name below TMPDIR, readable for all,
    and takes a file that is there already (read in its source, 2026-11-23). Below `base` where that is
    short: a plugin's socket lies there too, and its path may have 108 bytes (unix(7)).
    """
    folder = base / "tmp"
    if len(str(folder)) > _LONGEST_FOLDER:
        digest = hashlib.sha256(str(base).encode()).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"zave-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PreconditionError(
            f"{folder} is not a folder of yours alone",
            resolution="remove it, or see who made it; zave makes it anew",
        )
    return folder


def _place(artifacts: "Artifacts | None") -> Path | str | None:
    """Where the artifacts are: a folder, a URL, or with their vendors."""
    if artifacts is None or artifacts.folder is None:
        return None if artifacts is None else artifacts.url
    return Path(artifacts.folder).expanduser()
