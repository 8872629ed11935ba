import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zave.errors import ExitCode, UsageError
from zave.spec.names import RESERVED, check_name, nearest_name


@pytest.mark.parametrize("name", ["a", "homelab", "aws-demo", "lab2", "a" * 32, "x-1-y"])
def test_ordinary_names_are_accepted_unchanged(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "-rf",
        "--all",
        "a--b",
        "a-",
        "1a",
        "Homelab",
        "home lab",
        "home_lab",
        "a.b",
        "homelab\n",
        "homelab\x00",
        "zäve",
        "\uff41",
        "a" * 33,
        "~",
        "${x}",
        "{{x}}",
        "a;b",
        "$(id)",
    ],
)
def test_names_that_could_be_paths_flags_or_code_are_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_name(name)
    assert caught.value.exit_code == ExitCode.USAGE
    assert caught.value.brief.isprintable()


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_words_of_zaves_own_are_refused_with_a_free_name(name: str) -> None:
    with pytest.raises(UsageError, match="keeps that word for itself") as caught:
        check_name(name)
    assert f"`my-{name}`" in (caught.value.resolution or "")


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("Home Lab", "home-lab"),
        ("home_lab", "home-lab"),
        ("../x", "x"),
        ("-rf", "rf"),
        ("zäve", "my-zave"),
        ("2nd-lab", "nd-lab"),
        ("a--b", "a-b"),
        ("x" * 40, "x" * 32),
    ],
)
def test_refusal_names_the_nearest_valid_name(wrong: str, nearest: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_name(wrong)
    assert f"the nearest is `{nearest}`" in (caught.value.resolution or "")
    assert check_name(nearest) == nearest


def test_refusal_says_what_is_named() -> None:
    with pytest.raises(UsageError, match="cannot name an instance"):
        check_name("a b", what="instance")


def test_refusal_without_anything_to_keep_suggests_nothing() -> None:
    assert nearest_name("///") is None
    with pytest.raises(UsageError) as caught:
        check_name("///")
    assert "nearest" not in (caught.value.resolution or "")


@given(st.text())
def test_suggestions_are_always_valid_names(text: str) -> None:
    nearest = nearest_name(text)
    assert nearest is None or check_name(nearest) == nearest


def test_names_and_units_are_light_to_import() -> None:
    code = (
        "import sys, zave.spec.names, zave.spec.units;"
        "sys.exit(any(name in sys.modules for name in ('pydantic', 'yaml', 'ipaddress', 'json')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
