"""JSON Schemas of the models, for editors and for `zave schema`."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from zave.spec.models import Section


class _AsWritten(GenerateJsonSchema):
    """Shows defaults as they would be written in the file: `8GiB`, not a number of bytes."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        described = super().default_schema(schema)
        default = schema.get("default")
        if default is None or isinstance(default, Section):
            # nothing, or the sum of the defaults of its keys
            described.pop("default", None)
            return described
        described["default"] = _written(default, schema["schema"])
        return described


def _written(default: Any, schema: Any) -> Any:
    if schema["type"] == "tuple":
        return [_written(item, schema["items_schema"][0]) for item in default]
    write = schema.get("serialization", {}).get("function")
    return write(default) if write else default


def schema_of(model: type[Section], *, title: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the files that `model` reads."""
    schema = model.model_json_schema(schema_generator=_AsWritten, by_alias=True, mode="validation")
    return {"$schema": _AsWritten.schema_dialect, **schema, "title": title}
