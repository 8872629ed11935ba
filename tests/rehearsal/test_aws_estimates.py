"""What a plan says of cost, from Terraform's own plan of the shipped environment to the last line."""

from pathlib import Path
from typing import Any

import pytest

from tests.rehearsal.aws_lab import INSTANCE, Stages
from tests.rehearsal.test_fixed_values import edited


def planned(stages: Stages, tmp_path: Path, *changes: tuple[str, str], text: bool = False) -> Any:
    """The cost of a plan of the shipped demo with changes, or all of the plan for people."""
    lab = stages.begin("account")
    project = edited(lab, tmp_path / "project", INSTANCE, *changes)
    form = () if text else ("-o", "json")
    ended = lab.zave("plan", INSTANCE, "--rehearse", *form, *project)
    assert ended.exit_code == 0, ended.told()
    return ended.stdout if text else ended.documents[0]["cost"]


def line(cost: dict[str, Any], word: str) -> dict[str, Any]:
    (found,) = [each for each in cost["lines"] if word in each["item"]]
    result: dict[str, Any] = found
    return result


def test_the_shipped_demo_line_by_line(stages: Stages, tmp_path: Path) -> None:
    cost = planned(stages, tmp_path)
    assert 11 <= cost["ttl"]["expected"] <= 16
    assert 150 <= cost["month"]["expected"] <= 200
    # rates and quantities of the price table of 2026-11-23, for us-east-1 and 48 hours
    for word, rate, quantity in (
        ("EKS cluster", 0.10, 48),
        ("t3.large, spot", 0.0395, 2 * 48),
        ("NLB", 0.0225, 48),
        ("public IPv4", 0.005, 4 * 48),
    ):
        (found,) = [each for each in cost["lines"] if word in each["item"] and "capacity" not in each["item"]]
        assert found["usd_ttl"] == pytest.approx(rate * quantity, rel=0.02), found


def test_what_karpenter_may_add_is_in_the_worst_case(stages: Stages, tmp_path: Path) -> None:
    cost = planned(stages, tmp_path)
    assert "at most 8 vCPU" in line(cost, "Karpenter")["item"]
    assert line(cost, "Karpenter")["usd_ttl"] == 0
    assert not [each for each in cost["unpriced"] if "Karpenter" in each]
    without = planned(stages, tmp_path / "without", ("karpenter: true", "karpenter: false"))
    assert not [each for each in [*without["lines"], *without["unpriced"]] if "Karpenter" in str(each)]
    # 8 vCPU of the dearest family with its credits (t3), and four nodes' disks of 30 GB and addresses
    more = 8 * (0.0416 + 0.05) * 730 + 4 * 30 * 0.08 + 4 * 0.005 * 730
    assert cost["month"]["high"] - without["month"]["high"] == pytest.approx(more, abs=0.01)
    assert cost["month"]["expected"] == without["month"]["expected"]


@pytest.mark.parametrize("document", ["README.md", "docs/aws-demo.md"])
def test_the_documents_show_what_a_plan_prints(stages: Stages, tmp_path: Path, document: str) -> None:
    shown = planned(stages, tmp_path, text=True).splitlines()
    told = (Path(__file__).parents[2] / document).read_text().splitlines()
    begin = next(number for number, text in enumerate(told) if text.startswith("  until the TTL (48.0 h)"))
    # the amounts, the head of the table, and its first lines
    assert set(told[begin : begin + 5]) <= set(shown)


def test_extended_support_is_told_at_what_it_adds(stages: Stages, tmp_path: Path) -> None:
    shown = planned(stages, tmp_path, ('version: "1.35"', 'version: "1.33"'), text=True)
    assert "0.50 USD an hour" in shown
    assert "0.40 USD" not in shown


def test_a_region_without_rates_is_not_free(stages: Stages, tmp_path: Path) -> None:
    shown = planned(stages, tmp_path, ("region: us-east-1", "region: ap-southeast-2"), text=True)
    assert "nothing that anybody bills" not in shown
    assert "Cost: NOT KNOWN" in shown
    assert "zave prices update" in shown
    assert "eks.cluster: no rate for ap-southeast-2" in shown


def test_a_demo_that_stands_is_priced_for_its_own_life(stages: Stages) -> None:
    lab = stages.begin("demo")
    extended = lab.zave("extend", INSTANCE, "--ttl", "6d", "--rehearse", "-o", "json")
    assert extended.exit_code == 0, extended.told()

    def hours() -> float:
        ended = lab.zave("plan", INSTANCE, "--rehearse", "-o", "json")
        assert ended.exit_code == 0, ended.told()
        told: float = ended.documents[0]["cost"]["ttl"]["hours"]
        return told

    # from the making of the demo, minutes before
    assert hours() == pytest.approx(6 * 24, abs=1)
    gone = lab.zave("down", INSTANCE, "--rehearse", "--yes", "-o", "json")
    assert gone.exit_code == 0, gone.told()
    # another life is one of the spec's default
    assert hours() == 48
