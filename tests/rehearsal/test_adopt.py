"""A record that is lost is made again from what stands, and only from what agrees."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.rehearsal.aws_lab import INSTANCE
from zave.cost.catalogue import load_document
from zave.rehearsal.things import Draft
from zave.schemas import load_schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.rehearsal.aws_lab import AwsLab
    from tests.rehearsal.lab import Ended, Lab

BUCKET = f"instances/{INSTANCE}"


def lose_record(lab: Lab) -> None:
    """The disk of a laptop forgets state.db and its backups; the instances' folders are still there."""
    root = lab.state / "rehearsal"
    for file in (*root.glob("state.db*"), root / "state.sequence"):
        file.unlink(missing_ok=True)
    shutil.rmtree(root / "backups", ignore_errors=True)


def adopt(lab: Lab, *words: str) -> Ended:
    return lab.zave("adopt", *words, "--rehearse", "-o", "json")


def adopted(lab: Lab, *words: str) -> list[str]:
    """What was said of an adoption that must succeed."""
    ended = adopt(lab, *words)
    assert ended.exit_code == 0, ended.told()
    assert ended.finished["exit_code"] == 0
    return [line["text"] for line in ended.documents if line["event"] == "notice"]


def recorded(lab: Lab) -> list[str]:
    ended = lab.zave("status", "--rehearse", "-o", "json")
    assert ended.exit_code == 0, ended.told()
    return [each["name"] for each in json.loads(ended.stdout)["environments"]]


def in_bucket(lab: AwsLab, pattern: str) -> Path:
    (path,) = (lab.state / "rehearsal" / "bucket" / BUCKET).glob(pattern)
    return path


# a demo


def test_a_demo_without_a_record_is_adopted_and_works_as_before(demo_lab: AwsLab) -> None:
    before, made = demo_lab.status(), demo_lab.parts()
    lose_record(demo_lab)
    refused = demo_lab.zave("status", "--rehearse", "-o", "json")
    assert refused.exit_code == 5
    assert "--new-record" in refused.stdout

    said = adopted(demo_lab, INSTANCE, "--new-record")
    assert any("owner me@example.org" in text for text in said), said
    after = demo_lab.status()
    kept = ("environment", "platform", "phase", "created_at", "expires_at", "outputs", "nodes")
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert after["switch"] == before["switch"]
    assert after["usd_per_hour"] == before["usd_per_hour"]

    demo_lab.ok("extend", INSTANCE, "--ttl", "60h")
    again = demo_lab.demo("--ttl", "24h")
    assert again.exit_code == 0, again.told()
    assert demo_lab.parts() == made
    # neither plan nor inventory differs from the record
    demo_lab.ok("drift", INSTANCE)

    ended = demo_lab.end()
    assert ended.exit_code == 0, ended.told()
    assert ended.receipt["leaks"] == []
    assert {part.type for part in made} <= {
        thing["type"] for thing in ended.receipt["deleted"] + ended.receipt["accepted"]
    }
    assert demo_lab.parts() == []


def test_an_adopted_demo_is_taken_down_by_terraform_without_an_up_in_between(demo_lab: AwsLab) -> None:
    lose_record(demo_lab)
    # the whole laptop: no folder of the instance's either
    shutil.rmtree(demo_lab.state / "rehearsal" / "instances")
    adopted(demo_lab, INSTANCE)
    ended = demo_lab.end()
    assert ended.exit_code == 0, ended.told()
    assert ended.receipt["leaks"] == []
    swept = [
        d
        for d in ended.documents
        if d["event"] == "notice" and d["text"].startswith("sweep: deleting aws_eks_cluster")
    ]
    assert swept == []
    assert demo_lab.parts() == []


def _alter_bundle(lab: AwsLab) -> None:
    bundle = in_bucket(lab, "bundle-*.tar.gz")
    bundle.write_bytes(bundle.read_bytes()[:-1] + b"x")


def _damage_state(lab: AwsLab) -> None:
    in_bucket(lab, "terraform.tfstate").write_bytes(b"")


def _foreign_state(lab: AwsLab) -> None:
    path = in_bucket(lab, "terraform.tfstate")
    path.write_text(path.read_text().replace('"zave:instance": "aws-demo"', '"zave:instance": "other"'))


def _other_creation(lab: AwsLab) -> None:
    with lab.world() as world:
        thing = next(t for t in world.things(provider="aws") if t.type == "aws_vpc")
        tags = {**thing.attributes["tags_all"], "zave:creation": "2020-01-01T00:00:00.000Z"}
        with world.transaction() as ledger:
            ledger.change(thing, {**thing.attributes, "tags_all": tags}, verb="update")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_alter_bundle, "is not the one that was proven"),
        (lambda lab: in_bucket(lab, "bundle-*.tar.gz").unlink(), "its bundle is gone"),
        (_damage_state, "Terraform state is damaged"),
        (_foreign_state, "Terraform state is of another one"),
        (_other_creation, "zave:creation is 2020-01-01"),
    ],
)
def test_nothing_is_recorded_while_anything_is_doubtful(
    demo_lab: AwsLab, spoil: Callable[[AwsLab], None], says: str
) -> None:
    lose_record(demo_lab)
    spoil(demo_lab)
    refused = adopt(demo_lab, INSTANCE, "--new-record")
    assert refused.exit_code == 5, refused.told()
    assert says in refused.stdout + refused.stderr
    assert recorded(demo_lab) == []


def test_credentials_of_another_account_are_refused(demo_lab: AwsLab, tmp_path: Path) -> None:
    lose_record(demo_lab)
    project = tmp_path / "project"
    assert demo_lab.zave("init", str(project)).exit_code == 0
    file = project / "environments" / "aws-demo" / "environment.yaml"
    file.write_text(file.read_text().replace("123456789012", "999999999999"))
    refused = adopt(demo_lab, INSTANCE, "--new-record", "--project", str(project))
    assert refused.exit_code == 5, refused.told()
    assert "account 999999999999" in refused.stdout
    assert recorded(demo_lab) == []


def test_a_demo_of_another_name_is_found_by_its_tags(account_lab: AwsLab) -> None:
    ended = account_lab.demo("--ttl", "24h", "--name", "second")
    assert ended.exit_code == 0, ended.told()
    lose_record(account_lab)
    wrong = adopt(account_lab, "homelab", "--name", "second", "--new-record")
    assert wrong.exit_code == 2, wrong.told()
    adopted(account_lab, "second")
    assert account_lab.status("second")["environment"] == "aws-demo"


def test_what_is_recorded_destroyed_or_not_there_is_a_mistake(demo_lab: AwsLab) -> None:
    for words, says in (((INSTANCE,), "recorded already"), (("nothing",), "nothing to adopt")):
        refused = adopt(demo_lab, *words)
        assert refused.exit_code == 2, refused.told()
        assert says in refused.stdout
    assert demo_lab.end().exit_code == 0
    refused = adopt(demo_lab, INSTANCE)
    assert refused.exit_code == 2, refused.told()
    assert "it was destroyed" in refused.stdout


def test_a_record_that_is_not_lost_is_not_begun_anew(demo_lab: AwsLab) -> None:
    refused = adopt(demo_lab, "second", "--new-record")
    assert refused.exit_code == 2, refused.told()
    assert recorded(demo_lab) == [INSTANCE]


# colleagues


def test_status_tells_of_demos_that_are_not_recorded_here(demo_lab: AwsLab) -> None:
    _colleague(demo_lab)
    (document,) = demo_lab.ok("status").documents
    Draft202012Validator(load_schema("status")).validate(document)
    (other,) = document["unrecorded"]
    assert (other["name"], other["owner"], other["expires_at"]) == ("colleague", "c@example.org", None)
    assert other["usd_per_hour"] == pytest.approx(0.1)  # an EKS cluster in standard support
    # what it costs follows the prices that were refreshed here
    kept = load_document()
    kept["items"]["eks.cluster"]["rates"]["us-east-1"] |= {"usd": 0.25, "as_of": "2999-01-01"}
    demo_lab.state.joinpath("prices.json").write_text(json.dumps(kept))
    (dearer,) = demo_lab.ok("status").documents[0]["unrecorded"]
    assert dearer["usd_per_hour"] == pytest.approx(0.25)
    shown = demo_lab.zave("status", "--rehearse").stdout
    assert "zave adopt colleague --rehearse" in shown
    assert "NO END" in shown

    lose_record(demo_lab)
    shutil.rmtree(demo_lab.state / "rehearsal" / "instances")
    assert demo_lab.ok("status").documents[0]["unrecorded"] == []  # records only: nobody was asked
    (asked,) = demo_lab.ok("status", "--others").documents
    assert [each["name"] for each in asked["unrecorded"]] == [INSTANCE, "colleague"]


def _colleague(lab: AwsLab) -> None:
    tags: dict[str, Any] = {"zave:instance": "colleague", "zave:owner": "c@example.org"}
    attributes = {"id": "zave-colleague", "name": "zave-colleague", "version": "1.35", "tags_all": tags}
    with lab.world() as world, world.transaction() as ledger:
        draft = Draft("aws", "aws_eks_cluster", "zave-colleague", None, attributes)
        ledger.make(draft, ready_at=ledger.now)


# a home lab


def test_a_home_lab_without_a_record_is_adopted_and_works_as_before(standing_lab: Lab) -> None:
    made = standing_lab.standing()
    lose_record(standing_lab)
    said = adopted(standing_lab, "homelab", "--new-record")
    assert any("3 machines" in text for text in said), said
    healed = standing_lab.up()
    assert healed.exit_code == 0, healed.told()
    assert standing_lab.standing() == made
    assert standing_lab.zave("drift", "homelab", "--rehearse").exit_code == 0
    ended = standing_lab.down()
    assert ended.exit_code == 0, ended.told()
    assert ended.receipt["leaks"] == []
    assert not standing_lab.standing()


def test_a_home_lab_without_terraforms_state_can_only_be_taken_down(standing_lab: Lab) -> None:
    lose_record(standing_lab)
    shutil.rmtree(standing_lab.state / "rehearsal" / "instances" / "homelab")
    said = adopted(standing_lab, "homelab")
    assert any("there is none" in text for text in said), said
    made = standing_lab.standing()
    refused = standing_lab.up()
    assert refused.exit_code == 5, refused.told()
    assert standing_lab.standing() == made
    ended = standing_lab.down()
    assert ended.exit_code == 0, ended.told()
    assert ended.receipt["leaks"] == []
    assert not standing_lab.standing()


def test_a_damaged_state_of_a_home_lab_is_not_adopted(standing_lab: Lab) -> None:
    lose_record(standing_lab)
    standing_lab.terraform_state.write_bytes(b"")
    refused = adopt(standing_lab, "homelab", "--new-record")
    assert refused.exit_code == 5, refused.told()
    assert "whole copies" in refused.stdout
    assert recorded(standing_lab) == []
