"""`zave parity` as people and programs call it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.integration.gitops.trees import real_kubectl, render
from zave.cli.app import main
from zave.project import Project
from zave.schemas import load_schema

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    real_kubectl()
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> tuple[int, str, str]:
        status = main(["parity", *map(str, words)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder of a user's own."""
    Project().copy_to(tmp_path / "project")
    return tmp_path / "project"


def change(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_the_shipped_environments_are_in_parity(call: Call) -> None:
    status, out, _ = call("homelab", "aws-demo")
    assert status == 0
    assert "homelab and aws-demo are one platform" in out


def test_programs_get_one_document(call: Call) -> None:
    status, out, _ = call("aws-demo", "homelab", "-o", "json")
    document: dict[str, Any] = json.loads(out)
    jsonschema.validate(document, load_schema("parity"))
    assert (status, document["in_parity"]) == (0, True)
    assert document["left"] == {"environment": "aws-demo", "platform": "aws-eks"}


def test_a_difference_exits_with_3_and_shows_both_values(call: Call, project: Path) -> None:
    gateway = project / "templates/gitops/infrastructure/configs/gateway-on-aws/load-balancer.yaml"
    change(gateway, "    service:\n", "    replicaCount: 3\n    service:\n")
    status, out, err = call("homelab", "aws-demo", "--project", project)
    assert status == 3
    [line] = [line.split() for line in out.splitlines() if "replicaCount" in line]
    assert line == ["HelmRelease", "istio-ingress/gateway", "spec.values.replicaCount", "2", "3"]
    assert "declare the difference" in err


def test_an_undefined_variable_exits_with_3(call: Call, project: Path) -> None:
    route = project / "templates/gitops/apps/podinfo/route.yaml"
    change(route, "${domain}", "${domian}")
    status, out, _ = call("homelab", "aws-demo", "--project", project)
    assert status == 3
    assert "the variable domian is not defined" in out


def test_a_declaration_that_nothing_needs_exits_with_3_and_names_its_line(call: Call, project: Path) -> None:
    declared = project / "environments/parity.yaml"
    declared.write_text(declared.read_text() + "    - {object: Pod a/b, only: aws-eks, reason: none}\n")
    line = len(declared.read_text().splitlines())
    status, out, _ = call("homelab", "aws-demo", "--project", project)
    assert status == 3
    assert f"{line} " in out
    assert "Pod a/b only in aws-eks" in out


def test_a_switch_of_one_environment_must_be_declared(call: Call, project: Path) -> None:
    change(project / "environments/homelab/environment.yaml", "tunnel: cloudflare", "tunnel: none")
    status, out, _ = call("homelab", "aws-demo", "--project", project)
    assert status == 3
    assert "* cloudflared* only in libvirt-k3s" in out


def test_what_was_committed_can_be_compared_instead(call: Call, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    for name in ("homelab", "aws-demo"):
        render(name, repository)
    assert call("homelab", "aws-demo", "--repository", repository)[0] == 0
    shutil.rmtree(repository / "clusters/aws-demo")
    status, _, err = call("homelab", "aws-demo", "--repository", repository)
    assert status == 2
    assert "clusters/aws-demo" in err


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["homelab"], 2),
        (["homelab", "elsewhere"], 2),
        (["homelab", "../x"], 2),
        (["homelab", "homelab"], 2),
        (["homelab", "aws-demo", "--repository", "/nowhere/at/all"], 2),
    ],
)
def test_what_makes_no_sense_exits_with_2(call: Call, words: list[str], status: int) -> None:
    assert call(*words)[0] == status


def test_a_bare_cluster_has_nothing_to_compare(call: Call, project: Path) -> None:
    change(project / "environments/homelab/environment.yaml", "profile: slim", "profile: none")
    status, _, err = call("homelab", "aws-demo", "--project", project)
    assert status == 2
    assert "has no tree" in err


def test_a_missing_kubectl_is_told_with_how_to_get_it(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    status, _, err = call("homelab", "aws-demo")
    assert status == 5
    assert "kubectl" in err


def test_the_table_of_the_documentation_is_the_one_of_the_shipped_environments(call: Call) -> None:
    status, out, _ = call("homelab", "aws-demo", "--table")
    assert status == 0
    documentation = Path(__file__).resolve().parents[3] / "docs/parity.md"
    assert out in documentation.read_text()
