"""The evaluator of IAM policies that other tests rely on: what AWS documents, and a refusal of the rest."""

import fnmatch
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.evaluator import Policy, Request, Rights, UndecidedError

ROLE = "arn:aws:iam::123456789012:role/zave/demo/nodes"
NAMES = st.text("ab*?/-", max_size=6)
ACTIONS = st.sampled_from(["s3:GetObject", "s3:PutObject", "ec2:DeleteVolume"])


def allow(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def policy(*statements: dict[str, Any]) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def decide(statement: dict[str, Any], request: Request) -> bool:
    return Rights([policy(statement)]).allow(request)


def when(condition: dict[str, Any], **context: tuple[str, ...]) -> bool:
    keys = {name.replace("__", ":").replace("_of_", "/"): values for name, values in context.items()}
    return decide(allow(Condition=condition), Request("s3:GetObject", "r", keys))


@pytest.mark.parametrize(
    ("pattern", "action", "allowed"),
    [
        ("s3:GetObject", "s3:getobject", True),
        ("s3:Get*", "s3:GetObject", True),
        ("s3:Get*", "s3:PutObject", False),
        ("s3:Get?bject", "s3:GetObject", True),
        ("*", "ec2:DeleteVolume", True),
        (["ec2:*", "s3:*"], "s3:GetObject", True),
        ("s3.GetObject", "s3:GetObject", False),
    ],
)
def test_actions_match_by_wildcard_and_in_any_case(pattern: Any, action: str, allowed: bool) -> None:
    assert decide(allow(pattern), Request(action, "r")) is allowed


def test_not_action_and_not_resource_match_all_others() -> None:
    other = {"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}
    assert decide(other, Request("ec2:DeleteVpc", "r"))
    assert not decide(other, Request("s3:GetObject", "r"))
    elsewhere = {"Effect": "Allow", "Action": "*", "NotResource": "arn:a"}
    assert decide(elsewhere, Request("ec2:DeleteVpc", "arn:b"))
    assert not decide(elsewhere, Request("ec2:DeleteVpc", "arn:a"))


def test_a_deny_anywhere_wins() -> None:
    everything, never = policy(allow()), policy({**allow("s3:*"), "Effect": "Deny"})
    request = Request("s3:GetObject", "r")
    assert Rights([everything]).allow(request)
    for rights in (
        Rights([everything, never]),
        Rights([everything], boundary=policy(allow(), {**allow("s3:*"), "Effect": "Deny"})),
        Rights([everything], session=policy(allow(), {**allow("s3:*"), "Effect": "Deny"})),
    ):
        assert not rights.allow(request)


def test_boundary_and_session_only_take_away() -> None:
    reads, request = policy(allow("s3:Get*")), Request("s3:GetObject", "r")
    assert Rights([reads], boundary=reads, session=reads).allow(request)
    assert not Rights([reads], boundary=policy(allow("s3:Put*"))).allow(request)
    assert not Rights([reads], session=policy(allow("s3:Put*"))).allow(request)
    assert not Rights([policy(allow("s3:Put*"))], boundary=reads, session=reads).allow(request)


@pytest.mark.parametrize(
    ("instance", "resource", "allowed"),
    [
        ("demo", ROLE, True),
        ("demo-b", ROLE, False),
        ("dem", ROLE, False),
        # a star that comes from a variable is a star, not a pattern
        ("*", ROLE, False),
        ("*", ROLE.replace("demo", "*"), True),
        (None, ROLE, False),
    ],
)
def test_variables_stand_for_themselves(instance: str | None, resource: str, allowed: bool) -> None:
    scoped = allow(resource="arn:aws:iam::123456789012:role/zave/${aws:PrincipalTag/instance}/*")
    context = {"aws:PrincipalTag/instance": (instance,)} if instance else {}
    assert decide(scoped, Request("iam:DeleteRole", resource, context)) is allowed


def test_signs_written_as_variables_are_no_wildcards() -> None:
    assert decide(allow(resource="a${*}b"), Request("s3:GetObject", "a*b"))
    assert not decide(allow(resource="a${*}b"), Request("s3:GetObject", "axb"))


@pytest.mark.parametrize(
    ("condition", "context", "allowed"),
    [
        ({"StringEquals": {"k:a": "x"}}, {"k__a": ("x",)}, True),
        ({"StringEquals": {"K:A": "x"}}, {"k__a": ("x",)}, True),
        ({"StringEquals": {"k:a": ["y", "x"]}}, {"k__a": ("x",)}, True),
        ({"StringEquals": {"k:a": "X"}}, {"k__a": ("x",)}, False),
        ({"StringEquals": {"k:a": "*"}}, {"k__a": ("x",)}, False),
        ({"StringEquals": {"k:a": "x"}}, {}, False),
        ({"StringEqualsIfExists": {"k:a": "x"}}, {}, True),
        ({"StringEqualsIfExists": {"k:a": "x"}}, {"k__a": ("y",)}, False),
        ({"StringEqualsIgnoreCase": {"k:a": "X"}}, {"k__a": ("x",)}, True),
        ({"StringNotEquals": {"k:a": ["x", "y"]}}, {"k__a": ("x",)}, False),
        ({"StringNotEquals": {"k:a": "x"}}, {}, True),
        ({"StringLike": {"k:a": "x?*"}}, {"k__a": ("xy",)}, True),
        ({"StringLike": {"k:a": "?*"}}, {"k__a": ("",)}, False),
        ({"StringNotLike": {"k:a": "x*"}}, {"k__a": ("xy",)}, False),
        ({"Null": {"k:a": "true"}}, {}, True),
        ({"Null": {"k:a": "false"}}, {}, False),
        ({"Null": {"k:a": "false"}}, {"k__a": ("x",)}, True),
        ({"Bool": {"k:a": "false"}}, {"k__a": ("False",)}, True),
        ({"ArnLike": {"k:a": "arn:aws:ec2:*:1:vpc/*"}}, {"k__a": ("arn:aws:ec2:r:1:vpc/v",)}, True),
        ({"ArnLike": {"k:a": "arn:aws:ec2:*:vpc/*"}}, {"k__a": ("arn:aws:ec2:r:1:vpc/v",)}, False),
        ({"ForAnyValue:StringEquals": {"k:a": "x"}}, {"k__a": ("y", "x")}, True),
        ({"ForAnyValue:StringEquals": {"k:a": "x"}}, {}, False),
        ({"ForAllValues:StringEquals": {"k:a": ["x", "y"]}}, {"k__a": ("y", "x")}, True),
        ({"ForAllValues:StringEquals": {"k:a": "x"}}, {"k__a": ("y", "x")}, False),
        ({"ForAllValues:StringEquals": {"k:a": "x"}}, {}, True),
        ({"StringEquals": {"k:a": "x", "k:b": "y"}}, {"k__a": ("x",)}, False),
        ({"StringEquals": {"k:a": "x"}, "StringLike": {"k:b": "y"}}, {"k__a": ("x",), "k__b": ("y",)}, True),
        ({"StringEquals": {"k:a": "p-${k:b}"}}, {"k__a": ("p-y",), "k__b": ("y",)}, True),
        ({"StringEquals": {"k:a": "p-${k:b}"}}, {"k__a": ("p-",)}, False),
    ],
)
def test_conditions(condition: dict[str, Any], context: dict[str, tuple[str, ...]], allowed: bool) -> None:
    assert when(condition, **context) is allowed


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (allow(Condition={"NumericLessThan": {"k:a": "1"}}), "NumericLessThan"),
        (allow(Condition={"ForSomeValue:StringEquals": {"k:a": "1"}}), "ForSomeValue"),
        (allow(Condition={"StringEquals": {"k:m": "1"}}), "several values"),
        (allow(Condition={"ArnLike": {"k:a": "arn:${k:a}"}}), "ARN"),
        (allow(resource="${k:none, 'other'}"), "k:none"),
        ({**allow(resource="${k:none}"), "Effect": "Deny"}, "k:none"),
        (allow(NotPrincipal="*"), "NotPrincipal"),
        ({**allow(), "Effect": "Maybe"}, "Maybe"),
    ],
)
def test_what_is_not_known_is_named_and_not_guessed(statement: dict[str, Any], named: str) -> None:
    request = Request("s3:GetObject", "r", {"k:a": ("0",), "k:m": ("1", "2")})
    with pytest.raises(UndecidedError, match=named):
        decide(statement, request)


@given(NAMES, NAMES)
def test_wildcards_are_those_of_a_shell(pattern: str, name: str) -> None:
    # a shell's `[` is the only other sign, and not among these letters
    expected = re.match(fnmatch.translate(pattern), name) is not None
    assert decide(allow(resource=f"x{pattern}"), Request("s3:GetObject", f"x{name}")) is expected


@given(NAMES, NAMES)
def test_a_scope_by_a_variable_reaches_its_own_value_alone(mine: str, other: str) -> None:
    scoped = allow(resource="p/${aws:PrincipalTag/instance}/x")
    request = Request("s3:GetObject", f"p/{other}/x", {"aws:PrincipalTag/instance": (mine,)})
    assert decide(scoped, request) is (mine == other)


@given(st.lists(ACTIONS), st.lists(ACTIONS), ACTIONS)
def test_a_boundary_is_an_intersection(mine: list[str], most: list[str], action: str) -> None:
    rights = Rights([policy(allow(mine))], boundary=policy(allow(most)))
    assert rights.allow(Request(action, "r")) is (action in mine and action in most)


@given(st.lists(ACTIONS), st.lists(ACTIONS), ACTIONS)
def test_more_denials_never_allow_more(mine: list[str], never: list[str], action: str) -> None:
    request = Request(action, "r")
    denied = Rights([policy(allow(mine), {**allow(never), "Effect": "Deny"})]).allow(request)
    assert denied <= Rights([policy(allow(mine))]).allow(request)
