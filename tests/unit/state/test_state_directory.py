import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from zave.errors import StateError, UsageError
from zave.state.directory import StateDirectory
from zave.state.store import StateStore


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"ZAVE_STATE_DIR": "/a/b", "XDG_STATE_HOME": "/x", "HOME": "/h"}, "/a/b"),
        ({"ZAVE_STATE_DIR": "", "XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/zave"),
        ({"HOME": "/h"}, "/h/.local/state/zave"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/zave"),
    ],
)
def test_directory_is_found_by_the_environment(environ: dict[str, str], expected: str) -> None:
    assert StateDirectory.locate(environ, rehearsal=False).root == Path(expected)


def test_relative_directory_is_made_absolute_so_that_a_child_elsewhere_finds_it() -> None:
    assert StateDirectory.locate({"ZAVE_STATE_DIR": "here"}, rehearsal=False).root == Path.cwd() / "here"


def test_rehearsal_shares_nothing_with_the_real_record() -> None:
    real = StateDirectory.locate({"ZAVE_STATE_DIR": "/a"}, rehearsal=False)
    rehearsal = StateDirectory.locate({"ZAVE_STATE_DIR": "/a"}, rehearsal=True)
    assert rehearsal.root == Path("/a/rehearsal")
    assert rehearsal.database != real.database
    assert rehearsal.instance("homelab").root != real.instance("homelab").root


def test_everything_made_is_private_whatever_the_umask(
    directory: StateDirectory, open_store: Callable[[], StateStore]
) -> None:
    before = os.umask(0)
    try:
        store = open_store()
        run = store.begin_run(instance="homelab", command="up", arguments=[])
        store.put_fact("homelab", "key", 1)
        store.backup()
        directory.instance("homelab").prepare_run(run.id)
        made = list(directory.root.rglob("*"))
        modes = {path: mode_of(path) for path in (directory.root, *made)}
    finally:
        os.umask(before)
    assert {"state.db", "state.db-wal", "state.db-shm", "state.sequence"} <= {path.name for path in made}
    assert any(path.parent == directory.backups for path in made)
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items()), modes


def test_rights_to_read_that_others_have_are_taken_away(directory: StateDirectory) -> None:
    directory.root.mkdir(parents=True)
    directory.backups.mkdir()
    directory.world.touch()
    for path, mode in ((directory.root, 0o755), (directory.backups, 0o755), (directory.world, 0o644)):
        path.chmod(mode)
    directory.prepare()
    assert mode_of(directory.root) == mode_of(directory.backups) == 0o700
    assert mode_of(directory.world) == 0o600


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702, 0o1777])
def test_folder_that_others_can_write_to_is_refused_with_the_command_that_helps(
    directory: StateDirectory, mode: int
) -> None:
    directory.root.mkdir(parents=True)
    directory.root.chmod(mode)
    with pytest.raises(StateError) as refused:
        directory.prepare()
    assert f"chmod 700 {directory.root}" in str(refused.value.resolution)
    assert mode_of(directory.root) == mode, "a refusal changes nothing"


@pytest.mark.parametrize("name", ["state.db", "state.db-wal", "state.sequence", "world.db"])
def test_file_that_others_can_write_to_is_refused(directory: StateDirectory, name: str) -> None:
    directory.prepare()
    file = directory.root / name
    file.touch()
    file.chmod(0o666)
    with pytest.raises(StateError) as refused:
        directory.prepare()
    assert f"chmod 600 {file}" in str(refused.value.resolution)


def test_rehearsal_is_refused_inside_a_folder_that_others_can_write_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(tmp_path)}, rehearsal=True)
    with pytest.raises(StateError, match="can be changed by other users"):
        directory.prepare()
    assert not directory.root.exists()


def test_symlinked_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="symbolic link"):
        StateDirectory.locate({"ZAVE_STATE_DIR": str(tmp_path / "state")}, rehearsal=False).prepare()
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["state.db", "state.db-wal", "state.db-shm", "state.lock", "repair.lock", "backups", "instances"]
)
def test_symlink_inside_is_refused_even_when_it_leads_nowhere(directory: StateDirectory, name: str) -> None:
    directory.prepare()
    (directory.root / name).symlink_to(directory.base.parent / "target")
    with pytest.raises(StateError, match="symbolic link"):
        directory.prepare()
    assert not (directory.base.parent / "target").exists()


def test_pipe_in_the_place_of_the_database_is_refused_and_not_waited_for(directory: StateDirectory) -> None:
    directory.prepare()
    os.mkfifo(directory.database, 0o600)
    with pytest.raises(StateError, match="is not a file"):
        directory.prepare()


def test_file_in_the_place_of_the_root_is_refused(directory: StateDirectory) -> None:
    directory.root.parent.mkdir(exist_ok=True)
    directory.root.touch()
    with pytest.raises(StateError, match="is not a folder"):
        directory.prepare()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("rehearsal", [True, False])
def test_a_directory_that_takes_nothing_is_told_with_the_reason(tmp_path: Path, rehearsal: bool) -> None:
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(tmp_path / "state")}, rehearsal=rehearsal)
    directory.prepare()
    directory.base.chmod(0o500)
    with pytest.raises(
        StateError, match="the state directory cannot be written: Permission denied"
    ) as caught:
        directory.prepare()
    assert "ZAVE_STATE_DIR" in (caught.value.resolution or "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_another_user_is_refused(directory: StateDirectory) -> None:
    directory.prepare()
    os.chown(directory.root, 12345, 12345)
    with pytest.raises(StateError, match="uid 12345"):
        directory.prepare()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-rf", ".hidden", "a\0b", "a\nb", "x" * 200])
def test_hostile_name_of_an_instance_never_becomes_a_path(directory: StateDirectory, name: str) -> None:
    with pytest.raises(UsageError):
        directory.instance(name)


@pytest.mark.parametrize(
    "run_id", ["", "..", "../../x", "20261123T101500-00A3F1", "20261123T101500-00a3f1/x"]
)
def test_hostile_run_never_becomes_a_path(directory: StateDirectory, run_id: str) -> None:
    folder = directory.instance("homelab")
    for path in (folder.run_events, folder.prepare_run, lambda name: folder.run_log(name, "infra")):
        with pytest.raises(UsageError):
            path(run_id)


@pytest.mark.parametrize("step", ["", "..", "../x", "/etc/passwd", "-x"])
def test_hostile_step_never_becomes_a_path(directory: StateDirectory, step: str) -> None:
    with pytest.raises(UsageError):
        directory.instance("homelab").run_log("20261123T101500-00a3f1", step)


def test_prepared_run_has_folders_for_its_logs_and_events(directory: StateDirectory) -> None:
    folder = directory.instance("homelab")
    folder.prepare_run("20261123T101500-00a3f1")
    for path in (
        folder.run_log("20261123T101500-00a3f1", "infra"),
        folder.run_events("20261123T101500-00a3f1"),
    ):
        path.write_text("it can be written")
        assert path.is_relative_to(folder.root)
