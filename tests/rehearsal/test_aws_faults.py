"""Every fault of AWS, in `demo` and in `down`: AWS's own code, the right exit code, then it goes on."""

from dataclasses import dataclass

from tests.rehearsal.audit import uncovered
from tests.rehearsal.aws_lab import INSTANCE, AwsLab, Stages
from tests.rehearsal.lab import Ended

CLOUD_CLOSED = 5
FAILED = 1
LEAK = 6


@dataclass(frozen=True)
class Case:
    """A fault that ends the command, what the message must name, and the exit code."""

    fault: str
    words: tuple[str, ...]
    exit_code: int = FAILED


# in the order in which they strike: that a later one is reached shows that the one before was overcome
IN_DEMO = (
    Case("expire credentials once", ("ExpiredToken", "renew"), CLOUD_CLOSED),
    Case("region unreachable after 3 once", ("us-east-1", "cannot be reached", "RequestError"), CLOUD_CLOSED),
    Case("fail destroyer once", ("switch is not proven", "nothing was created"), CLOUD_CLOSED),
    Case("throttle aws_vpc 25 times", ("aws-vpc/network.tf", "ThrottlingException", "Rate exceeded")),
    Case("quota aws_eks_cluster once", ("aws_eks_cluster", "ResourceLimitExceededException")),
    Case("no spot capacity once", ("zave-aws-demo-nodes", "UnfulfillableCapacity")),
    Case("quota aws_eks_node_group once", ("zave-aws-demo-nodes", "VcpuLimitExceeded")),
    Case("expire credentials after 20 calls once", ("ExpiredToken",)),
)


def test_demo_names_each_fault_and_the_same_command_goes_on(stages: Stages) -> None:
    undisturbed = stages.begin("demo").titles()
    lab = stages.begin("account")
    for case in IN_DEMO:
        failed = lab.demo("--ttl", "48h", "--fault", case.fault)
        _assert_says(case, failed)
        # whatever happened, nothing that costs is there without a switch
        assert uncovered(lab.log(), standing=lab.standing_parts) == [], case.fault
        if case.exit_code == CLOUD_CLOSED:
            assert lab.parts() == [], case.fault
    # deletions and nodes that come later do not concern a creation
    harmless = ("leave volume", "refuse delete aws_vpc", "slow create aws_eks_cluster by 2x")
    again = lab.demo("--ttl", "48h", *(word for fault in harmless for word in ("--fault", fault)))
    assert again.exit_code == 0, again.told()
    assert lab.titles() == undisturbed
    assert lab.status()["phase"] == "ready"


def test_down_names_closed_doors_and_the_same_command_goes_on(demo_lab: AwsLab) -> None:
    made = demo_lab.parts()
    for case in IN_DEMO[:2]:
        failed = demo_lab.end("--fault", case.fault)
        _assert_says(case, failed)
        assert demo_lab.parts() == made
        assert demo_lab.status()["switch"]["armed"]
    # credentials that end in the middle: part of it is gone, and the switch still stands
    failed = demo_lab.end("--fault", "expire credentials after 120 calls always")
    assert failed.exit_code in (FAILED, CLOUD_CLOSED), failed.told()
    assert "ExpiredToken" in failed.complaint()
    demo_lab.ok("rehearse", "faults", "clear")
    assert demo_lab.status()["switch"]["armed"]
    # what is half gone is not ready
    assert demo_lab.status()["phase"] == "failed"

    # what only hinders creation is no hindrance, and slowing down is waited for
    harmless = (
        "quota aws_vpc",
        "no spot capacity",
        "throttle all 20 times",
        "fail destroyer once",
        "surge by 2 nodes",
        "stale lock once",
    )
    again = demo_lab.end(*(word for fault in harmless for word in ("--fault", fault)))
    assert again.exit_code == 0, again.told()
    assert again.receipt["leaks"] == []
    assert demo_lab.parts() == []
    assert uncovered(demo_lab.log(), standing=demo_lab.standing_parts) == []


def test_what_aws_leaves_behind_is_swept_and_told(demo_lab: AwsLab) -> None:
    left = ("volume", "interface", "log-group", "instance")
    ended = demo_lab.end(*(word for what in left for word in ("--fault", f"leave {what}")))
    assert ended.exit_code == 0, ended.told()
    # it was really left: Terraform could not know it, the sweep had to find it
    swept = " ".join(line["text"] for line in ended.documents if line["event"] == "notice")
    for kind in ("aws_ebs_volume", "aws_network_interface", "aws_cloudwatch_log_group", "aws_instance"):
        assert f"sweep: deleting {kind}" in swept, swept
    assert ended.receipt["leaks"] == []
    assert demo_lab.parts() == []


def test_a_load_balancer_that_stays_is_a_leak_with_its_price_and_a_way_out(demo_lab: AwsLab) -> None:
    leaking = demo_lab.end("--fault", "leave load-balancer", "--fault", "refuse delete aws_lb")
    assert leaking.exit_code == LEAK, leaking.told()
    (balancer,) = [leak for leak in leaking.receipt["leaks"] if leak["type"] == "aws_lb"]
    # 0.0225 USD an hour and some capacity units (prices of 2026-11-23)
    assert 0.54 <= balancer["usd_per_day"] < 0.7
    assert "elbv2 delete-load-balancer --load-balancer-arn arn:aws:" in balancer["how_to_delete"]
    assert balancer["how_to_delete"] in leaking.complaint()
    assert leaking.receipt["usd_per_day_leaking"] >= balancer["usd_per_day"]
    after = demo_lab.status()
    assert (after["phase"], after["switch"]["armed"]) == ("failed", True)
    # the sweep shows the same things at the same price
    swept = demo_lab.zave("sweep", INSTANCE, "--rehearse", "-o", "json")
    assert swept.exit_code == LEAK, swept.told()
    found = swept.documents[0]
    assert {(each["type"], each["id"]): each["usd_per_day"] for each in found["leaks"]} == {
        (each["type"], each["id"]): each["usd_per_day"] for each in leaking.receipt["leaks"]
    }
    assert found["expected"] == []
    months = {each["type"]: each["usd_per_month"] for each in found["standing"]}
    assert months["aws_s3_bucket"] > 0
    assert months["aws_iam_role"] == 0

    demo_lab.ok("rehearse", "faults", "clear")
    again = demo_lab.end()
    assert again.exit_code == 0, again.told()
    assert again.receipt["leaks"] == []
    assert demo_lab.parts() == []
    assert not demo_lab.status()["switch"]["armed"]


def test_a_leak_without_a_known_price_is_not_free(demo_lab: AwsLab) -> None:
    leaking = demo_lab.end("--fault", "refuse delete aws_cloudwatch_log_group")
    assert leaking.exit_code == LEAK, leaking.told()
    (group,) = leaking.receipt["leaks"]
    assert (group["type"], group["usd_per_day"]) == ("aws_cloudwatch_log_group", None)
    assert "(1 of them without a known price)" in leaking.error["brief"]


def test_a_lost_state_lock_keeps_nobody_from_ending_the_demo(stages: Stages) -> None:
    lab = stages.begin("demo")
    # losing it needs a change, such as that of a resource which vanished
    with lab.world() as world:
        assert world.lose("aws_sqs_queue", f"zave-{INSTANCE}-interruptions")
    ended = lab.demo("--fault", "lose lock")
    assert ended.exit_code == 0, ended.told()
    lock = lab.state / "rehearsal" / "bucket" / "instances" / INSTANCE / "terraform.tfstate.tflock"
    assert lock.exists()

    lab.ok("rehearse", "advance", "49h")
    assert lab.parts() == []
    assert lab.status()["phase"] == "destroyed"
    assert not lock.exists()


def _assert_says(case: Case, ended: Ended) -> None:
    assert ended.exit_code == case.exit_code, f"{case.fault}: {ended.told()}"
    # a command that is refused before its run begins has an error and no run
    last = ended.documents[-1]
    error = last["error"] if last["event"] == "run.finished" else last
    complaint = " ".join(str(error[part] or "") for part in ("brief", "where", "details", "resolution"))
    missing = [word for word in case.words if word not in complaint]
    assert not missing, f"{case.fault}: {missing} not in {complaint!r}"
    assert error["resolution"]
    assert "Traceback" not in complaint + ended.stderr
