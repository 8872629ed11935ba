"""Values, places and problems as messages of the plugin protocol."""

import json
from collections.abc import Iterable
from typing import Any, Protocol

from tf.gen import tfplugin_pb2 as pb  # type: ignore[import-untyped]

from zave.rehearsal import planning, validation
from zave.rehearsal.schema import Kind
from zave.rehearsal.values import Path, encode


class Refusal(Protocol):
    """Why something was refused."""

    summary: str
    detail: str


def message(value: Any) -> pb.DynamicValue:
    """A value."""
    return pb.DynamicValue(msgpack=encode(value))


def private(key: str) -> bytes:
    """What Terraform keeps for the provider: the world's key of a thing."""
    return json.dumps({"key": key}).encode()


def path(steps: Path) -> pb.AttributePath:
    """A place in a value."""
    return pb.AttributePath(
        steps=[
            pb.AttributePath.Step(element_key_int=step)
            if isinstance(step, int)
            else pb.AttributePath.Step(attribute_name=step)
            for step in steps
        ]
    )


def problems(kind: Kind, found: Iterable[validation.Problem]) -> list[pb.Diagnostic]:
    """What is wrong in a configuration, each with its place."""
    return [
        pb.Diagnostic(
            severity=pb.Diagnostic.ERROR,
            summary=problem.summary,
            detail=problem.detail,
            attribute=path(planning.message_path(kind, problem.path)),
        )
        for problem in found
    ]


def error(refusal: Refusal) -> pb.Diagnostic:
    """A refusal of the provider or of the platform."""
    return pb.Diagnostic(severity=pb.Diagnostic.ERROR, summary=refusal.summary, detail=refusal.detail)
