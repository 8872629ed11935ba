"""What `adopt` and `status --others` read out of an account by boto3."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.integration.aws_live.standing import ACCOUNT, pairs
from tests.unit.aws.memory import FakeClock
from tests.unit.aws.things import instance_facts
from zave.aws.bundle import build_bundle
from zave.aws.identity import identity
from zave.aws.keys import bundle_key, state_key
from zave.aws.live.api import Api
from zave.aws.live.cloud import LiveCloud
from zave.errors import PreconditionError
from zave.lifecycle.adopt_demo import look_at_demo
from zave.lifecycle.strangers import strangers
from zave.ports.cloud import Schedule
from zave.project import Project
from zave.spec.load import load_spec, spec_document
from zave.steps.site import Site

CREATION = "2026-11-23T12:00:00.000Z"
TAGS = {
    "zave:instance": "demo",
    "zave:environment": "aws-demo",
    "zave:owner": "me@example.org",
    "zave:creation": CREATION,
}
SPEC = load_spec(Project().environment_file("aws-demo"))


def make_vpc(api: Api, tags: dict[str, str]) -> str:
    told = [{"ResourceType": "vpc", "Tags": pairs({"Name": "zave-demo-vpc", **tags})}]
    vpc: str = api.call("ec2", "create_vpc", CidrBlock="10.42.0.0/16", TagSpecifications=told)["Vpc"]["VpcId"]
    return vpc


def state(vpc: str) -> bytes:
    values = {"id": vpc, "tags": {"Name": "zave-demo-vpc"}, "tags_all": {"Name": "zave-demo-vpc", **TAGS}}
    held = {"mode": "managed", "type": "aws_vpc", "name": "this", "instances": [{"attributes": values}]}
    outputs = {
        "cluster_endpoint": {"value": "https://eks.example", "type": "string"},
        "password": {"value": "hunter2", "type": "string", "sensitive": True},
    }
    document = {"version": 4, "lineage": "a", "serial": 7, "resources": [held], "outputs": outputs}
    return json.dumps(document).encode()


@pytest.fixture
def armed(cloud: LiveCloud, api: Api, clock: FakeClock, tmp_path: Path) -> Schedule:
    """A demo of which bundle, schedule, state and one VPC stand; nobody has a record of it."""
    (tmp_path / "main.tf").write_text("# nothing\n")
    (tmp_path / "zave.auto.tfvars.json").write_text('{"instance": "demo"}')
    facts = instance_facts("demo", tags=TAGS, creation=CREATION)
    packed = build_bundle(tmp_path, spec=spec_document(SPEC), facts=facts)
    key = bundle_key("demo", packed.sha256)
    cloud.bucket.put(key, packed.content)
    cloud.bucket.put(state_key("demo"), state(make_vpc(api, TAGS)))
    end = clock.now().replace(microsecond=0) + timedelta(hours=48)
    schedule = Schedule("demo", end, key, packed.sha256)
    cloud.switchboard.set_schedule(schedule)
    return schedule


@pytest.fixture
def site(cloud: LiveCloud, clock: FakeClock) -> Site:
    """As much of a site as is looked at."""
    tools = SimpleNamespace(cloud=cloud, clock=clock, identify=identity)
    return cast(Site, SimpleNamespace(instance="demo", tools=tools))


def test_a_demo_is_found_whole(site: Site, armed: Schedule) -> None:
    finding = look_at_demo(site, cast(Any, SPEC))
    assert finding is not None
    record = finding.record
    assert (record.name, record.environment, record.phase) == ("demo", "aws-demo", "ready")
    assert record.created_at.isoformat() == "2026-11-23T12:00:00+00:00"
    assert record.expires_at == armed.first_fire_at
    assert record.spec == spec_document(SPEC)
    assert [(r.address, r.name, r.state) for r in finding.resources] == [
        ("aws_vpc.this", "zave-demo-vpc", "present")
    ]
    assert finding.seal is not None
    assert (finding.seal.serial, finding.seal.resources) == (7, 1)
    assert finding.variables == b'{"instance": "demo"}'
    # secrets have no place in a record
    assert dict(finding.steps["infra"]) == {"cluster_endpoint": "https://eks.example"}


def test_what_is_not_there_is_not_found(site: Site) -> None:
    assert look_at_demo(site, cast(Any, SPEC)) is None


def test_a_switch_that_is_gone_is_told_and_the_only_bundle_serves(
    site: Site, cloud: LiveCloud, armed: Schedule
) -> None:
    cloud.switchboard.remove_schedule("demo")
    finding = look_at_demo(site, cast(Any, SPEC))
    assert finding is not None
    assert (finding.record.phase, finding.record.expires_at) == ("degraded", None)
    assert "ttl-switch" not in finding.steps
    assert any("no switch" in text for text in finding.said)


def test_things_of_an_earlier_life_are_doubtful(site: Site, api: Api, armed: Schedule) -> None:
    make_vpc(api, {**TAGS, "zave:creation": "2020-01-01T00:00:00.000Z"})
    with pytest.raises(PreconditionError, match="tags of its bundle") as refused:
        look_at_demo(site, cast(Any, SPEC))
    assert "2020-01-01" in str(refused.value.details)


def test_a_bundle_that_is_not_the_proven_one_is_doubtful(
    site: Site, cloud: LiveCloud, armed: Schedule
) -> None:
    cloud.bucket.put(armed.bundle, b"another")
    with pytest.raises(PreconditionError, match="not the one that was proven"):
        look_at_demo(site, cast(Any, SPEC))


def test_credentials_of_another_account_are_refused(site: Site, armed: Schedule) -> None:
    other = SPEC.model_copy(
        update={"aws": cast(Any, SPEC).aws.model_copy(update={"account": "999999999999"})}
    )
    with pytest.raises(PreconditionError, match=f"belong to account {ACCOUNT}"):
        look_at_demo(site, cast(Any, other))


def test_demos_that_nobody_here_recorded_are_told_by_tag_and_by_schedule(
    cloud: LiveCloud, armed: Schedule
) -> None:
    cloud.switchboard.set_schedule(replace(armed, instance="only-armed"))
    found = strangers(
        cloud,
        cloud.inventory.items(),
        known={"mine"},
        price=lambda item: 0.5,
        rehearsal=False,
        schedules=cloud.switchboard.schedules(),
    )
    assert [(one["name"], one["owner"], one["since"]) for one in found] == [
        ("demo", "me@example.org", CREATION),
        ("only-armed", None, None),
    ]
    assert found[0]["usd_per_hour"] >= 0.5
    items = cloud.inventory.items()
    known = {"demo", "only-armed"}
    assert strangers(cloud, items, known=known, price=lambda item: 0.5, rehearsal=False) == []
