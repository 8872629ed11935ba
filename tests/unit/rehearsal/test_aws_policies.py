import json
from typing import Any

from zave.rehearsal import policies


def statement(**block: Any) -> dict[str, Any]:
    (made,) = policies.document({"statement": [block]})["Statement"]
    result: dict[str, Any] = made
    return result


def test_a_policy_has_the_shape_and_order_of_the_real_data_source() -> None:
    config = {
        "statement": [
            {
                "sid": "Assume",
                "actions": ["sts:TagSession", "sts:AssumeRole"],
                "principals": [{"type": "Service", "identifiers": ["pods.eks.amazonaws.com"]}],
            }
        ]
    }
    # the order of members and of actions, and the indentation: hashicorp/terraform-provider-aws
    # internal/service/iam/policy_model.go
    assert policies.pretty(policies.document(config)) == (
        "{\n"
        '  "Version": "2012-10-17",\n'
        '  "Statement": [\n'
        "    {\n"
        '      "Sid": "Assume",\n'
        '      "Effect": "Allow",\n'
        '      "Action": [\n'
        '        "sts:TagSession",\n'
        '        "sts:AssumeRole"\n'
        "      ],\n"
        '      "Principal": {\n'
        '        "Service": "pods.eks.amazonaws.com"\n'
        "      }\n"
        "    }\n"
        "  ]\n"
        "}"
    )


def test_the_order_of_a_set_changes_nothing() -> None:
    one, other = (statement(actions=actions) for actions in (["a:B", "c:D"], ["c:D", "a:B"]))
    assert one == other


def test_everybody_is_a_star_and_every_aws_principal_is_not() -> None:
    assert statement(principals=[{"type": "*", "identifiers": ["*"]}])["Principal"] == "*"
    assert statement(principals=[{"type": "AWS", "identifiers": ["*"]}])["Principal"] == {"AWS": "*"}


def test_conditions_keep_the_order_of_their_values() -> None:
    condition = statement(
        condition=[
            {"test": "StringEquals", "variable": "aws:b", "values": ["2", "1"]},
            {"test": "StringEquals", "variable": "aws:a", "values": ["x"]},
            {"test": "Bool", "variable": "aws:SecureTransport", "values": ["false"]},
        ]
    )["Condition"]
    assert json.dumps(condition) == (
        '{"Bool": {"aws:SecureTransport": "false"}, "StringEquals": {"aws:a": "x", "aws:b": ["2", "1"]}}'
    )


def test_aws_variables_are_written_with_an_ampersand() -> None:
    assert statement(resources=["arn:aws:s3:::b/&{aws:username}"])["Resource"] == (
        "arn:aws:s3:::b/${aws:username}"
    )


def test_sources_come_first_and_overrides_replace_by_name() -> None:
    def text(sid: str, action: str) -> str:
        return json.dumps({"Statement": {"Sid": sid, "Effect": "Deny", "Action": action}})

    made = policies.document(
        {
            "source_policy_documents": [text("first", "a:A")],
            "statement": [{"sid": "mine", "actions": ["b:B"]}, {"actions": ["c:C"]}],
            "override_policy_documents": [text("mine", "d:D")],
        }
    )
    assert [(each.get("Sid"), each["Action"]) for each in made["Statement"]] == [
        ("first", "a:A"),
        ("mine", "d:D"),
        (None, "c:C"),
    ]


def test_the_minified_text_says_the_same() -> None:
    policy = policies.document({"policy_id": "p", "statement": [{"resources": ["a<b>&c"]}]})
    assert "\n" not in policies.minified(policy)
    assert "\\u003c" in policies.minified(policy)
    assert json.loads(policies.minified(policy)) == json.loads(policies.pretty(policy)) == policy
    assert policies.identifier(policy).isdigit()
