"""`zave build-image`: built once, listed, pruned, and never from under an instance."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.unit.cli.conftest import Result, Zave
from zave.lifecycle.build_image import images_document, outdated, remove_images
from zave.ports import Artifact
from zave.schemas import load_schema
from zave.ui.images import render_images

pytestmark = pytest.mark.usefixtures("state")
BUILD = ("build-image", "--rehearse", "--speed", "0")


def valid(result: Result) -> dict[str, list[dict[str, object]]]:
    """The document of a call, right by its schema."""
    assert result.status == 0, result.err
    Draft202012Validator(load_schema("images")).validate(result.document)
    return result.document


def steps(result: Result) -> list[str]:
    """What was planned."""
    assert result.status == 0, result.err
    started = json.loads(result.out.splitlines()[0])
    return [step["action"] for step in started["steps"]]


def test_an_image_is_built_once(zave: Zave) -> None:
    assert steps(zave(*BUILD, "-o", "json")) == ["run"]
    assert steps(zave(*BUILD, "-o", "json")) == ["skip"]
    assert steps(zave(*BUILD, "--base", "debian-12", "-o", "json")) == ["rerun"]


def test_images_are_listed_as_a_document_and_for_people(zave: Zave) -> None:
    assert valid(zave("build-image", "--list", "--rehearse", "-o", "json"))["images"] == []
    assert zave("build-image", "--list", "--rehearse").out == "no images\n"
    zave(*BUILD)
    [image] = valid(zave("build-image", "--list", "--rehearse", "-o", "json"))["images"]
    assert str(image["name"]).startswith("zave-k3s-base-")
    assert image["used_by"] == []
    assert str(image["name"]) in zave("build-image", "--list", "--rehearse").out


def test_prune_asks_and_keeps_the_newest(zave: Zave) -> None:
    for base in ("ubuntu-24.04", "debian-12", "ubuntu-22.04"):
        assert zave(*BUILD, "--base", base).status == 0
    newest = valid(zave("build-image", "--list", "--rehearse", "-o", "json"))["images"][0]

    asked = zave("build-image", "--prune", "--rehearse", "-o", "json")
    assert asked.status == 2
    assert "--yes" in asked.err
    assert len(valid(zave("build-image", "--list", "--rehearse", "-o", "json"))["images"]) == 3

    pruned = valid(zave("build-image", "--prune", "--rehearse", "--yes", "-o", "json"))
    assert pruned["images"] == [newest]
    assert len(pruned["removed"]) == 2
    assert valid(zave("build-image", "--list", "--rehearse", "-o", "json"))["images"] == [newest]
    # nothing to do is not worth a question
    assert valid(zave("build-image", "--prune", "--rehearse", "-o", "json"))["removed"] == []


def test_an_instances_image_is_never_pruned(zave: Zave) -> None:
    assert zave("up", "homelab", "--rehearse", "--yes").status == 0
    zave(*BUILD)

    pruned = valid(zave("build-image", "--prune", "--keep", "0", "--rehearse", "--yes", "-o", "json"))

    [kept] = pruned["images"]
    assert kept["used_by"] == ["homelab"]
    assert len(pruned["removed"]) == 1
    assert zave("down", "homelab", "--rehearse", "--yes").status == 0
    assert (
        valid(zave("build-image", "--prune", "--keep", "0", "--rehearse", "--yes", "-o", "json"))["images"]
        == []
    )


def test_a_base_is_pinned_before_the_build(zave: Zave, tmp_path: Path) -> None:
    result = zave(*BUILD, "--source", str(tmp_path / "own.qcow2"), "-o", "json")
    notices = result.events
    assert [event["event"] for event in notices][:2] == ["notice", "run.started"]
    assert "own.qcow2 would be pinned" in notices[0]["text"]
    assert "would be pinned" in zave(*BUILD, "--update").err


@pytest.mark.parametrize(
    "words",
    [
        ("--builder", "amazon-ebs", "--update"),
        ("--builder", "amazon-ebs", "--source", "x"),
        ("--base", "../etc"),
        ("--base", "Ubuntu 24"),
        ("--prune", "--keep", "-1"),
        ("no-such-image",),
    ],
)
def test_what_cannot_be_is_refused(zave: Zave, words: tuple[str, ...]) -> None:
    result = zave("build-image", "--rehearse", *words)
    assert result.status == 2


# which may go


def image(name: str, location: str = "") -> Artifact:
    return Artifact(name, location or f"/x/{name}.qcow2", "sha256:", "", 5 << 20, "2026-11-23T16:00:00.000Z")


def test_the_newest_of_each_kind_stay() -> None:
    images = [image(name) for name in ("a-3", "b-2", "a-2", "b-1", "a-1")]
    names = [found.name for found in outdated(images, keep=1, users={})]
    assert names == ["a-2", "b-1", "a-1"]
    assert [found.name for found in outdated(images, keep=2, users={})] == ["a-1"]
    assert len(outdated(images, keep=0, users={})) == 5


def test_what_is_used_stays_and_does_not_count() -> None:
    images = [image("a-3"), image("a-2"), image("a-1")]
    users = {"/x/a-3.qcow2": ["homelab"]}
    assert [found.name for found in outdated(images, keep=1, users=users)] == ["a-1"]


def test_one_that_cannot_be_removed_does_not_keep_the_others() -> None:
    from zave.errors import StepFailedError

    class Stubborn:
        """Refuses one."""

        removed: list[str] = []  # noqa: RUF012

        def remove(self, artifact: Artifact) -> None:
            if artifact.name == "a-1":
                raise StepFailedError("no", details="in use")
            self.removed.append(artifact.name)

    builder = Stubborn()
    with pytest.raises(StepFailedError, match="1 of 3") as caught:
        remove_images([image("a-1"), image("a-2"), image("a-3")], builder)  # type: ignore[arg-type]
    assert builder.removed == ["a-2", "a-3"]
    assert caught.value.details == "a-1: in use"


def test_an_ami_and_a_file_of_one_base_are_two_kinds() -> None:
    """Neither stands for the other: an account boots no file, this machine no AMI."""
    name = "zave-k3s-base-ubuntu-24.04"
    images = [
        image(f"{name}-20261102000000", "ami-2"),
        image(f"{name}-aaaaaaaaaaaa"),
        image(f"{name}-20261101000000", "ami-1"),
        image(f"{name}-bbbbbbbbbbbb"),
    ]
    going = [found.location for found in outdated(images, keep=1, users={})]
    assert going == ["ami-1", f"/x/{name}-bbbbbbbbbbbb.qcow2"]


def test_leftovers_are_listed_and_pruned_as_what_they_are(zave: Zave, state: Path) -> None:
    folder = state / "images" / "built"
    folder.mkdir(parents=True)
    disk = folder / f"zave-k3s-base-debian-12-{'a' * 12}.qcow2"
    disk.write_bytes(b"half a disk")

    listed = valid(zave("build-image", "--list", "-o", "json"))
    assert listed["images"] == []
    [leftover] = listed["leftovers"]
    assert (leftover["location"], leftover["why"]) == (str(disk), "a disk without a manifest")
    shown = zave("build-image", "--list").out
    assert "leftovers, no images (1): --prune removes them" in shown
    assert str(disk) in shown

    asked = zave("build-image", "--prune", "-o", "json")
    assert asked.status == 2
    assert disk.exists()
    pruned = valid(zave("build-image", "--prune", "--yes", "-o", "json"))
    assert (pruned["removed"], pruned["leftovers"], pruned["discarded"]) == ([], [], [leftover])
    assert not disk.exists()
    assert "leftovers removed" not in zave("build-image", "--prune", "--yes").out


def test_hostile_names_are_harmless_on_the_screen() -> None:
    document = images_document([image("a\x1b[2J-1")], users={"/x/a\x1b[2J-1.qcow2": ["x\ny"]})
    text = render_images(document)
    assert "\x1b" not in text
    assert len(text.splitlines()) == 2


def _lab(folder: Path, name: str, artifacts: str) -> None:
    """A home lab of the project in `folder`; it lives with the project that comes with zave."""
    lab = folder / "environments" / name
    lab.mkdir(parents=True)
    text = "platform: libvirt-k3s\nnodes: {worker: {count: 0}}\n"
    (lab / "environment.yaml").write_text(f"{text}artifacts: {artifacts}\n")


def test_vendors_files_come_from_where_the_home_labs_say(zave: Zave, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    _lab(tmp_path, "near", f"{{folder: {shelf}}}")
    # nothing is asked of a vendor: the shelf is empty, and that is what is told
    empty = zave("build-image", "--base", "debian-12", "--update")
    assert empty.status not in (0, 2)
    assert f"where: {shelf}" in empty.err

    _lab(tmp_path, "far", '{url: "https://files.invalid/zave"}')
    several = zave("build-image", "--base", "debian-12", "--update")
    assert several.status == 2
    assert f"{shelf}, https://files.invalid/zave" in several.err
    assert "--for ENV" in several.err
    chosen = zave("build-image", "--base", "debian-12", "--update", "--for", "near")
    assert f"where: {shelf}" in chosen.err
    unknown = zave("build-image", "--for", "nowhere")
    assert unknown.status == 2
    assert "nowhere" in unknown.err


def test_how_many_to_keep_is_nothing_to_say_without_pruning(zave: Zave) -> None:
    for words in (("--keep", "2"), ("--list", "--keep", "2")):
        result = zave("build-image", "--rehearse", *words)
        assert result.status == 2
        assert "next: add --prune" in result.err
    assert zave("build-image", "--rehearse", "--prune", "--keep", "2", "--yes").status == 0
