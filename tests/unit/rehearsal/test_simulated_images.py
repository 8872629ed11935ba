import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from zave.errors import InterruptedRunError, StepFailedError, ToolFailedError
from zave.ports import ImageRequest
from zave.rehearsal.images import SimulatedImages
from zave.rehearsal.world import World

REQUEST = ImageRequest(
    source="packer", base="ubuntu-24.04", image="k3s-base", builder="qemu", fingerprint="f" * 64
)


def _silent(text: str, fraction: float | None) -> None:
    """Somebody who does not listen."""


def test_built_image_is_found_by_its_fingerprint_only(world: World) -> None:
    images = SimulatedImages(world)
    assert images.find(REQUEST) is None
    built = images.build(REQUEST, say=_silent)
    assert images.find(REQUEST) == built
    assert images.find(replace(REQUEST, fingerprint="e" * 64)) is None
    assert images.find(replace(REQUEST, builder="amazon-ebs")) is None
    assert built.fingerprint == REQUEST.fingerprint
    assert built.checksum.startswith("sha256:")
    assert len(built.checksum) == len("sha256:") + 64
    assert built.location.startswith("/var/lib/libvirt/images/zave-k3s-base-")


def test_build_takes_the_measured_time_and_tells_of_its_progress(world: World) -> None:
    before, said = world.clock.now(), list[tuple[str, float | None]]()
    SimulatedImages(world).build(REQUEST, say=lambda text, fraction: said.append((text, fraction)))
    # Packer's qemu builder without KVM: 2 min 10 s
    assert (world.clock.now() - before).total_seconds() == pytest.approx(130)
    fractions = [fraction for _, fraction in said if fraction is not None]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert len(said) >= 4


def test_cloud_image_is_a_shorter_download(world: World) -> None:
    before = world.clock.now()
    SimulatedImages(world).build(replace(REQUEST, source="cloud"), say=_silent)
    assert world.clock.now() - before < timedelta(seconds=130)


def test_amazon_image_is_an_ami(world: World) -> None:
    built = SimulatedImages(world).build(replace(REQUEST, builder="amazon-ebs"), say=_silent)
    assert built.location.startswith("ami-")
    assert len(built.location) == len("ami-") + 17


def test_images_are_listed_newest_first(world: World) -> None:
    images = SimulatedImages(world)
    for fingerprint in ("b" * 64, "a" * 64, "c" * 64):
        images.build(replace(REQUEST, fingerprint=fingerprint), say=_silent)
    assert [artifact.fingerprint[0] for artifact in images.list()] == ["c", "a", "b"]


def test_removed_image_is_gone_and_the_others_stay(world: World) -> None:
    images = SimulatedImages(world)
    gone = images.build(REQUEST, say=_silent)
    kept = images.build(replace(REQUEST, fingerprint="e" * 64), say=_silent)
    images.remove(gone)
    images.remove(gone)
    assert images.list() == [kept]
    assert images.find(REQUEST) is None


def test_nothing_is_pinned_in_a_rehearsal(world: World) -> None:
    said = list[str]()
    SimulatedImages(world).pin("debian-12", source=None, say=lambda text, _: said.append(text))
    assert said == ["debian-12: what its vendor publishes now would be pinned (simulated)"]


def test_hostile_image_name_stays_within_its_folder(world: World) -> None:
    built = SimulatedImages(world).build(replace(REQUEST, image="../../etc/x y"), say=_silent)
    assert Path(built.location).parent == Path("/var/lib/libvirt/images")
    assert ".." not in built.location
    assert " " not in built.location


def test_failing_build_leaves_no_image_and_the_next_one_succeeds(world: World) -> None:
    images = SimulatedImages(world)
    world.faults.add('fail build image with "no space left"')
    with pytest.raises(StepFailedError) as caught:
        images.build(REQUEST, say=_silent)
    assert caught.value.details == "no space left"
    assert images.find(REQUEST) is None
    images.build(REQUEST, say=_silent)


def test_fault_for_another_image_does_not_strike(world: World) -> None:
    world.faults.add("fail build image.other")
    SimulatedImages(world).build(REQUEST, say=_silent)


def test_slow_build_takes_longer(world: World) -> None:
    before = world.clock.now()
    world.faults.add("slow build image by 3x")
    SimulatedImages(world).build(REQUEST, say=_silent)
    assert (world.clock.now() - before).total_seconds() == pytest.approx(390)


def test_hanging_build_fails_as_a_timeout(world: World) -> None:
    world.faults.add("hang build image for 1s")
    with pytest.raises(ToolFailedError, match="did not end in time"):
        SimulatedImages(world).build(REQUEST, say=_silent)
    assert SimulatedImages(world).find(REQUEST) is None


def test_hanging_build_can_be_interrupted(world: World) -> None:
    world.faults.add("hang build image")
    stopper = threading.Timer(0.05, world.cancel)
    stopper.start()
    with pytest.raises(InterruptedRunError):
        SimulatedImages(world).build(REQUEST, say=_silent)
    stopper.join()


def test_killed_build_leaves_no_image(world: World, world_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from zave.ports import ImageRequest
from zave.rehearsal.images import SimulatedImages
from zave.rehearsal.world import World

world = World.open(Path(sys.argv[1]))
world.clock.set_speed(1)
request = ImageRequest("packer", "ubuntu-24.04", "k3s-base", "qemu", "f" * 64)
SimulatedImages(world).build(request, say=lambda text, fraction: print(text, flush=True))
"""
    builder = subprocess.Popen(
        [sys.executable, "-c", script, str(world_path)], stdout=subprocess.PIPE, text=True
    )
    assert builder.stdout is not None
    assert "starting a machine" in builder.stdout.readline()
    builder.send_signal(signal.SIGKILL)
    builder.communicate()
    assert SimulatedImages(world).find(REQUEST) is None
    assert SimulatedImages(world).list() == []
