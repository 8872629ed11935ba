"""What AWS decides about a call: the part of IAM's evaluation that zave's policies use, and no more.

A call is allowed when no policy denies it, an identity policy allows it, and the permissions boundary and
the session policy (where there are any) allow it as well (IAM user guide, policy evaluation logic, one
account). Whatever is not known here raises UndecidedError with its name: it is never guessed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

Policy = Mapping[str, Any]
Statement = Mapping[str, Any]
# keys of a request are compared without regard to case (IAM user guide, condition keys)
Context = Mapping[str, tuple[str, ...]]

_ELEMENTS = frozenset(
    {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition", "Principal"}
)
_PLACE = re.compile(r"\$\{([^}]*)\}")
# the policy language's own signs, written as variables
_LITERALS = {"*": "*", "?": "?", "$": "$"}
_ARN_PARTS = 6


class UndecidedError(Exception):
    """Something of IAM's language that this evaluator does not know; its text names it."""


class _MissingError(Exception):
    """A policy variable that the request has no single value for."""


@dataclass(frozen=True)
class Request:
    """One action on one resource. `context` are condition keys with their values."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)

    def values(self, key: str) -> tuple[str, ...] | None:
        """The values of a condition key; None where the request has none."""
        lower = key.lower()
        return next((found for name, found in self.context.items() if name.lower() == lower), None)


@dataclass(frozen=True)
class Rights:
    """Everything that limits a caller. `boundary` and `session` only ever take away."""

    identity: Sequence[Policy]
    boundary: Policy | None = None
    session: Policy | None = None

    def allow(self, request: Request) -> bool:
        """Whether AWS would let the call through. Raises UndecidedError."""
        kinds = [self.identity, *([each] for each in (self.boundary, self.session) if each is not None)]
        if any(matches(s, request) for kind in kinds for s in statements(kind) if s["Effect"] == "Deny"):
            return False
        return all(
            any(matches(s, request) for s in statements(kind) if s["Effect"] == "Allow") for kind in kinds
        )


def statements(policies: Iterable[Policy]) -> Iterator[Statement]:
    """All statements of some policies. Raises UndecidedError."""
    for policy in policies:
        found = policy["Statement"]
        for statement in found if isinstance(found, list) else [found]:
            if statement["Effect"] not in ("Allow", "Deny"):
                raise UndecidedError(f"effect {statement['Effect']}")
            yield statement


def matches(statement: Statement, request: Request) -> bool:
    """Whether a statement is about this request. Raises UndecidedError."""
    unknown = set(statement) - _ELEMENTS
    if unknown:
        raise UndecidedError(f"element {', '.join(sorted(unknown))}")
    try:
        return (
            _action_matches(statement, request)
            and _resource_matches(statement, request)
            and all(
                _condition_matches(operator, key, listed(values), request)
                for operator, keys in statement.get("Condition", {}).items()
                for key, values in keys.items()
            )
        )
    except _MissingError as error:
        # an Allow that cannot be filled in allows nothing; what a Deny does then is not documented
        if statement["Effect"] == "Deny":
            raise UndecidedError(f"a Deny with the variable {error}") from error
        return False


def listed(value: Any) -> list[str]:
    """One value or several, as a list."""
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def _action_matches(statement: Statement, request: Request) -> bool:
    wanted = "NotAction" in statement
    patterns = tuple(listed(statement["NotAction" if wanted else "Action"]))
    return (_actions(patterns).fullmatch(request.action.lower()) is not None) != wanted


@lru_cache(maxsize=4096)
def _actions(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{_pattern(each.lower(), '').pattern})" for each in patterns))


def _resource_matches(statement: Statement, request: Request) -> bool:
    if "Resource" not in statement and "NotResource" not in statement:
        # a role's trust policy is about the role that it is attached to
        return "Principal" in statement
    wanted = "NotResource" in statement
    patterns = listed(statement["NotResource" if wanted else "Resource"])
    return any(_glob(each, request).fullmatch(request.resource) for each in patterns) != wanted


def _condition_matches(operator: str, key: str, wanted: Sequence[str], request: Request) -> bool:
    quantifier, _, name = operator.rpartition(":")
    if quantifier not in ("", "ForAnyValue", "ForAllValues"):
        raise UndecidedError(f"quantifier {quantifier}")
    if_exists, name = name.endswith("IfExists"), name.removesuffix("IfExists")
    values = request.values(key)
    if name == "Null":
        return (values is None) == (wanted == ["true"])
    test = _TESTS.get(name.replace("Not", "", 1))
    if test is None:
        raise UndecidedError(f"condition operator {operator}")
    negated = "Not" in name
    if values is None:
        # what is not there differs from everything, and is all of nothing
        return if_exists or quantifier == "ForAllValues" or (negated and not quantifier)
    if len(values) > 1 and not quantifier:
        raise UndecidedError(f"{operator} of the several values of {key}")
    each = [any(test(one, value, request) for one in wanted) != negated for value in values]
    return any(each) if quantifier == "ForAnyValue" else all(each)


def _equals(wanted: str, value: str, request: Request) -> bool:
    return _filled(wanted, request) == value


def _equals_ignoring_case(wanted: str, value: str, request: Request) -> bool:
    return _filled(wanted, request).lower() == value.lower()


def _like(wanted: str, value: str, request: Request) -> bool:
    return _glob(wanted, request).fullmatch(value) is not None


def _arn_like(wanted: str, value: str, request: Request) -> bool:
    """Each of an ARN's six parts by itself: a `*` does not reach beyond its colon."""
    patterns, parts = wanted.split(":", _ARN_PARTS - 1), value.split(":", _ARN_PARTS - 1)
    if "${" in wanted:
        raise UndecidedError(f"the variable in the ARN {wanted}")
    return len(patterns) == len(parts) == _ARN_PARTS and all(
        _glob(pattern, request).fullmatch(part) for pattern, part in zip(patterns, parts, strict=True)
    )


def _bool(wanted: str, value: str, request: Request) -> bool:
    return wanted.lower() == value.lower()


_TESTS = {
    "StringEquals": _equals,
    "StringEqualsIgnoreCase": _equals_ignoring_case,
    "StringLike": _like,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": _bool,
}


def _filled(text: str, request: Request) -> str:
    return _PLACE.sub(lambda match: _variable(match[1], request), text)


def _glob(text: str, request: Request) -> re.Pattern[str]:
    """A pattern with its variables filled in: what a variable says stands for itself, even a star."""
    variables = [_variable(each, request) for each in _PLACE.findall(text)]
    return _pattern(_PLACE.sub("\0", text), "\0".join(variables))


def _variable(name: str, request: Request) -> str:
    if name in _LITERALS:
        return _LITERALS[name]
    if "," in name or ":" not in name:
        raise UndecidedError(f"policy variable {name}")
    values = request.values(name)
    if values is None or len(values) != 1:
        raise _MissingError(name)
    return values[0]


@lru_cache(maxsize=65536)
def _pattern(text: str, variables: str) -> re.Pattern[str]:
    given = iter(variables.split("\0"))
    signs = {"*": lambda: ".*", "?": lambda: ".", "\0": lambda: re.escape(next(given))}
    return re.compile("".join(signs.get(sign, lambda s=sign: re.escape(s))() for sign in text), re.DOTALL)
