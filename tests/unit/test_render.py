"""Rendering: undefined is an error, values stay literal, folders shared with Terraform stay whole."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml as pyyaml
from hypothesis import given, settings
from hypothesis import strategies as st

from zave.errors import UsageError
from zave.project import Project
from zave.render import MANIFEST, Renderer, hcl, write_tfvars, yaml

HOSTILE = [
    '${file("/etc/passwd")}',
    "%{ if true }x%{ endif }",
    "$${x}",
    "$$${x}",
    "%%{x}",
    "{{ 7 * 7 }}",
    "{% raw %}",
    'a"b\\c',
    "line\nbreak\r\n\ttab",
    "\x1b]0;title\x07",
    "no",
    "1:30:00",
    "~",
    "- a: b # c",
    "\u2028\u2029\u0085\ufeff",
    "😀é",
    "",
    " ",
]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[dict[str, str]], Renderer]:
    def write(files: dict[str, str]) -> Renderer:
        for name, text in files.items():
            path = tmp_path / "project/templates/t" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Renderer(Project(tmp_path / "project", tmp_path / "no-package"))

    return write


Tree = Callable[[dict[str, str]], Renderer]


def test_templates_are_rendered_and_the_rest_is_copied(tree: Tree, tmp_path: Path) -> None:
    renderer = tree({"main.tf.j2": "name = {{ name | hcl }}\n", "sub/plain.tf": "a = {{ not }} rendered\n"})
    result = renderer.render_tree("templates/t", tmp_path / "out", {"name": "x"})

    assert (tmp_path / "out/main.tf").read_text() == 'name = "x"\n'
    assert (tmp_path / "out/sub/plain.tf").read_text() == "a = {{ not }} rendered\n"
    assert sorted(result.files) == ["main.tf", "sub/plain.tf"]


def test_rendered_files_are_for_their_owner_alone(tree: Tree, tmp_path: Path) -> None:
    tree({"sub/a.tf": "x"}).render_tree("templates/t", tmp_path / "out", {})
    modes = {
        p.relative_to(tmp_path).as_posix(): stat.S_IMODE(p.stat().st_mode)
        for p in (tmp_path / "out").rglob("*")
    }
    assert modes == {"out/sub": 0o700, "out/sub/a.tf": 0o600, f"out/{MANIFEST}": 0o600}
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700


def test_an_undefined_variable_names_template_and_line(tree: Tree, tmp_path: Path) -> None:
    renderer = tree({"main.tf.j2": "one\ntwo = {{ missing | hcl }}\n"})
    with pytest.raises(UsageError, match="missing") as caught:
        renderer.render_tree("templates/t", tmp_path / "out", {"name": "x"})
    assert str(caught.value.where).endswith("templates/t/main.tf.j2:2")
    assert not (tmp_path / "out").exists()


def test_an_undefined_variable_in_an_included_file_names_that_file(tree: Tree, tmp_path: Path) -> None:
    renderer = tree({"a.j2": "{% include 'inner.j2' %}\n", "inner.j2": "\n\n{{ missing }}\n"})
    with pytest.raises(UsageError, match="missing") as caught:
        renderer.render_text("templates/t/a.j2", {})
    assert str(caught.value.where).endswith("inner.j2:3")


@pytest.mark.parametrize(
    ("template", "line"),
    [("a\n{% if %}\n", 2), ("{{ }}", 1), ("{% for x in y %}\n", 1), ("a\nb\n{{ 'x' | nofilter }}", 3)],
)
def test_a_broken_template_names_file_and_line(tree: Tree, tmp_path: Path, template: str, line: int) -> None:
    with pytest.raises(UsageError, match="cannot be rendered") as caught:
        tree({"main.tf.j2": template}).render_tree("templates/t", tmp_path / "out", {"y": [1]})
    assert str(caught.value.where).endswith(f"main.tf.j2:{line}")


@pytest.mark.parametrize("value", ["a\0b", "\ud800", b"bytes", object()])
def test_a_value_that_cannot_be_written_is_refused_with_the_line(
    tree: Tree, tmp_path: Path, value: object
) -> None:
    renderer = tree({"x.j2": "\n{{ value | yaml }}\n"})
    with pytest.raises(UsageError) as caught:
        renderer.render_text("templates/t/x.j2", {"value": value})
    assert str(caught.value.where).endswith("x.j2:2")


def test_files_of_an_earlier_render_go_and_all_others_stay(tree: Tree, tmp_path: Path) -> None:
    out = tmp_path / "out"
    renderer = tree({"main.tf": "1", "old.tf": "2"})
    renderer.render_tree("templates/t", out, {})
    foreign = {
        "terraform.tfstate": "state",
        "terraform.tfstate.backup": "backup",
        ".terraform.lock.hcl": "lock",
        ".terraform/modules/modules.json": "{}",
        "mine.tf": "not zave's",
        "zave.auto.tfvars.json": "{}",
    }
    for name, text in foreign.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    (tmp_path / "project/templates/t/old.tf").unlink()

    renderer.render_tree("templates/t", out, {})

    assert not (out / "old.tf").exists()
    assert {name: (out / name).read_text() for name in foreign} == foreign


def test_a_manifest_that_points_elsewhere_removes_nothing(tree: Tree, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in ("../victim", str(victim)):
        (out / MANIFEST).write_text(json.dumps({"digest": "x", "files": {name: "y"}}))
        tree({"main.tf": "1"}).render_tree("templates/t", out, {})
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"files": 3}', '{"files": {}, "digest": "x"}'])
def test_a_damaged_manifest_means_rendering_again(tree: Tree, tmp_path: Path, damage: str) -> None:
    renderer = tree({"main.tf": "1"})
    renderer.render_tree("templates/t", tmp_path / "out", {})
    (tmp_path / "out" / MANIFEST).write_text(damage)
    (tmp_path / "out/main.tf").write_text("edited")
    renderer.render_tree("templates/t", tmp_path / "out", {})
    assert (tmp_path / "out/main.tf").read_text() == "1"


def test_an_edited_or_lost_file_is_put_back(tree: Tree, tmp_path: Path) -> None:
    renderer = tree({"a.tf.j2": "{{ x }}", "b.tf": "b"})
    renderer.render_tree("templates/t", tmp_path / "out", {"x": "1"})
    (tmp_path / "out/a.tf").write_text("edited")
    (tmp_path / "out/b.tf").unlink()
    renderer.render_tree("templates/t", tmp_path / "out", {"x": "1"})
    assert (tmp_path / "out/a.tf").read_text() == "1"
    assert (tmp_path / "out/b.tf").read_text() == "b"


def test_unchanged_files_are_not_touched(tree: Tree, tmp_path: Path) -> None:
    renderer = tree({"a.tf.j2": "{{ x }}", "b.tf": "b"})
    renderer.render_tree("templates/t", tmp_path / "out", {"x": "1"})
    os.utime(tmp_path / "out/b.tf", (1, 1))
    renderer.render_tree("templates/t", tmp_path / "out", {"x": "2"})
    assert (tmp_path / "out/b.tf").stat().st_mtime == 1
    assert (tmp_path / "out/a.tf").read_text() == "2"


def test_a_link_in_the_way_is_replaced_and_its_target_left_alone(tree: Tree, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("1")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.tf").symlink_to(target)
    tree({"a.tf": "1"}).render_tree("templates/t", tmp_path / "out", {})
    assert not (tmp_path / "out/a.tf").is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) != 0o600


def test_no_temporary_file_is_left(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "out/a.tf").mkdir(parents=True)
    with pytest.raises(UsageError, match="is a folder"):
        tree({"a.tf": "1"}).render_tree("templates/t", tmp_path / "out", {})
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.tf"]


def test_a_template_may_not_replace_terraforms_state(tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="belongs to Terraform"):
        tree({"sub.lock.hcl.j2": "x"}).render_tree("templates/t", tmp_path / "out", {})


def test_the_digest_foretells_the_render_and_follows_files_and_values(tree: Tree, tmp_path: Path) -> None:
    renderer = tree({"a.tf.j2": "{{ x }}", "b.tf": "b"})
    before = renderer.digest_of("templates/t", {"x": "1"})
    assert renderer.render_tree("templates/t", tmp_path / "out", {"x": "1"}).digest == before
    assert renderer.digest_of("templates/t", {"x": "2"}) != before
    tree({"b.tf": "changed"})
    assert renderer.digest_of("templates/t", {"x": "1"}) != before


def test_the_digest_compiles_no_template(tree: Tree) -> None:
    assert tree({"broken.j2": "{% if %}"}).digest_of("templates/t", {})


@settings(deadline=None)
@given(TEXT)
def test_yaml_strings_are_read_back_as_they_were(text: str) -> None:
    line = yaml(text)
    assert len(line.splitlines()) == 1
    assert pyyaml.safe_load(f"key: {line}\n") == {"key": text}


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(TEXT.filter(lambda t: len(t) < 200), inner),
        max_leaves=8,
    )
)
def test_yaml_values_are_read_back_as_they_were(value: object) -> None:
    assert pyyaml.safe_load(f"key: {yaml(value)}\n") == {"key": value}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_values_stay_literal_in_yaml(tree: Tree, text: str) -> None:
    rendered = tree({"x.yaml.j2": "a:\n  - {{ v | yaml }}\nb: 1\n"}).render_text(
        "templates/t/x.yaml.j2", {"v": text}
    )
    assert pyyaml.safe_load(rendered) == {"a": [text], "b": 1}


@settings(deadline=None)
@given(TEXT)
def test_hcl_strings_are_one_line_without_an_interpolation(text: str) -> None:
    line = hcl(text)
    assert len(line.splitlines()) == 1
    assert "${" not in line
    assert "%{" not in line
    # what HCL and JSON escape alike
    assert json.loads(line) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: "x"}, {"k" * 1001: 1}, "\0", {"\0": 1}])
def test_yaml_refuses_what_has_no_safe_form(value: object) -> None:
    with pytest.raises(UsageError):
        yaml(value)


@pytest.mark.parametrize("value", [1, True, None, ["x"], "\0"])
def test_hcl_takes_strings_only(value: object) -> None:
    with pytest.raises(UsageError):
        hcl(value)


def test_variables_are_written_as_literal_json_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "root/zave.auto.tfvars.json"
    write_tfvars(path, {"names": HOSTILE, "count": 3})
    assert json.loads(path.read_text()) == {"names": HOSTILE, "count": 3}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    os.utime(path, (1, 1))
    write_tfvars(path, {"count": 3, "names": HOSTILE})
    assert path.stat().st_mtime == 1


@pytest.mark.parametrize("name", ["", "Upper", "a-b", "-var", "a.b", "${x}"])
def test_a_variable_needs_a_name_that_terraform_knows(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        write_tfvars(tmp_path / "x.json", {name: 1})
