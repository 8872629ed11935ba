"""What the models of both platforms share: strict sections and fields that are parsed from text."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from zave.errors import UsageError
from zave.spec.yaml_loader import KeyPath

# the types of pydantic errors that carry a message of ours
PARSED = "zave_parsed"
CROSS_CHECK = "zave_cross_check"
# in the context of a validation: the spec is one on record
RECORDED = "recorded"


class Section(BaseModel):
    """A mapping of `environment.yaml`: frozen, unknown keys refused, nothing converted silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


@dataclass(frozen=True)
class Parsed:
    """Marks a field that is written as text and kept as what `parse` makes of it.

    `write` gives the canonical text back; `example` and `pattern` go into the JSON Schema.
    """

    parse: Callable[[object], object]
    example: str
    write: Callable[[Any], str] = str
    pattern: str | None = None

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Parse with `parse`, and write with `write` whenever the model is dumped."""
        return core_schema.no_info_plain_validator_function(
            self._checked, serialization=core_schema.plain_serializer_function_ser_schema(self.write)
        )

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """A string with its pattern and an example."""
        pattern = {"pattern": self.pattern} if self.pattern else {}
        return {"type": "string", "examples": [self.example], **pattern}

    def _checked(self, value: object) -> object:
        try:
            return self.parse(value)
        except UsageError as error:
            told = {"brief": error.brief, "resolution": error.resolution}
            raise PydanticCustomError(PARSED, "not accepted", told) from error


@dataclass(frozen=True)
class Problem:
    """Values that are right one by one and wrong together; `path` is the one to change."""

    path: KeyPath
    brief: str
    resolution: str


def refuse(problems: Iterable[Problem], info: ValidationInfo) -> None:
    """Raise what a model validator raises when there are `problems`.

    Not for a spec on record: it was accepted once, and what was made from it must come down also where a
    later zave would ask for more.
    """
    found = () if (info.context or {}).get(RECORDED) else tuple(problems)
    if found:
        raise PydanticCustomError(CROSS_CHECK, "values do not fit together", {"problems": found})


def duplicates(items: Iterable[object]) -> list[int]:
    """The positions of items that repeat an earlier one."""
    seen: set[object] = set()
    repeated = []
    for index, item in enumerate(items):
        if item in seen:
            repeated.append(index)
        seen.add(item)
    return repeated
