"""The switches of `gitops` and `registry`: what is accepted, and that all of zave knows the same ones."""

import json
from typing import Any, get_args

import pytest

from zave.errors import SpecError, UsageError
from zave.gitops.pieces import layers
from zave.spec.aws import AwsGitOps
from zave.spec.extras import BIGBANG_PACKAGES, EXTRAS, WANTED_VARIABLES, parse_addresses
from zave.spec.gitops import GitOps
from zave.spec.libvirt import LabGitOps, LabRegistry, LibvirtSpec
from zave.spec.load import load_spec, parse_spec, spec_document, spec_from_document, spec_schema


def choices(section: type[Any], name: str) -> set[str]:
    """What a field that is a list of words takes."""
    words, _more = get_args(section.model_fields[name].annotation)
    return set(get_args(words))


def lab(**parts: Any) -> LibvirtSpec:
    spec = parse_spec(json.dumps({"platform": "libvirt-k3s", **parts}), where="environment.yaml")
    assert isinstance(spec, LibvirtSpec)
    return spec


@pytest.mark.parametrize(("platform", "section"), [("libvirt-k3s", LabGitOps), ("aws-eks", AwsGitOps)])
def test_a_spec_takes_the_extras_that_are_for_its_platform(platform: str, section: type[GitOps]) -> None:
    assert choices(section, "extras") == {name for name, kinds in EXTRAS.items() if platform in kinds}


def test_a_spec_takes_the_packages_that_the_tree_has_switches_for() -> None:
    assert choices(GitOps, "bigbang") == set(BIGBANG_PACKAGES)
    assert WANTED_VARIABLES.keys() <= EXTRAS.keys()


@pytest.mark.parametrize("kind", get_args(LabRegistry.model_fields["kind"].annotation))
def test_every_kind_of_registry_has_its_pieces(kind: str) -> None:
    assert layers(lab(registry={"kind": kind}))["platform"]


def test_variables_survive_a_record_and_a_kept_spec(tmp_path: Any) -> None:
    spec = lab(gitops={"variables": {"team": "blue", "_x9": "a: b"}})
    document = spec_document(spec)
    assert document["gitops"]["variables"] == {"team": "blue", "_x9": "a: b"}
    for _ in range(2):
        again = spec_from_document(document, where="record", kept=tmp_path)
        assert again.gitops.variables == {"team": "blue", "_x9": "a: b"}
    file = tmp_path / "environment.yaml"
    file.write_text(json.dumps(document))
    assert load_spec(file) == spec


@pytest.mark.parametrize(
    ("variables", "fix"),
    [
        ({"metallb_addreses": "a"}, "did you mean `metallb_addresses`?"),
        ({"Storage_Class": "nfs"}, "did you mean `storage_class`?"),
        ({"storage_class": "nfs"}, "remove it here, and change that"),
        ({"velero_bucket": "backups"}, "add velero to gitops.extras"),
    ],
)
def test_a_variable_that_nobody_can_use_is_refused_with_what_to_do(
    variables: dict[str, str], fix: str
) -> None:
    with pytest.raises(SpecError) as caught:
        lab(gitops={"variables": variables})
    assert fix in (caught.value.resolution or "")
    assert (caught.value.where or "").startswith("environment.yaml:")


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("10.17.3.240/28", ("10.17.3.240", "10.17.3.255")),
        ("10.17.3.240-10.17.3.250", ("10.17.3.240", "10.17.3.250")),
        ("10.17.3.9 - 10.17.3.9", ("10.17.3.9", "10.17.3.9")),
    ],
)
def test_addresses_are_a_network_or_a_range(text: str, ends: tuple[str, str]) -> None:
    first, last = parse_addresses(text)
    assert (str(first), str(last)) == ends


@pytest.mark.parametrize("text", ["", "10.17.3.240", "10.17.3.1/24", "::1-::2", "a-b", "10.17.3.9-10.17.3.8"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_addresses(text)


@pytest.mark.parametrize("platform", ["libvirt-k3s", "aws-eks"])
def test_editors_learn_the_switches_from_the_schema(platform: str) -> None:
    schema = spec_schema(platform)
    name = "LabGitOps" if platform == "libvirt-k3s" else "AwsGitOps"
    described = schema["$defs"][name]["properties"]
    expected = sorted(extra for extra, kinds in EXTRAS.items() if platform in kinds)
    assert sorted(described["extras"]["items"]["enum"]) == expected
    assert sorted(described["bigbang"]["items"]["enum"]) == sorted(BIGBANG_PACKAGES)
    assert described["variables"]["additionalProperties"]["type"] == "string"
