"""The estimate against the table for the default demo (rates and inputs of 2026-11-23)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from zave.cost.catalogue import Catalogue
from zave.cost.estimate import Estimate, estimate
from zave.cost.karpenter import NodePool
from zave.schemas import load_schema
from zave.spec.aws import AwsSpec

Estimator = Callable[..., Estimate]


@pytest.fixture
def estimated(
    demo: Callable[..., Any],
    planned: Callable[..., Any],
    spec: AwsSpec,
    now: datetime,
) -> Estimator:
    def run(
        *,
        more: list[tuple[str, dict[str, Any]]] | None = None,
        ttl_hours: float = 48,
        region: str = "us-east-1",
        at: datetime = now,
        changed: dict[str, Any] | None = None,
        karpenter: tuple[NodePool, ...] = (),
        **what: Any,
    ) -> Estimate:
        used = spec if changed is None else AwsSpec.model_validate(_with(spec, changed))
        return estimate(
            planned(demo(**what) + (more or [])),
            used,
            ttl_hours=ttl_hours,
            at=at,
            catalogue=Catalogue.load(region),
            karpenter=karpenter,
        )

    return run


def _with(spec: AwsSpec, changed: dict[str, Any]) -> dict[str, Any]:
    document = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    for section, values in changed.items():
        document[section] = {**document[section], **values}
    return document


def _usd(found: Estimate, *titles: str) -> tuple[float, float]:
    lines = [line for line in found.lines if line.title.startswith(titles)]
    assert len(lines) >= len(titles), f"{titles} not all in {[line.title for line in found.lines]}"
    return sum(line.ttl.expected for line in lines), sum(line.month.expected for line in lines)


@pytest.mark.parametrize(
    ("titles", "ttl", "month"),
    [
        (("EKS cluster",), 4.80, 73.00),
        (("nodes",), 3.79, 57.67),
        (("EBS gp3",), 0.32, 4.80),
        (("NLB", "NLB capacity"), 1.11, 16.86),
        (("public IPv4",), 0.96, 14.60),
        (("CloudWatch logs, taken in", "data between zones"), 1.20, 12.00),
    ],
)
def test_each_line_of_the_default_demo_is_as_in_the_table(
    estimated: Estimator, titles: tuple[str, ...], ttl: float, month: float
) -> None:
    found = _usd(estimated(), *titles)
    # 0.005: the table is written in whole cents
    assert found[0] == pytest.approx(ttl, rel=0.02, abs=0.005)
    assert found[1] == pytest.approx(month, rel=0.02)


@pytest.mark.parametrize(
    ("what", "ttl", "month"),
    [
        ({}, 12.18, 178.93),
        ({"nat": True}, 15.00, 212.63),
        ({"rds": True}, 13.10, 192.91),
        ({"rds": True, "nat": True}, 15.92, 226.61),
        ({"spot": False}, 12.18 + 4.20, 178.93 + 63.80),
        ({"version": "1.33"}, 12.18 + 24.00, 178.93 + 365.00),
    ],
)
def test_totals_are_those_of_the_table(
    estimated: Estimator, what: dict[str, Any], ttl: float, month: float
) -> None:
    found = estimated(**what)
    assert found.ttl.expected == pytest.approx(ttl, rel=0.02)
    assert found.month.expected == pytest.approx(month, rel=0.02)


def test_default_demo_is_within_what_was_promised(estimated: Estimator) -> None:
    found = estimated()
    assert 11 <= found.ttl.expected <= 16
    assert 150 <= found.month.expected <= 200
    assert found.ttl.low < found.ttl.expected < found.ttl.high


def test_extended_support_is_a_line_and_a_warning(estimated: Estimator) -> None:
    found = estimated(version="1.33")
    assert list(_usd(found, "EKS extended support")) == pytest.approx([24.0, 365.0])
    assert any("1.33 is in extended support" in warning for warning in found.warnings)
    assert not any("extended support" in line.title for line in estimated().lines)


def test_a_window_that_ends_within_the_month_is_warned_of_and_charged_only_without_the_standard_policy(
    estimated: Estimator, planned: Callable[..., Any], spec: AwsSpec, now: datetime, catalogue: Catalogue
) -> None:
    standard = estimated(version="1.34")
    upgraded = "within a month: on 2026-12-02 AWS upgrades the cluster to the next version"
    assert any(upgraded in warning for warning in standard.warnings)
    assert not any("extended support" in line.title for line in standard.lines)
    extended = estimate(
        planned([("aws_eks_cluster", {"version": "1.34"})]), spec, ttl_hours=48, at=now, catalogue=catalogue
    )
    # from 2026-12-02 to the end of 730 hours: 516 of them, none of the first 48
    hours = (datetime(2026, 11, 23, 10, tzinfo=UTC) - datetime(2026, 12, 2, tzinfo=UTC)).total_seconds()
    assert list(_usd(extended, "EKS extended support")) == pytest.approx([0.0, (730 + hours / 3600) * 0.5])
    assert any("from 2026-12-02 on extended support is charged" in warning for warning in extended.warnings)


def test_a_version_whose_window_is_over_costs_more_whatever_the_policy_says(estimated: Estimator) -> None:
    over = datetime(2026, 12, 2, tzinfo=UTC)
    found = estimated(version="1.34", at=over)
    assert list(_usd(found, "EKS extended support")) == pytest.approx([24.0, 365.0])
    assert any("1.34 is in extended support" in warning for warning in found.warnings)
    before = estimated(version="1.34", at=over - timedelta(seconds=1))
    assert not any("extended support" in line.title for line in before.lines)


def test_a_window_that_ends_within_the_time_to_live_says_so(estimated: Estimator) -> None:
    found = estimated(version="1.34", at=datetime(2026, 12, 1, tzinfo=UTC))
    assert any("ends within the time to live" in warning for warning in found.warnings)


def test_the_end_of_extended_support_is_warned_of(estimated: Estimator) -> None:
    upgraded = "extended support of Kubernetes 1.31 ends: on 2026-11-26 AWS upgrades the cluster"
    assert any(upgraded in warning for warning in estimated(version="1.31").warnings)


def test_a_version_without_a_known_window_is_unpriced_beyond_the_standard_hour(estimated: Estimator) -> None:
    found = estimated(version="1.99")
    assert _usd(found, "EKS cluster")[0] == pytest.approx(4.80)
    assert any("1.99" in name for name in found.unpriced)


def test_begun_hours_of_nat_are_whole_hours_and_those_of_eks_are_not(estimated: Estimator) -> None:
    found = estimated(nat=True, ttl_hours=47.25)
    assert _usd(found, "NAT gateway")[0] == pytest.approx(48 * 0.045)
    assert _usd(found, "EKS cluster")[0] == pytest.approx(47.25 * 0.10)


def test_high_holds_every_node_at_the_dearest_spot_price_and_the_teardown(estimated: Estimator) -> None:
    nodes = next(line for line in estimated().lines if line.title.startswith("nodes"))
    assert nodes.ttl.high == pytest.approx(4 * 0.0484 * 48.75)
    assert nodes.ttl.low == pytest.approx(2 * 0.0213 * 48)
    assert nodes.quantity == 2


POOL = NodePool(vcpu=16, families=("t3a", "m6i"), architectures=("amd64",), smallest=2, disk_gib=30)


def _more_at_most(found: Estimate, than: Estimate) -> float:
    """How much dearer a month is in the worst case; no other number may differ."""
    assert found.ttl.expected == pytest.approx(than.ttl.expected)
    assert found.month.low == pytest.approx(than.month.low)
    return found.month.high - than.month.high


def test_karpenter_is_the_worst_case_of_its_pool_with_disks_and_addresses(estimated: Estimator) -> None:
    found = estimated(karpenter=(POOL,))
    assert not any("Karpenter" in name for name in found.unpriced)
    # 8 nodes of 2 vCPU; t3a with credits is dearer than m6i without, though m6i costs more by the hour
    instances, disks, addresses = 16 * (0.0752 / 2 + 0.05) * 730, 8 * 30 * 0.08, 8 * 0.005 * 730
    assert _more_at_most(found, estimated()) == pytest.approx(instances + disks + addresses)
    behind_nat = _more_at_most(estimated(karpenter=(POOL,), nat=True), estimated(nat=True))
    assert behind_nat == pytest.approx(instances + disks)


def test_a_pool_costs_what_its_own_families_cost_whatever_the_node_group_has(estimated: Estimator) -> None:
    pool = replace(POOL, families=("m6i",), disk_gib=0.0)
    small = {"eks": {"nodes": {"instance_types": ["t3.medium"]}}}
    more = _more_at_most(
        estimated(karpenter=(pool,), changed=small, nat=True), estimated(changed=small, nat=True)
    )
    assert more == pytest.approx(16 * 0.096 / 2 * 730)


@pytest.mark.parametrize(
    ("pools", "named"),
    [
        ((), "what its NodePools allow is not known"),
        ((replace(POOL, vcpu=None),), "the limit of its NodePool is not known"),
        ((replace(POOL, families=None),), "the families of instances in its NodePool are not known"),
        ((replace(POOL, families=("m7i-flex",)),), "of the family m7i-flex: no rate for us-east-1"),
        ((replace(POOL, disk_gib=None),), "the disks of Karpenter's nodes"),
        # the second pool is not hidden by what is known of the first
        ((POOL, replace(POOL, vcpu=None)), "the limit of its NodePool is not known"),
    ],
)
def test_what_is_not_known_of_karpenter_is_named(
    estimated: Estimator, pools: tuple[NodePool, ...], named: str
) -> None:
    assert [name for name in estimated(karpenter=pools).unpriced if named in name]


def test_families_of_another_architecture_than_the_pools_do_not_come(estimated: Estimator) -> None:
    both = replace(POOL, families=("m6i", "m7g"))
    amd64, arm64 = (
        estimated(karpenter=(both,)),
        estimated(karpenter=(replace(both, architectures=("arm64",)),)),
    )
    assert _more_at_most(amd64, arm64) == pytest.approx(16 * (0.096 - 0.0816) / 2 * 730)
    assert not [name for name in (*amd64.unpriced, *arm64.unpriced) if "Karpenter" in name]


def test_without_karpenter_nothing_is_said_of_it(estimated: Estimator) -> None:
    off = estimated(karpenter=(POOL,), changed={"eks": {"karpenter": False}})
    assert not any("Karpenter" in name for name in off.unpriced)
    assert not any("Karpenter" in line.title for line in off.lines)


def test_unlimited_credits_are_in_the_worst_case_of_types_that_have_them(estimated: Estimator) -> None:
    (line,) = [line for line in estimated().lines if "credits" in line.title]
    # 4 nodes of 2 vCPU, busy for 48 hours and the teardown
    assert (line.ttl.low, line.ttl.expected) == (0, 0)
    assert line.ttl.high == pytest.approx(4 * 2 * 0.05 * 48.75)
    others = [("aws_eks_node_group", {"instance_types": ["m6i.large"]})]
    assert len([line for line in estimated(more=others).lines if "credits" in line.title]) == 1
    arm = [("aws_eks_node_group", {"instance_types": ["t4g.large"]})]
    assert "T4g unlimited credits: no rate for us-east-1" in estimated(more=arm).unpriced


def test_root_volumes_beyond_the_usage_are_counted(estimated: Estimator) -> None:
    large = {"block_device_mappings": [{"ebs": [{"volume_size": 100}]}]}
    found = estimated(more=[("aws_launch_template", large)])
    volumes = next(line for line in found.lines if line.title.startswith("EBS gp3"))
    assert volumes.quantity == 200
    assert volumes.month.high == pytest.approx(400 * 0.08)


def test_what_only_some_demos_have_is_priced_where_it_is_planned(estimated: Estimator) -> None:
    more: list[tuple[str, dict[str, Any]]] = [
        ("aws_kms_key", {}),
        ("aws_ecr_repository", {}),
        ("aws_ecr_repository", {}),
        ("aws_s3_bucket", {}),
        ("aws_route53_zone", {}),
        ("aws_vpc_endpoint", {"vpc_endpoint_type": "Gateway"}),
        ("aws_vpc_endpoint", {"vpc_endpoint_type": "Interface", "subnet_ids": ["a", "b"]}),
    ]
    found = estimated(more=more)
    assert _usd(found, "KMS key")[1] == pytest.approx(1.00)
    assert _usd(found, "ECR storage")[1] == pytest.approx(0.50)
    assert _usd(found, "S3 storage")[1] == pytest.approx(0.01, abs=0.001)
    assert _usd(found, "Route 53")[1] == pytest.approx(0.50)
    assert _usd(found, "interface endpoint")[1] == pytest.approx(2 * 0.01 * 730)


def test_a_managed_master_password_is_a_secret_on_the_bill(estimated: Estimator) -> None:
    database = {"instance_class": "db.t4g.micro", "manage_master_user_password": True}
    assert _usd(estimated(more=[("aws_db_instance", database)]), "Secrets Manager")[1] == pytest.approx(0.40)


@pytest.mark.parametrize(
    ("type_", "values", "named"),
    [
        ("aws_sqs_queue", {}, "aws_sqs_queue: requests"),
        ("aws_cloudwatch_metric_alarm", {}, "aws_cloudwatch_metric_alarm: no rate for us-east-1"),
        ("aws_dynamodb_table", {}, "aws_dynamodb_table: requests and GB kept"),
        ("aws_quantum_ledger", {}, "aws_quantum_ledger: zave has no price for this type"),
        ("aws_db_instance", {"instance_class": "db.r8g.48xlarge"}, "RDS db.r8g.48xlarge"),
        ("aws_db_instance", {"instance_class": "db.t4g.micro", "multi_az": True}, "RDS multi-AZ"),
        ("aws_ebs_volume", {"type": "io2", "size": 10}, "EBS volume of type io2"),
        ("aws_lb", {"load_balancer_type": "gateway"}, "load balancer of type gateway"),
        ("aws_eks_node_group", {"instance_types": ["p5.48xlarge"]}, "nodes of type p5.48xlarge"),
    ],
)
def test_what_has_no_rate_is_named(
    estimated: Estimator, type_: str, values: dict[str, Any], named: str
) -> None:
    assert not any(name.startswith(named) for name in estimated().unpriced)
    assert any(name.startswith(named) for name in estimated(more=[(type_, values)]).unpriced)


def test_free_types_are_neither_priced_nor_named(estimated: Estimator) -> None:
    more: list[tuple[str, dict[str, Any]]] = [("aws_iam_role", {}), ("aws_security_group", {})]
    assert estimated(more=more) == estimated()


def test_a_region_without_rates_has_everything_named_and_nothing_counted(estimated: Estimator) -> None:
    found = estimated(region="ap-south-2", nat=True, rds=True)
    assert found.lines == ()
    for what in ("eks.cluster", "nodes of type t3.large", "nat.hour", "public IPv4", "RDS db.t4g.micro"):
        assert any(name.startswith(what) for name in found.unpriced), what


def test_spot_without_a_price_counts_on_demand_and_says_so(estimated: Estimator) -> None:
    found = estimated(more=[("aws_eks_node_group", {"instance_types": ["m7g.large"]})])
    nodes = next(line for line in found.lines if "m7g" in line.title)
    assert nodes.rate.usd.expected == 0.0816
    assert any("no spot price is known for m7g.large" in warning for warning in found.warnings)


def test_what_the_plan_does_not_know_is_as_the_spec_says(estimated: Estimator) -> None:
    known, unknown = estimated(), estimated(more=[("aws_eks_node_group", {})])
    # two more nodes with an address each, and the roots of four, 20 GB each, are more than 60 GB
    more = 2 * (0.0395 + 0.005) * 730 + 20 * 0.08
    assert unknown.month.expected - known.month.expected == pytest.approx(more)


def test_a_longer_life_never_costs_less(estimated: Estimator) -> None:
    spans = [estimated(nat=True, rds=True, ttl_hours=hours).ttl for hours in (1, 1.5, 24, 48, 49, 168, 720)]
    for shorter, longer in pairwise(spans):
        assert shorter.low < longer.low
        assert shorter.expected < longer.expected
        assert shorter.high < longer.high


def test_europe_is_priced_with_its_own_rates_and_their_doubts(estimated: Estimator) -> None:
    found = estimated(region="eu-west-1")
    nlb = next(line for line in found.lines if line.title == "NLB")
    assert nlb.rate.usd.expected == 0.0252
    assert nlb.rate.source.endswith("(uncertain)")


def test_a_state_document_is_estimated_as_a_plan_is(
    demo: Callable[..., Any],
    planned: Callable[..., Any],
    spec: AwsSpec,
    now: datetime,
    catalogue: Catalogue,
) -> None:
    plan = planned(demo())
    state = {"format_version": "1.0", "values": plan["planned_values"]}
    both = [estimate(d, spec, ttl_hours=48, at=now, catalogue=catalogue) for d in (plan, state)]
    assert both[0] == both[1]


def test_nothing_planned_costs_nothing(spec: AwsSpec, now: datetime, catalogue: Catalogue) -> None:
    found = estimate({}, spec, ttl_hours=48, at=now, catalogue=catalogue)
    assert (found.lines, found.unpriced, found.warnings) == ((), (), ())


def test_document_is_the_cost_of_a_plan(estimated: Estimator) -> None:
    from jsonschema import Draft202012Validator

    document = estimated(nat=True, version="1.33").document()
    Draft202012Validator(load_schema("plan")["properties"]["cost"]).validate(document)
    for span, column in (("ttl", "usd_ttl"), ("month", "usd_month")):
        lines = sum(line[column] for line in document["lines"])
        assert lines == pytest.approx(document[span]["expected"], abs=0.001)
