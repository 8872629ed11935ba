"""A spec that would leave a standing instance behind is refused before anything is touched."""

from pathlib import Path

import pytest

from tests.rehearsal.aws_lab import INSTANCE, AwsLab
from tests.rehearsal.lab import Lab

PRECONDITION = 5


def edited(lab: Lab, project: Path, environment: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """A project of the shipped environments with changes to one; the option with which zave takes it."""
    made = lab.zave("init", str(project))
    assert made.exit_code == 0, made.told()
    file = project / "environments" / environment / "environment.yaml"
    text = file.read_text()
    for shipped, wanted in changes:
        assert shipped in text
        text = text.replace(shipped, wanted)
    file.write_text(text)
    return ("--project", str(project))


@pytest.mark.parametrize(
    ("shipped", "wanted", "told"),
    [
        ("region: us-east-1", "region: eu-west-1", "aws.region stays us-east-1"),
        ("cidr: 10.42.0.0/16", "cidr: 10.43.0.0/16", "network.cidr stays 10.42.0.0/16"),
        ('bucket: "zave-state-', 'bucket: "other-', "state.bucket stays"),
        ('version: "1.35"', 'version: "1.34"', "goes from there to 1.36 only"),
        ('version: "1.35"', 'version: "1.37"', "goes from there to 1.36 only"),
    ],
)
def test_a_demo_cannot_be_moved(
    demo_lab: AwsLab, tmp_path: Path, shipped: str, wanted: str, told: str
) -> None:
    before, made, seen = demo_lab.status(), demo_lab.parts(), demo_lab.log()[-1].seq
    project = edited(demo_lab, tmp_path / "project", INSTANCE, (shipped, wanted))
    for command in (("plan", INSTANCE), ("up", INSTANCE, "--yes")):
        refused = demo_lab.zave(*command, "--rehearse", "-o", "json", *project)
        assert refused.exit_code == PRECONDITION, refused.told()
        assert told in refused.told()
        assert f"down {INSTANCE}" in refused.told()
    assert demo_lab.parts() == made
    # not even a lock was taken
    assert [each for each in demo_lab.log(since=seen) if each.type != "aws_s3_object"] == []
    assert demo_lab.status()["phase"] == before["phase"] == "ready"


def test_a_demo_goes_up_one_version_and_out_of_the_way_by_another_name(
    demo_lab: AwsLab, tmp_path: Path
) -> None:
    project = edited(demo_lab, tmp_path / "next", INSTANCE, ('version: "1.35"', 'version: "1.36"'))
    planned = demo_lab.zave("plan", INSTANCE, "--rehearse", "-o", "json", *project)
    assert planned.exit_code == 0, planned.told()
    project = edited(demo_lab, tmp_path / "moved", INSTANCE, ("cidr: 10.42.0.0/16", "cidr: 10.43.0.0/16"))
    beside = demo_lab.zave("plan", INSTANCE, "--name", "beside", "--rehearse", "-o", "json", *project)
    assert beside.exit_code == 0, beside.told()


@pytest.mark.parametrize(
    ("shipped", "wanted", "told"),
    [
        ("qemu:///system", "qemu+ssh://other/system", "libvirt.uri stays qemu:///system"),
        ("cidr: 10.17.3.0/24", "cidr: 10.17.4.0/24", "libvirt.network.cidr stays 10.17.3.0/24"),
    ],
)
def test_a_home_lab_cannot_be_moved(
    standing_lab: Lab, tmp_path: Path, shipped: str, wanted: str, told: str
) -> None:
    before = standing_lab.standing()
    project = edited(standing_lab, tmp_path / "project", "homelab", (shipped, wanted))
    refused = standing_lab.up(*project)
    assert refused.exit_code == PRECONDITION, refused.told()
    assert told in refused.told()
    assert standing_lab.standing() == before
    # once it is down it may be anything
    assert standing_lab.down().exit_code == 0
    planned = standing_lab.zave("plan", "homelab", "--rehearse", "-o", "json", *project)
    assert planned.exit_code == 0, planned.told()
