"""Laboratories for rehearsals: of the home lab, of the AWS demo."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rehearsal.aws_lab import AwsLab, Stages
from tests.rehearsal.lab import Lab


@pytest.fixture
def lab(tmp_path: Path, nobodys_environment: Path) -> Iterator[Lab]:
    """An empty lab."""
    state = tmp_path / "state"
    lab = Lab(state=state, home=nobodys_environment)
    yield lab
    _assert_nothing_runs(lab)


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    """The stages of an AWS demo's life, made once for all tests."""
    folder = tmp_path_factory.mktemp("aws")
    home = folder / "home"
    home.mkdir()
    return Stages(AwsLab(state=folder / "state", home=home), folder)


@pytest.fixture
def account_lab(stages: Stages) -> Iterator[AwsLab]:
    """A lab in which the AWS account is set up."""
    lab = stages.begin("account")
    yield lab
    _assert_nothing_runs(lab)


@pytest.fixture
def demo_lab(stages: Stages) -> Iterator[AwsLab]:
    """A lab in which the AWS demo is up, with 48 h to live."""
    lab = stages.begin("demo")
    yield lab
    _assert_nothing_runs(lab)


@pytest.fixture(scope="session")
def homelab_parts(tmp_path_factory: pytest.TempPathFactory) -> Counter[str]:
    """What stands in the world when the home lab is up, from a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    lab = Lab(state=folder / "state", home=folder)
    ended = lab.up()
    assert ended.exit_code == 0, ended.told()
    parts = lab.standing()
    assert parts, "an undisturbed up made nothing"
    return parts


@pytest.fixture
def standing_lab(lab: Lab) -> Lab:
    """A lab in which the home lab is up."""
    ended = lab.up()
    assert ended.exit_code == 0, ended.told()
    return lab


def _assert_nothing_runs(lab: Lab) -> None:
    left = _processes_that_know(lab.state)
    assert not left, f"processes were left behind: {left}"


def _processes_that_know(state: Path) -> list[str]:
    """Live processes whose environment names `state`: Terraform and its plugins inherit it."""
    found = []
    needle = os.fsencode(state)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environ = (entry / "environ").read_bytes()
            command = (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if needle in environ or needle in command:
            found.append(f"{entry.name} {command.replace(bytes(1), b' ').decode(errors='replace').strip()}")
    return found
