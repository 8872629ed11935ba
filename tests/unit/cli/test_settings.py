from pathlib import Path

import pytest

from zave.errors import UsageError
from zave.settings import SETTINGS, load_settings, user_file


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}


def write_user_file(environ: dict[str, str], text: str) -> Path:
    path = user_file(environ)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_each_layer_wins_over_those_below_it(environ: dict[str, str], tmp_path: Path) -> None:
    def parallelism(**more: object) -> tuple[int, str]:
        found = load_settings(environ=environ, project=tmp_path, **more)  # type: ignore[arg-type]
        return found.parallelism, found.origins["parallelism"]

    assert parallelism() == (10, "default")
    user = write_user_file(environ, "# mine\nparallelism = 2\n")
    assert parallelism() == (2, f"{user}:2")
    (tmp_path / "zave.toml").write_text("parallelism = 3\n")
    assert parallelism() == (3, f"{tmp_path}/zave.toml:1")
    environ["ZAVE_PARALLELISM"] = "4"
    assert parallelism() == (4, "ZAVE_PARALLELISM")
    assert parallelism(flags={"parallelism": "5"}) == (5, "flag --parallelism")


def test_a_flag_that_was_not_given_changes_nothing(environ: dict[str, str]) -> None:
    settings = load_settings(environ=environ, project=None)
    assert settings.with_flags({"speed": None}) == settings


def test_a_relative_xdg_folder_is_ignored(tmp_path: Path) -> None:
    found = user_file({"XDG_CONFIG_HOME": "relative", "HOME": str(tmp_path)})
    assert found == tmp_path / ".config" / "zave" / "config.toml"


def test_no_color_is_obeyed_unless_zave_is_told_otherwise(environ: dict[str, str]) -> None:
    environ["NO_COLOR"] = "1"
    assert load_settings(environ=environ, project=None).color == "never"
    environ["ZAVE_COLOR"] = "always"
    assert load_settings(environ=environ, project=None).color == "always"


def test_a_duration_is_read_as_seconds(environ: dict[str, str]) -> None:
    environ["ZAVE_STEP_TIMEOUT"] = "90m"
    assert load_settings(environ=environ, project=None).step_timeout == 5400


@pytest.mark.parametrize(
    ("text", "line", "brief", "resolution"),
    [
        ("\nparalelism = 3\n", 2, "unknown setting `paralelism`", "did you mean `parallelism`?"),
        ("output = 'xml'\n", 1, "output cannot be 'xml'", "one of text, json"),
        ("parallelism = 0\n", 1, "parallelism cannot be '0'", "from 1 to 64"),
        ("parallelism = true\n", 1, "parallelism cannot be 'True'", "whole number"),
        ("no_input = 'maybe'\n", 1, "no_input cannot be 'maybe'", "true or false"),
        ("step_timeout = 90\n", 1, "step_timeout cannot be '90'", "90s"),
        ("speed = -1\n", 1, "speed cannot be '-1'", "number"),
        ("speed = 1e99\n", 1, "speed cannot be '1e+99'", "number"),
        ("\n\n[rehearsal]\nspeed = 1\n", 3, "unknown setting `rehearsal`", "the settings are"),
        ("output = \n", 1, "not TOML", ""),
    ],
)
def test_a_wrong_file_is_told_with_its_line(
    environ: dict[str, str], tmp_path: Path, *, text: str, line: int, brief: str, resolution: str
) -> None:
    (tmp_path / "zave.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_settings(environ=environ, project=tmp_path)
    assert brief in caught.value.brief
    assert caught.value.where == f"{tmp_path}/zave.toml:{line}"
    assert resolution in (caught.value.resolution or "")


def test_a_wrong_variable_is_told_by_its_name(environ: dict[str, str]) -> None:
    environ["ZAVE_LOG_KEEP"] = "many"
    with pytest.raises(UsageError) as caught:
        load_settings(environ=environ, project=None)
    assert caught.value.where == "ZAVE_LOG_KEEP"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 70_000])
def test_a_file_that_is_no_settings_file_is_refused(
    environ: dict[str, str], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "zave.toml").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_settings(environ=environ, project=tmp_path)
    assert str(tmp_path) in (caught.value.where or "")


def test_every_default_passes_its_own_check() -> None:
    for setting in SETTINGS:
        shown = "2h" if setting.name == "step_timeout" else setting.default
        assert setting.parse(shown) == setting.default
