"""What a plan says of the environment beside the one that it is for."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.integration.gitops.trees import real_kubectl
from zave.cli.app import main
from zave.errors import ToolMissingError
from zave.gitops.kustomize import Kustomize
from zave.lifecycle.parity import parity_of
from zave.lifecycle.place import Place
from zave.project import Project
from zave.spec.load import load_spec


@dataclass
class Counting:
    """The real kustomize; counts what it is asked for."""

    inner: Kustomize
    folders: list[Path] = field(default_factory=list)

    def kustomize(self, folder: Path) -> str:
        self.folders.append(folder)
        return self.inner.kustomize(folder)


Ask = Callable[[], dict[str, Any] | None]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder of a user's own."""
    Project().copy_to(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def kubectl() -> Counting:
    return Counting(real_kubectl())


def place(project: Path, own: Path) -> Place:
    """As much of the home lab's place as a comparison needs; `own` is the instance's folder."""
    site = SimpleNamespace(project=Project(project), folder=SimpleNamespace(root=own))
    spec = load_spec(project / "environments/homelab/environment.yaml")
    return cast(Place, SimpleNamespace(journal=SimpleNamespace(environment="homelab"), site=site, spec=spec))


@pytest.fixture
def ask(project: Path, kubectl: Counting, tmp_path: Path) -> Ask:
    """What a plan for the home lab would say."""
    return lambda: parity_of(place(project, tmp_path / "own"), find=lambda: kubectl)


def change(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_a_second_plan_does_not_compare_again_until_something_changes(
    ask: Ask, kubectl: Counting, project: Path
) -> None:
    first = ask()
    assert first is not None
    assert (first["with"], first["in_parity"], first["problem"]) == ("aws-demo", True, None)
    compared = len(kubectl.folders)
    assert compared > 0
    assert ask() == first
    assert len(kubectl.folders) == compared

    change(project / "templates/gitops/apps/podinfo/route.yaml", "${domain}", "${domian}")
    lost = ask()
    assert lost is not None
    assert (lost["in_parity"], lost["undefined"] > 0) == (False, True)
    assert len(kubectl.folders) > compared


def test_what_is_declared_and_the_other_side_count_as_well(ask: Ask, project: Path) -> None:
    before = ask()
    change(project / "environments/aws-demo/environment.yaml", "karpenter: true", "karpenter: false")
    other = ask()
    declared = project / "environments/parity.yaml"
    declared.write_text(declared.read_text() + "    - {object: Pod a/b, only: aws-eks, reason: none}\n")
    both = ask()
    assert before is not None
    assert other is not None
    assert both is not None
    assert (before["unused"], before["in_parity"], other["in_parity"]) == (0, True, False)
    assert 0 < other["unused"] < both["unused"]


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"digest": 1, "parity": {}}'])
def test_a_damaged_memory_is_made_again(ask: Ask, kubectl: Counting, tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "own/parity.json").write_bytes(damage)
    found = ask()
    assert found is not None
    assert found["in_parity"] is True
    assert kubectl.folders


def test_an_environment_alone_is_compared_with_nobody(ask: Ask, project: Path) -> None:
    (project / "environments/aws-demo/environment.yaml").unlink()
    assert ask() is None


def test_a_bare_cluster_is_compared_with_nobody(ask: Ask, project: Path) -> None:
    change(project / "environments/homelab/environment.yaml", "profile: slim", "profile: none")
    assert ask() is None


def test_a_broken_environment_beside_it_does_not_stop_a_plan(ask: Ask, project: Path) -> None:
    (project / "environments/aws-demo/environment.yaml").write_text("platform: aws-eks\n")
    found = ask()
    assert found is not None
    assert found["in_parity"] is None
    assert "missing" in found["problem"]


def test_without_kubectl_a_plan_says_that_nothing_was_compared(project: Path, tmp_path: Path) -> None:
    def missing() -> Kustomize:
        raise ToolMissingError("kubectl was not found", resolution="install it")

    found = parity_of(place(project, tmp_path / "own"), find=missing)
    assert found is not None
    assert (found["with"], found["in_parity"]) == ("aws-demo", None)
    assert "kubectl" in found["problem"]
    assert not (tmp_path / "own/parity.json").exists()


def test_a_plan_without_parity_says_so_and_exits_with_3_when_asked_for_details(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_kubectl()
    monkeypatch.chdir(project)
    change(project / "environments/homelab/environment.yaml", "tunnel: cloudflare", "tunnel: none")
    assert main(["plan", "homelab", "--rehearse"]) == 0
    assert "Parity: not the same platform as aws-demo: 1 declarations" in capsys.readouterr().out
    assert main(["up", "homelab", "--rehearse", "--yes"]) == 0
    capsys.readouterr()
    assert main(["plan", "homelab", "--rehearse", "--detailed-exitcode", "-o", "json"]) == 3
    told = capsys.readouterr()
    assert json.loads(told.out)["parity"]["unused"] == 1
    assert "parity homelab aws-demo shows what differs" in told.err
