"""Two AWS demos side by side: they share nothing, and one goes without the other noticing."""

import shutil
from pathlib import Path

from tests.rehearsal.audit import uncovered
from tests.rehearsal.aws_lab import AwsLab
from zave.rehearsal.aws_family import Family
from zave.rehearsal.things import Draft
from zave.rehearsal.world import Thing

# AWS gives these names itself, or they are of the cluster's own inside
_NOT_OURS = ("i-", "eni-", "vol-", "aws-K8S-i-")


def _by_instance(lab: AwsLab) -> dict[str, list[Thing]]:
    parts = lab.parts()
    with lab.world() as world:
        family = Family(world.things(provider="aws"))
    found: dict[str, list[Thing]] = {}
    for part in parts:
        instance = family.belonging(part).instance
        assert instance is not None, f"{part.type} {part.name} is nobody's"
        found.setdefault(instance, []).append(part)
    return found


def _names(things: list[Thing]) -> set[tuple[str, str]]:
    return {(thing.type, thing.name) for thing in things if not thing.name.startswith(_NOT_OURS)}


def test_two_demos_share_no_name_and_one_goes_without_the_other(account_lab: AwsLab) -> None:
    for name in ("a", "b"):
        ended = account_lab.demo("--ttl", "24h", "--name", name)
        assert ended.exit_code == 0, ended.told()
    both = _by_instance(account_lab)
    assert both.keys() == {"a", "b"}
    assert len(both["a"]) == len(both["b"]) >= 60
    assert _names(both["a"]) & _names(both["b"]) == set()
    untouched = {thing.key: thing.attributes for thing in both["b"]}

    ended = account_lab.end(instance="a")
    assert ended.exit_code == 0, ended.told()
    assert ended.receipt["leaks"] == []
    left = _by_instance(account_lab)
    assert left.keys() == {"b"}
    assert {thing.key: thing.attributes for thing in left["b"]} == untouched

    # drift finds no difference between plan, world and record: exit 0
    account_lab.ok("drift", "b")
    assert account_lab.status("b")["phase"] == "ready"
    assert account_lab.status("b")["switch"]["armed"]
    assert account_lab.status("a")["phase"] == "destroyed"

    # and the switch of the one that is left works
    account_lab.ok("rehearse", "advance", "25h")
    assert account_lab.parts() == []
    assert account_lab.status("b")["phase"] == "destroyed"


def test_uncovered_would_tell(account_lab: AwsLab) -> None:
    """The audit on which these tests stand finds what it is for."""
    with account_lab.world() as world:
        with world.transaction() as ledger:
            ledger.log("create", "aws_eks_cluster", "zave-nobodys", key="aws_eks_cluster-0")
        found = uncovered(world.log(), standing=account_lab.standing_parts)
    assert len(found) == 1
    assert "zave-nobodys" in found[0]


def test_what_is_extended_while_another_one_goes_is_not_reaped(account_lab: AwsLab) -> None:
    for name in ("a", "b"):
        assert account_lab.demo("--ttl", "24h", "--name", name).exit_code == 0
    # as long as the switch does not work, both stand past their end
    account_lab.ok("rehearse", "faults", "add", "fail destroyer always")
    account_lab.ok("rehearse", "advance", "25h")
    account_lab.ok("rehearse", "faults", "clear")
    account_lab.ok("rehearse", "faults", "add", "hang delete aws_eks_cluster for 20s")
    before = account_lab.log()[-1].seq

    reaping = account_lab.start("reap", "--rehearse", "-o", "json")
    while not any(event.verb == "delete" for event in account_lab.log(since=before)):
        assert reaping.poll() is None, reaping.communicate()
    account_lab.ok("extend", "b", "--ttl", "24h")
    assert reaping.poll() is None, "the machine is too slow for this test"
    stdout, stderr = reaping.communicate(timeout=300)
    assert reaping.returncode == 0, stdout + stderr
    assert _by_instance(account_lab).keys() == {"b"}
    status = account_lab.status("b")
    assert (status["phase"], status["switch"]["armed"]) == ("ready", True)


def test_each_region_is_swept_and_named_as_its_own(account_lab: AwsLab, tmp_path: Path) -> None:
    project = tmp_path / "project"
    account_lab.ok("init", str(project))
    shutil.copytree(project / "environments" / "aws-demo", project / "environments" / "europe")
    file = project / "environments" / "europe" / "environment.yaml"
    file.write_text(file.read_text().replace("region: us-east-1", "region: eu-west-1"))
    assert account_lab.demo("--ttl", "24h").exit_code == 0
    assert account_lab.zave("up", "europe", "--project", str(project), "--rehearse", "--yes").exit_code == 0

    (found,) = account_lab.ok("sweep").documents
    regions = ["simulated AWS eu-west-1", "simulated AWS us-east-1"]
    assert [place for place in found["looked_at"] if "AWS" in place] == regions
    assert (found["leaks"], found["unclear"]) == ([], [])
    # nothing is left out, and what is every region's is there once
    with account_lab.world() as world:
        things = world.things(provider="aws")
    assert len(found["expected"]) + len([i for i in found["standing"] if i["type"] != "image"]) == len(things)

    # a thing that is forgotten is deleted where it is
    networks = [each for each in account_lab.parts() if each.type == "aws_vpc"]
    (network,) = [each for each in networks if each.attributes["region"] == "eu-west-1"]
    assert account_lab.end(instance="europe").receipt["leaks"] == []
    with account_lab.world() as world, world.transaction() as ledger:
        draft = Draft("aws", network.type, network.name, None, network.attributes)
        ledger.make(draft, ready_at=ledger.now)
    swept = account_lab.zave("sweep", "--rehearse", "-o", "json")
    assert swept.exit_code == 6, swept.told()
    (leak,) = swept.documents[0]["leaks"]
    assert leak["how_to_delete"].startswith("aws --region eu-west-1 ")
