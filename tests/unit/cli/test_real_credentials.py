"""Who is signed in to AWS is decided from variables and files, as boto3 would find them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from zave.cli.real_credentials import SIGNED_IN, credentials, usual_region

KEYS = "aws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without anything of AWS's, and no variables."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def test_whoever_has_nothing_is_not_signed_in() -> None:
    found = credentials()
    assert (found.found, found.note) == (False, None)
    assert usual_region() == "us-east-1"


@pytest.mark.parametrize("name", SIGNED_IN)
def test_a_variable_signs_in(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "something")
    assert credentials().found


@pytest.mark.parametrize(
    "profile",
    [
        KEYS,
        "role_arn = arn:aws:iam::123456789012:role/me\nsource_profile = other\n",
        "credential_process = /usr/bin/keys\n",
        "sso_session = work\nsso_account_id = 123456789012\nsso_role_name = admin\n",
        "sso_start_url = https://example.awsapps.com/start\n",
        "login_session = arn:aws:iam::123456789012:user/me\n",
    ],
)
def test_a_default_profile_with_credentials_signs_in_wherever_it_is(home: Path, profile: str) -> None:
    pytest.importorskip("botocore", reason="the extra `aws` is not installed")
    write(home / ".aws" / "config", f"[default]\n{profile}region = eu-west-1\n")
    assert credentials().found
    assert usual_region() == "eu-west-1"


def test_keys_in_the_credentials_file_sign_in_and_the_region_is_of_the_other(home: Path) -> None:
    pytest.importorskip("botocore", reason="the extra `aws` is not installed")
    write(home / ".aws" / "credentials", f"[default]\n{KEYS}")
    write(home / ".aws" / "config", "[default]\nregion = eu-west-1\n")
    assert credentials().found
    assert usual_region() == "eu-west-1"


@pytest.mark.parametrize("name", ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"])
def test_files_elsewhere_are_honoured(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pytest.importorskip("botocore", reason="the extra `aws` is not installed")
    monkeypatch.setenv(name, str(write(home / "elsewhere", f"[default]\n{KEYS}")))
    assert credentials().found


def test_a_file_elsewhere_takes_the_place_of_the_usual_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("botocore", reason="the extra `aws` is not installed")
    write(home / ".aws" / "credentials", f"[default]\n{KEYS}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(write(home / "elsewhere", "")))
    assert not credentials().found


def test_without_a_default_the_profiles_are_named_with_how_to_choose(home: Path) -> None:
    pytest.importorskip("botocore", reason="the extra `aws` is not installed")
    write(home / ".aws" / "config", f"[profile work]\n{KEYS}[profile empty]\nregion = eu-west-1\n")
    write(home / ".aws" / "credentials", f"[private]\n{KEYS}")
    found = credentials()
    assert not found.found
    assert found.note == "no profile is called default; AWS_PROFILE chooses one: private, work"


def test_a_profile_that_only_names_a_region_signs_nobody_in(home: Path) -> None:
    pytest.importorskip("botocore", reason="the extra `aws` is not installed")
    write(home / ".aws" / "config", "[default]\nregion = eu-west-1\n")
    found = credentials()
    assert (found.found, found.note) == (False, None)


def test_a_file_that_boto3_cannot_read_is_left_to_it_to_complain_of(home: Path) -> None:
    pytest.importorskip("botocore", reason="the extra `aws` is not installed")
    write(home / ".aws" / "credentials", "no section\n")
    assert credentials().found


def test_the_chosen_profiles_region_is_the_usual_one_unless_a_variable_says_another(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("botocore", reason="the extra `aws` is not installed")
    write(home / ".aws" / "config", "[profile work]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert usual_region() == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "ap-south-1")
    assert usual_region() == "ap-south-1"


@pytest.mark.parametrize(("given", "imported"), [({}, "False"), ({"AWS_CONFIG_FILE": "config"}, "True")])
def test_botocore_is_imported_only_where_there_is_a_file(
    home: Path, given: Mapping[str, str], imported: str
) -> None:
    pytest.importorskip("botocore", reason="the extra `aws` is not installed")
    write(home / "config", f"[default]\n{KEYS}")
    program = (
        "import sys; from zave.cli.real_credentials import credentials; credentials();"
        "print('botocore.session' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[3]), **given},
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == imported
