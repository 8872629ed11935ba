import copy
import pickle
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest

from zave.rehearsal.values import UNKNOWN, assign, at, decode, encode, find, first, has_unknown


@pytest.mark.parametrize("code", [0, 12])
def test_plain_and_refined_unknowns_decode_to_the_one_unknown(code: int) -> None:
    message = msgpack.packb({"id": msgpack.ExtType(code, b"\x81\x01\xc2")})
    assert decode(message)["id"] is UNKNOWN


def test_any_other_extension_is_refused() -> None:
    with pytest.raises(ValueError, match="extension 5"):
        decode(msgpack.packb(msgpack.ExtType(5, b"")))


def test_values_survive_a_round_trip() -> None:
    value = {"a": [1, 2.5, "123456789012345678901234567890", True, None, {"b": UNKNOWN}]}
    assert decode(encode(value)) == value


def test_unknown_is_written_as_terraform_writes_it() -> None:
    assert encode(UNKNOWN) == b"\xd4\x00\x00"


def test_a_copy_of_an_unknown_is_that_unknown() -> None:
    assert copy.deepcopy({"a": UNKNOWN})["a"] is UNKNOWN
    assert pickle.loads(pickle.dumps(UNKNOWN)) is UNKNOWN


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(TypeError, match="set"):
        encode({"a": {1}})


def test_find_goes_through_lists_and_maps() -> None:
    value = {"disks": [{"size": 1}, {"size": 2}], "labels": {"a": {"size": 3}}}
    assert list(find(value, "disks.*.size")) == [(("disks", 0, "size"), 1), (("disks", 1, "size"), 2)]
    assert list(find(value, "labels.*.size")) == [(("labels", "a", "size"), 3)]


def test_nothing_is_found_below_null_unknown_or_missing() -> None:
    value: dict[str, Any] = {"a": None, "b": UNKNOWN, "c": {}}
    assert [list(find(value, f"{name}.x")) for name in ("a", "b", "c", "d")] == [[], [], [], []]
    assert first(value, "a.x") is None


def test_assign_and_at_use_the_paths_that_find_gives() -> None:
    value = {"disks": [{"size": 1}]}
    path, _ = next(find(value, "disks.*.size"))
    assign(value, path, 5)
    assert at(value, path) == 5
    assert at(value, ("disks", 7, "size")) is None


def test_unknowns_are_found_at_any_depth() -> None:
    assert has_unknown({"a": [{"b": UNKNOWN}]})
    assert not has_unknown({"a": [{"b": None}]})
