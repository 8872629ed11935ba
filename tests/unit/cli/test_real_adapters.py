"""What real environments are given: a temporary folder that nobody else can read or plant something in."""

from pathlib import Path

import pytest

from zave.aws.locks import LONGEST_APPLY
from zave.cli.real import Real, private_temporary_folder
from zave.errors import PreconditionError
from zave.process import ProcessRunner
from zave.project import Project
from zave.settings import default_settings
from zave.state.directory import InstanceFolder, StateDirectory


def test_terraform_gets_a_private_folder_that_stays_the_same(tmp_path: Path) -> None:
    base = Path("/") / "tmp" / f"z{abs(hash(tmp_path)) % 10**8}"
    try:
        folder = private_temporary_folder(base)
        assert folder == base / "tmp"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert private_temporary_folder(base) == folder
    finally:
        (base / "tmp").rmdir()
        base.rmdir()


def test_a_long_state_directory_leaves_room_for_a_plugins_socket(tmp_path: Path) -> None:
    folder = private_temporary_folder(tmp_path / ("long" * 30))
    assert len(str(folder)) <= 70
    assert folder == private_temporary_folder(tmp_path / ("long" * 30))
    assert folder != private_temporary_folder(tmp_path / ("other" * 30))


@pytest.mark.parametrize("planted", ["open to all", "a link"])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, planted: str) -> None:
    base = tmp_path / ("long" * 30)
    folder = private_temporary_folder(base)
    folder.rmdir()
    try:
        if planted == "a link":
            folder.symlink_to(tmp_path)
        else:
            folder.mkdir()
            folder.chmod(0o777)
        with pytest.raises(PreconditionError) as caught:
            private_temporary_folder(base)
        assert str(folder) in caught.value.brief
    finally:
        folder.unlink() if folder.is_symlink() else folder.rmdir()


@pytest.mark.parametrize(
    ("asked", "in_an_account"), [("90m", 5400), ("2h", LONGEST_APPLY), ("5h", LONGEST_APPLY)]
)
def test_no_apply_in_an_account_outlives_the_belief_in_its_lock(
    asked: str, in_an_account: float, tmp_path: Path
) -> None:
    folder = InstanceFolder(tmp_path / "instance")
    settings = default_settings().with_flags({"step_timeout": asked})
    real = Real(StateDirectory(tmp_path, tmp_path), settings, ProcessRunner(), Project())
    assert real.accounts.terraform(folder, {}).limits.apply == in_an_account
