"""A cluster that cannot be asked goes first, then what it made, then the network: nobody waits for it."""

from datetime import timedelta

import pytest

from tests.rehearsal.aws_lab import AwsLab
from tests.rehearsal.killing import kill_everything
from zave.clock import from_rfc3339
from zave.rehearsal.world import WorldEvent

SILENT = "silent api"


def gone(log: list[WorldEvent], type_: str) -> int:
    """The number of the last event that took a thing of a type away."""
    return max(each.seq for each in log if each.verb in ("delete", "remove") and each.type == type_)


def assert_order(lab: AwsLab, *, since: int) -> None:
    log = list(lab.log(since=since))
    assert gone(log, "aws_eks_cluster") < gone(log, "aws_lb") < gone(log, "aws_subnet")
    assert gone(log, "aws_lb") < gone(log, "aws_internet_gateway") < gone(log, "aws_vpc")
    assert lab.parts() == []


def test_down_of_a_silent_cluster(demo_lab: AwsLab) -> None:
    began, before = demo_lab.now(), demo_lab.log()[-1].seq
    ended = demo_lab.end("--fault", SILENT)
    assert ended.exit_code == 0, ended.told()
    assert_order(demo_lab, since=before)
    # Terraform waits 20 minutes for each subnet in which a load balancer stands
    assert demo_lab.now() - began < timedelta(minutes=20)
    notices = [each["text"] for each in ended.documents if each["event"] == "notice"]
    assert any("deleted without its help" in text for text in notices)
    # of two destroys in a row, Terraform's warning that the first is not the whole one tells nobody anything
    assert not [text for text in notices if "argeting" in text or "incomplete" in text]


def test_the_switch_ends_a_silent_cluster(demo_lab: AwsLab) -> None:
    demo_lab.ok("rehearse", "faults", "add", SILENT)
    before, status = demo_lab.log()[-1].seq, demo_lab.status()
    demo_lab.ok("rehearse", "advance", "54h")
    assert_order(demo_lab, since=before)
    receipt = demo_lab.status()["last_receipt"]
    assert receipt["leaks"] == 0 or receipt["leaks"] == []
    took = from_rfc3339(receipt["at"]) - from_rfc3339(status["expires_at"])
    assert took < timedelta(minutes=20)


def test_a_down_killed_between_the_cluster_and_the_network_goes_on(demo_lab: AwsLab) -> None:
    before = demo_lab.log()[-1].seq
    process = demo_lab.start(
        *("down", "aws-demo", "--rehearse", "--yes", "-o", "json", "--fault", SILENT, "--speed", "60")
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "sweep: deleting" in line:
            break
    else:
        pytest.fail("nothing of the cluster's was deleted")
    kill_everything(process.pid, demo_lab.state)
    process.communicate()
    types = {part.type for part in demo_lab.parts()}
    assert "aws_eks_cluster" not in types
    assert "aws_vpc" in types
    # the load balancer may stand or not, by the moment of the kill
    again = demo_lab.end("--speed", "0")
    assert again.exit_code == 0, again.told()
    assert_order(demo_lab, since=before)
