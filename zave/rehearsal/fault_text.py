"""A fault of the simulated world, and the one line in which it is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

Verb = Literal[
    "fail",
    "slow",
    "hang",
    "crash",
    "leak",
    "refuse",
    "fill",
    "throttle",
    "quota",
    "no",
    "expire",
    "region",
    "leave",
    "lose",
    "stale",
    "surge",
    "keep",
    "silent",
    "alter",
]
VERBS: tuple[Verb, ...] = get_args(Verb)
ANY_AWS = "aws_*"
"""The types of a fault that strikes all of AWS."""

ALTERED: Mapping[str, str] = {
    "aws_budgets_budget": "limit_amount",
    "aws_cloudwatch_log_group": "retention_in_days",
    "aws_cloudwatch_metric_alarm": "threshold",
    "aws_codebuild_project": "build_timeout",
    "aws_iam_policy": "policy",
    "aws_iam_role": "assume_role_policy",
    "aws_iam_role_policy": "policy",
    "aws_s3_bucket_policy": "policy",
    "aws_sns_topic_policy": "policy",
    "aws_sqs_queue": "message_retention_seconds",
}
"""What somebody alters of a standing part: a setting that Terraform sets, and reads back."""

# what a fault's action covers when it is one of these
_COVERED: dict[str, tuple[str, ...]] = {
    "*": ("create", "update", "delete", "read"),
    "change": ("create", "update", "delete"),
    # whoever asks AWS for anything, Terraform or not
    "any": ("create", "update", "delete", "read", "call"),
}


@dataclass(frozen=True)
class Fault:
    """One fault. `type` and `name` are globs; `count` is None for ever; `seconds` are real ones.

    `action` is what is disturbed: create, update, delete, read, build, join, reconcile, pull, call, leave,
    run, scale, release, ask, alter, or several: `*` (what Terraform does), `change` (no reading), `any`.
    """

    verb: Verb
    action: str
    type: str
    name: str = "*"
    message: str | None = None
    factor: float = 1.0
    seconds: float | None = None
    after: int = 0
    count: int | None = 1

    def hits(self, action: str, type_: str, name: str) -> bool:
        """Whether it concerns `action` on the thing `name` of `type_`."""
        return (
            (self.action == action or action in _COVERED.get(self.action, ()))
            and fnmatchcase(type_, self.type)
            and fnmatchcase(name, self.name)
        )

    def __str__(self) -> str:
        """The line that `fault_grammar.parse_fault` reads as this fault."""
        words = [_head(self)]
        if self.message is not None:
            escaped = self.message.replace("\\", "\\\\").replace('"', '\\"')
            words.append(f'with "{escaped}"')
        if self.verb == "slow":
            words.append(f"by {self.factor:g}x")
        if self.verb == "surge":
            words.append(f"by {self.factor:g} nodes")
        if self.seconds is not None:
            words.append(f"for {self.seconds:g}s")
        if self.after:
            words.append(f"after {self.after}")
        words.append("always" if self.count is None else "once" if self.count == 1 else f"{self.count} times")
        return " ".join(words)


# how the faults begin that have words of their own
_HEADS: dict[tuple[str, str], str] = {
    ("crash", "*"): "crash provider",
    ("fail", "run"): "fail destroyer",
    ("no", "create"): "no spot capacity",
    ("expire", "any"): "expire credentials",
    ("region", "any"): "region unreachable",
    ("lose", "change"): "lose lock",
    ("stale", "change"): "stale lock",
    ("surge", "scale"): "surge",
    ("silent", "ask"): "silent api",
}


def _head(fault: Fault) -> str:
    own = _HEADS.get((fault.verb, fault.action))
    if own is not None:
        return own
    if fault.verb == "throttle" and fault.type == ANY_AWS:
        return "throttle all"
    begins = {
        "alter": "alter",
        "crash": f"crash provider on {fault.action}",
        "fill": "fill pool",
        "keep": "keep finalizer",
        "leak": "leak",
        "leave": "leave",
        "quota": "quota",
        "throttle": "throttle",
    }
    begin = begins.get(fault.verb, f"{fault.verb} {fault.action}")
    if fault.action == "reconcile":
        return (
            f"{begin} {fault.name}" if fault.type == "kustomization" else f"{begin} {fault.type} {fault.name}"
        )
    if fault.verb == "fill":
        return begin if fault.name == "*" else f"{begin} {fault.name}"
    return f"{begin} {fault.type}" if fault.name == "*" else f"{begin} {fault.type}.{fault.name}"
