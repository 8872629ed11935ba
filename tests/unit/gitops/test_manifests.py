"""Objects out of YAML: identities, substitution as Flux does it, scalars as Go reads them."""

import pytest

from zave.errors import UsageError
from zave.gitops.manifests import Identity, Manifest, read_manifests

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\n  namespace: ns\n"


def read(text: str, variables: dict[str, str] | None = None) -> list[Manifest]:
    return list(read_manifests(text, layer="apps", variables=variables))


def data(text: str, variables: dict[str, str] | None = None) -> object:
    [manifest] = read(f"{HEAD}data:\n  k: {text}\n", variables)
    return manifest.value["data"]["k"]


def test_each_document_is_an_object_with_its_identity() -> None:
    role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\n"
    found = read(f"---\n{HEAD}---\n\n---\n{role}")
    assert [m.identity for m in found] == [
        Identity("ConfigMap", "ns", "m"),
        Identity("ClusterRole", "", "r", "rbac.authorization.k8s.io"),
    ]
    assert [str(m.identity) for m in found] == ["ConfigMap ns/m", "ClusterRole r"]
    assert {m.layer for m in found} == {"apps"}


def test_variables_are_replaced_in_the_text_so_a_value_may_be_a_structure() -> None:
    assert data("${tags}", {"tags": '{"zave:a": "on", "b": "2"}'}) == {"zave:a": "on", "b": "2"}
    assert data("${count}", {"count": "3"}) == 3
    assert data('"${count} of"', {"count": "3"}) == "3 of"


def test_what_was_written_is_kept_beside_what_it_became() -> None:
    [manifest] = read(f"{HEAD}data: {{k: '${{a}}'}}\n", {"a": "1"})
    assert manifest.raw["data"] == {"k": "${a}"}
    assert manifest.value["data"] == {"k": "1"}


def test_a_variable_in_a_name_is_part_of_the_identity() -> None:
    [manifest] = read(HEAD.replace("name: m", "name: ${a}"), {"a": "x"})
    assert manifest.identity.name == "x"


@pytest.mark.parametrize("mark", ["labels", "annotations"])
def test_an_object_may_be_spared(mark: str) -> None:
    spared = f"  {mark}:\n    kustomize.toolkit.fluxcd.io/substitute: disabled\n"
    [manifest] = read(f"{HEAD}{spared}data: {{k: '${{unknown}}'}}\n", {"a": "1"})
    assert manifest.value["data"] == {"k": "${unknown}"}
    assert manifest.undefined == ()


def test_nothing_is_replaced_where_flux_does_not() -> None:
    assert data("${unknown}", None) == "${unknown}"


def test_each_undefined_variable_is_told_with_its_place() -> None:
    [manifest] = read(f"{HEAD}data: {{k: '${{a}}', l: 'x${{b}}', m: '${{c}}'}}\n", {"c": "1"})
    assert [(u.path, u.text) for u in manifest.undefined] == [("data.k", "${a}"), ("data.l", "x${b}")]
    assert "a is not defined" in manifest.undefined[0].problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23", "2026-11-23"),
        ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
        ("1:30", "1:30"),
        ("yes", True),
        ("n", False),
        ("0777", 511),
        ("0x10", 16),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        ("~", None),
        ("=", "="),
        ("'yes'", "yes"),
    ],
)
def test_plain_scalars_are_those_of_gos_yaml(text: str, expected: object) -> None:
    found = data(text)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    "text",
    [
        "- a list\n",
        "apiVersion: v1\nkind: ConfigMap\n",
        "kind: ConfigMap\nmetadata: {name: m}\n",
        f"{HEAD}data: [\n",
        f"{HEAD}data: !!python/object:os.system x\n",
        f"{HEAD}data: {'[' * 500}{']' * 500}\n",
    ],
)
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read(text)


def test_a_value_that_breaks_the_object_is_refused() -> None:
    with pytest.raises(UsageError, match="once its variables are replaced"):
        data("${a}", {"a": "b: c: d"})
