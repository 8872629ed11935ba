"""The roles of the switch, read back: who may take them on, what they may do, and their boundary."""

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from zave.aws.live.absent import ask_for
from zave.aws.live.api import Api
from zave.aws.live.made import Made
from zave.aws.live.parts import Parts

NO_ROLE = "roles of scheduler and destroyer"


def look_at_role(api: Api, parts: Parts, made: Made, *, name: str) -> Iterator[str]:
    """One role: its trust, its boundary, its policies. One that is gone is named for all of them."""
    answer = ask_for(api, "iam", "get_role", RoleName=name)
    if answer is None:
        yield NO_ROLE
        return
    role = answer["Role"]
    if role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn") != parts.boundary_arn:
        yield f"permissions boundary of role {name}"
    trust = role.get("AssumeRolePolicyDocument")
    # a schedule whose role may not be taken on fires for ever and does nothing
    if _taken_on_by(parts)[name] not in _text(trust) or made.altered_policy(
        "aws_iam_role", "assume_role_policy", trust, name=name
    ):
        yield f"trust of role {name}"
    yield from _rights(api, parts, made, name)


def look_at_boundary(api: Api, parts: Parts, made: Made) -> Iterator[str]:
    """The boundary of all roles."""
    answer = ask_for(api, "iam", "get_policy", PolicyArn=parts.boundary_arn)
    if answer is None:
        yield "permissions boundary"
        return
    version = answer["Policy"]["DefaultVersionId"]
    found = api.call("iam", "get_policy_version", PolicyArn=parts.boundary_arn, VersionId=version)
    document = found["PolicyVersion"]["Document"]
    if made.altered_policy("aws_iam_policy", "policy", document, arn=parts.boundary_arn):
        yield "permissions boundary"


def _rights(api: Api, parts: Parts, made: Made, name: str) -> Iterator[str]:
    given = _names(api, "list_role_policies", "PolicyNames", name)
    if not set(parts.roles[name]) <= set(given):
        yield f"rights of role {name}"
        return
    attached = [
        each["PolicyName"] for each in _names(api, "list_attached_role_policies", "AttachedPolicies", name)
    ]
    if extra := sorted({*given, *attached} - set(parts.roles[name])):
        yield f"rights of role {name}, which zave did not give: {', '.join(extra)}"
    for policy in parts.roles[name]:
        found = api.call("iam", "get_role_policy", RoleName=name, PolicyName=policy)
        document = found["PolicyDocument"]
        if made.altered_policy("aws_iam_role_policy", "policy", document, role=name, name=policy):
            yield f"rights of role {name}: policy {policy}"


def _names(api: Api, operation: str, key: str, role: str) -> Sequence[Any]:
    return [each for page in api.pages("iam", operation, RoleName=role) for each in page.get(key, ())]


def _taken_on_by(parts: Parts) -> dict[str, str]:
    who = ("scheduler.amazonaws.com", "codebuild.amazonaws.com", parts.project_role_arn)
    return dict(zip(parts.roles, who, strict=True))


def _text(policy: object) -> str:
    """A policy as text: boto3 parses the real one's, a stand-in may leave it encoded."""
    return unquote(policy) if isinstance(policy, str) else json.dumps(policy)
