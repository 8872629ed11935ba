"""Mistakes in a Terraform module: the rehearsal fails as the real provider would, naming file and line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rehearsal.lab import Lab


@dataclass(frozen=True)
class Mistake:
    """In `file`, the first line that starts with `line` becomes `wrong`; the message names `words`.

    `shift` is how far from there Terraform sees it: a missing argument is reported at its block.
    """

    file: str
    line: str
    wrong: str
    words: tuple[str, ...]
    block: str | None = None


MISTAKES = {
    "misspelt attribute": Mistake("domain.tf", "memory_unit", 'memory_unti = "MiB"', ("memory_unti",)),
    "missing required argument": Mistake(
        "volumes.tf", "name ", "", ("name", "required"), block='resource "libvirt_volume" "disk"'
    ),
    "computed attribute set": Mistake(
        "volumes.tf", "pool ", 'pool = var.pool\n  path = "/tmp/disk"', ("path",)
    ),
    "string for a number": Mistake("domain.tf", "vcpu ", 'vcpu = "four"', ("vcpu", "number")),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=[name.replace(" ", "-") for name in MISTAKES])
def test_a_mistake_in_a_module_is_found_where_it_stands(mistake: Mistake, lab: Lab, tmp_path: Path) -> None:
    project = tmp_path / "project"
    made = lab.zave("init", str(project))
    assert made.exit_code == 0, made.told()
    module = project / "terraform-modules" / "libvirt-vm" / mistake.file
    lines = module.read_text().splitlines()
    wrong_at = next(number for number, line in enumerate(lines) if line.strip().startswith(mistake.line))
    shown_at = _line_of(lines, mistake.block) if mistake.block else wrong_at + mistake.wrong.count("\n")
    lines[wrong_at] = f"  {mistake.wrong}"
    module.write_text("\n".join(lines) + "\n")

    failed = lab.up("--project", str(project))
    assert failed.exit_code == 1, failed.told()
    complaint = failed.complaint()
    assert f"terraform-modules/libvirt-vm/{mistake.file}:{shown_at + 1}" in complaint, complaint
    assert all(word in complaint for word in mistake.words), complaint
    assert not lab.standing()


def test_the_packaged_modules_are_used_when_the_project_overrides_nothing(lab: Lab, tmp_path: Path) -> None:
    project = tmp_path / "project"
    assert lab.zave("init", str(project)).exit_code == 0
    ended = lab.up("--project", str(project))
    assert ended.exit_code == 0, ended.told()


def _line_of(lines: list[str], start: str) -> int:
    return next(number for number, line in enumerate(lines) if line.strip().startswith(start))
