"""A folder in place of the registry: what is in it comes from there alone, everything else does not."""

from pathlib import Path

import pytest

from zave.errors import PreconditionError
from zave.tools.terraform_mirror import cli_configuration, providers_in


def stocked(folder: Path, *providers: str) -> Path:
    for provider in providers:
        (folder / provider / "1.0.0/linux_amd64").mkdir(parents=True)
    return folder


def test_providers_of_the_mirror_come_from_nowhere_else(tmp_path: Path) -> None:
    mirror = stocked(tmp_path / "m", "registry.example.org/b/two", "registry.example.org/a/one")
    text = cli_configuration(mirror, tmp_path / "state/providers.tfrc").read_text()
    names = '["registry.example.org/a/one", "registry.example.org/b/two"]'
    assert f"include = {names}" in text
    assert f"exclude = {names}" in text
    assert f'path    = "{mirror}"' in text


def test_a_path_with_special_characters_stays_literal(tmp_path: Path) -> None:
    mirror = stocked(tmp_path / 'a "b" ${c}', "r/n/t")
    text = cli_configuration(mirror, tmp_path / "providers.tfrc").read_text()
    assert 'a \\"b\\" \\u0024{c}"' in text


def test_the_configuration_is_private(tmp_path: Path) -> None:
    made = cli_configuration(stocked(tmp_path / "m", "r/n/t"), tmp_path / "s/providers.tfrc")
    assert made.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("made", [False, True])
def test_a_mirror_without_providers_is_refused(tmp_path: Path, made: bool) -> None:
    mirror = tmp_path / "m"
    if made:
        (mirror / "r/n/empty").mkdir(parents=True)
    with pytest.raises(PreconditionError) as caught:
        providers_in(mirror)
    assert caught.value.where == "ZAVE_PROVIDER_MIRROR"
