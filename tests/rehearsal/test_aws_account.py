"""The standing parts of an account: set up from wherever a set-up was cut off, removed when unused."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.rehearsal.aws_lab import INSTANCE, AwsLab, Stages
from tests.rehearsal.killing import kill_everything, send
from tests.rehearsal.lab import Ended, Lab
from zave.aws.bundle import unpack

STATE = Path("rehearsal", "bucket", "account", "terraform.tfstate")
BESIDE = Path("rehearsal", "account", "terraform", "terraform.tfstate")


@pytest.fixture
def bare_lab(stages: Stages, lab: Lab) -> AwsLab:
    """A lab whose account is not set up; `standing_parts` are those of another one's."""
    stages.begin("account")
    return AwsLab(state=lab.state, home=lab.home)


@pytest.fixture
def parts(stages: Stages) -> list[str]:
    """What an undisturbed set-up makes."""
    return _standing(stages.begin("account"))


def _setup(lab: Lab) -> Ended:
    return lab.zave("account", "setup", "--rehearse", "--yes", "-o", "json")


def _standing(lab: Lab) -> list[str]:
    with lab.world() as world:
        return sorted(f"{thing.type} {thing.name}" for thing in world.things(provider="aws"))


def _ready(ended: Ended) -> dict[str, Any]:
    assert ended.exit_code == 0, ended.told()
    (document,) = ended.documents
    assert (document["phase"], document["missing"]) == ("ready", []), ended.told()
    return dict(document)


def test_a_second_setup_changes_nothing(account_lab: AwsLab) -> None:
    seen = account_lab.log()[-1].seq
    document = _ready(_setup(account_lab))
    assert document["bucket"] == "zave-state-123456789012"
    assert not [
        event for event in account_lab.log(since=seen) if event.verb in ("create", "update", "delete")
    ]
    assert (account_lab.state / STATE).exists()
    assert not (account_lab.state / BESIDE).exists()


@pytest.mark.parametrize(
    "fault",
    [
        "fail create aws_s3_bucket_policy once",
        "fail create aws_codebuild_project once",
        "crash provider on create aws_sns_topic once",
        "fail create aws_iam_role_policy once",
    ],
)
def test_a_setup_that_failed_goes_on(fault: str, bare_lab: AwsLab, parts: list[str]) -> None:
    bare_lab.ok("rehearse", "faults", "add", fault)
    failed = _setup(bare_lab)
    assert failed.exit_code == 1, failed.told()
    _ready(_setup(bare_lab))
    assert _standing(bare_lab) == parts


@pytest.mark.parametrize("delay", [0.3, 0.7, 1.0, 1.3, 1.6, 2.0])
@pytest.mark.parametrize("alone", [True, False], ids=["zave alone", "with its programs"])
def test_a_setup_that_was_killed_goes_on(
    delay: float, alone: bool, bare_lab: AwsLab, parts: list[str]
) -> None:
    setting_up = bare_lab.start("account", "setup", "--rehearse", "--yes", "-o", "json")
    time.sleep(delay)
    _kill(setting_up, bare_lab.state, alone=alone)
    _ready(_setup(bare_lab))
    assert _standing(bare_lab) == parts


def _kill(process: subprocess.Popen[str], state: Path, *, alone: bool) -> None:
    if alone:
        send(process.pid, signal.SIGKILL)
    else:
        kill_everything(process.pid, state)
    process.communicate()


def _lost(path: Path) -> None:
    path.unlink()


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize("damage", [_lost, _emptied, _cut])
def test_a_lost_or_damaged_state_is_made_anew_from_what_stands(
    damage: Callable[[Path], None], account_lab: AwsLab, parts: list[str]
) -> None:
    """Every standing part is adopted, none is made twice, none is left out."""
    with account_lab.world() as world:
        before = {thing.key for thing in world.things(provider="aws")}
    damage(account_lab.state / STATE)
    _ready(_setup(account_lab))
    assert _standing(account_lab) == parts
    with account_lab.world() as world:
        assert {thing.key for thing in world.things(provider="aws")} == before


def test_a_damaged_state_is_kept_as_evidence(account_lab: AwsLab) -> None:
    (account_lab.state / STATE).write_bytes(b"{ damaged")
    _ready(_setup(account_lab))
    kept = [*(account_lab.state / "rehearsal" / "account" / "terraform-copies").glob("damaged-*")]
    assert [path.read_bytes() for path in kept] == [b"{ damaged"]


def test_another_bucket_does_not_take_the_switch_over(demo_lab: AwsLab, tmp_path: Path) -> None:
    demo_lab.ok("init", str(tmp_path / "project"))
    file = tmp_path / "project" / "environments" / INSTANCE / "environment.yaml"
    file.write_text(file.read_text().replace("zave-state-{account}", "mine-{account}"))
    demo_lab.environ["ZAVE_PROJECT"] = str(tmp_path / "project")
    before = demo_lab.log()[-1].seq
    try:
        for words in (("account", "setup"), ("demo", "aws", "--name", "second")):
            refused = demo_lab.zave(*words, "--rehearse", "--yes", "-o", "json")
            assert refused.exit_code == 5, refused.told()
            assert "works from the bucket zave-state-123456789012" in refused.stderr
            assert f"it ends: {INSTANCE}" in refused.stderr
    finally:
        del demo_lab.environ["ZAVE_PROJECT"]
    assert not [e for e in demo_lab.log(since=before) if e.verb in ("create", "update", "delete")]


def test_what_somebody_altered_of_the_switch_is_told_and_nothing_is_armed_with_it(demo_lab: AwsLab) -> None:
    """As tests/integration/aws_verbs has it of a real adapter."""
    demo_lab.ok("rehearse", "faults", "add", "alter aws_iam_role_policy.*:delete-by-tag")
    altered = "iam role policy zave-destroyer-us-east-1-123456789012:delete-by-tag (policy)"
    told = demo_lab.zave("status", INSTANCE, "--rehearse", "-o", "json")
    assert f"missing or altered: {altered}" in told.stderr, told.told()
    assert not told.documents[0]["environments"][0]["switch"]["armed"]
    (document,) = demo_lab.ok("account", "status").documents
    assert (document["phase"], document["missing"]) == ("partial", [altered])
    before = demo_lab.parts()
    refused = demo_lab.zave("up", "aws-demo", "--name", "second", "--rehearse", "--yes", "-o", "json")
    assert refused.exit_code == 5, refused.told()
    assert altered in refused.told()
    assert demo_lab.parts() == before
    _ready(_setup(demo_lab))
    assert demo_lab.status()["switch"]["armed"]


@pytest.mark.parametrize("lost", ["aws_cloudwatch_metric_alarm", "aws_iam_policy", "aws_sqs_queue"])
def test_each_part_that_is_gone_has_one_name(lost: str, account_lab: AwsLab) -> None:
    with account_lab.world() as world:
        name = next(thing.name for thing in world.things(provider="aws") if thing.type == lost)
    account_lab.ok("rehearse", "lose", lost, name)
    (document,) = account_lab.ok("account", "status").documents
    assert len(document["missing"]) == 1, document["missing"]
    _ready(_setup(account_lab))


def test_removal_is_refused_while_a_demo_stands(demo_lab: AwsLab) -> None:
    before = demo_lab.log()[-1].seq
    refused = demo_lab.zave("account", "remove", "--rehearse", "--yes", "-o", "json")
    assert refused.exit_code == 5, refused.told()
    assert INSTANCE in refused.stderr
    assert not [event for event in demo_lab.log(since=before) if event.verb == "delete"]


def test_removal_leaves_nothing_and_can_be_repeated(account_lab: AwsLab) -> None:
    for _ in range(2):
        (document,) = account_lab.ok("account", "remove", "--yes").documents
        assert (document["phase"], document["standing"], document["usd_per_month"]) == ("absent", [], 0)
    assert _standing(account_lab) == []
    _ready(_setup(account_lab))


def test_a_removal_that_failed_goes_on(account_lab: AwsLab) -> None:
    account_lab.ok("rehearse", "faults", "add", "fail delete aws_codebuild_project once")
    failed = account_lab.zave("account", "remove", "--rehearse", "--yes", "-o", "json")
    assert failed.exit_code == 1, failed.told()
    assert account_lab.ok("account", "remove", "--yes").documents[0]["phase"] == "absent"
    assert _standing(account_lab) == []


def test_a_setup_after_a_removal_that_failed_makes_it_whole_again(
    account_lab: AwsLab, parts: list[str]
) -> None:
    account_lab.ok("rehearse", "faults", "add", "fail delete aws_codebuild_project once")
    account_lab.zave("account", "remove", "--rehearse", "--yes", "-o", "json")
    _ready(_setup(account_lab))
    assert _standing(account_lab) == parts


def test_demo_sets_a_bare_account_up_after_its_question(bare_lab: AwsLab) -> None:
    refused = bare_lab.zave("demo", "aws", "--rehearse", "--no-input", "-o", "json")
    assert refused.exit_code in (2, 7), refused.told()
    assert _standing(bare_lab) == []
    ended = bare_lab.demo()
    assert ended.exit_code == 0, ended.told()
    assert bare_lab.status()["switch"]["armed"]


def test_a_bundle_is_obeyed_only_by_whom_and_when_it_should(demo_lab: AwsLab, tmp_path: Path) -> None:
    """What the switch runs, started by hand in a place that knows neither record nor project."""
    bucket = demo_lab.state / "rehearsal" / "bucket" / "instances" / INSTANCE
    (archive,) = bucket.glob("bundle-*.tar.gz")
    unpack(archive.read_bytes(), tmp_path / "bundle")
    empty = tmp_path / "home"
    empty.mkdir()
    elsewhere = Lab(
        state=tmp_path / "state",
        home=empty,
        environ={"ZAVE_WORLD": str(demo_lab.state / "rehearsal" / "world.db")},
    )
    made = demo_lab.parts()

    def reap(*arguments: str) -> Ended:
        return elsewhere.zave(
            "reap", "--from-bundle", str(tmp_path / "bundle"), "--rehearse", "-o", "json", *arguments
        )

    early = reap("--mode", "destroy")
    assert (early.exit_code, early.finished["exit_code"]) == (5, 5), early.told()
    assert "lives until" in early.complaint()
    foreign = reap("--instance", "another")
    assert foreign.exit_code == 5, foreign.told()
    checked = reap("--mode", "check")
    assert checked.exit_code == 0, checked.told()
    (tmp_path / "bundle" / "root" / "main.tf").write_text("")
    altered = reap("--mode", "check")
    assert altered.exit_code == 5, altered.told()
    assert demo_lab.parts() == made
