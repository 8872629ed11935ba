"""What points at the pieces of the AWS demo, word for word. `test_golden.py` says how to accept a change."""

import os
import shutil
from pathlib import Path

from zave.gitops.tree import tree_of
from zave.project import Project
from zave.spec.load import load_spec

GOLDEN = Path(__file__).parent / "gitops" / "aws-demo"
UPDATE = os.environ.get("ZAVE_UPDATE_GOLDEN") == "1"
TAGS = {"zave:instance": "aws-demo", "zave:owner": "me@example.org"}


def files_below(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.suffix == ".yaml")
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(files)}


def test_the_pointers_of_the_aws_demo_are_as_accepted(tmp_path: Path) -> None:
    project = Project()
    spec = load_spec(project.environment_file("aws-demo"))
    tree_of(project, spec, instance="aws-demo", destination=tmp_path, tags=TAGS).write()
    rendered = files_below(tmp_path / "clusters/aws-demo")
    if UPDATE:
        shutil.rmtree(GOLDEN, ignore_errors=True)
        for name, text in rendered.items():
            (GOLDEN / name).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / name).write_text(text)
    assert rendered == files_below(GOLDEN)
