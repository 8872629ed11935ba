"""Catalogues as the protocol's schema messages."""

import json
from collections.abc import Mapping

from tf.gen import tfplugin_pb2 as pb  # type: ignore[import-untyped]

from zave.rehearsal.schema import Catalogue, Field, Kind

# `write_only` is field 11 (varint, true) of Schema.Attribute in protocol 6.9; the generated code of
# `tf` 1.2.0 is older, so it is added as raw bytes, which protobuf keeps
_WRITE_ONLY = b"\x58\x01"


def provider_schema(catalogue: Catalogue) -> pb.GetProviderSchema.Response:
    """The answer to GetProviderSchema."""
    return pb.GetProviderSchema.Response(
        provider=_schema(catalogue.provider),
        resource_schemas={name: _schema(kind) for name, kind in catalogue.resources.items()},
        data_source_schemas={name: _schema(kind) for name, kind in catalogue.data_sources.items()},
        server_capabilities=capabilities(),
    )


def capabilities() -> pb.ServerCapabilities:
    """What this provider can do. The optional schema saves a call in every later start."""
    return pb.ServerCapabilities(plan_destroy=True, get_provider_schema_optional=True)


def _schema(kind: Kind) -> pb.Schema:
    return pb.Schema(version=kind.version, block=_block(kind.fields, version=kind.version))


def _block(fields: Mapping[str, Field], *, version: int = 0, of: Field | None = None) -> pb.Schema.Block:
    return pb.Schema.Block(
        version=version,
        attributes=[_attribute(field) for field in fields.values() if not field.block],
        block_types=[_nested_block(field) for field in fields.values() if field.block],
        description=of.description if of else "",
        deprecated=of.deprecated if of else False,
    )


def _nested_block(field: Field) -> pb.Schema.NestedBlock:
    # the two enums have the names of the modes in upper case
    return pb.Schema.NestedBlock(
        type_name=field.name,
        block=_block(field.fields, of=field),
        nesting=pb.Schema.NestedBlock.NestingMode.Value((field.nesting or "invalid").upper()),
        min_items=field.min_items,
        max_items=field.max_items,
    )


def _attribute(field: Field) -> pb.Schema.Attribute:
    message = pb.Schema.Attribute(
        name=field.name,
        description=field.description,
        required=field.required,
        optional=field.optional,
        computed=field.computed,
        sensitive=field.sensitive,
        deprecated=field.deprecated,
    )
    if field.nesting:
        message.nested_type.nesting = pb.Schema.Object.NestingMode.Value(field.nesting.upper())
        message.nested_type.attributes.extend(_attribute(child) for child in field.fields.values())
    else:
        message.type = json.dumps(field.type).encode()
    if field.write_only:
        message.MergeFromString(_WRITE_ONLY)
    return message
