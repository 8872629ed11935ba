"""What the AWS catalogue asks of planning, validation and the provider, without Terraform."""

import json
from typing import Any

import pytest
from tf.gen import tfplugin_pb2 as pb  # type: ignore[import-untyped]

from zave.rehearsal import planning, schema, validation
from zave.rehearsal.provider import Provider
from zave.rehearsal.values import UNKNOWN, decode, encode
from zave.rehearsal.world import World

AWS = schema.load("aws")
TEMPLATE = AWS.resources["aws_launch_template"]
RULE = AWS.resources["aws_vpc_security_group_ingress_rule"]
CLUSTER = AWS.resources["aws_eks_cluster"]


def shaped(kind: schema.Kind, **values: Any) -> dict[str, Any]:
    return planning.shaped(kind.fields, values)


def message(value: Any) -> pb.DynamicValue:
    return pb.DynamicValue(msgpack=encode(value))


@pytest.fixture
def provider(world: World) -> Provider:
    made = Provider(AWS, world)
    config = shaped(AWS.provider, region="us-east-1")
    answer = made.configure_provider(pb.ConfigureProvider.Request(config=message(config)))
    assert not answer.diagnostics
    return made


def apply(provider: Provider, type_: str, prior: Any, private: bytes, values: dict[str, Any]) -> Any:
    kind = AWS.resources[type_]
    proposed = shaped(kind, **values)
    plan = provider.plan_resource_change(
        pb.PlanResourceChange.Request(
            type_name=type_,
            prior_state=message(prior),
            proposed_new_state=message(proposed),
            prior_private=private,
        )
    )
    return provider.apply_resource_change(
        pb.ApplyResourceChange.Request(
            type_name=type_,
            prior_state=message(prior),
            planned_state=plan.planned_state,
            planned_private=plan.planned_private,
        )
    )


def create(provider: Provider, type_: str, /, **values: Any) -> Any:
    return apply(provider, type_, None, b"", values)


def delete(provider: Provider, name: str, prior: Any, private: bytes) -> Any:
    return provider.apply_resource_change(
        pb.ApplyResourceChange.Request(
            type_name=name,
            prior_state=message(prior),
            planned_state=message(None),
            planned_private=private,
        )
    )


def test_an_update_renews_the_version_and_nothing_else_does() -> None:
    prior = shaped(TEMPLATE, name="t", latest_version=1, default_version=1, tags={})
    assert planning.plan(TEMPLATE, prior=prior, proposed=dict(prior)) == prior
    tagged = planning.plan(TEMPLATE, prior=prior, proposed={**prior, "tags": {"a": "b"}})
    assert tagged["latest_version"] == 1
    changed = planning.plan(TEMPLATE, prior=prior, proposed={**prior, "user_data": "x"})
    assert changed["latest_version"] is UNKNOWN
    assert changed["default_version"] == 1
    followed = planning.plan(
        TEMPLATE, prior=prior, proposed={**prior, "user_data": "x", "update_default_version": True}
    )
    assert followed["default_version"] is UNKNOWN


def test_what_may_change_but_not_vanish_is_replaced_when_it_does() -> None:
    prior = shaped(RULE, security_group_id="sg-1", cidr_ipv4="10.0.0.0/8")
    other = {**prior, "cidr_ipv4": "10.0.0.0/16"}
    assert planning.replaced_by(RULE, prior=prior, planned=other) == []
    moved = {**prior, "cidr_ipv4": None, "referenced_security_group_id": UNKNOWN}
    assert planning.replaced_by(RULE, prior=prior, planned=moved) == [("cidr_ipv4",)]
    encrypted = shaped(CLUSTER, encryption_config=[{"resources": ["secrets"], "provider": []}])
    assert planning.replaced_by(CLUSTER, prior=encrypted, planned=shaped(CLUSTER)) == [("encryption_config",)]
    assert planning.replaced_by(CLUSTER, prior=shaped(CLUSTER), planned=encrypted) == []


def test_default_blocks_have_every_member() -> None:
    planned = planning.plan(CLUSTER, prior=None, proposed=shaped(CLUSTER, name="c"))
    (network,) = planned["kubernetes_network_config"]
    assert set(network) == set(CLUSTER.fields["kubernetes_network_config"].fields)
    assert planned["upgrade_policy"] == [{"support_type": "EXTENDED"}]


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"name": "a"}, None),
        ({"name": "a" * 81}, ("name",)),
        ({"name": "a b"}, ("name",)),
        ({"name": "a", "delay_seconds": 901}, ("delay_seconds",)),
        ({"name": UNKNOWN, "delay_seconds": UNKNOWN}, None),
    ],
)
def test_numbers_lengths_and_forms_have_limits(values: dict[str, Any], path: Any) -> None:
    kind = AWS.resources["aws_sqs_queue"]
    found = validation.problems(kind, shaped(kind, **values))
    assert [problem.path for problem in found] == ([path] if path else [])


def test_a_twin_is_refused_in_the_platforms_words(provider: Provider) -> None:
    assert not create(provider, "aws_s3_bucket", bucket="state").diagnostics
    (said,) = create(provider, "aws_s3_bucket", bucket="state").diagnostics
    assert "BucketAlreadyOwnedByYou" in said.summary
    assert "RequestID: {" not in said.summary


def test_a_create_that_overwrites_keeps_the_one_thing(provider: Provider, world: World) -> None:
    first = create(provider, "aws_s3_bucket_policy", bucket="state", policy="{}")
    second = create(provider, "aws_s3_bucket_policy", bucket="state", policy="[]")
    assert first.private == second.private
    (thing,) = world.things()
    assert thing.attributes["policy"] == "[]"


def test_a_guarded_thing_stays_until_its_guard_is_off(provider: Provider, world: World) -> None:
    made = create(
        provider, "aws_eks_cluster", name="c", deletion_protection=True, vpc_config=[{"subnet_ids": []}]
    )
    state = decode(made.new_state.msgpack)
    (said,) = delete(provider, "aws_eks_cluster", state, made.private).diagnostics
    assert "Cannot delete cluster c because deletion protection is enabled" in said.summary
    free = {**state, "deletion_protection": False}
    assert not delete(provider, "aws_eks_cluster", free, made.private).diagnostics
    assert [thing for thing in world.things() if thing.type == "aws_eks_cluster"] == []


def test_what_only_the_world_knows_of_a_thing_survives_an_update(provider: Provider, world: World) -> None:
    made = create(provider, "aws_sqs_queue", name="q")
    (thing,) = world.things()
    world.update(thing.key, {**thing.attributes, "zave_world:mark": "kept"})
    state = decode(made.new_state.msgpack)
    apply(provider, "aws_sqs_queue", state, made.private, {**state, "delay_seconds": 5})
    (changed,) = world.things()
    assert changed.attributes["delay_seconds"] == 5
    assert changed.attributes["zave_world:mark"] == "kept"


def test_an_import_goes_by_the_documented_form(provider: Provider) -> None:
    made = create(provider, "aws_route", route_table_id="rtb-1", destination_cidr_block="0.0.0.0/0")
    assert [each.summary for each in made.diagnostics] == ["Missing required argument"]
    values = {"route_table_id": "rtb-1", "destination_cidr_block": "0.0.0.0/0", "gateway_id": "igw-1"}
    assert not create(provider, "aws_route", **values).diagnostics
    for wanted, found in (("rtb-1_0.0.0.0/0", True), ("rtb-1_10.0.0.0/8", False), ("r-rtb-1", False)):
        (state,) = provider.import_resource_state(
            pb.ImportResourceState.Request(type_name="aws_route", id=wanted)
        ).imported_resources
        read = provider.read_resource(
            pb.ReadResource.Request(type_name="aws_route", current_state=state.state, private=state.private)
        )
        assert (decode(read.new_state.msgpack) is not None) is found


def test_timeouts_are_not_imported(provider: Provider) -> None:
    made = create(provider, "aws_sqs_queue", name="q", timeouts={"create": "5m"})
    queue = decode(made.new_state.msgpack)
    assert queue["timeouts"]["create"] == "5m"
    assert planning.imported(AWS.resources["aws_sqs_queue"], queue)["timeouts"] is None


def test_a_provider_block_without_a_region_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    config = message(shaped(AWS.provider))
    answer = Provider(AWS, world).configure_provider(pb.ConfigureProvider.Request(config=config))
    assert "region" in answer.diagnostics[0].detail


def test_a_policy_document_is_read_without_a_world_changing(provider: Provider, world: World) -> None:
    kind = AWS.data_sources["aws_iam_policy_document"]
    config = shaped(kind, statement=[{"actions": ["a:B"], "resources": ["*"]}])
    answer = provider.read_data_source(
        pb.ReadDataSource.Request(type_name=kind.name, config=message(planning.shaped(kind.fields, config)))
    )
    state = decode(answer.state.msgpack)
    assert json.loads(state["json"])["Statement"] == [{"Effect": "Allow", "Action": "a:B", "Resource": "*"}]
    assert world.things() == []
