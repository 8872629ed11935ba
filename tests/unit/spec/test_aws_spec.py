from collections.abc import Callable
from ipaddress import IPv4Network

import pytest

from zave.errors import SpecError
from zave.spec.aws import AwsSpec
from zave.spec.load import parse_spec

HOUR = 3600
Parse = Callable[[str], AwsSpec]
Refused = Callable[[Callable[[str], object], str], SpecError]

HEAD = """\
platform: aws-eks
owner: me@example.org
notify: {email: me@example.org}
gitops: {repository: "https://git.example.org/me/platform.git"}
"""


def cluster(text: str) -> object:
    return parse_spec(f"{HEAD}eks: {{{text}}}\n", where="environment.yaml")


def test_the_least_that_is_required_gives_the_documented_demo(demo: Parse) -> None:
    spec = demo("")
    assert isinstance(spec, AwsSpec)
    assert (spec.aws.account, spec.aws.region) == (None, "us-east-1")
    assert (spec.ttl.default, spec.ttl.maximum) == (48 * HOUR, 168 * HOUR)
    assert spec.ttl.warn == (6 * HOUR, HOUR)
    assert (spec.network.cidr, spec.network.nat) == (IPv4Network("10.42.0.0/16"), "none")
    assert (spec.eks.version, spec.eks.karpenter, spec.eks.allow_world) == ("1.35", True, False)
    assert spec.eks.public_cidrs == (IPv4Network("203.0.113.7/32"),)
    assert spec.eks.nodes.instance_types == ("t3.large", "t3a.large", "m6i.large")
    assert (spec.eks.nodes.spot, spec.eks.nodes.minimum, spec.eks.nodes.maximum) == (True, 2, 4)
    assert spec.rds.enabled is False
    assert (spec.state.bucket, spec.state.lock) == ("zave-state-{account}", "s3")
    assert (spec.budget.usd, spec.budget.alert) == (20, (50, 80, 100))
    assert (spec.usage.nat_gb, spec.usage.volumes_gb) == (20, 60)
    assert (spec.registry.kind, spec.storage.class_, spec.ingress.service) == ("ecr", "gp3", "load-balancer")


@pytest.mark.parametrize("key", ["owner", "notify", "gitops"])
def test_what_has_no_sane_default_is_required(key: str) -> None:
    text = "".join(line for line in HEAD.splitlines(keepends=True) if not line.startswith(key))
    with pytest.raises(SpecError) as caught:
        parse_spec(f"{text}eks: {{public_cidrs: [203.0.113.7/32]}}\n", where="environment.yaml")
    assert caught.value.brief == f"{key} is missing"


def test_default_lifetime_may_equal_the_maximum_and_not_pass_it(demo: Parse, refused: Refused) -> None:
    assert demo("ttl: {default: 48h, maximum: 2d}\n").ttl.maximum == 48 * HOUR
    error = refused(demo, "ttl:\n  default: 49h\n  maximum: 2d\n")
    assert error.brief == "ttl.default 49h is longer than ttl.maximum 48h"
    assert error.where == "environment.yaml:7"


def test_no_demo_may_live_longer_than_thirty_days(demo: Parse, refused: Refused) -> None:
    assert demo("ttl: {maximum: 30d}\n").ttl.maximum == 720 * HOUR
    assert "too long" in refused(demo, "ttl: {maximum: 721h}\n").brief


def test_warnings_come_before_the_end_and_once(demo: Parse, refused: Refused) -> None:
    assert demo("ttl: {warn: []}\n").ttl.warn == ()
    assert "not before the end" in refused(demo, "ttl: {default: 2h, warn: [1h, 2h]}\n").brief
    assert "same twice" in refused(demo, "ttl: {warn: [1h, 60m]}\n").brief


@pytest.mark.parametrize("cidr", ["10.100.0.0/16", "172.20.4.0/24"])
def test_vpc_must_not_overlap_services(demo: Parse, refused: Refused, cidr: str) -> None:
    assert "which EKS takes for services" in refused(demo, f"network: {{cidr: {cidr}}}\n").brief


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "0.0.0.0/1", "64.0.0.0/7"])
def test_world_is_let_in_only_on_purpose(refused: Refused, cidr: str) -> None:
    assert "to the world" in refused(cluster, f"public_cidrs: [{cidr}]").brief
    spec = cluster(f"public_cidrs: [{cidr}], allow_world: true")
    assert isinstance(spec, AwsSpec)
    assert spec.eks.public_cidrs == (IPv4Network(cidr),)


def test_nobody_may_reach_the_cluster_is_refused(refused: Refused) -> None:
    assert refused(cluster, "public_cidrs: []").brief == "eks.public_cidrs needs at least 1 item"
    many = ", ".join(f"203.0.113.{number}/32" for number in range(41))
    assert refused(cluster, f"public_cidrs: [{many}]").brief == "eks.public_cidrs takes at most 40 items"


@pytest.mark.parametrize(
    ("nodes", "brief"),
    [
        ("minimum: 5", "eks.nodes.minimum 5 is more than eks.nodes.maximum 4"),
        ("minimum: 0", "eks.nodes.minimum: 0 is less than 1"),
        ("maximum: 51", "eks.nodes.maximum: 51 is more than 50"),
        ("instance_types: [t3.large, t3.large]", "names t3.large twice"),
        ("instance_types: [t3.large, m7g.large]", "mixes amd64 (t3.large) and arm64 (m7g.large)"),
        ("spot: yes", "`yes` is not true or false"),
    ],
)
def test_node_groups_that_cannot_work_are_refused(refused: Refused, nodes: str, brief: str) -> None:
    assert brief in refused(cluster, f"public_cidrs: [203.0.113.7/32], nodes: {{{nodes}}}").brief


def test_budget_alerts_ascend(demo: Parse, refused: Refused) -> None:
    assert demo("budget: {alert: [1, 100]}\n").budget.alert == (1, 100)
    for wrong in ("[80, 50]", "[50, 50]"):
        assert "not ascending" in refused(demo, f"budget: {{alert: {wrong}}}\n").brief


def test_repository_must_be_reachable_from_aws(refused: Refused) -> None:
    def local(text: str) -> object:
        head = HEAD.replace('"https://git.example.org/me/platform.git"', "local")
        return parse_spec(head + text, where="environment.yaml")

    error = refused(local, "eks: {public_cidrs: [203.0.113.7/32]}\n")
    assert "a cluster in AWS cannot reach" in error.brief
    assert error.where == "environment.yaml:4"
