"""Things, states and facts of instances, made up for tests."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from zave.aws.bundle import InstanceFacts
from zave.ports import Item
from zave.spec.units import HOUR

ACCOUNT = "123456789012"
TTL = 48 * HOUR


def gone(items: Iterable[Item]) -> bool:
    """Whether at most the key is left, which goes by itself."""
    return {item.type for item in items} <= {"aws_kms_key"}


def item(instance: str | None, kind: str, **changes: Any) -> Item:
    """One thing of an instance, named after its type."""
    identity = changes.pop("id", f"{kind.removeprefix('aws_')}-{instance or 'nobody'}")
    values: dict[str, Any] = {"name": f"zave-{instance}-{kind}", "owner": instance}
    return Item(type=kind, id=identity, **{**values, **changes})


def state_of(ids: Sequence[str], *, serial: int) -> bytes:
    """A whole Terraform state of version 4 with one resource an id."""
    resources = [
        {
            "mode": "managed",
            "type": "aws_thing",
            "name": f"r{number}",
            "instances": [{"attributes": {"id": identity}}],
        }
        for number, identity in enumerate(ids)
    ]
    document = {"version": 4, "lineage": "a", "serial": serial, "resources": resources, "ids": list(ids)}
    return json.dumps(document).encode()


def instance_facts(instance: str, **changes: Any) -> InstanceFacts:
    """The facts of an instance of the environment aws-demo."""
    facts = InstanceFacts(
        instance=instance,
        environment="aws-demo",
        account=ACCOUNT,
        region="us-east-1",
        creation="2026-11-23T12:00:00.000Z",
        longest_apply=1800,
        label_rehearsal=True,
    )
    return replace(facts, **changes)
