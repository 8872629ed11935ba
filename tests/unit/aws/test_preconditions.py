"""What must be so before anything is created: each thing is looked at, and what is needed is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from ipaddress import IPv4Network
from typing import Any

import pytest

from tests.unit.aws.memory import START, Account
from tests.unit.aws.things import ACCOUNT, item
from zave.aws.findings import Finding, Quota, Wanted, Window, require
from zave.aws.places import HostedZone
from zave.aws.preconditions import look
from zave.errors import PreconditionError, StepFailedError
from zave.ports.cloud import Caller

WANTED = Wanted(
    instance="demo",
    owner="me@example.org",
    account=ACCOUNT,
    version="1.35",
    instance_types=("t3.large", "m6i.large"),
    nodes=4,
    spot=True,
    addresses=1,
    window=Window(date(2027, 3, 27), date(2028, 3, 27), 0.5),
)


@dataclass
class Facts:
    """An account in which everything is as it should be."""

    enabled: bool = True
    role: bool = True
    quotas: dict[Quota, float | None] = field(
        default_factory=lambda: {
            "on-demand vCPUs": 32.0,
            "spot vCPUs": 32.0,
            "elastic IPs": 5.0,
            "VPCs": 5.0,
        }
    )
    offered: dict[str, int] = field(
        default_factory=lambda: {"t3.large": 2, "m6i.large": 2, "c6i.8xlarge": 32}
    )
    refuse: bool = False
    examples: frozenset[IPv4Network] = frozenset({IPv4Network("203.0.113.7/32")})

    def nobodys(self, networks: Sequence[IPv4Network]) -> Sequence[IPv4Network]:
        return [each for each in networks if each in self.examples]

    def region_enabled(self) -> bool:
        if self.refuse:
            raise StepFailedError("refused", details="AccessDenied")
        return self.enabled

    def spot_role(self) -> bool:
        return self.role

    def quota(self, name: Quota) -> float | None:
        return self.quotas[name]

    def vcpus(self, instance_types: Sequence[str]) -> Mapping[str, int]:
        return {name: self.offered[name] for name in instance_types if name in self.offered}

    def hosted_zone(self, zone: str) -> HostedZone | None:
        return None

    def bucket_region(self, bucket: str) -> str | None:
        return None


def found(cloud: Account, facts: Facts | None = None, /, **changes: Any) -> list[Finding]:
    return look(cloud, facts or Facts(), replace(WANTED, **changes), clock=cloud.clock)


def missing(findings: Sequence[Finding]) -> list[str]:
    return [finding.check for finding in findings if finding.level == "missing"]


def test_an_account_that_has_all_is_told_to_have_it(account: Account) -> None:
    findings = found(account)
    assert {finding.level for finding in findings} == {"ok"}
    assert {finding.check for finding in findings} == {
        "account",
        "credentials",
        "region",
        "EKS version",
        "spot",
        "quotas",
    }
    require(findings)


def test_of_another_account_nothing_else_is_asked(account: Account) -> None:
    findings = found(account, account="999999999999")
    assert missing(findings) == ["account"]
    assert {finding.check for finding in findings} <= {"account", "credentials", "region"}
    with pytest.raises(PreconditionError, match="999999999999"):
        require(findings)


@pytest.mark.parametrize(("minutes", "enough"), [(29, False), (31, True)])
def test_credentials_must_last_as_long_as_the_making(minutes: int, enough: bool, account: Account) -> None:
    ends = START + timedelta(minutes=minutes)
    account.caller = lambda: Caller(ACCOUNT, "arn:aws:sts::1:me", ends)  # type: ignore[method-assign]
    assert missing(found(account)) == ([] if enough else ["credentials"])


def test_temporary_credentials_that_do_not_tell_their_end_are_warned_of(account: Account) -> None:
    account.caller = lambda: Caller(ACCOUNT, "arn:aws:sts::1:me", temporary=True)  # type: ignore[method-assign]
    findings = found(account)
    (finding,) = [each for each in findings if each.check == "credentials"]
    assert (finding.level, "do not tell when they end" in finding.what) == ("warning", True)
    assert "AWS_CREDENTIAL_EXPIRATION" in (finding.fix or "")
    require(findings)


def test_a_region_must_be_enabled_and_spot_needs_its_role(account: Account) -> None:
    assert missing(found(account, Facts(enabled=False))) == ["region"]
    assert missing(found(account, Facts(role=False))) == ["spot"]
    assert missing(found(account, Facts(role=False), spot=False)) == []


ROLE = f"arn:aws:iam::{ACCOUNT}:role/team/admin"


@pytest.mark.parametrize(
    ("caller", "refused"),
    [
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/session", True),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/administrator/admin", False),
        ("arn:aws:sts::999999999999:assumed-role/admin/session", False),
        (f"arn:aws:iam::{ACCOUNT}:user/me", True),
        (f"arn:aws:iam::{ACCOUNT}:user/admin", False),
    ],
)
def test_who_makes_the_cluster_is_no_further_administrator(
    account: Account, caller: str, refused: bool
) -> None:
    account.caller = lambda: Caller(ACCOUNT, caller)  # type: ignore[method-assign]
    administrators = (ROLE, f"arn:aws:iam::{ACCOUNT}:user/me")
    assert missing(found(account, administrators=administrators)) == (["administrators"] if refused else [])
    # of one that stands they are who somebody else named
    account.inventory.add(item("demo", "aws_eks_cluster", name="zave-demo"))
    assert missing(found(account, administrators=administrators, stands=True)) == []


def test_an_api_server_that_nobody_can_reach_is_refused(account: Account) -> None:
    mine, example = IPv4Network("198.18.7.7/32"), IPv4Network("203.0.113.7/32")
    assert missing(found(account, public_cidrs=(mine,))) == []
    findings = found(account, public_cidrs=(mine, example))
    assert missing(findings) == ["API server"]
    with pytest.raises(PreconditionError, match=r"nobody comes from 203\.0\.113\.7/32"):
        require(findings)


@pytest.mark.parametrize(("karpenter", "levels"), [(0, []), (8, ["warning"]), (None, ["warning"])])
def test_without_the_role_for_spot_karpenter_alone_is_a_warning(
    account: Account, karpenter: int | None, levels: list[str]
) -> None:
    findings = found(account, Facts(role=False), spot=False, karpenter=karpenter)
    assert [each.level for each in findings if each.check == "spot"] == levels
    require(findings)


@pytest.mark.parametrize(
    ("window", "level", "words"),
    [
        (Window(date(2027, 3, 27), None), "ok", "until 2027-03-27"),
        (
            Window(date(2026, 12, 2), date(2027, 12, 2), 0.5),
            "warning",
            "on 2026-12-02 AWS upgrades the cluster to the next version",
        ),
        (
            Window(date(2026, 11, 23), date(2027, 11, 23), 0.5),
            "missing",
            "in extended support since 2026-11-23",
        ),
        (Window(None, date(2027, 7, 29), 0.5), "missing", "until 2027-07-29 and costs 0.50"),
        (Window(date(2025, 11, 1), date(2026, 11, 23)), "missing", "no more since 2026-11-23"),
        (None, "warning", "nothing is known"),
    ],
)
def test_the_support_of_a_version_is_told_with_its_dates(
    window: Window | None, level: str, words: str, account: Account
) -> None:
    (finding,) = [each for each in found(account, window=window) if each.check == "EKS version"]
    assert finding.level == level
    assert words in finding.what


def test_extended_support_is_refused_for_a_new_cluster_and_told_of_one_that_stands(account: Account) -> None:
    window = Window(date(2026, 11, 23), date(2027, 11, 23), 0.5)
    refused = found(account, window=window)
    assert missing(refused) == ["EKS version"]
    with pytest.raises(PreconditionError, match="upgrade policy, STANDARD"):
        require(refused)
    # a network is no cluster
    account.inventory.add(item("demo", "aws_vpc"))
    assert missing(found(account, window=window, stands=True)) == ["EKS version"]
    account.inventory.add(item("demo", "aws_eks_cluster", name="zave-demo"))
    findings = found(account, window=window, stands=True)
    assert missing(findings) == []
    assert [each.level for each in findings if each.check == "EKS version"] == ["warning"]


def test_a_name_that_somebody_else_has_is_refused(account: Account) -> None:
    account.inventory.add(item(None, "aws_eks_cluster", name="zave-demo"))
    assert missing(found(account)) == ["names"]
    account.inventory.there.clear()
    account.inventory.add(item("demo-b", "aws_eks_cluster", name="zave-demo-b"))
    assert missing(found(account)) == []


def test_a_colleagues_instance_of_that_name_is_refused(account: Account) -> None:
    tags = {"tag:zave:owner": "you@example.org"}
    account.inventory.add(item("demo", "aws_vpc", attributes=tags))
    findings = found(account)
    assert missing(findings) == ["leftovers"]
    assert any("you@example.org" in each.what for each in findings)


def test_leftovers_of_an_earlier_life_are_told_with_what_takes_them_away(account: Account) -> None:
    account.inventory.add(item("demo", "aws_vpc", attributes={"tag:zave:owner": "me@example.org"}))
    (finding,) = [each for each in found(account) if each.check == "leftovers"]
    assert finding.level == "warning"
    assert "zave sweep demo --delete" in (finding.fix or "")
    assert [each for each in found(account, stands=True) if each.check == "leftovers"] == []


def test_roles_alone_may_be_those_of_a_demo_in_another_region(account: Account) -> None:
    own = {"tag:zave:owner": "me@example.org"}
    account.inventory.add(item("demo", "aws_iam_role", attributes=own), item("demo", "aws_iam_role_policy"))
    findings = found(account)
    assert missing(findings) == ["leftovers"]
    with pytest.raises(PreconditionError, match="may live in another region") as refused:
        require(findings)
    assert "--name" in (refused.value.resolution or "")
    assert missing(found(account, stands=True)) == []
    # with anything of this region beside them they are an earlier life's
    account.inventory.add(item("demo", "aws_vpc", attributes=own))
    assert missing(found(account)) == []


def test_what_cannot_be_asked_is_told_but_an_unknown_inventory_is_refused(account: Account) -> None:
    findings = found(account, Facts(refuse=True))
    assert any(each.check == "region" and "AccessDenied" in each.what for each in findings)
    require(findings)

    def refused() -> list[Any]:
        raise StepFailedError("not complete", details="aws_vpc: AccessDenied")

    account.inventory.items = refused  # type: ignore[method-assign]
    with pytest.raises(PreconditionError, match="cannot be listed"):
        require(found(account))


def test_all_that_is_missing_is_told_at_once(account: Account) -> None:
    account.inventory.add(*(item(None, "aws_vpc", id=f"v-{n}") for n in range(5)))
    with pytest.raises(PreconditionError, match="2 things are missing") as refused:
        require(found(account, Facts(role=False)))
    assert "create-service-linked-role" in (refused.value.details or "")
    assert "VPCs" in (refused.value.details or "")
