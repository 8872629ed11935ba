"""What every test needs: none of them may see the state, the settings or the Terraform of who runs them."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def nobodys_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Points zave at an empty home, and drops whatever the caller's shell says about zave and Terraform."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("ZAVE_", "TF_", "AWS_", "XDG_")) and not name.startswith("ZAVE_DRILL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("ZAVE_STATE_DIR", str(home / "state"))
    return home
