"""A machine that builds images: a project of its own, a made-up Packer, and everything above them."""

import json
import sys
from dataclasses import dataclass, field

from tests.unit.images.conftest import Bench
from zave.images.builder import AllImages
from zave.images.local import LocalImages
from zave.images.store import Store
from zave.images.workshop import Workshop
from zave.platforms.images import image_request
from zave.ports import Artifact, ImageRequest
from zave.process import ProcessRunner
from zave.project import Project
from zave.tools.packer import Packer

# stands in for Packer: leaves what a build leaves, or what `told.json` says
FAKE = """#!{python} -I
import json, os, pathlib, signal, struct, subprocess, sys
here = pathlib.Path(__file__).parent
told = json.loads((here / "told.json").read_text())
if sys.argv[1] == "version":
    print("1,,version," + told.get("version", "1.6.6"))
    sys.exit()
with (here / "builds").open("a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "init":
    sys.exit()
files = [word.partition("=")[2] for word in sys.argv if word.startswith("-var-file=")]
values = json.loads(pathlib.Path(files[-1]).read_text())
(here / "values.json").write_text(json.dumps(values))
for name in ("key", "seed/user-data", "seed/meta-data"):
    file = pathlib.Path(values.get("seed_folder", "/nowhere")).parent / name
    if file.exists():
        (here / name.replace("/", "-")).write_text(file.read_text() + oct(file.stat().st_mode))
template = sorted(str(file.relative_to(".")) for file in pathlib.Path(".").rglob("*") if file.is_file())
(here / "template.json").write_text(json.dumps(template))
print("1,,ui,say,==> qemu.k3s-base: Starting VM%!(PACKER_COMMA) booting disk")
print("1,,ui,say,==> qemu.k3s-base: Provisioning with shell script: /x/scripts/harden-os.sh", flush=True)
if "output_directory" in values:
    output = pathlib.Path(values["output_directory"])
    output.mkdir()
    head = struct.pack(">4sIQIIQI", b"QFI\\xfb", 3, 0, 0, 16, 50 << 30, 0).ljust(104, b"\\0")
    disk = output / "k3s-base-debian-12.qcow2"
    disk.write_bytes(head + told.get("disk", "whole").encode())
if told.get("hangs"):
    disk.write_bytes(head)
    # what stands in for QEMU outlives its Packer
    child = subprocess.Popen([sys.executable, "-I", "-c", "import signal; signal.pause()"], close_fds=False)
    (here / "pids").write_text(f"{{os.getpid()}} {{child.pid}}")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pause()
manifest = pathlib.Path(values["manifest_directory"])
report = {{"fingerprint": values["fingerprint"], "kernel": "6.1.0", "lynis_version": "3.0.8"}}
report |= told.get("report", {{}})
(manifest / "image.json").write_text(json.dumps(report))
(manifest / "packages.txt").write_text("adduser 3.134 all\\nbash 5.2 amd64\\n")
(manifest / "lynis-report.dat").write_text("# x\\nhardening_index=" + str(told.get("lynis", 78)) + "\\n")
for name in told.get("forgets", []):
    (manifest / name).unlink()
for key, value in told.get("artifact", {{}}).items():
    print(f"1,amazon-ebs.k3s-base,artifact,0,{{key}},{{value}}")
sys.exit(told.get("code", 0))
"""


@dataclass
class Workbench:
    """Builds on what `bench` fetches; not `fresh` is the same machine seen by another process."""

    bench: Bench
    runner: ProcessRunner = field(default_factory=ProcessRunner)
    fresh: bool = True

    def __post_init__(self) -> None:
        self.root = self.bench.folder.parent
        self.bin = self.root / "bin"
        self.image = self.root / "project" / "packer-images" / "k3s-base"
        if self.fresh:
            self.set_up()

    def set_up(self) -> None:
        self.bin.mkdir()
        program = self.bin / "packer"
        program.write_text(FAKE.format(python=sys.executable))
        program.chmod(0o755)
        for name in ("qemu-system-x86_64", "qemu-img"):
            (self.bin / name).touch(mode=0o755)
        self.told()
        (self.image / "scripts").mkdir(parents=True)
        (self.image / "scripts" / "harden-os.sh").write_text("#!/bin/sh\n")
        (self.image / "k3s-base.pkr.hcl").write_text("# the template\n")
        (self.image / "README.md").write_text("what it is\n")
        for base in ("ubuntu-24.04", "debian-12"):
            (self.image / f"{base}.pkrvars.hcl").write_text(f'distribution = "{base}"\n')
        shared = self.root / "project" / "templates" / "packer"
        shared.mkdir(parents=True)
        (shared / "plugins.pkr.hcl.j2").write_text("{% if plugins %}plugins of {{ image }}{% endif %}")

    def told(self, **told: object) -> None:
        (self.bin / "told.json").write_text(json.dumps(told))

    def builds(self) -> int:
        file = self.bin / "builds"
        return sum(line.startswith("build") for line in file.read_text().splitlines()) if file.exists() else 0

    def given(self, name: str) -> str:
        return (self.bin / name).read_text()

    @property
    def project(self) -> Project:
        return Project(self.root / "project")

    def request(self, **changes: str) -> ImageRequest:
        values = {"source": "packer", "image": "k3s-base", "base": "ubuntu-24.04", "builder": "qemu"}
        return image_request(self.project, **{**values, **changes})  # type: ignore[arg-type]

    @property
    def workshop(self) -> Workshop:
        return Workshop(
            folder=self.bench.folder / "work",
            project=self.project,
            packer=lambda: Packer.find(
                runner=self.runner,
                environment={"PATH": str(self.bin)},
                plugins=self.bench.folder / "plugins",
            ),
            clock=self.bench.clock,
            interrupted=lambda: self.runner.interrupted,
            accelerator=lambda _: "tcg",
            token=lambda: f"token-{self.builds() + 1}",
        )

    @property
    def images(self) -> LocalImages:
        return LocalImages(
            bases=self.bench.bases,
            workshop=self.workshop,
            store=Store(folder=self.bench.folder / "built", interrupted=lambda: False),
            clock=self.bench.clock,
        )

    @property
    def all(self) -> AllImages:
        return AllImages(self.images)

    def build(self, **changes: str) -> Artifact:
        return self.images.build(self.request(**changes), say=self.bench.say)

    def files(self, folder: str) -> list[str]:
        """What is in a folder of zave's, but its locks."""
        found = (self.bench.folder / folder).rglob("*")
        return sorted(f.name for f in found if f.suffix not in (".lock", ".survivors", ".log"))
