"""What zave may write over: only what zave wrote."""

import subprocess
from pathlib import Path

import pytest

from zave.gitops.published import (
    Conflict,
    Tip,
    list_of,
    object_id,
    read_kept,
    read_list,
    rendered,
    stream,
    write_list,
    writing,
)

OLD, NEW, THEIRS = b"old\n", b"new\n", b"theirs\n"
PATH = "apps/one.yaml"


def tip(content: bytes | None, *, written: bytes | None, kept: tuple[str, ...] = (), by: str = "lab") -> Tip:
    """A branch where PATH is `content`, and where the list of `by` says that zave wrote `written`."""
    files = {} if content is None else {PATH: ("100644", object_id(content))}
    lists = {} if written is None else {by: {PATH: object_id(written)}}
    return Tip(files, lists, kept)


@pytest.mark.parametrize(
    ("there", "written", "wanted", "changes"),
    [
        (None, None, NEW, {PATH: NEW}),
        (OLD, OLD, NEW, {PATH: NEW}),
        (OLD, OLD, OLD, {}),
        (NEW, OLD, NEW, {}),
        (OLD, OLD, None, {PATH: None}),
        # the user's own change, and nothing new of zave's
        (THEIRS, OLD, OLD, {}),
        (None, OLD, OLD, {}),
        (THEIRS, OLD, None, {}),
        (None, OLD, None, {}),
    ],
)
def test_what_is_written(
    there: bytes | None, written: bytes | None, wanted: bytes | None, changes: dict[str, bytes | None]
) -> None:
    files = {} if wanted is None else {PATH: wanted}
    found = writing("lab", files, tip(there, written=written))
    assert (dict(found.changes), found.conflicts) == (changes, ())


@pytest.mark.parametrize(
    ("there", "written", "word"),
    [(THEIRS, OLD, "changed"), (None, OLD, "removed"), (THEIRS, None, "not zave's")],
)
def test_what_is_refused(there: bytes | None, written: bytes | None, word: str) -> None:
    found = writing("lab", {PATH: NEW}, tip(there, written=written))
    assert [(each.path, each.found) for each in found.conflicts] == [(PATH, word)]
    assert not found.changes


def test_a_base_that_another_instance_wrote_is_zaves_too() -> None:
    found = writing("demo", {PATH: NEW}, tip(OLD, written=OLD, by="lab"))
    assert (dict(found.changes), found.conflicts) == ({PATH: NEW}, ())


def test_a_base_that_another_instance_still_wants_is_not_removed() -> None:
    files = {PATH: ("100644", object_id(OLD))}
    both = {"lab": {PATH: object_id(OLD)}, "demo": {PATH: object_id(OLD)}}
    assert not writing("demo", {}, Tip(files, both)).changes
    assert writing("demo", {}, Tip(files, {"demo": both["demo"]})).changes == {PATH: None}


@pytest.mark.parametrize("entry", [PATH, "apps/", "/apps/one.yaml"])
def test_what_is_kept_is_neither_written_nor_removed(entry: str) -> None:
    kept = read_kept(f"# mine\n\n{entry}\n".encode())
    assert writing("lab", {PATH: NEW}, tip(THEIRS, written=OLD, kept=kept)).conflicts == ()
    assert not writing("lab", {}, tip(OLD, written=OLD, kept=kept)).changes


@pytest.mark.parametrize("path", ["apps", "apps/one.yaml/below"])
def test_a_file_in_the_way_is_refused(path: str) -> None:
    found = writing("lab", {path: NEW}, tip(OLD, written=OLD))
    assert Conflict(path, "a folder or a link") in found.conflicts


def test_a_link_in_the_way_is_refused() -> None:
    at = Tip({PATH: ("120000", object_id(OLD))}, {"lab": {PATH: object_id(OLD)}})
    assert writing("lab", {PATH: NEW}, at).conflicts == (Conflict(PATH, "a folder or a link"),)


def test_the_list_itself_is_always_written() -> None:
    path = list_of("lab")
    at = Tip({path: ("100644", object_id(THEIRS))}, {"lab": {}})
    assert writing("lab", {path: NEW}, at).changes == {path: NEW}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": "other"}', b'{"schema": 1, "files": 3}'])
def test_a_broken_list_makes_everything_the_users(content: bytes) -> None:
    assert read_list(content) == {}


def test_a_list_is_read_as_it_was_written() -> None:
    assert read_list(write_list("lab", {PATH: "1" * 40})) == {PATH: "1" * 40}


def test_an_object_is_named_as_git_names_it(tmp_path: Path) -> None:
    content = b"kind: One\n\0\xff"
    ran = subprocess.run(["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True)
    assert ran.stdout.decode().strip() == object_id(content)


def test_the_renderers_own_lists_are_not_part_of_a_tree(tmp_path: Path) -> None:
    for name in ("apps/one.yaml", "apps/.zave-rendered.json", "apps/.hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert list(rendered(tmp_path)) == ["apps/.hidden", "apps/one.yaml"]


def test_odd_names_arrive_as_they_are(tmp_path: Path) -> None:
    names = {'a "quoted".yaml', '"begins', "line\nend", "ü b", "back\\slash"}
    text = stream(
        "refs/heads/main",
        dict.fromkeys(names, NEW),
        message="why",
        parent=None,
        author="a <b@c>",
    )
    subprocess.run(["git", "init", "-q", "--bare", tmp_path], check=True)
    words: list[str | Path] = ["git", "--git-dir", tmp_path, "fast-import", "--quiet", "--date-format=now"]
    subprocess.run(words, input=text, check=True)
    listed: list[str | Path] = ["git", "--git-dir", tmp_path, "ls-tree", "-r", "-z", "--name-only", "main"]
    found = subprocess.run(listed, capture_output=True, check=True).stdout.decode().split("\0")
    assert set(found[:-1]) == names
