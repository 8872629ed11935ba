"""Whether what an instance may take fits into the account's quotas."""

import pytest

from tests.unit.aws.memory import Account
from tests.unit.aws.test_preconditions import Facts, found, missing
from tests.unit.aws.things import item
from zave.aws.findings import Finding, Quota, require


def test_what_others_use_of_a_quota_counts_and_the_own_does_not(account: Account) -> None:
    machine = {"instance_type": "c6i.8xlarge", "instance_lifecycle": "spot"}
    others = item(None, "aws_instance", attributes=machine)
    account.inventory.add(others)
    (finding,) = [each for each in found(account) if each.what.startswith("spot vCPUs")]
    assert finding.what == "spot vCPUs: 32 in use, 8 more are needed, 32 are allowed"
    assert finding.level == "missing"
    # on demand is another quota, and an own machine is counted among those to come
    assert missing(found(account, spot=False)) == []
    account.inventory.there.clear()
    account.inventory.add(item("demo", "aws_instance", attributes=machine))
    assert missing(found(account, stands=True)) == []


@pytest.mark.parametrize(("name", "kind"), [("VPCs", "aws_vpc"), ("elastic IPs", "aws_eip")])
def test_room_for_networks_and_addresses_is_counted(name: Quota, kind: str, account: Account) -> None:
    account.inventory.add(*(item(None, kind, id=f"{kind}-{n}") for n in range(5)))
    findings = found(account)
    assert missing(findings) == ["quotas"]
    assert any(each.what.startswith(f"{name}: 5 in use, 1 more") for each in findings)
    if kind == "aws_eip":
        assert missing(found(account, addresses=0)) == []


def test_an_unknown_quota_is_a_warning(account: Account) -> None:
    facts = Facts()
    facts.quotas["VPCs"] = None
    assert any(each.level == "warning" and "VPCs" in each.what for each in found(account, facts))


def test_a_type_that_the_region_lacks_is_told(account: Account) -> None:
    findings = found(account, instance_types=("t3.large", "x9.huge"))
    assert any(each.level == "warning" and "x9.huge" in each.what for each in findings)


# Karpenter


def _karpenter(
    account: Account, limit: int | None, *, spot: float | None, demand: float | None, nodes: str = "spot"
) -> list[Finding]:
    """What is found of Karpenter with these quotas. The nodes take 8 vCPUs of the market `nodes`."""
    facts = Facts()
    facts.quotas["spot vCPUs"], facts.quotas["on-demand vCPUs"] = spot, demand
    findings = found(account, facts, karpenter=limit, spot=nodes == "spot")
    require(findings)
    return [each for each in findings if "Karpenter" in each.what or "does not tell" in each.what]


@pytest.mark.parametrize("nodes", ["spot", "demand"])
@pytest.mark.parametrize(
    ("limit", "allowed", "level", "left"),
    [
        (8, (16, 0), "ok", 8),
        (9, (16, 0), "warning", 8),
        # where one market's quota is used up, it takes the other
        (8, (8, 8), "ok", 8),
        (8, (12, 4), "ok", 8),
        (8, (12, 3), "warning", 7),
        (None, (64, 64), "warning", 120),
    ],
)
def test_what_karpenter_may_add_belongs_in_the_quotas_and_only_warns(
    limit: int | None, allowed: tuple[float, float], level: str, left: int, nodes: str, account: Account
) -> None:
    spot, demand = allowed if nodes == "spot" else reversed(allowed)
    (finding,) = _karpenter(account, limit, spot=spot, demand=demand, nodes=nodes)
    assert (finding.level, finding.needed) == (level, False)
    assert f"leave {left} beside the node group" in finding.what
    assert (finding.fix is None) == (level == "ok")
    if level == "warning" and limit is not None:
        assert f"{limit} vCPUs" in finding.what
        assert "pending" in finding.what


def test_machines_of_others_leave_karpenter_less(account: Account) -> None:
    for number, market in enumerate(("spot", "on-demand", "on-demand")):
        machine = {"instance_type": "m6i.large", "instance_lifecycle": market}
        account.inventory.add(item(None, "aws_instance", id=f"i-{number}", attributes=machine))
    for limit, level in ((8, "ok"), (9, "warning")):
        (finding,) = _karpenter(account, limit, spot=10, demand=12)
        assert (finding.level, "leave 8 " in finding.what) == (level, True)


@pytest.mark.parametrize("nodes", ["spot", "demand"])
@pytest.mark.parametrize(("spot", "demand"), [(None, 64), (64, None), (None, None)])
def test_an_unknown_quota_of_either_market_is_told_once(
    spot: float | None, demand: float | None, nodes: str, account: Account
) -> None:
    findings = _karpenter(account, 8, spot=spot, demand=demand, nodes=nodes)
    assert {each.level for each in findings} == {"warning"}
    assert all("does not tell" in each.what for each in findings)
    assert len({each.what for each in findings}) == len(findings) == [spot, demand].count(None)


def test_without_karpenter_only_the_market_of_the_nodes_counts(account: Account) -> None:
    facts = Facts()
    facts.quotas["on-demand vCPUs"] = None
    assert {each.level for each in found(account, facts)} == {"ok"}


def test_a_node_group_that_does_not_fit_is_refused_with_karpenter_or_without(account: Account) -> None:
    facts = Facts()
    facts.quotas["spot vCPUs"] = 7
    for limit in (0, 8):
        assert missing(found(account, facts, karpenter=limit)) == ["quotas"]
