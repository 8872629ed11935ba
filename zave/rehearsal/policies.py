"""The text that the data source `aws_iam_policy_document` makes of its blocks.

Order and shape as in hashicorp/terraform-provider-aws internal/service/iam/policy_model.go: single values
are strings, several are sorted downwards, conditions keep their order, keys of maps are sorted.
"""

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

DEFAULT_VERSION = "2012-10-17"
_SETS = {
    "actions": "Action",
    "not_actions": "NotAction",
    "resources": "Resource",
    "not_resources": "NotResource",
}


def document(config: Mapping[str, Any]) -> dict[str, Any]:
    """The policy as a document: sources first, then the statements, then what overrides by Sid."""
    made: dict[str, Any] = {"Version": config.get("version") or DEFAULT_VERSION}
    if config.get("policy_id"):
        made["Id"] = config["policy_id"]
    made["Statement"] = [_statement(block) for block in config.get("statement") or ()]
    sources = [config.get("source_json"), *(config.get("source_policy_documents") or ())]
    overrides = [config.get("override_json"), *(config.get("override_policy_documents") or ())]
    result: dict[str, Any] = {"Version": "", "Statement": []}
    for text in sources:
        _merge(result, json.loads(text) if text else {})
    _merge(result, made)
    for text in overrides:
        _merge(result, json.loads(text) if text else {})
    if not result["Statement"]:
        del result["Statement"]
    return {name: result[name] for name in ("Version", "Id", "Statement") if name in result}


def pretty(policy: Mapping[str, Any]) -> str:
    """The policy on many lines, as the attribute `json` has it."""
    return _escaped(json.dumps(policy, indent=2, ensure_ascii=False))


def minified(policy: Mapping[str, Any]) -> str:
    """The policy on one line."""
    return _escaped(json.dumps(policy, separators=(",", ":"), ensure_ascii=False))


def identifier(policy: Mapping[str, Any]) -> str:
    """The data source's id: a checksum of its text."""
    return str(zlib.crc32(pretty(policy).encode()))


FORMS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "json": pretty,
    "minified": minified,
    "id": identifier,
}


def _merge(policy: dict[str, Any], newer: Mapping[str, Any]) -> None:
    policy["Version"] = max(policy["Version"], newer.get("Version", ""))
    if newer.get("Id"):
        policy["Id"] = newer["Id"]
    statements: list[dict[str, Any]] = policy["Statement"]
    found = newer.get("Statement", [])
    for statement in found if isinstance(found, list) else [found]:
        sid = statement.get("Sid")
        same = [index for index, each in enumerate(statements) if sid and each.get("Sid") == sid]
        if same:
            statements[same[0]] = statement
        else:
            statements.append(statement)


def _statement(block: Mapping[str, Any]) -> dict[str, Any]:
    statement: dict[str, Any] = {}
    if block.get("sid"):
        statement["Sid"] = block["sid"]
    statement["Effect"] = block.get("effect") or "Allow"
    for name, key in _SETS.items():
        if block.get(name):
            statement[key] = _one_or_many(block[name])
    for name, key in (("principals", "Principal"), ("not_principals", "NotPrincipal")):
        if block.get(name):
            statement[key] = _principals(block[name])
    if block.get("condition"):
        statement["Condition"] = _conditions(block["condition"])
    return statement


def _one_or_many(values: Iterable[str]) -> Any:
    texts = [_interpolated(value) for value in values]
    return texts[0] if len(texts) == 1 else sorted(texts, reverse=True)


def _principals(blocks: Iterable[Mapping[str, Any]]) -> Any:
    by_type: dict[str, list[str]] = {}
    for block in blocks:
        by_type.setdefault(block["type"], []).extend(block["identifiers"])
    if by_type == {"*": ["*"]}:
        return "*"
    return {type_: _one_or_many(by_type[type_]) for type_ in sorted(by_type)}


def _conditions(blocks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    tests: dict[str, dict[str, list[str]]] = {}
    for block in blocks:
        values = tests.setdefault(block["test"], {}).setdefault(_interpolated(block["variable"]), [])
        values.extend(_interpolated(value) for value in block["values"])
    return {
        test: {
            variable: values[0] if len(values) == 1 else values for variable, values in sorted(found.items())
        }
        for test, found in sorted(tests.items())
    }


def _interpolated(value: str) -> str:
    # `&{aws:username}` is how a configuration writes AWS's own `${aws:username}`
    return value.replace("&{", "${")


def _escaped(text: str) -> str:
    # Go's JSON keeps these three out of HTML's way; only strings can hold them
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
