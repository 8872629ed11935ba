from pathlib import Path
from typing import Any

import pytest

from zave.rehearsal import planning, schema, validation
from zave.rehearsal.values import UNKNOWN

SERVER = schema.load("toy", folder=Path(__file__).parent / "catalogue").resources["toy_server"]


def problems(**values: Any) -> list[validation.Problem]:
    config = planning.shaped(SERVER.fields, {"name": "web", "disk": [{"size": 1}], **values})
    return validation.problems(SERVER, config)


def test_a_sound_configuration_has_no_problem() -> None:
    assert problems(size=3, ports=[{"port": 80}], labels={"a": {"text": "t"}}) == []


@pytest.mark.parametrize(
    ("values", "path", "words"),
    [
        pytest.param({"arn": "arn:x"}, ("arn",), "arn", id="top level"),
        pytest.param({"ports": [{"port": 80, "id": "x"}]}, ("ports", 0, "id"), "ports[0].id", id="list"),
        pytest.param({"labels": {"a": {"id": "x"}}}, ("labels", "a", "id"), "labels.a.id", id="map"),
        pytest.param({"endpoint": {"host": "x"}}, ("endpoint", "host"), "endpoint.host", id="object"),
        pytest.param({"network": {"address": "x"}}, ("network", "address"), "network.address", id="block"),
        pytest.param({"disk": [{"device": "x"}]}, ("disk", 0, "device"), "disk[0].device", id="list block"),
        pytest.param({"certificates": []}, ("certificates",), "certificates", id="computed list"),
    ],
)
def test_a_computed_attribute_that_is_set_is_refused_in_its_place(
    values: dict[str, Any], path: tuple[str | int, ...], words: str
) -> None:
    (problem,) = problems(**values)
    assert problem.path == path
    assert "Read-Only" in problem.summary
    assert words in problem.detail


def test_a_value_that_is_not_known_yet_is_no_problem() -> None:
    assert problems(arn=UNKNOWN, ports=UNKNOWN, **{"class": UNKNOWN}) == []
    assert problems(ports=[{"port": UNKNOWN}]) == []


def test_a_value_outside_an_enumeration_is_refused_with_the_choices() -> None:
    (problem,) = problems(**{"class": "huge"})
    assert problem.path == ("class",)
    assert "'huge'" in problem.detail
    assert "'small', 'large'" in problem.detail


def test_enumerations_reach_into_lists() -> None:
    (problem,) = problems(ports=[{"port": 80}, {"port": 22}])
    assert problem.path == ("ports", 1, "port")


def test_attributes_that_exclude_each_other_are_refused_together() -> None:
    (problem,) = problems(size=1, zone="zone-a")
    assert "size and zone" in problem.detail
    assert problems(size=1) == []
