"""Entries of zave's in a kubeconfig that is somebody else's: put in and taken out, all else byte for byte.

The file is never written anew from what was read: text is inserted and cut at the places where the
YAML parser says that entries begin and end, and the result is read again before it is kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from zave.errors import PreconditionError, UsageError

SECTIONS = ("clusters", "contexts", "users")
LARGEST = 1 << 20
"""Bytes; clusters by the hundred fit."""


@dataclass(frozen=True)
class Entries:
    """What one instance has in a kubeconfig: a cluster, a user, and the context `name` that joins them."""

    name: str
    cluster: Mapping[str, Any]
    user: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, text: str) -> "Entries":
        """The first cluster and user of a kubeconfig that zave wrote, under another name."""
        try:
            found = _read(text)
            return cls(name, found["clusters"][0]["cluster"], found["users"][0]["user"])
        except (UsageError, LookupError, TypeError) as error:
            raise PreconditionError(
                "the instance's own kubeconfig is damaged", resolution="zave up writes it again"
            ) from error

    def sections(self) -> dict[str, dict[str, Any]]:
        """The item of each section."""
        joined = {"cluster": self.name, "user": self.name}
        return {
            "clusters": {"name": self.name, "cluster": dict(self.cluster)},
            "contexts": {"name": self.name, "context": joined},
            "users": {"name": self.name, "user": dict(self.user)},
        }


def merged(text: str, entries: Entries, *, use: bool) -> str:
    """`text` with the entries, instead of others of that name; `use` makes theirs the current context.

    Raises UsageError when the file cannot be edited without touching anything else in it.
    """
    _read(text)
    result = text if text.strip() else "apiVersion: v1\nkind: Config\n"
    wanted = entries.sections()
    for section in SECTIONS:
        result = _without(result, section, entries.name)
        result = _with(result, section, wanted[section])
    if use:
        result = _using(result, entries.name)
    _require_same(text, result, entries.name, wanted, context=entries.name if use else None)
    return result


def unmerged(text: str, name: str) -> str:
    """`text` without the entries of that name. A current context of that name is emptied."""
    _read(text)
    result = text
    for section in SECTIONS:
        result = _without(result, section, name)
    if _read(result).get("current-context") == name:
        result = _using(result, "")
    _require_same(text, result, name, {}, context=None)
    return result


def has(text: str, name: str) -> bool:
    """Whether there is a context of that name."""
    return any(item.get("name") == name for item in _items(_read(text), "contexts"))


def left_behind(file: str, name: str) -> bool:
    """Whether `file` still has a context of that name. A file that cannot be read has none."""
    try:
        return has(Path(file).read_text(encoding="utf-8"), name)
    except (OSError, UnicodeDecodeError, UsageError):
        return False


# reading


def _refused(why: str) -> UsageError:
    return UsageError(
        f"the kubeconfig cannot be edited safely: {why}",
        resolution="leave it as it is, and name both files: export KUBECONFIG=~/.kube/config:"
        "$(zave kubeconfig ENV)",
    )


def _read(text: str) -> dict[str, Any]:
    try:
        # anchors could make a small file a huge one, and an edit of one place one of many
        if any(isinstance(token, yaml.AliasToken | yaml.AnchorToken) for token in yaml.scan(text)):
            raise _refused("it has YAML anchors")
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _refused("it is no valid YAML") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _refused("it is no mapping")
    return found


def _items(document: Mapping[str, Any], section: str) -> list[dict[str, Any]]:
    found = document.get(section) or []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise _refused(f"{section} is no list of mappings")
    return found


def _value(text: str, key: str) -> yaml.Node | None:
    """The node of a key at the top, if it is there."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        return None
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise _refused("it is not written in block style, as kubectl writes it")
    found = [value for name, value in root.value if name.value == key]
    if len(found) > 1:
        raise _refused(f"{key} is in it twice")
    return found[0] if found else None


# editing


def _with(text: str, section: str, item: Mapping[str, Any]) -> str:
    """Put `item` first in the list `section`."""
    node = _value(text, section)
    dumped = yaml.safe_dump([dict(item)], default_flow_style=False, sort_keys=False, allow_unicode=False)
    if node is None:
        end = "" if text.endswith("\n") else "\n"
        return f"{text}{end}{section}:\n{dumped}"
    start, end_ = node.start_mark.index, node.end_mark.index
    if isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        indent = " " * node.start_mark.column
        first, *more = dumped.splitlines(keepends=True)
        return text[:start] + first + "".join(indent + line for line in more) + indent + text[start:]
    empty = isinstance(node, yaml.SequenceNode) and not node.value
    if not empty and not (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")):
        raise _refused(f"{section} is not written in block style, as kubectl writes it")
    # `clusters: []` and `clusters: null`, which is how kubectl writes that there is none
    rest = text[end_:]
    return text[:start].rstrip(" ") + "\n" + dumped.rstrip("\n") + (rest or "\n")


def _without(text: str, section: str, name: str) -> str:
    """Cut every item of that name out of the list `section`."""
    while True:
        node = _value(text, section)
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            return text
        places = [i for i, item in enumerate(node.value) if _name_of(item) == name]
        if not places:
            return text
        if node.flow_style:
            raise _refused(f"{section} is not written in block style, as kubectl writes it")
        index = places[0]
        start = _line_start(text, _dash(text, node.value[index]))
        if index + 1 < len(node.value):
            end = _line_start(text, _dash(text, node.value[index + 1]))
        else:
            end = _line_end(text, max(_leaves(node.value[index])))
        if len(node.value) == 1:
            # a key without a value is null: kubectl reads that as none
            return text[:start] + text[end:]
        text = text[:start] + text[end:]


def _using(text: str, name: str) -> str:
    dumped = yaml.safe_dump(name, allow_unicode=False, width=1 << 20).removesuffix("...\n").strip()
    node = _value(text, "current-context")
    if node is None:
        end = "" if text.endswith("\n") else "\n"
        return f"{text}{end}current-context: {dumped}\n"
    if not isinstance(node, yaml.ScalarNode):
        raise _refused("current-context is no name")
    gap = "" if text[node.start_mark.index - 1 : node.start_mark.index] == " " else " "
    return text[: node.start_mark.index] + gap + dumped + text[node.end_mark.index :]


def _name_of(item: yaml.Node) -> str | None:
    if not isinstance(item, yaml.MappingNode):
        return None
    return next((v.value for k, v in item.value if k.value == "name" and isinstance(v.value, str)), None)


def _dash(text: str, item: yaml.Node) -> int:
    """Where the dash of a list's item is."""
    found = text.rfind("-", 0, item.start_mark.index)
    if found < 0 or text[found + 1 : item.start_mark.index].strip():
        raise _refused("its lists are written in an unusual way")
    return found


def _leaves(node: yaml.Node) -> Iterator[int]:
    """Where the scalars, and what is in brackets, end below `node`."""
    if isinstance(node, yaml.ScalarNode) or getattr(node, "flow_style", False):
        yield node.end_mark.index
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _leaves(key)
            yield from _leaves(value)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _leaves(each)


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _line_end(text: str, index: int) -> int:
    if index > 0 and text[index - 1] == "\n":  # a block scalar ends with its last line
        return index
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _require_same(
    before: str, after: str, name: str, wanted: Mapping[str, Mapping[str, Any]], *, context: str | None
) -> None:
    """Read both again: everything that is not of `name` must be what it was."""
    old, new = _read(before), _read(after)
    expected = {key: value for key, value in old.items() if key not in SECTIONS}
    if not old and wanted:
        expected |= {"apiVersion": "v1", "kind": "Config"}
    if context is not None:
        expected["current-context"] = context
    elif old.get("current-context") == name and not wanted:
        expected["current-context"] = ""
    found = {key: value for key, value in new.items() if key not in SECTIONS}
    same = expected == found
    for section in SECTIONS:
        others = [item for item in _items(old, section) if item.get("name") != name]
        own = [dict(wanted[section])] if section in wanted else []
        same = same and _items(new, section) == own + others
    if not same:
        raise _refused("an edit would change other entries")
