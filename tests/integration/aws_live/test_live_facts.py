"""What AWS says of an account, by boto3."""

from ipaddress import IPv4Network

import pytest

from tests.integration.aws_live.standing import ACCOUNT, REGION
from tests.system.moto_server import MotoServer
from tests.unit.aws.memory import FakeClock
from zave.aws.findings import Wanted
from zave.aws.live.api import Api, Assumption
from zave.aws.live.cloud import LiveCloud
from zave.aws.live.facts import LiveFacts
from zave.aws.places import HostedZone
from zave.aws.preconditions import look
from zave.errors import PreconditionError, StepFailedError


def test_a_region_that_was_not_opted_into_is_not_enabled(api: Api, server: MotoServer) -> None:
    assert LiveFacts(api).region_enabled()
    elsewhere = Api(region="ap-east-1", endpoint_url=server.url, attempts=1)
    assert not LiveFacts(elsewhere).region_enabled()


def test_a_region_that_aws_does_not_have_is_told_as_such(server: MotoServer) -> None:
    nowhere = Api(region="mars-north-1", endpoint_url=server.url, attempts=1)
    with pytest.raises(PreconditionError, match="AWS has no region mars-north-1"):
        LiveFacts(nowhere).region_enabled()


def test_the_role_for_spot_is_there_once_it_was_made(api: Api) -> None:
    facts = LiveFacts(api)
    assert not facts.spot_role()
    api.call("iam", "create_service_linked_role", AWSServiceName="spot.amazonaws.com")
    # moto names the role otherwise than AWS
    made = [role["RoleName"] for role in api.call("iam", "list_roles")["Roles"]]
    assert len(made) == 1
    assert facts.spot_role() == ("AWSServiceRoleForEC2Spot" in made)


def test_a_role_that_may_not_be_seen_is_not_taken_for_missing(api: Api, server: MotoServer) -> None:
    server.refuse("iam:GetRole", code="AccessDenied", status=403)
    with pytest.raises(StepFailedError, match="AWS refused iam:get_role"):
        LiveFacts(api).spot_role()


def test_processors_are_told_of_what_is_offered(api: Api) -> None:
    assert LiveFacts(api).vcpus(["t3.large", "m6i.large", "x9.huge"]) == {"t3.large": 2, "m6i.large": 2}


def test_addresses_of_examples_are_nobodys(api: Api) -> None:
    given = ["203.0.113.7/32", "192.0.2.0/25", "198.51.100.0/24", "203.0.114.0/24", "198.18.7.7/32"]
    networks = [IPv4Network(each) for each in given]
    assert LiveFacts(api).nobodys(networks) == networks[:3]


def test_a_hosted_zone_is_found_by_its_id(api: Api, server: MotoServer) -> None:
    facts = LiveFacts(api)
    made = api.call("route53", "create_hosted_zone", Name="example.org.", CallerReference="1")["HostedZone"]
    zone = made["Id"].removeprefix("/hostedzone/")
    assert facts.hosted_zone(zone) == HostedZone("example.org")
    assert facts.hosted_zone("Z0123456789ABCDEFGHIJ") is None
    server.refuse("route53:GET /2013-04-01/hostedzone/", code="AccessDenied", status=403)
    with pytest.raises(StepFailedError, match="AWS refused route53:get_hosted_zone"):
        facts.hosted_zone(zone)


def test_a_bucket_tells_where_it_is(api: Api) -> None:
    facts = LiveFacts(api)
    there = {"LocationConstraint": "eu-west-1"}
    api.call("s3", "create_bucket", Bucket="zave-test-backups", CreateBucketConfiguration=there)
    assert facts.bucket_region("zave-test-backups") == "eu-west-1"
    assert facts.bucket_region("zave-test-nowhere") is None


def test_a_quota_is_the_accounts_own(api: Api, server: MotoServer) -> None:
    facts = LiveFacts(api)
    # in the shape of Service Quotas' API reference; moto knows few quotas
    server.answer("servicequotas:GetServiceQuota", {"Quota": {"QuotaCode": "L-F678F1CE", "Value": 7.0}})
    assert facts.quota("VPCs") == 7.0


def test_where_the_account_has_no_quota_of_its_own_the_default_counts(api: Api, server: MotoServer) -> None:
    facts = LiveFacts(api)
    server.answer("servicequotas:GetAWSDefaultServiceQuota", {"Quota": {"Value": 5.0}})
    server.refuse("servicequotas:GetServiceQuota", code="NoSuchResourceException")
    assert facts.quota("spot vCPUs") == 5.0
    for call in ("GetServiceQuota", "GetAWSDefaultServiceQuota"):
        server.refuse(f"servicequotas:{call}", code="NoSuchResourceException")
    assert facts.quota("elastic IPs") is None


def test_all_of_it_together(cloud: LiveCloud, api: Api, server: MotoServer, clock: FakeClock) -> None:
    server.answer("servicequotas:GetServiceQuota", {"Quota": {"Value": 5.0}})
    wanted = Wanted(
        instance="demo",
        owner="me@example.org",
        account=ACCOUNT,
        version="1.35",
        instance_types=("t3.large",),
        nodes=4,
        spot=False,
    )
    findings = look(cloud, LiveFacts(api), wanted, clock=clock)
    told = {finding.what: finding.level for finding in findings}
    assert told[f"{REGION} is enabled"] == "ok"
    assert told["on-demand vCPUs: 0 in use, 8 more are needed, 5 are allowed"] == "missing"
    # the account's own default network
    assert told["VPCs: 1 in use, 1 more are needed, 5 are allowed"] == "ok"


# the destroyer's role


ROLE = f"arn:aws:iam::{ACCOUNT}:role/zave/standing/zave-destroyer-{REGION}-{ACCOUNT}"


def test_the_destroyer_takes_on_its_role_for_one_instance(cloud: LiveCloud, server: MotoServer) -> None:
    assume = Assumption(ROLE, "zave-demo", {"instance": "demo"})
    api = Api(region=REGION, endpoint_url=server.url, attempts=1, assume=assume)
    caller = LiveCloud(api, clock=FakeClock()).caller()
    assert caller.arn.endswith(f":assumed-role/zave-destroyer-{REGION}-{ACCOUNT}/zave-demo")
    assert caller.expires_at is not None
    (asked,) = server.forms("sts:AssumeRole")
    assert (asked["RoleArn"], asked["DurationSeconds"]) == (ROLE, "3600")
    assert (asked["Tags.member.1.Key"], asked["Tags.member.1.Value"]) == ("instance", "demo")
    handed = api.environment()
    assert handed["AWS_SESSION_TOKEN"]
    assert handed["AWS_ACCESS_KEY_ID"] != "testing"
    assert handed["AWS_REGION"] == REGION


@pytest.mark.parametrize(
    ("given", "temporary", "told"),
    [
        ({}, False, False),
        ({"AWS_SESSION_TOKEN": "token"}, True, False),
        ({"AWS_SESSION_TOKEN": "token", "AWS_CREDENTIAL_EXPIRATION": "2099-01-01T00:00:00Z"}, True, True),
    ],
)
def test_a_session_token_is_temporary_whether_or_not_its_end_is_told(
    api: Api,
    server: MotoServer,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    temporary: bool,
    told: bool,
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    own = Api(region=REGION, endpoint_url=server.url, attempts=1)
    caller = LiveCloud(own, clock=FakeClock()).caller()
    assert (caller.temporary, caller.expires_at is not None) == (temporary, told)


def test_without_a_role_programs_get_the_callers_own_credentials(api: Api) -> None:
    assert api.environment() == {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }


def test_a_role_that_may_not_be_taken_on_is_told_as_such(server: MotoServer) -> None:
    server.refuse("sts:AssumeRole", code="AccessDenied", status=403)
    assume = Assumption(ROLE, "zave-demo", {"instance": "demo"})
    api = Api(region=REGION, endpoint_url=server.url, attempts=1, assume=assume)
    with pytest.raises(StepFailedError, match="AWS refused sts"):
        LiveCloud(api, clock=FakeClock()).caller()
