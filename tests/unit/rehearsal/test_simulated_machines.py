import json
import stat
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.rehearsal.flux_world import flux_in, hand_over, take_back
from zave.errors import PreconditionError, StepFailedError, ToolFailedError
from zave.ports.machines import Machine, Release
from zave.rehearsal.machines import SimulatedMachines, SimulatedReleases
from zave.rehearsal.world import Draft, World

DraftOf = Callable[..., Draft]
CONTROL = Machine("homelab-control-plane-1", "control-plane", "10.17.3.11")
WORKERS = (Machine("homelab-worker-1", "worker", "10.17.3.21"), Machine("homelab-worker-2", "worker", ""))
ALL = (CONTROL, *WORKERS)
OLD, NEW = (Release(f"v1.35.{patch}+k3s1", "0" * 64, "vendor") for patch in (8, 9))


@dataclass(frozen=True)
class Artifacts:
    folder: str | None = None
    url: str | None = None


@pytest.fixture
def machines(world: World, draft: DraftOf) -> SimulatedMachines:
    for machine in ALL:
        world.create(draft(f"zave-{machine.name}", running=True))
    return SimulatedMachines(world, instance="homelab")


def join(machines: SimulatedMachines, wanted: Sequence[Machine] = ALL, release: Release = NEW) -> list[str]:
    """What `join` says."""
    told: list[str] = []
    machines.join(wanted, release=release, say=lambda text, _fraction: told.append(text))
    return told


def releases(machines: SimulatedMachines) -> list[str | None]:
    return [state.release for state in machines.look(ALL)]


def test_join_takes_the_control_plane_first_and_workers_together(
    world: World, machines: SimulatedMachines
) -> None:
    before = world.clock.now()
    told = join(machines)
    assert [text.partition(":")[0] for text in told] == [
        "waiting for cloud-init on 3 machines (simulated)",
        "join homelab-control-plane-1",
        "join homelab-worker-1, homelab-worker-2",
    ]
    assert all(text.endswith("(simulated)") for text in told)
    assert (world.clock.now() - before).total_seconds() >= 17 + 2 * 20
    assert [(s.release, s.running, s.problem) for s in machines.look(ALL)] == [(NEW.version, True, None)] * 3


def test_second_join_does_nothing(world: World, machines: SimulatedMachines) -> None:
    join(machines)
    before = world.clock.now()
    assert join(machines) == []
    assert world.clock.now() == before


def test_upgrade_goes_one_at_a_time_control_plane_first(machines: SimulatedMachines) -> None:
    join(machines, release=OLD)
    told = join(machines, [*WORKERS, CONTROL], NEW)
    assert [text.partition(":")[0] for text in told] == [
        "taking a snapshot of the datastore (simulated)",
        "upgrade homelab-control-plane-1",
        "upgrade homelab-worker-1",
        "upgrade homelab-worker-2",
    ]
    assert releases(machines) == [NEW.version] * 3


def test_machine_made_anew_must_join_again(world: World, machines: SimulatedMachines, draft: DraftOf) -> None:
    join(machines)
    world.lose("libvirt_domain", "zave-homelab-worker-1")
    assert [state.problem for state in machines.look(ALL)] == [None, "there is no such machine", None]
    world.create(draft("zave-homelab-worker-1", running=True))
    assert releases(machines) == [NEW.version, None, NEW.version]
    assert [text.partition(":")[0] for text in join(machines)][1:] == ["join homelab-worker-1"]
    assert releases(machines) == [NEW.version] * 3


@pytest.mark.parametrize(("stop", "says"), [(True, "the machine is off"), (False, "no such machine")])
def test_join_names_the_machine_that_does_not_answer(
    world: World, machines: SimulatedMachines, *, stop: bool, says: str
) -> None:
    (world.stop if stop else world.lose)("libvirt_domain", "zave-homelab-worker-2")
    with pytest.raises(StepFailedError, match=says) as caught:
        join(machines)
    assert "homelab-worker-2" in caught.value.brief
    assert caught.value.resolution
    assert releases(machines)[:2] == [None, None]


def test_failed_join_names_machine_and_message_and_the_next_one_goes_on(
    world: World, machines: SimulatedMachines
) -> None:
    world.faults.add('fail join k3s.homelab-worker-1 with "token rejected"')
    with pytest.raises(StepFailedError, match="homelab-worker-1") as caught:
        join(machines)
    assert caught.value.details == "token rejected"
    assert releases(machines) == [NEW.version, None, None]
    join(machines)
    assert releases(machines) == [NEW.version] * 3


def test_hanging_join_ends_as_a_time_limit_would(world: World, machines: SimulatedMachines) -> None:
    world.faults.add("hang join k3s for 1s")
    with pytest.raises(ToolFailedError, match="did not become active in time"):
        join(machines)


def test_slow_join_takes_longer(world: World, machines: SimulatedMachines) -> None:
    world.faults.add("slow join k3s by 100x always")
    before = world.clock.now()
    join(machines)
    assert (world.clock.now() - before).total_seconds() > 2 * 2000


def test_snapshot_is_private_new_and_says_that_it_is_simulated(
    machines: SimulatedMachines, tmp_path: Path
) -> None:
    join(machines)
    file = tmp_path / "lab.snapshot"
    machines.snapshot(ALL, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "rehearsal" in json.loads(file.read_text())["simulated"]
    with pytest.raises(FileExistsError):
        machines.snapshot(ALL, file)


def test_restore_brings_back_what_the_snapshot_had(
    world: World, machines: SimulatedMachines, tmp_path: Path
) -> None:
    join(machines)
    flux = flux_in(world, tmp_path)
    hand_over(flux, "homelab", ["apps"])
    machines.snapshot(ALL, tmp_path / "with-flux")
    take_back(world, flux, "homelab")
    assert flux.presence(instance="homelab") == "bare"
    machines.restore(ALL, tmp_path / "with-flux", say=lambda _text, _fraction: None)
    assert [each.name for each in flux.reconciliations(instance="homelab")] == ["apps"]


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]", b"\xff\xfe", b'{"simulated": 1}'])
def test_restore_refuses_what_is_no_snapshot(
    machines: SimulatedMachines, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "broken"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PreconditionError, match="broken") as caught:
        machines.restore(ALL, file, say=lambda _text, _fraction: None)
    assert caught.value.resolution


def test_a_snapshot_of_an_earlier_control_plane_takes_over_when_that_is_agreed_to(
    world: World, machines: SimulatedMachines, draft: DraftOf, tmp_path: Path
) -> None:
    join(machines)
    flux = flux_in(world, tmp_path)
    hand_over(flux, "homelab", ["apps"])
    file = tmp_path / "old"
    machines.snapshot(ALL, file)
    assert not machines.is_of_former(ALL, file)
    take_back(world, flux, "homelab")
    world.lose("libvirt_domain", "zave-homelab-control-plane-1")
    world.create(draft("zave-homelab-control-plane-1", running=True))
    join(machines)
    assert machines.is_of_former(ALL, file)
    with pytest.raises(PreconditionError, match="an earlier control plane"):
        machines.restore(ALL, file, say=lambda _text, _fraction: None)
    assert flux.presence(instance="homelab") == "bare"
    machines.restore(ALL, file, say=lambda _text, _fraction: None, take_over=True)
    assert [each.name for each in flux.reconciliations(instance="homelab")] == ["apps"]


def test_restore_refuses_a_snapshot_of_another_instance(
    world: World, machines: SimulatedMachines, tmp_path: Path
) -> None:
    join(machines)
    machines.snapshot(ALL, tmp_path / "old")
    text = (tmp_path / "old").read_text().replace('"instance": "homelab"', '"instance": "second"')
    (tmp_path / "old").write_text(text)
    with pytest.raises(PreconditionError, match="another cluster"):
        machines.restore(ALL, tmp_path / "old", say=lambda _text, _fraction: None, take_over=True)


def test_shell_says_what_it_would_do_and_runs_nothing(machines: SimulatedMachines) -> None:
    argv = machines.shell(CONTROL, ["touch", "/tmp/x; rm -rf /"])
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("simulated: ssh to homelab-control-plane-1 (10.17.3.11)")
    assert "touch /tmp/x; rm -rf /" in done.stdout


def test_channel_becomes_a_release_that_cannot_be_real() -> None:
    resolve = SimulatedReleases().resolve
    assert resolve(version="v1.35", artifacts=Artifacts()).version == "v1.35.0+k3s0"
    assert resolve(version="v1.35.9+k3s1", artifacts=Artifacts()).version == "v1.35.9+k3s1"
    found = resolve(version="v1.35", artifacts=Artifacts(folder="/srv/zave"))
    assert (found.origin, found.location) == ("folder", "/srv/zave")
    assert resolve(version="v1.35", artifacts=Artifacts(url="https://x")).origin == "url"
    assert resolve(version="v1.35", artifacts=Artifacts()).origin == "vendor"
