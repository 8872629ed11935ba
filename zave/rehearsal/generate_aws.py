"""Makes `catalogue/aws.json` out of the published package of the CDKTF AWS provider.

    npm pack @cdktf/provider-aws@21.22.1
    python -m zave.rehearsal.generate_aws cdktf-provider-aws-21.22.1.tgz

Run by whoever moves to another provider version, never by a test or by zave itself. Names, types, flags
and blocks are read from the TypeScript in the source map of each `index.js`, which has every flag comment;
what the package does not say (sensitive, write-only, minimum numbers of blocks) comes from `schema` in
`aws.behaviour.json`, as do the types to take.
"""

import argparse
import base64
import datetime
import hashlib
import json
import re
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zave.rehearsal.schema import FOLDER

ADDRESS = "registry.terraform.io/hashicorp/aws"

_SOURCE_MAP = re.compile(rb"sourceMappingURL=data:application/json;base64,([A-Za-z0-9+/=]+)")
_CLASS = re.compile(r"^export class (\w+) extends cdktf\.(\w+) \{\n(.*?)^\}", re.M | re.S)
_INTERFACE = re.compile(r"^export interface (\w+)[^\n]* \{\n(.*?)^\}", re.M | re.S)
_TO_HCL = re.compile(r"^export function (\w+)ToHclTerraform\(.*?\n(.*?)^\}", re.M | re.S)
_BLOCK = re.compile(r"^  \* (\w+) block$", re.M)
_ATTRIBUTE = re.compile(
    r"^  // (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n(.*?)"
    r"(?=^  // (?:\w+ - computed|=+$)|\Z)",
    re.M | re.S,
)
_CHILD = re.compile(r"new (\w+?)(OutputReference|List|Map)\(this, \"\w+\"(?:, (true|false))?\)")
_MEMBER = re.compile(r"#(\w+) \w+#\w+\}\n(?:  \*[^\n]*\n)*  \*/\n  readonly \w+(\??):")
_HCL = re.compile(
    r"^ +(\w+): \{\n +value: [^\n]*\n +isBlock: (true|false),\n +type: \"(\w+)\",\n"
    r" +storageClassType: \"(\w+)\",",
    re.M,
)

# what the getter of an attribute says about its type; the first that is found holds
_GETTERS: tuple[tuple[str, Any], ...] = (
    ("Fn.tolist(this.getListAttribute(", ["set", "string"]),
    ("Fn.tolist(this.getNumberListAttribute(", ["set", "number"]),
    ("getListAttribute(", ["list", "string"]),
    ("getNumberListAttribute(", ["list", "number"]),
    ("getStringMapAttribute(", ["map", "string"]),
    ("getBooleanMapAttribute(", ["map", "bool"]),
    ("getNumberMapAttribute(", ["map", "number"]),
    ("cdktf.StringMap(", ["map", "string"]),
    ("getStringAttribute(", "string"),
    ("getNumberAttribute(", "number"),
    ("getBooleanAttribute(", "bool"),
)
_STORAGE = {"string": "string", "boolean": "bool", "number": "number"}
_STORAGE |= {"stringList": "string", "numberList": "number", "stringMap": "string", "booleanMap": "bool"}


class PackageError(Exception):
    """The package is not what this script expects; the message names the place."""


@dataclass(frozen=True)
class Source:
    """The TypeScript of one type; `where` names it in messages."""

    where: str
    text: str

    @cached_property
    def classes(self) -> Mapping[str, tuple[str, str]]:
        """Class by name: what it extends and its body."""
        return {name: (base, body) for name, base, body in _CLASS.findall(self.text)}

    @cached_property
    def members(self) -> Mapping[str, Mapping[str, bool]]:
        """Whether each member of an interface is optional."""
        return {
            name: {member: mark == "?" for member, mark in _MEMBER.findall(body)}
            for name, body in _INTERFACE.findall(self.text)
        }

    @cached_property
    def blocks(self) -> Mapping[str, frozenset[str]]:
        """The names of blocks by interface: only their documentation says that they are blocks."""
        return {name: frozenset(_BLOCK.findall(body)) for name, body in _INTERFACE.findall(self.text)}

    @cached_property
    def written(self) -> Mapping[str, Mapping[str, tuple[str, str]]]:
        """By function (lower-case name of the struct): (type, storage class) of what can be configured."""
        functions = {name.lower(): body for name, body in _TO_HCL.findall(self.text)}
        return {name: _written(body) for name, body in functions.items()}

    def top(self) -> tuple[str, str]:
        """Name and body of the class of the type itself."""
        for name, (base, body) in self.classes.items():
            if base in ("TerraformResource", "TerraformDataSource", "TerraformProvider"):
                return name, body
        raise PackageError(f"{self.where}: no class of a resource in it")


def _written(body: str) -> dict[str, tuple[str, str]]:
    return {name: (type_, storage) for name, _, type_, storage in _HCL.findall(body)}


def block_of(source: Source) -> dict[str, Any]:
    """The schema block of a type. Raises PackageError for what cannot be read with certainty."""
    name, body = source.top()
    written = _written(body.partition("synthesizeHclAttributes")[2])
    block = _block(source, name, body, written, config=f"{name}Config")
    block["attributes"].pop("alias", None)
    return block


def _block(
    source: Source, name: str, body: str, written: Mapping[str, tuple[str, str]], *, config: str
) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    blocks: dict[str, Any] = {}
    known = source.blocks.get(config, frozenset())
    for attribute, computed, optional, required, rest in _ATTRIBUTE.findall(body):
        where = f"{source.where}: {name}.{attribute}"
        child = _CHILD.search(rest.partition("{")[0])
        if attribute in known:
            kind, storage = written[attribute]
            struct, single = (
                (child[1], child[2] == "OutputReference") if child else (storage.removesuffix("List"), False)
            )
            blocks[attribute] = _nested(
                kind, _struct(source, struct), required=required == "true", single=single
            )
            continue
        flags = {"required": required, "optional": optional, "computed": computed}
        attributes[attribute] = {
            "type": _object(source, child) if child else _type(rest, written.get(attribute), where),
            **{flag: True for flag, value in flags.items() if value == "true"},
        }
    missing = known - blocks.keys()
    if missing or written.keys() - attributes.keys() - blocks.keys() - {"alias"}:
        raise PackageError(f"{source.where}: {name}: not all of its attributes were found")
    return {"attributes": attributes, "block_types": blocks} if blocks else {"attributes": attributes}


def _nested(kind: str, block: dict[str, Any], *, required: bool, single: bool) -> dict[str, Any]:
    nested: dict[str, Any] = {"nesting_mode": "single" if kind == "struct" else kind, "block": block}
    if kind in ("list", "set"):
        nested |= {"min_items": 1} if required else {}
        nested |= {"max_items": 1} if single else {}
    return nested


def _struct(source: Source, struct: str) -> dict[str, Any]:
    written = source.written.get(struct.lower(), {})
    _, body = source.classes.get(f"{struct}OutputReference", ("", ""))
    if body:
        return _block(source, struct, body, written, config=struct)
    # a block of the provider's own configuration: nobody can refer to it, so it has no class
    flags = {True: "optional", False: "required"}
    return {
        "attributes": {
            name: {"type": _said(written[name]), flags[optional]: True}
            for name, optional in source.members[struct].items()
        }
    }


def _object(source: Source, child: re.Match[str]) -> Any:
    """The type of an attribute that has a structure: in protocol 5 that is a type, not a nesting."""
    block = _struct(source, child[1])
    members = {name: attribute["type"] for name, attribute in block["attributes"].items()}
    if block.get("block_types"):
        raise PackageError(f"{source.where}: {child[1]}: a block within an attribute")
    inner = ["object", members]
    if child[2] == "OutputReference":
        return inner
    return ["map" if child[2] == "Map" else "set" if child[3] == "true" else "list", inner]


def _type(rest: str, written: tuple[str, str] | None, where: str) -> Any:
    read = next((type_ for getter, type_ in _GETTERS if getter in rest), None)
    said = _said(written) if written else None
    # every value that can be configured has both; they must agree
    if read is None and said is None:
        raise PackageError(f"{where}: its type is not to be seen")
    if read is not None and said is not None and read != said:
        raise PackageError(f"{where}: {read} when read, {said} when written")
    return read if read is not None else said


def _said(written: tuple[str, str]) -> Any:
    collection, storage = written
    if storage not in _STORAGE:
        return None
    return _STORAGE[storage] if collection == "simple" else [collection, _STORAGE[storage]]


def additions(schema: dict[str, Any], more: Mapping[str, Any], where: str) -> None:
    """Set in `schema` what the package lacks: lists of dotted paths by flag, and numbers by path."""
    for flag in ("sensitive", "write_only"):
        for path in more.get(flag, ()):
            _place(schema["block"], path, where)[flag] = True
    for path, value in more.get("min_items", {}).items():
        _place(schema["block"], path, where)["min_items"] = value


def _place(block: dict[str, Any], path: str, where: str) -> dict[str, Any]:
    *blocks, last = path.split(".")
    try:
        for name in blocks:
            block = block["block_types"][name]["block"]
        found: dict[str, Any] = {**block["attributes"], **block.get("block_types", {})}[last]
    except KeyError as error:
        raise PackageError(f"{where}: {path}: the package has no {error}") from error
    return found


def _sources(package: Path, wanted: Mapping[str, str]) -> Iterator[tuple[str, Source]]:
    """Each wanted type with its TypeScript; `wanted` goes from the package's folder to the type."""
    with tarfile.open(package) as archive:
        for member in archive:
            folder, _, file = member.name.removeprefix("package/lib/").partition("/")
            content = archive.extractfile(member) if file == "index.js" and folder in wanted else None
            found = _SOURCE_MAP.search(content.read()) if content else None
            if found:
                document = json.loads(base64.b64decode(found[1]))
                yield wanted[folder], Source(folder, document["sourcesContent"][0])


def _folder(type_: str) -> str:
    kind, _, name = type_.rpartition(".")
    bare = name.removeprefix("aws_").replace("_", "-")
    return f"data-aws-{bare}" if kind else bare


def catalogue(package: Path, behaviour: Mapping[str, Any], *, date: str) -> dict[str, Any]:
    """The catalogue's document. Raises PackageError when a type is missing or cannot be read."""
    types = [*behaviour["resources"], *(f"data.{name}" for name in behaviour["data_sources"])]
    wanted = {_folder(type_): type_ for type_ in types} | {"provider": "provider"}
    schemas: dict[str, Any] = {}
    version = ""
    for type_, source in _sources(package, wanted):
        schemas[type_] = {"version": 0, "block": block_of(source)}
        found = re.search(r"providers/hashicorp/aws/([\d.]+)/docs", source.text)
        version = found[1] if found else version
        section = "data_sources" if type_.startswith("data.") else "resources"
        data = behaviour[section].get(type_.removeprefix("data."), {})
        additions(schemas[type_], data.get("schema", {}), type_)
    if missing := set(wanted.values()) - schemas.keys():
        raise PackageError(f"the package has no {', '.join(sorted(missing))}")
    if version != behaviour["version"]:
        raise PackageError(f"the package is of provider {version}, wanted is {behaviour['version']}")
    return {
        "format_version": "1.0",
        "provenance": {
            "package": package.name,
            "sha256": hashlib.sha256(package.read_bytes()).hexdigest(),
            "provider_version": version,
            "generated": date,
            "by": "python -m zave.rehearsal.generate_aws",
        },
        "provider_schemas": {
            ADDRESS: {
                "provider": schemas.pop("provider"),
                "resource_schemas": {name: schemas[name] for name in sorted(behaviour["resources"])},
                "data_source_schemas": {
                    name: schemas[f"data.{name}"] for name in sorted(behaviour["data_sources"])
                },
            }
        },
    }


def text(document: Any, *, depth: int = 7) -> str:
    """`document` as JSON with one line for each attribute or small thing, for readable differences."""
    if not isinstance(document, dict) or depth == 0:
        return json.dumps(document, separators=(",", ":"), sort_keys=True)
    lines = [f"{json.dumps(name)}:{text(value, depth=depth - 1)}" for name, value in document.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def main(arguments: list[str]) -> int:
    """Write the catalogue; 1 with the reason on stderr when the package does not fit."""
    parser = argparse.ArgumentParser(prog="generate_aws", description="Make the AWS catalogue.")
    parser.add_argument("package", type=Path, help="the archive that `npm pack` wrote")
    parser.add_argument("--types", nargs="*", help="only these, such as aws_vpc or data.aws_region")
    parser.add_argument("--output", type=Path, default=FOLDER / "aws.json")
    parser.add_argument("--date", default=datetime.datetime.now(datetime.UTC).date().isoformat())
    options = parser.parse_args(arguments)
    behaviour = json.loads((FOLDER / "aws.behaviour.json").read_text(encoding="utf-8"))
    if options.types:
        named = set(options.types)
        behaviour["resources"] = {n: b for n, b in behaviour["resources"].items() if n in named}
        behaviour["data_sources"] = {
            n: b for n, b in behaviour["data_sources"].items() if f"data.{n}" in named
        }
    try:
        document = catalogue(options.package, behaviour, date=options.date)
    except (PackageError, OSError, tarfile.TarError) as error:
        sys.stderr.write(f"no catalogue written: {error}\n")
        return 1
    options.output.write_text(text(document) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
