import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tf.gen import tfplugin_pb2 as pb  # type: ignore[import-untyped]

from zave.rehearsal import schema, schema_codec
from zave.rehearsal.schema import CatalogueError, Field, Kind

TOYS = Path(__file__).parent / "catalogue"
ROOT = Path(__file__).parents[3]
REAL = ROOT.parent / "shared" / "schemas" / "libvirt-0.9.7.json"


def rewritten(folder: Path, change: Mapping[str, Any]) -> Path:
    shutil.copytree(TOYS, folder)
    path = folder / "toy.behaviour.json"
    behaviour = json.loads(path.read_text())
    behaviour["resources"].update(change)
    path.write_text(json.dumps(behaviour))
    return folder


def test_the_packaged_catalogues_are_listed() -> None:
    assert "libvirt" in schema.names()


@pytest.mark.skipif(not REAL.exists(), reason="the real provider's schema is not beside the repository")
def test_the_libvirt_catalogue_agrees_with_the_real_schema() -> None:
    ours = json.loads((schema.FOLDER / "libvirt.json").read_text())["provider_schemas"]
    real = json.loads(REAL.read_text())["provider_schemas"]
    (address,) = ours
    differences = list(_strange(ours[address], real[address], ""))
    assert differences == []


def _strange(ours: Any, real: Any, path: str) -> Iterator[str]:
    """Places where `ours` has something that `real` has not; `real` may have more attributes."""
    if not isinstance(ours, dict) or not isinstance(real, dict):
        if ours != real:
            yield f"{path}: {ours!r} instead of {real!r}"
        return
    for name, value in ours.items():
        if name not in real:
            yield f"{path}.{name}: not in the real schema"
        else:
            yield from _strange(value, real[name], f"{path}.{name}")
    if not path.endswith(("attributes", "_schemas")):
        for name in real.keys() - ours.keys():
            yield f"{path}.{name}: left out"
    if path.endswith("attributes"):
        for name, attribute in real.items():
            if attribute.get("required") and name not in ours:
                yield f"{path}.{name}: required but left out"


def _paths(kind: Kind) -> Iterator[str]:
    behaviour = kind.behaviour
    yield from (*behaviour.force_new, *behaviour.kept, *(behaviour.in_place or ()), *behaviour.enums)
    yield from behaviour.defaults
    yield from (path for group in behaviour.conflicts for path in group)
    yield from (rule.path for rule in behaviour.computed)
    yield from (path for check in behaviour.checks for path in check.require)
    if behaviour.imports:
        yield from (behaviour.imports.attribute, *behaviour.imports.blank, *(behaviour.imports.reads or ()))


def _names(fields: Mapping[str, Field], path: str) -> bool:
    step, _, rest = path.partition(".")
    if step not in fields:
        return False
    if not rest or (rest == "*" and not fields[step].nesting):
        return True
    return _names(fields[step].fields, rest.removeprefix("*."))


@pytest.mark.parametrize("name", schema.names())
def test_behaviour_speaks_of_attributes_that_exist(name: str) -> None:
    catalogue = schema.load(name)
    kinds = [*catalogue.resources.values(), *catalogue.data_sources.values()]
    wrong = [
        f"{kind.name}: {path}" for kind in kinds for path in _paths(kind) if not _names(kind.fields, path)
    ]
    assert wrong == []


@pytest.mark.parametrize("name", schema.names())
def test_every_computed_attribute_of_the_top_level_has_a_rule(name: str) -> None:
    without = [
        f"{kind.name}.{field.name}"
        for kind in schema.load(name).resources.values()
        for field in kind.fields.values()
        if not kind.behaviour.bare
        if field.computed and field.name not in {rule.path for rule in kind.behaviour.computed}
    ]
    assert without == []


def _resource_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Type and body of each libvirt resource in a file of Terraform."""
    for match in re.finditer(r'^resource "(libvirt_\w+)" "\w+" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL):
        yield match[1], re.sub(r"^  lifecycle \{.*?^  \}", "", match[2], flags=re.MULTILINE | re.DOTALL)


def _all_names(fields: Mapping[str, Field]) -> set[str]:
    return set(fields).union(*(_all_names(field.fields) for field in fields.values()))


def test_the_modules_set_nothing_that_the_catalogue_lacks() -> None:
    # Terraform drops a misspelt name inside a nested attribute without a word, so validate cannot tell
    resources = schema.load("libvirt").resources
    meta = {"count", "for_each", "provider", "depends_on"}
    strange = []
    files = sorted((ROOT / "terraform-modules").glob("*/*.tf"))
    for file in files:
        for kind, body in _resource_blocks(file.read_text()):
            used = set(re.findall(r"(?:^|[{,(])\s*([a-z_0-9]+)\s*=(?![=>])", body, re.MULTILINE))
            assert used
            strange += [
                f"{file.name}: {kind}: {name}" for name in used - _all_names(resources[kind].fields) - meta
            ]
    assert files
    assert strange == []


def test_nested_blocks_and_attributes_become_fields() -> None:
    server = schema.load("toy", folder=TOYS).resources["toy_server"]
    assert server.version == 2
    assert server.fields["disk"].block
    assert (server.fields["disk"].min_items, server.fields["disk"].max_items) == (1, 2)
    assert server.fields["disk"].fields["encryption"].fields["key"].computed
    assert not server.fields["ports"].block
    assert server.fields["ports"].nesting == "list"
    assert server.fields["password"].write_only


def test_a_missing_catalogue_is_named() -> None:
    with pytest.raises(CatalogueError, match=r"absent\.json"):
        schema.load("absent")


def test_an_unknown_key_in_the_behaviour_is_named(tmp_path: Path) -> None:
    folder = rewritten(tmp_path / "c", {"toy_legacy": {"forcenew": ["name"]}})
    with pytest.raises(CatalogueError, match=r"toy_legacy.*'forcenew'"):
        _ = schema.load("toy", folder=folder).resources["toy_legacy"]


def test_behaviour_of_a_type_without_a_schema_is_named(tmp_path: Path) -> None:
    folder = rewritten(tmp_path / "c", {"toy_ghost": {}})
    with pytest.raises(CatalogueError, match="toy_ghost"):
        _ = schema.load("toy", folder=folder).resources


def test_a_broken_catalogue_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "toy.json").write_text("{")
    with pytest.raises(CatalogueError, match=r"toy\.json: not JSON"):
        schema.load("toy", folder=tmp_path)


def test_dynamic_types_are_refused_with_their_place(tmp_path: Path) -> None:
    shutil.copytree(TOYS, tmp_path / "c")
    path = tmp_path / "c" / "toy.json"
    path.write_text(
        path.read_text().replace('["map", "string"], "optional"', '["map", "dynamic"], "optional"')
    )
    with pytest.raises(CatalogueError, match=r"toy_server\.tags"):
        _ = schema.load("toy", folder=tmp_path / "c").resources["toy_server"]


# the protocol's messages


def encoded(name: str) -> pb.Schema.Block:
    response = schema_codec.provider_schema(schema.load("toy", folder=TOYS))
    assert response.server_capabilities.get_provider_schema_optional
    block: pb.Schema.Block = response.resource_schemas[name].block
    return block


def test_attributes_keep_their_flags_and_types() -> None:
    attributes = {attribute.name: attribute for attribute in encoded("toy_server").attributes}
    assert attributes["name"].required
    assert attributes["secret"].sensitive
    assert (attributes["zone"].optional, attributes["zone"].computed) == (True, True)
    assert json.loads(attributes["tags"].type) == ["map", "string"]
    assert attributes["options"].nested_type.nesting == pb.Schema.Object.SET
    assert [child.name for child in attributes["options"].nested_type.attributes] == ["key", "value"]


def test_write_only_is_sent_as_field_eleven() -> None:
    attributes = {attribute.name: attribute for attribute in encoded("toy_server").attributes}
    # tag of field 11 as a varint, then true
    assert attributes["password"].SerializeToString().endswith(b"\x58\x01")
    assert not attributes["secret"].SerializeToString().endswith(b"\x58\x01")


def test_blocks_keep_nesting_and_limits() -> None:
    blocks = {block.type_name: block for block in encoded("toy_server").block_types}
    modes = {name: pb.Schema.NestedBlock.NestingMode.Name(block.nesting) for name, block in blocks.items()}
    assert modes == {"network": "SINGLE", "disk": "LIST", "rule": "SET", "share": "MAP"}
    assert (blocks["disk"].min_items, blocks["disk"].max_items) == (1, 2)
    assert blocks["disk"].block.block_types[0].type_name == "encryption"
