"""What `zave doctor` says of programs that only some verbs need."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Zave

SKOPEO = "#!/bin/sh\necho skopeo version 1.9.3\n"


@pytest.mark.parametrize("there", [True, False])
def test_skopeo_is_looked_for_and_never_needed(
    zave: Zave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    if there:
        (programs / "skopeo").write_text(SKOPEO)
        (programs / "skopeo").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    found: dict[str, Any] = {
        each["check"]: each for each in zave("doctor", "-o", "json").document["findings"]
    }
    skopeo = found["skopeo"]
    assert (skopeo["level"], skopeo["needed"]) == ("ok" if there else "warning", False)
    if there:
        assert skopeo["what"] == f"skopeo version 1.9.3 ({programs / 'skopeo'})"
    else:
        assert "zave push alone" in skopeo["what"]
        assert "nothing else needs it" in skopeo["fix"]
