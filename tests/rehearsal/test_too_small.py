"""Nodes that are too small for Big Bang are refused before anything is made, with what would do."""

from pathlib import Path

import pytest

from zave.cli.app import main
from zave.project import Project

Said = pytest.CaptureFixture[str]


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environments of a user's own project, in which the test runs."""
    Project().copy_to(tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project/environments"


def change(file: Path, *pairs: tuple[str, str]) -> None:
    for old, new in pairs:
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))


@pytest.mark.parametrize("words", [["plan", "homelab"], ["up", "homelab", "--yes"]])
def test_a_home_lab_that_is_too_small_is_refused(environments: Path, words: list[str], capsys: Said) -> None:
    change(environments / "homelab/environment.yaml", ("profile: slim}", "profile: bigbang}"))
    assert main([*words, "--rehearse"]) == 5
    told = capsys.readouterr().err
    assert "the nodes are too small for Big Bang: 12 vCPU and 25.77 GB in all" in told
    assert "8 vCPU and 32 GB" in told
    assert main(["sweep", "--rehearse"]) == 0
    assert "libvirt_domain" not in capsys.readouterr().out


def test_a_demo_that_is_too_small_is_refused(environments: Path, capsys: Said) -> None:
    change(
        environments / "aws-demo/environment.yaml",
        ("profile: slim}", "profile: bigbang}"),
        ("karpenter: true", "karpenter: false"),
    )
    assert main(["plan", "aws-demo", "--rehearse"]) == 5
    told = capsys.readouterr().err
    assert "the nodes are too small for Big Bang: 4 vCPU and 17.18 GB in all" in told
    assert "eks.nodes.minimum" in told


def test_what_stands_is_taken_down_whatever_its_nodes_are_asked_for_now(
    environments: Path, capsys: Said
) -> None:
    assert main(["up", "homelab", "--rehearse", "--yes"]) == 0
    change(environments / "homelab/environment.yaml", ("profile: slim}", "profile: bigbang}"))
    assert main(["up", "homelab", "--rehearse", "--yes"]) == 5
    # nothing was touched: what stood stands
    capsys.readouterr()
    assert main(["status", "homelab", "--rehearse", "-o", "json"]) == 0
    assert '"phase": "ready"' in capsys.readouterr().out
    assert main(["down", "homelab", "--rehearse", "--yes"]) == 0
