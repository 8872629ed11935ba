"""Policies with one thing changed: every change must be noticed by some case."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.policy.evaluator import Policy, listed

_INSTANCE = "${aws:PrincipalTag/instance}"


@dataclass(frozen=True)
class Mutant:
    """All policies, the one at `address` changed. `statement` is what was changed, as it was."""

    told: str
    address: str
    policies: Mapping[str, Policy]
    statement: Mapping[str, Any]


def mutants(policies: Mapping[str, Policy]) -> Iterator[Mutant]:
    """Each action left out; each resource left out or widened; each condition left out or widened."""
    for address, policy in policies.items():
        for at, statement in enumerate(policy["Statement"]):
            for told, changed in _changes(statement):
                made = copy.deepcopy(dict(policy))
                made["Statement"][at : at + 1] = [changed] if changed else []
                name = f"{address} {statement.get('Sid', at)}: {told}"
                yield Mutant(name, address, {**policies, address: made}, statement)


def _changes(statement: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    if statement["Effect"] == "Deny":
        yield "without the denial", None
    for element in ("Action", "Resource"):
        values = listed(statement[element]) if element in statement else []
        for value in values:
            rest = [each for each in values if each != value]
            yield f"without {value}", {**statement, element: rest} if rest else None
    if statement["Effect"] == "Deny":
        return
    for value in listed(statement.get("Resource", "*")):
        if value != "*":
            yield f"* for {value}", _with(statement, "Resource", value, "*")
        if _INSTANCE in value:
            wider = value.replace(_INSTANCE, "*")
            yield f"{wider} for {value}", _with(statement, "Resource", value, wider)
    for operator, keys in statement.get("Condition", {}).items():
        others = {name: found for name, found in statement["Condition"].items() if name != operator}
        yield f"without {operator}", {**statement, "Condition": others}
        likes = operator.replace("Equals", "Like")
        for key in keys:
            anything = {**others, likes: {**others.get(likes, {}), **keys, key: "*"}}
            yield f"any {key}", {**statement, "Condition": anything}
        # that holds for what is not there anyway
        if not operator.startswith("ForAllValues"):
            absent = {**others, f"{operator}IfExists": keys}
            yield f"{operator} if it exists", {**statement, "Condition": absent}


def _with(statement: Mapping[str, Any], element: str, old: str, new: str) -> dict[str, Any]:
    values = [new if each == old else each for each in listed(statement[element])]
    return {**statement, element: values}
