"""What the switch's roles must be able to do, and what they must not: cases, each a call with its answer."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tests.policy.authorization import Target, targets
from tests.policy.evaluator import Request, Rights
from tests.policy.table import ends, looks, table

ACCOUNT, REGION = "123456789012", "us-east-1"
BUCKET, TABLE = f"zave-state-{ACCOUNT}", f"zave-locks-{ACCOUNT}"
INSTANCE = "demo"
# the last two only begin or end like ours
OTHERS = ("other", "demo-b", "dem")
# `alone` is a role's own policies without its boundary: each of the two must hold by itself
Role = Literal[
    "destroyer",
    "destroyer alone",
    "project",
    "project alone",
    "scheduler",
    "scheduler alone",
    "boundary",
    "destroyer trust",
    "project trust",
    "scheduler trust",
]
ALONE: Mapping[Role, Role] = {
    "destroyer": "destroyer alone",
    "project": "project alone",
    "scheduler": "scheduler alone",
}

SESSION = {"aws:PrincipalTag/instance": (INSTANCE,)}
OWN_TAG = "aws:ResourceTag/zave:instance"
STANDING = f"{REGION}-{ACCOUNT}"
SCHEDULER_ROLE = f"arn:aws:iam::{ACCOUNT}:role/zave/standing/zave-scheduler-{STANDING}"
PROJECT_ROLE = f"arn:aws:iam::{ACCOUNT}:role/zave/standing/zave-project-{STANDING}"
DESTROYER_ROLE = f"arn:aws:iam::{ACCOUNT}:role/zave/standing/zave-destroyer-{STANDING}"

# What AWS does not let one pick by tag, or what has none: `{i}` is the instance
NAMED = {
    "iam:role": "arn:aws:iam::{a}:role/zave/{i}/zave-{i}-nodes",
    "iam:policy": "arn:aws:iam::{a}:policy/zave/{i}/zave-{i}-more",
    "iam:instance-profile": "arn:aws:iam::{a}:instance-profile/zave/{i}/zave-{i}-provisioned",
    "kms:alias": "arn:aws:kms:{r}:{a}:alias/zave-{i}-secrets",
    "eks:access-entry": "arn:aws:eks:{r}:{a}:access-entry/zave-{i}/role/{a}/somebody/0a",
    "eks:addon": "arn:aws:eks:{r}:{a}:addon/zave-{i}/vpc-cni/0a",
    "eks:nodegroup": "arn:aws:eks:{r}:{a}:nodegroup/zave-{i}/zave-{i}-nodes/0a",
    "eks:podidentityassociation": "arn:aws:eks:{r}:{a}:podidentityassociation/zave-{i}/a-0a",
}
# Of calls that act on one of several kinds, or on more than is required: which kinds ours act on. One row
# is one call, its kinds together
CALLS: Mapping[str, Sequence[Sequence[str]]] = {
    "ec2:DisassociateAddress": [["elastic-ip"]],
    "ec2:DisassociateRouteTable": [["route-table", "subnet"]],
    "ec2:ReleaseAddress": [["elastic-ip"]],
    "eks:DeleteAddon": [["addon", "podidentityassociation"]],
    "elasticloadbalancing:DeleteListener": [["listener/net"], ["listener/app"]],
    "elasticloadbalancing:DeleteLoadBalancer": [["loadbalancer/net/"], ["loadbalancer/app/"]],
    "events:DeleteRule": [["rule-on-default-event-bus"]],
    "events:RemoveTargets": [["rule-on-default-event-bus"]],
}
# What cannot be told from AWS's list of actions; see docs/destroyer-permissions.md
UNDECIDED = {
    "ec2:DisassociateAddress": "whether AWS also asks about the interface that the address is on",
    "rds:DeleteDBInstance": "whether a call that wants no snapshot takes the right to make one",
}
_CONTROLLER = "elbv2.k8s.aws/cluster"
_GROUPS = ("ec2:DeleteSecurityGroup", "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress")
# What others than Terraform make: by the tag whose value is the cluster's name
LEFTOVERS: Mapping[str, Sequence[str]] = {
    _CONTROLLER: (
        *_GROUPS,
        "elasticloadbalancing:DeleteListener",
        "elasticloadbalancing:DeleteLoadBalancer",
        "elasticloadbalancing:DeleteTargetGroup",
    ),
    "cluster.k8s.amazonaws.com/name": ("ec2:DeleteNetworkInterface",),
    "aws:eks:cluster-name": _GROUPS,
    "eks:cluster-name": ("autoscaling:DeleteAutoScalingGroup", "ec2:DeleteLaunchTemplate"),
}


@dataclass(frozen=True)
class Case:
    """A call of `role`: what it asks for, all at once, and whether AWS must let it through."""

    role: Role
    requests: tuple[Request, ...]
    allowed: bool

    @property
    def action(self) -> str:
        """What is called."""
        return self.requests[0].action

    def holds(self, rights: Rights) -> bool:
        """Whether the rights answer as they must."""
        return all(map(rights.allow, self.requests)) is self.allowed


def cases() -> Iterator[Case]:
    """All of them."""
    for case in _of_roles():
        yield case
        if case.role in ALONE:
            yield replace(case, role=ALONE[case.role])
    yield from _itself()
    yield from _boundary()
    yield from _trust()


def _of_roles() -> Iterator[Case]:
    for action in sorted(looks()):
        yield Case("destroyer", (Request(action, "*", SESSION),), allowed=True)
        yield Case("boundary", (Request(action, "*"),), allowed=True)
    for action in sorted(ends()):
        for call in calls(action):
            yield from _deletion(call)
    for tag, actions in LEFTOVERS.items():
        for action in actions:
            for call in calls(action):
                yield from _leftover(tag, call)
    yield from _logs()
    yield from _switch()
    yield from _other_roles()


def calls(action: str) -> Iterator[tuple[Request, ...]]:
    """The calls of an action on what is the instance's own."""
    known = {target.kind: target for target in targets(action)}
    required = [kind for kind, target in known.items() if target.required]
    for kinds in CALLS.get(action, [required]):
        yield tuple(own(action, known[kind]) for kind in kinds)


def own(action: str, target: Target) -> Request:
    """An action on something of the instance's: tagged as such, or named so where that is what counts."""
    name = NAMED.get(f"{action.partition(':')[0]}:{target.kind}")
    if name is not None:
        return Request(action, filled(name, INSTANCE), SESSION)
    assert target.tagged, f"{target.kind} of {action} has neither tag nor name"
    return Request(action, filled(target.arn, INSTANCE), {**SESSION, OWN_TAG: (INSTANCE,)})


def filled(arn: str, instance: str) -> str:
    """An ARN with its places filled in."""
    known = {"${Partition}": "aws", "${Region}": REGION, "${Account}": ACCOUNT}
    known |= {"{i}": instance, "{a}": ACCOUNT, "{r}": REGION}
    return re.sub(r"\$?\{\w+\}", lambda match: known.get(match[0], "x-1"), arn)


def _deletion(call: tuple[Request, ...]) -> Iterator[Case]:
    yield Case("destroyer", call, allowed=True)
    yield Case("boundary", call, allowed=True)
    # whoever is nobody's destroyer deletes nothing
    yield Case(
        "destroyer", tuple(replace(each, context=_without(each, SESSION)) for each in call), allowed=False
    )
    for at, request in enumerate(call):
        for foreign in _foreign(request):
            yield Case("destroyer", (*call[:at], foreign, *call[at + 1 :]), allowed=False)


def _foreign(request: Request) -> Iterator[Request]:
    """The same on what is another's, nobody's, or standing."""
    if OWN_TAG in request.context:
        rest = _without(request, (OWN_TAG,))
        for other in OTHERS:
            yield replace(request, context={**rest, OWN_TAG: (other,)})
        yield replace(request, context=rest)
        yield replace(request, context={**rest, "aws:ResourceTag/zave:standing": ("true",)})
        return
    for other in (*OTHERS, "standing"):
        yield replace(request, resource=request.resource.replace(INSTANCE, other))


def _leftover(tag: str, call: tuple[Request, ...]) -> Iterator[Case]:
    def marked(value: str) -> tuple[Request, ...]:
        mark = {f"aws:ResourceTag/{tag}": (value,)}
        return tuple(replace(each, context={**_without(each, (OWN_TAG,)), **mark}) for each in call)

    yield Case("destroyer", marked(f"zave-{INSTANCE}"), allowed=True)
    for other in (INSTANCE, "production", *(f"zave-{each}" for each in OTHERS)):
        yield Case("destroyer", marked(other), allowed=False)


def _logs() -> Iterator[Case]:
    """Log groups that were written anew have a name and no tag."""
    for name in ("/aws/eks/zave-{i}/cluster", "/zave/{i}/flow"):
        for instance, allowed in ((INSTANCE, True), *((other, False) for other in OTHERS)):
            arn = filled(f"arn:aws:logs:{{r}}:{{a}}:log-group:{name}", instance)
            yield Case("destroyer", (Request("logs:DeleteLogGroup", arn, SESSION),), allowed)


def _switch() -> Iterator[Case]:
    folder = f"arn:aws:s3:::{BUCKET}/instances/{{i}}/terraform.tfstate"
    schedule = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{{g}}/{{i}}"
    group = f"zave-switch-{ACCOUNT}"
    bucket = f"arn:aws:s3:::{BUCKET}"
    rows: list[tuple[str, str, Iterable[str]]] = [
        (
            action,
            folder.format(i=INSTANCE),
            [folder.format(i=each) for each in OTHERS] + [f"{bucket}/account/x"],
        )
        for action in ("s3:DeleteObject", "s3:GetObject", "s3:PutObject")
    ]
    rows += [("s3:ListBucket", bucket, [f"{bucket}-b", "arn:aws:s3:::theirs"])]
    rows += [
        (
            action,
            schedule.format(g=group, i=INSTANCE),
            [schedule.format(g=group, i=each) for each in OTHERS]
            + [schedule.format(g="default", i=INSTANCE)],
        )
        for action in ("scheduler:CreateSchedule", "scheduler:DeleteSchedule", "scheduler:UpdateSchedule")
    ]
    # announcements of the end
    warning = schedule.format(g=group, i=f"{INSTANCE}.warn-20261123T120000Z")
    theirs_too = [warning.replace(f"/{INSTANCE}.", f"/{each}.") for each in OTHERS]
    rows += [("scheduler:DeleteSchedule", warning, theirs_too)]
    for action, mine, theirs in rows:
        yield Case("destroyer", (Request(action, mine, SESSION),), allowed=True)
        for other in theirs:
            yield Case("destroyer", (Request(action, other, SESSION),), allowed=False)
    yield from _locks()
    yield from _passing("destroyer")


def _locks() -> Iterator[Case]:
    """An item of the table has the name of its state; beside it is the digest of that."""

    def call(action: str, arn: str, key: str) -> tuple[Request, ...]:
        return (Request(action, arn, {**SESSION, "dynamodb:LeadingKeys": (f"{BUCKET}/{key}",)}),)

    lock, state = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{TABLE}", "terraform.tfstate"
    for action in table()["lock_table"]:
        for end in ("", "-md5"):
            own = f"instances/{INSTANCE}/{state}{end}"
            yield Case("destroyer", call(action, lock, own), allowed=True)
            yield Case("destroyer", call(action, f"{lock}-b", own), allowed=False)
            for other in (*(f"instances/{each}" for each in OTHERS), "account"):
                yield Case("destroyer", call(action, lock, f"{other}/{state}{end}"), allowed=False)


def _passing(role: Role) -> Iterator[Case]:
    def passed(to: str, service: str) -> tuple[Request, ...]:
        return (Request("iam:PassRole", to, {**SESSION, "iam:PassedToService": (service,)}),)

    yield Case(role, passed(SCHEDULER_ROLE, "scheduler.amazonaws.com"), allowed=True)
    yield Case(role, passed(SCHEDULER_ROLE, "ec2.amazonaws.com"), allowed=False)
    yield Case(role, (Request("iam:PassRole", SCHEDULER_ROLE, SESSION),), allowed=False)
    for other in (
        DESTROYER_ROLE,
        PROJECT_ROLE,
        f"arn:aws:iam::{ACCOUNT}:role/zave/{INSTANCE}/zave-{INSTANCE}-nodes",
    ):
        yield Case(role, passed(other, "scheduler.amazonaws.com"), allowed=False)


def _other_roles() -> Iterator[Case]:
    here = f"{REGION}:{ACCOUNT}"
    logs = f"arn:aws:logs:{here}:log-group:/aws/codebuild/zave-destroyer-{ACCOUNT}:log-stream:0a"
    rows: list[tuple[Role, str, str | None, Sequence[str]]] = [
        *(
            ("project", action, logs, [logs.replace("zave-destroyer", "theirs")])
            for action in ("logs:CreateLogStream", "logs:PutLogEvents")
        ),
        *(
            ("project", "s3:GetObject", f"arn:aws:s3:::{BUCKET}/{key}", [f"arn:aws:s3:::theirs/{key}"])
            for key in (f"instances/{INSTANCE}/bundle-0a.tar.gz", "account/programs-0a.tar.gz")
        ),
        # states are not its business
        *(
            ("project", "s3:GetObject", None, [f"arn:aws:s3:::{BUCKET}/{key}/terraform.tfstate"])
            for key in (f"instances/{INSTANCE}", "account")
        ),
        *(
            (
                "project",
                action,
                DESTROYER_ROLE,
                [SCHEDULER_ROLE, f"arn:aws:iam::{ACCOUNT}:role/admin", f"{DESTROYER_ROLE}-b"],
            )
            for action in ("sts:AssumeRole", "sts:TagSession")
        ),
        (
            "scheduler",
            "codebuild:StartBuild",
            f"arn:aws:codebuild:{here}:project/zave-destroyer-{ACCOUNT}",
            [f"arn:aws:codebuild:{here}:project/theirs"],
        ),
        (
            "scheduler",
            "sns:Publish",
            f"arn:aws:sns:{here}:zave-alarms-{ACCOUNT}",
            [f"arn:aws:sns:{here}:theirs"],
        ),
        (
            "scheduler",
            "sqs:SendMessage",
            f"arn:aws:sqs:{here}:zave-undelivered-{ACCOUNT}",
            [f"arn:aws:sqs:{here}:theirs"],
        ),
    ]
    for role, action, mine, theirs in rows:
        if mine is not None:
            yield Case(role, (Request(action, mine),), allowed=True)
        for other in theirs:
            yield Case(role, (Request(action, other),), allowed=False)


def _itself() -> Iterator[Case]:
    """The switch cannot take itself apart, whatever an instance is called."""
    session = {"aws:PrincipalTag/instance": ("standing",)}
    for action in sorted(each for each in ends() if each.startswith("iam:") and "OpenID" not in each):
        for target in targets(action):
            resource = DESTROYER_ROLE.replace(":role/", f":{target.kind}/")
            yield Case("destroyer", (Request(action, resource, session),), allowed=False)


def _boundary() -> Iterator[Case]:
    """What no policy of these roles could ever allow."""
    theirs = [
        ("scheduler:CreateSchedule", f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/x"),
        ("scheduler:UpdateSchedule", f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/x"),
        ("scheduler:DeleteSchedule", f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/x"),
        ("iam:DeleteRole", f"arn:aws:iam::{ACCOUNT}:role/admin"),
        ("iam:DeleteInstanceProfile", f"arn:aws:iam::{ACCOUNT}:instance-profile/theirs"),
        ("s3:GetObject", "arn:aws:s3:::theirs/x"),
        ("s3:PutObject", f"arn:aws:s3:::{BUCKET}-b/x"),
        ("dynamodb:PutItem", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/theirs"),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/admin"),
        ("sns:Publish", f"arn:aws:sns:{REGION}:{ACCOUNT}:theirs"),
        ("ec2:RunInstances", "*"),
        ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/zave/demo/x"),
        ("scheduler:CreateScheduleGroup", f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/x"),
    ]
    for action, resource in theirs:
        yield Case("boundary", (Request(action, resource),), allowed=False)
    yield from _passing("boundary")


def _trust() -> Iterator[Case]:
    def asked(**tags: str) -> dict[str, tuple[str, ...]]:
        given = {f"aws:RequestTag/{name}": (value,) for name, value in tags.items()}
        return {**given, **({"aws:TagKeys": tuple(tags)} if tags else {})}

    for action in ("sts:AssumeRole", "sts:TagSession"):
        for context, allowed in (
            (asked(instance=INSTANCE), True),
            (asked(), False),
            (asked(instance=""), False),
            (asked(instance=INSTANCE, owner="x"), False),
        ):
            yield Case("destroyer trust", (Request(action, DESTROYER_ROLE, context),), allowed)
    trusting: tuple[Role, ...] = ("project trust", "scheduler trust")
    for role in trusting:
        for account, allowed in (
            ({"aws:SourceAccount": (ACCOUNT,)}, True),
            ({"aws:SourceAccount": ("9" * 12,)}, False),
            ({}, False),
        ):
            yield Case(role, (Request("sts:AssumeRole", "r", account),), allowed)


def _without(request: Request, keys: Iterable[str]) -> dict[str, tuple[str, ...]]:
    left = set(keys)
    return {key: values for key, values in request.context.items() if key not in left}
