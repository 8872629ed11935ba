"""What zave has published in a repository, and what it may write there.

`clusters/<instance>/.zave.json` lists every file as zave rendered it last. A file at the branch's tip is
zave's where it is what an instance's list says, and the user's otherwise. As with a distribution's
configuration files, what the user changed stays as long as zave has nothing new for it; where both
have changed it, nothing is written at all.
"""

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zave.render import MANIFEST

LIST = ".zave.json"
"""Lists what was published for an instance; in the instance's folder."""

KEPT = ".zavekeep"
"""The user's: files (or folders, ending with a slash) of the repository that zave is never to write."""

SCHEMA = "zave/published/v1"

# what zave's instances have written: their lists
LISTS = re.compile(rf"clusters/[^/]+/{re.escape(LIST)}")

_FILE_MODE = "100644"

Change = Literal["added", "changed", "removed"]


@dataclass(frozen=True)
class Conflict:
    """A file that zave would write and that is not zave's any more; `found` says what it is now."""

    path: str
    found: Literal["changed", "removed", "not zave's", "a folder or a link"]


@dataclass(frozen=True)
class Writing:
    """What a publication writes: path -> content (None: removed), and what it must not.

    `left` are files that the user changed and zave has nothing new for.
    """

    changes: Mapping[str, bytes | None]
    conflicts: tuple[Conflict, ...]
    left: tuple[str, ...]


@dataclass(frozen=True)
class Tip:
    """A branch's last commit: path -> (mode, object id), the lists in it, and what the user keeps."""

    files: Mapping[str, tuple[str, str]]
    lists: Mapping[str, Mapping[str, str]]
    kept: Collection[str] = ()


EMPTY = Tip({}, {})
"""A branch without a commit."""


def object_id(content: bytes) -> str:
    """What Git names a file with this content (gitformat-loose(5), SHA-1)."""
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()


def rendered(tree: Path) -> dict[str, bytes]:
    """Path -> content of everything that a tree's folder holds, without the renderer's own lists."""
    found = {}
    for folder, _, names in os.walk(tree):
        for name in names:
            if name != MANIFEST:
                file = Path(folder, name)
                found[file.relative_to(tree).as_posix()] = file.read_bytes()
    return {path: found[path] for path in sorted(found)}


def list_of(instance: str) -> str:
    """Where the list of `instance` is in a repository."""
    return f"clusters/{instance}/{LIST}"


def write_list(instance: str, files: Mapping[str, str]) -> bytes:
    """The list of `instance`: path -> object id."""
    document = {"schema": SCHEMA, "instance": instance, "files": dict(sorted(files.items()))}
    return f"{json.dumps(document, indent=1)}\n".encode()


def read_list(content: bytes) -> dict[str, str]:
    """Path -> object id; nothing for what is no list: then every file counts as the user's."""
    try:
        document = json.loads(content)
        if document["schema"] != SCHEMA:
            return {}
        return {str(path): str(identity) for path, identity in document["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def read_kept(content: bytes) -> tuple[str, ...]:
    """The lines of a `.zavekeep`, without comments."""
    lines = (line.strip() for line in content.decode("utf-8", "replace").splitlines())
    return tuple(line.removeprefix("/") for line in lines if line and not line.startswith("#"))


def writing(instance: str, wanted: Mapping[str, bytes], tip: Tip) -> Writing:
    """What must change at `tip` so that it holds `wanted` for `instance`."""
    own = tip.lists.get(instance, {})
    others = [files for name, files in tip.lists.items() if name != instance]
    changes: dict[str, bytes | None] = {}
    conflicts, left = [], []
    folders = _folders(tip.files)
    for path, content in wanted.items():
        identity = object_id(content)
        mode, found = tip.files.get(path, ("", ""))
        if found == identity or _is_kept(path, tip.kept):
            continue
        # what any instance wrote there is zave's; nothing where this one wrote nothing
        written = {own.get(path, ""), *(files[path] for files in others if found and path in files)}
        if _in_the_way(path, mode, folders, tip.files):
            conflicts.append(Conflict(path, "a folder or a link"))
        elif found in written or path == list_of(instance):
            changes[path] = content
        elif own.get(path) == identity:
            left.append(path)
        else:
            conflicts.append(Conflict(path, _what(found, known=path in own)))
    for path in own:
        if path not in wanted and not any(path in files for files in others):
            _, found = tip.files.get(path, ("", ""))
            if found and found == own[path] and not _is_kept(path, tip.kept):
                changes[path] = None
            elif found:
                left.append(path)
    return Writing(changes, tuple(conflicts), tuple(left))


def summary(changes: Mapping[str, bytes | None], before: Iterable[str]) -> list[str]:
    """A line for each change, as a commit's message tells it."""
    existing = set(before)
    lines = []
    for path, content in changes.items():
        change: Change = "removed" if content is None else "changed" if path in existing else "added"
        lines.append(f"{change} {path}")
    return lines


def stream(
    ref: str, changes: Mapping[str, bytes | None], *, message: str, parent: str | None, author: str
) -> bytes:
    """The commit as git-fast-import(1) reads it, marked `:1`."""
    text = message.encode()
    parts = [
        f"commit {ref}\nmark :1\nauthor {author} now\ncommitter {author} now\n".encode(),
        b"data %d\n%b\n" % (len(text), text),
    ]
    if parent is not None:
        parts.append(f"from {parent}\n".encode())
    for path, content in changes.items():
        if content is None:
            parts.append(b"D %b\n" % _path(path))
        else:
            parts.append(b"M %b inline %b\ndata %d\n" % (_FILE_MODE.encode(), _path(path), len(content)))
            parts += [content, b"\n"]
    return b"".join(parts)


def _path(path: str) -> bytes:
    """A path as fast-import reads it: quoted as in C where it must be."""
    raw = path.encode("utf-8", "surrogateescape")
    if raw.startswith(b'"') or b"\n" in raw:
        return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'
    return raw


def _what(found: str, *, known: bool) -> Literal["changed", "removed", "not zave's"]:
    if not known:
        return "not zave's"
    return "changed" if found else "removed"


def _is_kept(path: str, kept: Collection[str]) -> bool:
    return any(path.startswith(entry) if entry.endswith("/") else path == entry for entry in kept)


def _folders(files: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in files:
        parent = path.rpartition("/")[0]
        while parent and parent not in found:
            found.add(parent)
            parent = parent.rpartition("/")[0]
    return found


def _in_the_way(path: str, mode: str, folders: Collection[str], files: Mapping[str, object]) -> bool:
    """Whether a folder, a link or a submodule stands where a file or its folder must be."""
    if path in folders or (mode and mode not in (_FILE_MODE, "100755")):
        return True
    parent = path.rpartition("/")[0]
    while parent:
        if parent in files:
            return True
        parent = parent.rpartition("/")[0]
    return False
