"""The repository that zave keeps itself: private, quick, and one that anybody with the right can clone."""

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from zave.errors import PreconditionError, ToolFailedError, ToolMissingError
from zave.gitops.repository import LocalRepository
from zave.ports import Outcome, Request
from zave.ports.flux import Source
from zave.process import ProcessRunner
from zave.tools.git import Git, parse_tips


class Counting:
    """The real runner; remembers what was started."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self._runner = ProcessRunner()

    def run(self, request: Request, *, on_line: Callable[[str], None] | None = None) -> Outcome:
        self.started.append(" ".join(request.argv))
        return self._runner.run(request, on_line=on_line)


class Bench:
    """A tree to publish, and where to."""

    def __init__(self, folder: Path) -> None:
        self.runner = Counting()
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.repository = LocalRepository(
            folder / "repository", "trunk", lambda: Git.find(runner=self.runner, scratch=folder / "tmp")
        )

    def publish(self, instance: str = "lab", **files: str) -> Source:
        for name, content in files.items():
            (self.tree / f"{name}.yaml").write_text(content)
        self.runner.started.clear()
        return self.repository.publish(tree=self.tree, instance=instance, names=("apps",), why="why")

    def git(self, *words: str | Path) -> str:
        whole = ["git", "--git-dir", self.repository.path, *words]
        return subprocess.run(whole, check=True, capture_output=True).stdout.decode().strip()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_first_publication_takes_one_process_and_a_rerun_none(bench: Bench) -> None:
    first = bench.publish(a="1\n")
    assert len(bench.runner.started) == 1
    assert bench.publish() == first
    assert bench.runner.started == []
    assert first == Source(
        str(bench.repository.path), "trunk", "clusters/lab", bench.git("rev-parse", "HEAD"), ("apps",)
    )


def test_the_repository_is_whole_and_private(bench: Bench) -> None:
    bench.publish(a="1\n")
    bench.publish(a="2\n")
    bench.git("fsck", "--strict")
    assert bench.git("log", "--format=%an %s") == "zave lab: why\nzave lab: why"
    for folder in (bench.repository.folder, bench.repository.path):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_changed_tree_is_one_commit_more(bench: Bench) -> None:
    first = bench.publish(a="1\n")
    second = bench.publish(a="2\n")
    assert bench.git("rev-list", "trunk").split() == [second.revision, first.revision]


def test_two_instances_live_in_one_repository(bench: Bench) -> None:
    bench.publish("lab", a="1\n")
    bench.publish("demo", a="2\n")
    assert bench.git("show", "trunk:a.yaml") == "2"
    assert bench.git("ls-tree", "-r", "--name-only", "trunk").split() == [
        "a.yaml",
        "clusters/demo/.zave.json",
        "clusters/lab/.zave.json",
    ]


def test_what_was_pushed_to_it_is_built_upon(bench: Bench, tmp_path: Path) -> None:
    bench.publish(a="1\n")
    work = tmp_path / "work"
    subprocess.run(["git", "clone", "-q", bench.repository.path, work], check=True)
    (work / "b").write_text("theirs\n")
    who = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    for words in (["add", "b"], [*who, "commit", "-q", "-m", "mine"], ["push", "-q", "origin", "trunk"]):
        subprocess.run(["git", "-C", work, *words], check=True)
    bench.publish(a="2\n")
    assert bench.git("log", "--format=%s") == "lab: why\nmine\nlab: why"
    assert bench.git("show", "trunk:b") == "theirs"


def test_packed_references_are_read(bench: Bench) -> None:
    first = bench.publish(a="1\n")
    bench.git("pack-refs", "--all")
    assert bench.publish() == first


def test_a_repository_that_lost_its_branch_is_refused(bench: Bench) -> None:
    bench.publish(a="1\n")
    bench.git("update-ref", "-d", "refs/heads/trunk")
    with pytest.raises(PreconditionError, match="is gone"):
        bench.publish()


def test_a_half_made_repository_is_finished(bench: Bench) -> None:
    bench.publish(a="1\n")
    for name in ("HEAD", "refs/heads/trunk"):
        (bench.repository.path / name).unlink()
    (bench.repository.folder / "published.json").unlink()
    source = bench.publish()
    assert bench.git("rev-parse", "trunk") == source.revision


def test_a_branch_never_moves_backward(bench: Bench, tmp_path: Path) -> None:
    first = bench.publish(a="1\n")
    second = bench.publish(a="2\n")
    git = Git.find(runner=ProcessRunner(), scratch=tmp_path / "tmp")
    text = b"commit refs/heads/trunk\nmark :1\ncommitter a <b@c> now\ndata 1\nx\nfrom "
    with pytest.raises(ToolFailedError):
        git.commit(bench.repository.path, text + first.revision.encode() + b"\n")
    assert bench.git("rev-parse", "trunk") == second.revision


def test_a_broken_note_costs_time_and_nothing_else(bench: Bench) -> None:
    first = bench.publish(a="1\n")
    (bench.repository.folder / "published.json").write_text("[")
    assert bench.publish() == first


@pytest.mark.parametrize("said", ["git version 2.31.9", "git version 1.8", "gut", ""])
def test_a_git_that_is_too_old_is_refused(tmp_path: Path, said: str) -> None:
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    git = Git.find(runner=ProcessRunner(), scratch=tmp_path / "tmp", environ={"PATH": str(tmp_path)})
    with pytest.raises(ToolMissingError) as caught:
        git.version()
    assert "Git 2.32 or newer" in str(caught.value.resolution)


def test_a_missing_git_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match="git was not found"):
        Git.find(runner=ProcessRunner(), scratch=tmp_path, environ={"PATH": str(tmp_path)})


def test_only_branches_are_tips() -> None:
    commit = "1" * 40
    listed = f"{commit}\trefs/heads/main\n{commit}\trefs/tags/v1\nwarning: x\n{commit}\tHEAD\n"
    assert parse_tips(listed.encode()) == {"main": commit}
