"""The GitOps tree: what Flux is pointed at, in which order, and what hostile values become."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from zave.gitops.tree import GitOpsTree, flux_url, tree_of
from zave.project import Project
from zave.spec.libvirt import LibvirtSpec
from zave.spec.load import parse_spec

ORDER = ("infrastructure-controllers", "infrastructure-configs", "platform", "apps")


def render(destination: Path, instance: str = "lab", **gitops: Any) -> GitOpsTree:
    text = json.dumps({"platform": "libvirt-k3s", "gitops": gitops})
    spec = parse_spec(text, where="environment.yaml")
    assert isinstance(spec, LibvirtSpec)
    tree = tree_of(Project(), spec, instance=instance, destination=destination)
    tree.write()
    return tree


def objects(file: Path) -> list[Any]:
    return [document for document in yaml.safe_load_all(file.read_text()) if document]


def test_each_layer_waits_for_the_one_before(tmp_path: Path) -> None:
    tree = render(tmp_path)
    layers = objects(tmp_path / "clusters/lab/kustomizations.yaml")

    assert tree.names == ORDER == tuple(layer["metadata"]["name"] for layer in layers)
    after = [[d["name"] for d in layer["spec"].get("dependsOn", [])] for layer in layers]
    assert after == [[], [ORDER[0]], [ORDER[1]], [ORDER[2]]]


def test_each_layer_prunes_waits_and_has_time_limits(tmp_path: Path) -> None:
    render(tmp_path)
    for layer in objects(tmp_path / "clusters/lab/kustomizations.yaml"):
        spec = layer["spec"]
        assert (spec["prune"], spec["wait"]) == (True, True)
        assert {"interval", "retryInterval", "timeout"} <= set(spec)
        assert layer["apiVersion"] == "kustomize.toolkit.fluxcd.io/v1"


@pytest.mark.parametrize("profile", ["slim", "bigbang"])
def test_each_layer_points_at_pieces_that_are_there(tmp_path: Path, profile: str) -> None:
    render(tmp_path, profile=profile)
    layers = objects(tmp_path / "clusters/lab/kustomizations.yaml")
    assert [layer["spec"]["path"] for layer in layers] == [f"./clusters/lab/{name}" for name in ORDER]
    for layer in layers:
        folder = tmp_path / layer["spec"]["path"]
        pieces = objects(folder / "kustomization.yaml")[0]["resources"]
        assert pieces
        for piece in pieces:
            assert objects(folder / piece / "kustomization.yaml")


def test_each_layer_takes_its_variables_from_the_tree(tmp_path: Path) -> None:
    render(tmp_path, "mine")
    [source] = objects(tmp_path / "clusters/mine/variables.yaml")
    assert source["data"]["cluster"] == "zave-mine"
    for layer in objects(tmp_path / "clusters/mine/kustomizations.yaml"):
        wanted = [{"kind": "ConfigMap", "name": source["metadata"]["name"]}]
        assert layer["spec"]["postBuild"] == {"substituteFrom": wanted}
        assert layer["metadata"]["namespace"] == source["metadata"]["namespace"]


@pytest.mark.parametrize(("profile", "judged"), [("slim", True), ("bigbang", False)])
def test_applications_are_waited_for_where_there_are_any(tmp_path: Path, profile: str, judged: bool) -> None:
    render(tmp_path, profile=profile)
    *others, apps = objects(tmp_path / "clusters/lab/kustomizations.yaml")
    assert ("healthCheckExprs" in apps["spec"]) is judged
    assert not any("healthCheckExprs" in layer["spec"] for layer in others)


def test_a_local_repository_gets_its_source_at_the_bootstrap(tmp_path: Path) -> None:
    render(tmp_path)
    assert objects(tmp_path / "clusters/lab/source.yaml") == []
    assert objects(tmp_path / "clusters/lab/kustomization.yaml")[0]["resources"] == [
        "variables.yaml",
        "kustomizations.yaml",
    ]


@pytest.mark.parametrize(
    "repository", ["git@git.example.org:me/lab.git", "https://git.example.org/me/lab.git"]
)
def test_a_remote_repository_becomes_the_source(tmp_path: Path, repository: str) -> None:
    render(tmp_path, repository=repository, branch="next")
    [source] = objects(tmp_path / "clusters/lab/source.yaml")
    assert source["kind"] == "GitRepository"
    assert source["spec"]["url"] == flux_url(repository)
    assert source["spec"]["ref"] == {"branch": "next"}
    assert source["spec"]["secretRef"] == {"name": "zave-git"}
    assert "source.yaml" in objects(tmp_path / "clusters/lab/kustomization.yaml")[0]["resources"]


@pytest.mark.parametrize(
    ("repository", "url"),
    [
        ("git@host:me/lab.git", "ssh://git@host/me/lab.git"),
        ("ssh://git@host:22/me/lab.git", "ssh://git@host:22/me/lab.git"),
        ("https://host/me/lab.git", "https://host/me/lab.git"),
        ("https://host:8443/lab", "https://host:8443/lab"),
    ],
)
def test_repositories_are_named_as_flux_wants_them(repository: str, url: str) -> None:
    assert flux_url(repository) == url


def test_the_digest_follows_what_the_tree_says(tmp_path: Path) -> None:
    first = render(tmp_path / "a")
    assert render(tmp_path / "b").digest == first.digest
    assert render(tmp_path / "a", branch="next").digest != first.digest


@pytest.mark.parametrize(
    "text", ["{{ x }}", "${x}", 'a"b', "a\nb: c", "*x", "&x", "!!python/object:os", "é😀"]
)
def test_hostile_values_stay_literal(tmp_path: Path, text: str) -> None:
    # past the spec's own checks: rendering must not rely on them
    text_spec = parse_spec('{"platform": "libvirt-k3s"}', where="environment.yaml")
    assert isinstance(text_spec, LibvirtSpec)
    gitops = text_spec.gitops.model_copy(update={"repository": f"https://{text}", "branch": text})
    spec = text_spec.model_copy(update={"gitops": gitops})
    tree_of(Project(), spec, instance="lab", destination=tmp_path).write()
    [source] = objects(tmp_path / "clusters/lab/source.yaml")
    assert source["spec"]["ref"] == {"branch": text}
    assert source["spec"]["url"] == f"https://{text}"
