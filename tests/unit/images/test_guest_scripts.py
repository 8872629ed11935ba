"""What the image's scripts do in situations that a build seldom meets: run here, with a made-up apt."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from zave.project import Project
from zave.render import Renderer

SCRIPTS = Project().path("packer-images/k3s-base/scripts")
WITH_APT = sorted(file.name for file in SCRIPTS.glob("*.sh") if re.search(r"\bapt", file.read_text()))

# fails as often as the file `locked` has lines; notes what it was asked
_APT = """#!/bin/sh
for word; do case $word in update | clean | install) echo "$word" >>"$HERE/asked" ;; esac; done
[ -s "$HERE/locked" ] || exit 0
sed -i 1d "$HERE/locked"
echo 'E: Could not get lock /var/lib/apt/lists/lock' >&2
exit 100
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with an apt-get and a sleep that notes how long."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("apt-get", _APT), ("sleep", '#!/bin/sh\necho "$1" >>"$HERE/slept"\n')):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return tmp_path


def function(script: str, name: str) -> str:
    found = re.search(rf"^{name}\(\) \{{.*?^\}}$", (SCRIPTS / script).read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[0]


def run(machine: Path, shell: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{machine}/bin:{os.environ['PATH']}", "HERE": str(machine)}
    return subprocess.run(
        ["sh", "-euc", shell], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def test_every_script_runs_apt_in_the_same_way() -> None:
    assert len(WITH_APT) == 5
    assert len({function(script, "apt") for script in WITH_APT}) == 1
    for script in WITH_APT:
        calls = re.findall(r"^\s*apt-get .*$", (SCRIPTS / script).read_text(), re.MULTILINE)
        assert calls == []


@pytest.mark.parametrize("verb", ["update", "clean"])
def test_a_lock_that_apt_does_not_wait_for_is_waited_for(machine: Path, verb: str) -> None:
    (machine / "locked").write_text("x\n" * 3)
    ended = run(machine, f"{function('harden-os.sh', 'apt')}\napt {verb}\necho and on")
    assert (ended.returncode, ended.stdout) == (0, "and on\n")
    assert lines(machine / "asked") == [verb] * 4
    assert lines(machine / "slept") == ["10"] * 3


def test_a_lock_that_is_never_let_go_ends_the_script(machine: Path) -> None:
    (machine / "locked").write_text("x\n" * 1000)
    ended = run(machine, f"{function('harden-os.sh', 'apt')}\napt update\necho and on")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert len(lines(machine / "asked")) == 60


def test_what_failed_for_another_reason_is_not_tried_again(machine: Path) -> None:
    """apt waits for dpkg's lock itself, for ten minutes: an installation that failed then has failed."""
    (machine / "locked").write_text("x\n" * 3)
    ended = run(machine, f"{function('harden-os.sh', 'apt')}\napt install auditd\necho and on")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert lines(machine / "asked") == ["install"]


@pytest.mark.parametrize("script", [name for name in WITH_APT if name != "reset-identity.sh"])
def test_no_script_lets_needrestart_end_the_cloud_init_that_it_runs_in(script: str) -> None:
    exported = re.findall(r"^export (.*)$", (SCRIPTS / script).read_text(), re.MULTILINE)
    assert "NEEDRESTART_SUSPEND=1" in " ".join(exported).split()
    assert "NEEDRESTART_MODE" not in (SCRIPTS / script).read_text()


@pytest.mark.parametrize(("distribution", "value"), [("ubuntu", "4"), ("debian", "3")])
def test_performance_events_are_no_looser_than_the_distributions_own(
    machine: Path, distribution: str, value: str
) -> None:
    (machine / "etc").mkdir()
    (machine / "etc/os-release").write_text(f'NAME="x"\nID={distribution}\nID_LIKE=debian\n')
    text = "\n".join(function("harden-os.sh", name) for name in ("put", "running", "kernel"))
    text = text.replace("/etc/", f"{machine}/etc/").replace("/run/systemd", f"{machine}/run/systemd")
    ended = run(machine, f"{text}\nkernel")
    assert ended.returncode == 0, ended.stderr
    written = (machine / "etc/sysctl.d/80-zave-hardening.conf").read_text()
    assert f"\nkernel.perf_event_paranoid = {value}\n" in written
    assert "$" not in written


@pytest.mark.parametrize(
    ("kernels", "newest"),
    [
        (("6.1.0-9-cloud-amd64", "6.1.0-41-cloud-amd64"), "6.1.0-41-cloud-amd64"),
        (("6.8.0-100-generic", "6.8.0-88-generic"), "6.8.0-100-generic"),
        ((), ""),
    ],
)
def test_the_kernel_on_record_is_the_one_that_the_image_boots(
    machine: Path, kernels: tuple[str, ...], newest: str
) -> None:
    (machine / "boot").mkdir()
    for kernel in kernels:
        (machine / "boot" / f"vmlinuz-{kernel}").touch()
        (machine / "boot" / f"initrd.img-{kernel}").touch()
    text = function("record-image.sh", "newest").replace("/boot/", f"{machine}/boot/")
    assert run(machine, f"{text}\nnewest").stdout.strip() == newest
    assert '"kernel": "$(word "$(newest)")"' in (SCRIPTS / "record-image.sh").read_text()


def test_the_marker_of_the_first_boot_is_its_last_deed() -> None:
    script = Renderer(Project()).render_text(
        "templates/cloud-init/files/first-boot.sh.j2", {"scripts": ["x.sh"]}
    )
    done = [line for line in script.splitlines() if line and not line.startswith("#")]
    assert done[-1] == "touch /var/lib/zave/first-boot"
    assert "set -eu" in done
