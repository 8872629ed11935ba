"""Two trees against their declarations, with kustomize's output given: what is allowed, and what is not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from zave.errors import UsageError
from zave.gitops.declared import read_declarations
from zave.gitops.kustomize import build_tree
from zave.gitops.parity import Parity, Side, compare_sides
from zave.schemas import load_schema
from zave.ui.parity import render_parity, render_table

LAYER: Mapping[str, Any] = {
    "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
    "kind": "Kustomization",
    "metadata": {"name": "apps", "namespace": "flux-system"},
    "spec": {
        "path": "./apps",
        "postBuild": {
            "substituteFrom": [{"kind": "ConfigMap", "name": "values"}],
            "substitute": {"own": "1"},
        },
    },
}


def config(name: str, namespace: str = "ns", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


class Built:
    """Stands for kustomize: what each folder of a tree builds to."""

    def __init__(self, tree: Path, folders: Mapping[str, list[Mapping[str, Any]]]) -> None:
        self._texts = {tree / name: yaml.safe_dump_all(objects) for name, objects in folders.items()}
        for folder in self._texts:
            folder.mkdir(parents=True, exist_ok=True)

    def kustomize(self, folder: Path) -> str:
        return self._texts[folder]


def side(
    tmp_path: Path,
    name: str,
    values: Mapping[str, str],
    *objects: Mapping[str, Any],
    platform: str = "aws-eks",
) -> Side:
    tree = tmp_path / name
    root = [LAYER, config("values", "flux-system", **values)]
    folders = {f"clusters/{name}": root, "apps": list(objects)}
    return Side(name, platform, build_tree(tree, instance=name, kustomize=Built(tree, folders)))


def parity(left: Side, right: Side, text: str = "") -> Parity:
    platforms = [left.platform, right.platform]
    found = compare_sides(
        left, right, read_declarations(text.encode() or b"{}", where="parity.yaml", platforms=platforms)
    )
    jsonschema.validate(found.document(), load_schema("parity"))
    return found


DOMAIN = "always: {variables: [{name: domain, reason: its own}]}"


def test_equal_trees_are_in_parity(tmp_path: Path) -> None:
    one, other = (side(tmp_path, name, {"a": "1"}, config("m", k="${a}${own}")) for name in "xy")
    found = parity(one, other)
    assert found.holds
    assert found.document()["objects"] == {"left": 3, "right": 3, "both": 3}


def test_a_declared_variable_excuses_what_it_makes_and_nothing_else(tmp_path: Path) -> None:
    one = side(tmp_path, "x", {"domain": "x.org"}, config("m", url="https://${domain}", other="x"))
    other = side(tmp_path, "y", {"domain": "y.org"}, config("m", url="https://${domain}", other="z"))
    found = parity(one, other, DOMAIN).document()
    assert [(e["object"], e["path"]) for e in found["declared"]] == [
        ("ConfigMap flux-system/values", "data.domain"),
        ("ConfigMap ns/m", "data.url"),
    ]
    assert [(e["path"], e["left"], e["right"]) for e in found["undeclared"]] == [("data.other", "x", "z")]


def test_an_undeclared_variable_is_named(tmp_path: Path) -> None:
    one = side(tmp_path, "x", {"domain": "x", "b": "1"}, config("m", k="${domain}${b}"))
    other = side(tmp_path, "y", {"domain": "y", "b": "2"}, config("m", k="${domain}${b}"))
    entries = parity(one, other, DOMAIN).document()["undeclared"]
    assert [(e["path"], e.get("variables")) for e in entries] == [("data.b", ["b"]), ("data.k", ["b"])]


def test_an_object_of_one_side_must_be_declared_for_its_platform(tmp_path: Path) -> None:
    one = side(tmp_path, "x", {}, platform="libvirt-k3s")
    other = side(tmp_path, "y", {}, config("m"))
    text = "platforms: {objects: [{object: ConfigMap ns/m, only: %s, reason: r}]}"
    [entry] = parity(one, other).document()["undeclared"]
    assert (entry["object"], entry["path"], entry["only"]) == ("ConfigMap ns/m", "", "right")
    assert parity(one, other, text % "aws-eks").holds
    assert not parity(one, other, text % "libvirt-k3s").holds


def test_a_declaration_that_nothing_needs_is_an_error(tmp_path: Path) -> None:
    one, other = (side(tmp_path, name, {"domain": "same"}) for name in "xy")
    found = parity(one, other, DOMAIN)
    assert not found.holds
    assert found.document()["unused"] == [{"declaration": "variable domain", "line": 1, "reason": "its own"}]


def test_a_variable_that_one_side_lacks_is_told_with_object_and_path(tmp_path: Path) -> None:
    one = side(tmp_path, "x", {"domain": "x"}, config("m", k="a ${domain}"))
    other = side(tmp_path, "y", {}, config("m", k="a ${domain}"))
    found = parity(one, other, DOMAIN)
    assert not found.holds
    [entry] = found.document()["undefined"]
    assert (entry["environment"], entry["object"], entry["path"]) == ("y", "ConfigMap ns/m", "data.k")
    text = render_parity(found.document())
    assert "the variable domain is not defined" in text
    assert "ConfigMap ns/m" in text


def test_an_object_in_two_layers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ConfigMap flux-system/values is in two layers"):
        side(tmp_path, "x", {}, config("values", "flux-system"))


@pytest.mark.parametrize("path", ["../apps", "/etc", "./elsewhere"])
def test_a_layer_must_be_a_folder_of_the_tree(tmp_path: Path, path: str) -> None:
    layer = {**LAYER, "spec": {**LAYER["spec"], "path": path}}
    folders: dict[str, list[Mapping[str, Any]]] = {"clusters/x": [layer, config("values", "flux-system")]}
    with pytest.raises(UsageError, match="no folder of the tree"):
        build_tree(tmp_path, instance="x", kustomize=Built(tmp_path, folders))


def test_missing_variables_are_refused_unless_they_are_optional(tmp_path: Path) -> None:
    def build(*, optional: bool) -> None:
        sources = [{"kind": "ConfigMap", "name": "gone", "optional": optional}]
        layer = {**LAYER, "spec": {"path": "./apps", "postBuild": {"substituteFrom": sources}}}
        folders: dict[str, list[Mapping[str, Any]]] = {"clusters/x": [layer], "apps": []}
        build_tree(tmp_path, instance="x", kustomize=Built(tmp_path, folders))

    build(optional=True)
    with pytest.raises(UsageError, match="ConfigMap flux-system/gone"):
        build(optional=False)


def test_people_and_the_documentation_see_both_values(tmp_path: Path) -> None:
    one = side(tmp_path, "x", {"domain": "x|1"}, config("m", k="\x1b[31m", l="${domain}"))
    other = side(tmp_path, "y", {"domain": "y.org"}, config("m", k="b", l="${domain}"))
    document = parity(one, other, DOMAIN).document()
    text = render_parity(document)
    assert "x and y are not the same" in text
    assert "\x1b" not in text
    assert "| variable domain | x\\|1 | y.org | its own |" in render_table(document)
