"""Whether a standing part is as Terraform made it: what counts as the same, and what does not."""

import json
from typing import Any

import pytest

from zave.aws.live.made import Made, same_policy
from zave.tools.terraform_plan import HeldResource

STATEMENT = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "*"}


def policy(**changes: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{**STATEMENT, **changes}]}


@pytest.mark.parametrize(
    "other",
    [
        policy(),
        json.dumps(policy(), indent=3),
        json.dumps(policy()).replace(" ", "%20").replace('"', "%22"),
        policy(Action=["s3:PutObject", "s3:GetObject", "s3:GetObject"]),
        policy(Resource=["*"]),
        {"Statement": policy()["Statement"][0], "Version": "2012-10-17"},
        policy(Action=["S3:getobject", "s3:PUTOBJECT"]),
        policy(Condition={}),
        {**policy(), "Id": "__default_policy_ID"},
    ],
)
def test_order_and_spelling_of_a_policy_do_not_matter(other: object) -> None:
    assert same_policy(json.dumps(policy()), other)


CONDITION = {"Bool": {"aws:SecureTransport": "false"}, "NumericLessThan": {"s3:max-keys": "10"}}


@pytest.mark.parametrize(
    "other",
    [
        {"Bool": {"aws:securetransport": "false"}, "NumericLessThan": {"S3:Max-Keys": "10"}},
        {"Bool": {"aws:SecureTransport": False}, "NumericLessThan": {"s3:max-keys": 10}},
        {"Bool": {"aws:SecureTransport": ["false"]}, "NumericLessThan": {"s3:max-keys": ["10", 10]}},
    ],
)
def test_spelling_of_a_condition_does_not_matter(other: dict[str, Any]) -> None:
    assert same_policy(policy(Condition=CONDITION), policy(Condition=other))


@pytest.mark.parametrize(
    "other",
    [
        {"Bool": {"aws:SecureTransport": True}, "NumericLessThan": {"s3:max-keys": "10"}},
        {"Bool": {"aws:SecureTransport": "false"}, "NumericLessThan": {"s3:max-keys": 11}},
        {"Bool": {"aws:SecureTransport": "false"}},
        {"BoolIfExists": CONDITION["Bool"], "NumericLessThan": CONDITION["NumericLessThan"]},
        {},
        "",
    ],
)
def test_another_condition_is_another_policy(other: object) -> None:
    assert not same_policy(policy(Condition=CONDITION), policy(Condition=other))


def test_the_case_of_what_a_condition_compares_matters() -> None:
    one, other = ({"StringEquals": {"aws:PrincipalTag/instance": name}} for name in ("demo", "Demo"))
    assert not same_policy(policy(Condition=one), policy(Condition=other))
    assert not same_policy(policy(Resource="arn:aws:s3:::b"), policy(Resource="arn:aws:s3:::B"))


def test_an_account_and_its_root_are_the_same_principal() -> None:
    root = policy(Principal={"AWS": "arn:aws:iam::123456789012:root"})
    assert same_policy(root, policy(Principal={"AWS": "123456789012"}))
    assert not same_policy(root, policy(Principal={"AWS": "123456789013"}))


@pytest.mark.parametrize(
    "other",
    [
        None,
        "",
        "no policy",
        policy(Effect="Deny"),
        policy(Action="s3:GetObject"),
        policy(Action=["s3:GetObject", "s3:PutObject", "s3:*"]),
        policy(Resource=["*", "arn:aws:s3:::b"]),
        policy(Condition={"Bool": {"aws:SecureTransport": "true"}}),
        {**policy(), "Statement": [*policy()["Statement"], policy(Action="*")["Statement"][0]]},
    ],
)
def test_another_word_is_another_policy(other: object) -> None:
    assert not same_policy(policy(), other)


def test_no_policy_is_no_policy() -> None:
    assert same_policy(None, "")
    assert same_policy("", None)


def test_what_the_state_lacks_is_altered_and_without_a_state_nothing_is_compared() -> None:
    values = {"name": "q", "kept": 60, "limit": None, "policy": json.dumps(policy())}
    made = Made((HeldResource(address="a.b", type="a", name="b", id=None, values=values),))
    assert not made.altered("a", {"kept": 60, "limit": 0}, name="q")
    assert made.altered("a", {"kept": 61}, name="q")
    assert made.altered("a", {"kept": 60}, name="other")
    assert not made.altered_policy("a", "policy", policy(), name="q")
    assert made.altered_policy("a", "policy", policy(Effect="Deny"), name="q")
    assert made.altered_policy("other", "policy", policy(), name="q")
    nothing = Made(None, known=False)
    assert not nothing.altered("a", {"kept": 61}, name="q")
    assert not nothing.altered_policy("a", "policy", None, name="q")
