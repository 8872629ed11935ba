"""Differences field by field: which path they have, and which variables they come from."""

from typing import Any

import pytest

from zave.gitops.compare import ABSENT, differences, parse_path, written
from zave.gitops.manifests import Identity, Manifest

WHO = Identity("ConfigMap", "n", "m")


def compared(left: Any, right: Any, raw: tuple[Any, Any] | None = None) -> list[tuple[str, Any, Any]]:
    raws = raw or (left, right)
    one = Manifest(WHO, "apps", {"spec": raws[0]}, {"spec": left})
    other = Manifest(WHO, "apps", {"spec": raws[1]}, {"spec": right})
    return [(written(d.path), d.left, d.right) for d in differences(one, other)]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
        ({"a": 1}, {"a": 2}, [("spec.a", 1, 2)]),
        ({"a": 1}, {}, [("spec.a", 1, ABSENT)]),
        ({}, {"a": None}, [("spec.a", ABSENT, None)]),
        ({"a": 1}, {"a": True}, [("spec.a", 1, True)]),
        ({"a": "1"}, {"a": 1}, [("spec.a", "1", 1)]),
        ({"a.b/c": 1}, {"a.b/c": 2}, [('spec["a.b/c"]', 1, 2)]),
        ([1, 2], [1, 3], [("spec[1]", 2, 3)]),
        ([1, 2], [1], [("spec[1]", 2, ABSENT)]),
        ([1, 2], [2, 1], [("spec[0]", 1, 2), ("spec[1]", 2, 1)]),
        # things with names: one more at the top is one difference, and the order does not count
        (
            [{"name": "a", "v": 1}],
            [{"name": "b"}, {"name": "a", "v": 1}],
            [("spec.b", ABSENT, {"name": "b"})],
        ),
        ([{"name": "a"}, {"name": "b"}], [{"name": "b"}, {"name": "a"}], []),
        ([{"name": "a"}, {"name": "a"}], [{"name": "a"}], [("spec[1]", {"name": "a"}, ABSENT)]),
        ({"a": {}}, {"a": []}, [("spec.a", {}, [])]),
        # quantities are numbers, and only where they are quantities
        ({"requests": {"cpu": "1000m"}}, {"requests": {"cpu": 1}}, []),
        ({"limits": {"memory": "1Gi"}}, {"limits": {"memory": "1024Mi"}}, []),
        ({"requests": {"cpu": "1"}}, {"requests": {"cpu": "2"}}, [("spec.requests.cpu", "1", "2")]),
        ({"requests": {"cpu": "x"}}, {"requests": {"cpu": "y"}}, [("spec.requests.cpu", "x", "y")]),
        ({"name": "1Gi"}, {"name": "1024Mi"}, [("spec.name", "1Gi", "1024Mi")]),
    ],
)
def test_each_field_that_differs_is_found_once(
    left: Any, right: Any, expected: list[tuple[str, Any, Any]]
) -> None:
    assert compared(left, right) == expected


def causes(left: Any, right: Any, raw_left: Any, raw_right: Any) -> list[frozenset[str]]:
    one = Manifest(WHO, "apps", raw_left, left)
    other = Manifest(WHO, "apps", raw_right, right)
    return [d.variables for d in differences(one, other)]


def test_a_difference_that_only_variables_make_names_them() -> None:
    raw = {"a": "${x}-${y}"}
    assert causes({"a": "1-2"}, {"a": "3-2"}, raw, raw) == [{"x", "y"}]


def test_a_variable_may_stand_for_a_whole_structure() -> None:
    raw = {"tags": "${tags}"}
    assert causes({"tags": {"k": 1}}, {"tags": {"k": 2, "l": 3}}, raw, raw) == [{"tags"}, {"tags"}]


def test_a_variable_inside_of_named_things_is_followed_to_its_place() -> None:
    left = {"c": [{"name": "a"}, {"name": "b", "v": "${x}"}]}
    right = {"c": [{"name": "b", "v": "${x}"}, {"name": "a"}]}
    first = {"c": [{"name": "a"}, {"name": "b", "v": "1"}]}
    second = {"c": [{"name": "b", "v": "2"}, {"name": "a"}]}
    assert causes(first, second, left, right) == [{"x"}]


def test_other_texts_are_not_excused_by_their_variables() -> None:
    assert causes({"a": "p-1"}, {"a": "q-2"}, {"a": "p-${x}"}, {"a": "q-${x}"}) == [frozenset()]
    assert causes({"a": "1"}, {"a": "2"}, {"a": "${x}"}, {"a": "2"}) == [frozenset()]


def test_of_what_is_encrypted_only_its_being_there_is_compared() -> None:
    def secret(notes: str, **data: str) -> Manifest:
        value = {"data": data, "sops": {"mac": notes}}
        return Manifest(Identity("Secret", "ns", "s"), "apps", value, value)

    encrypted = secret("ENC[1]", token="ENC[AES256_GCM,data:a]")
    assert differences(encrypted, secret("ENC[2]", token="ENC[AES256_GCM,data:b]")) == []
    assert [written(d.path) for d in differences(encrypted, secret("x", token="plain"))] == ["data.token"]
    assert [written(d.path) for d in differences(encrypted, secret("x"))] == ["data.token"]


@pytest.mark.parametrize(
    "path", [("spec",), ("spec", "a.b/c", 3, "x-y_z"), ("a", 0, "b"), ("a.b",), (0, "a"), ("a", "*")]
)
def test_a_written_path_is_read_back(path: tuple[str | int, ...]) -> None:
    assert parse_path(written(path)) == tuple(path)


@pytest.mark.parametrize("text", ["", ".", ".a", "a.", "a..b", "a[", "a[x]", 'a["', "a b", "a[1]b"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no path"):
        parse_path(text)
