"""One build by Packer, in a folder of its own that does not outlive it.

A zave that is killed leaves its Packer, the Packer's QEMU and a half-made disk behind. All of them
hold a lock on the build's survivors file, so the next build finds and ends them before it clears the
folder. Nothing in a work folder is ever an image: `Store` takes it out when it is whole.
"""

import contextlib
import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zave.clock import Clock
from zave.errors import PreconditionError, StepFailedError, ToolFailedError, UsageError
from zave.images.holding import free, held, kept_below
from zave.images.lock import Pin
from zave.images.report import Report, read_report
from zave.ports.machines import Say
from zave.project import Project
from zave.render import Renderer, write_private, write_tfvars
from zave.survivors import Graces, settle
from zave.tools.packer import Job, Packer, PackerEvent

_PLUGINS = "templates/packer/plugins.pkr.hcl.j2"
# what a build needs beside twice its base: updates, and the copy that is compressed
_SPACE_MARGIN = 2 << 30
# a build that failed with less free than this failed for that
_FULL_BELOW = 64 << 20
# for a Packer that a killed zave left: it halts its machine when it is interrupted
_GRACES = Graces(interrupt=30.0)
_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,120}")
# what the builders say (Packer 1.6.6 and its qemu plugin 1.1), and how far a build then is
_STAGES: tuple[tuple[str, float], ...] = (
    ("Retrieving ISO", 0.02),
    ("Copying hard drive", 0.04),
    ("Starting VM", 0.06),
    ("Launching a source AWS instance", 0.06),
    ("Waiting for SSH", 0.08),
    ("Connected to SSH", 0.25),
    ("Gracefully halting", 0.85),
    ("Stopping the source instance", 0.85),
    ("Converting hard drive", 0.88),
    ("Creating AMI", 0.88),
)
_PREFIX = re.compile(r"^[=>\s-]*(?:[a-z0-9-]+\.[a-z0-9.-]+:\s*)?")


@dataclass(frozen=True)
class Order:
    """What is to be built; `source` is the verified base image and its pin, None for an AMI's.

    `token` marks in an account what this build makes, and nothing else.
    """

    image: str
    base: str
    builder: Literal["qemu", "amazon-ebs"]
    fingerprint: str
    source: tuple[Pin, Path] | None = None
    token: str = ""

    @property
    def key(self) -> str:
        """Tells this build from all others."""
        return f"{self.builder}-{self.image}-{self.base}-{self.fingerprint[:12]}"


@dataclass(frozen=True)
class Built:
    """What a build made: a whole disk (qemu), or what `artifact` names (an AMI), and its report."""

    disk: Path | None
    artifact: Mapping[str, str]
    report: Report
    scripts: str
    packer: str
    version: tuple[int, int, int]


@dataclass(frozen=True)
class Workshop:
    """Builds in folders below `folder`; `accelerator` finds out, and says, what QEMU can use on this host.

    `packer` finds the program when it is needed. An image whose Lynis index is below `minimum` fails.
    `region` is where AMIs are made, `token` makes a new mark for each build.
    """

    folder: Path
    project: Project
    packer: Callable[[], Packer]
    clock: Clock
    interrupted: Callable[[], bool]
    accelerator: Callable[[Say], Literal["kvm", "tcg"]]
    token: Callable[[], str]
    minimum: int = 75
    region: str = "us-east-1"

    def variables(self, image: str, base: str) -> Path:
        """The variable file of an image for one base, which need not be there."""
        return self.project.path(f"packer-images/{image}") / f"{base}.pkrvars.hcl"

    def require(self, image: str, base: str, *, builder: Literal["qemu", "amazon-ebs"]) -> None:
        """See, before gigabytes are fetched for nothing, that a build can be begun.

        Raises UsageError when there is no such image or it knows no such base, ToolMissingError.
        """
        file = self.variables(image, base)
        if not file.is_file():
            known = sorted(each.name.partition(".pkrvars")[0] for each in file.parent.glob("*.pkrvars.hcl"))
            raise UsageError(
                f"the image {image} has no variables for the base {base}",
                where=str(file),
                resolution=f"known are {', '.join(known) or 'none'}",
            )
        packer = self.packer()
        if builder == "qemu":
            packer.require_qemu()

    @contextlib.contextmanager
    def alone(self, order: Order, *, say: Say) -> Iterator[None]:
        """Hold off every other zave that wants the same image."""
        if not _KEY.fullmatch(order.key):
            raise UsageError(f"{order.key!r} is not the name of a build")
        lock = self.folder / f"{order.key}.lock"
        with held(lock, clock=self.clock, interrupted=self.interrupted, say=say):
            yield

    @contextlib.contextmanager
    def built(self, order: Order, *, say: Say) -> Iterator[Built]:
        """Build; what it made is there as long as the context. The caller holds `alone`."""
        packer = self.packer()
        work, survivors = self.folder / order.key, self.folder / f"{order.key}.survivors"
        self._clear(work, survivors, say)
        self._clear_others(order.key, say)
        self._require_space(order)
        try:
            yield self._build(order, packer, work=work, survivors=survivors, say=say)
        finally:
            # the key that opened the machine goes with it
            shutil.rmtree(work, ignore_errors=True)

    def _build(self, order: Order, packer: Packer, *, work: Path, survivors: Path, say: Say) -> Built:
        template = work / "template"
        with kept_below(self.folder, "what Packer is given"):
            self._lay_out(order, packer, template)
            scripts = _scripts_digest(template / "scripts")
            variables = self._variables(order, work, scripts, say)
        job = Job(
            folder=template,
            log=self.folder / f"{order.key}.log",
            debug=self.folder / f"{order.key}.debug.log",
            survivors=survivors,
            only=f"{order.builder}.{order.image}",
            variables=(Path(f"{order.base}.pkrvars.hcl"), variables),
        )
        # the last build's words are enough
        for words in (job.log, job.debug):
            words.unlink(missing_ok=True)
        say(f"{packer.title} builds {order.image} on {order.base}", 0.0)
        with self._full_disk_told():
            packer.init(job)
            artifact = packer.build(job, on_event=_Stages(say, _count(template / "scripts")).take)
        say("reading what the build says of itself", 0.97)
        report = read_report(work / "manifest", fingerprint=order.fingerprint)
        if report.hardening_index < self.minimum:
            raise StepFailedError(
                f"{order.image} reaches a Lynis hardening index of {report.hardening_index}: "
                f"{self.minimum} is needed",
                where=str(job.log),
                resolution="the log has Lynis' suggestions: follow them in scripts/harden-os.sh of the image",
            )
        disk = _only_disk(work / "output") if order.builder == "qemu" else None
        return Built(disk, artifact, report, scripts, packer.title, packer.version)

    def _lay_out(self, order: Order, packer: Packer, template: Path) -> None:
        """The template as this Packer reads it."""
        values = {"image": order.image, "plugins": packer.has_plugins}
        renderer = Renderer(self.project)
        renderer.render_tree(f"packer-images/{order.image}", template, values)
        write_private(template / "plugins.pkr.hcl", renderer.render_text(_PLUGINS, values).encode())

    def _variables(self, order: Order, work: Path, scripts: str, say: Say) -> Path:
        """The var-file of this build: values are never on a command line."""
        (work / "manifest").mkdir(mode=0o700)
        values = {
            "fingerprint": order.fingerprint,
            "scripts_digest": scripts,
            "manifest_directory": str(work / "manifest"),
        }
        if order.source is None:
            values |= {"region": self.region, "build_token": order.token}
        else:
            pin, path = order.source
            values |= {
                "source_image": str(path),
                "source_checksum": pin.literal,
                "accelerator": self.accelerator(say),
                "output_directory": str(work / "output"),
                "ssh_private_key_file": str(work / "key"),
                "seed_folder": str(work / "seed"),
            }
            _make_key_and_seed(work, order.fingerprint)
        file = work / "zave.pkrvars.json"
        write_tfvars(file, values)
        return file

    def _clear(self, work: Path, survivors: Path, say: Say) -> None:
        """End and remove what a killed build left; the caller holds its lock."""
        if settle(survivors, patience=0.0, say=lambda text: say(text, None), graces=_GRACES) or work.exists():
            say("an earlier build was cut off: what it left is removed", None)
        if work.exists():
            shutil.rmtree(work)

    def _clear_others(self, own: str, say: Say) -> None:
        """End and remove what killed builds of other images left, if no zave works on it."""
        for work in self.folder.iterdir():
            if work.name == own or not work.is_dir() or work.is_symlink():
                continue
            with free(self.folder / f"{work.name}.lock") as held_now:
                if held_now:
                    self._clear(work, self.folder / f"{work.name}.survivors", say)

    @contextlib.contextmanager
    def _full_disk_told(self) -> Iterator[None]:
        """A Packer that failed on a full disk says nothing that one could understand."""
        try:
            yield
        except ToolFailedError as error:
            if shutil.disk_usage(self.folder).free >= _FULL_BELOW:
                raise
            raise ToolFailedError(
                f"{error.brief}: the disk is full",
                details=error.details,
                where=error.where,
                resolution=f"free some space at {self.folder} (zave build-image --prune removes old images), "
                "then run it again",
            ) from error

    def _require_space(self, order: Order) -> None:
        if order.source is None:
            return
        needed = 2 * order.source[1].stat().st_size + _SPACE_MARGIN
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise PreconditionError(
                f"the disk is too full for a build: {free >> 20} MiB free, {needed >> 20} MiB needed",
                where=str(self.folder),
                resolution="free some space: zave build-image --prune removes old images",
            )


class _Stages:
    """Tells what Packer does, and how far it is: forward only, whatever it says."""

    def __init__(self, say: Say, scripts: int) -> None:
        self._say, self._scripts = say, max(scripts, 1)
        self._done, self._run = 0.0, 0

    def take(self, event: PackerEvent) -> None:
        """One event of Packer's."""
        if event.kind not in ("say", "message") or not event.text:
            return
        text = _PREFIX.sub("", event.text.splitlines()[0])[:200]
        for start, fraction in _STAGES:
            if text.startswith(start):
                self._done = max(self._done, fraction)
        if text.startswith("Provisioning with shell script"):
            # between SSH (0.25) and the shutdown (0.85)
            self._done = max(self._done, 0.25 + 0.6 * min(self._run / self._scripts, 1.0))
            self._run += 1
            text = f"running {text.rpartition('/')[2]}"
        self._say(text, self._done)


def _make_key_and_seed(work: Path, fingerprint: str) -> None:
    """A key for this build alone, and the first-boot files that let it in."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    write_private(work / "key", private)
    write_private(work / "seed" / "user-data", f'#cloud-config\nssh_authorized_keys: ["{public}"]\n'.encode())
    meta = f"instance-id: zave-build-{fingerprint[:12]}\nlocal-hostname: zave-build\n"
    write_private(work / "seed" / "meta-data", meta.encode())


def _only_disk(output: Path) -> Path:
    found = sorted(output.glob("*.qcow2")) if output.is_dir() else []
    if len(found) != 1:
        raise StepFailedError(f"Packer says that it is done, and left {len(found)} disks", where=str(output))
    return found[0]


def _scripts_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _count(folder: Path) -> int:
    return sum(1 for file in folder.rglob("*.sh"))
