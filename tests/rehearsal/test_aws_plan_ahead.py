"""Terraform plans while the switch is being proven: whatever comes of it, nothing is made before its turn."""

import json
from pathlib import Path

import pytest

from tests.rehearsal.aws_lab import INSTANCE, Stages

USAGE = 2


def test_a_mistake_found_while_the_switch_is_proven_is_told_by_its_own_step(
    stages: Stages, tmp_path: Path
) -> None:
    lab = stages.begin("account")
    project = tmp_path / "mine"
    lab.ok("init", str(project))
    source = project / "templates/gitops/cluster/source.yaml.j2"
    text = source.read_text()
    source.write_text(text + "x: {{ nobody_knows | yaml }}\n")

    failed = lab.demo("--project", str(project))
    assert failed.exit_code == USAGE, failed.told()
    assert "nobody_knows" in failed.complaint()
    ended = {each["step"]: each["outcome"] for each in failed.documents if each["event"] == "step.finished"}
    assert (ended["ttl-switch"], ended["infra"]) == ("done", "failed")
    assert lab.parts() == []
    assert lab.status()["switch"]["armed"]

    source.write_text(text)
    again = lab.demo("--project", str(project))
    assert again.exit_code == 0, again.told()


def test_a_plan_made_ahead_is_the_one_that_is_applied(stages: Stages) -> None:
    lab = stages.begin("account")
    assert lab.demo().exit_code == 0
    root = lab.state / "rehearsal" / "instances" / INSTANCE
    [log] = (root / "logs").glob("*/infra.log")
    said = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    verbs = [each["@message"].split()[2] for each in said if each.get("@module") == "zave"]
    # the plan that was made beside the proof was not made again
    assert verbs == ["init", "plan", "show", "apply"]


def test_nothing_is_planned_ahead_where_an_earlier_run_failed_at_the_switch(stages: Stages) -> None:
    lab = stages.begin("account")
    failed = lab.demo("--fault", "fail destroyer once")
    assert "nothing was created" in failed.complaint()
    assert lab.parts() == []
    # the plan that was made meanwhile is not what the next run applies
    again = lab.demo()
    assert again.exit_code == 0, again.told()
    assert lab.status()["phase"] == "ready"


@pytest.mark.parametrize("verb", ["demo", "down"])
def test_a_plan_that_was_killed_beside_the_proof_stops_nobody(stages: Stages, verb: str) -> None:
    lab = stages.begin("account")
    assert lab.demo("--fault", "fail destroyer once").exit_code != 0
    assert lab.parts() == []
    # what Terraform's lock makes before it plans, and a kill -9 leaves
    state = lab.state / "rehearsal" / "bucket" / "instances" / INSTANCE / "terraform.tfstate"
    state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.write_bytes(b"")

    went_on = lab.demo() if verb == "demo" else lab.end()
    assert went_on.exit_code == 0, went_on.told()
    assert lab.status()["phase"] == ("ready" if verb == "demo" else "destroyed")
    assert "a plan was cut off" in went_on.stdout
