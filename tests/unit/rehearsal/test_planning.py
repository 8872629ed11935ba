from pathlib import Path
from typing import Any

import pytest

from zave.rehearsal import planning, schema
from zave.rehearsal.schema import Kind
from zave.rehearsal.values import UNKNOWN, encode

TOYS = schema.load("toy", folder=Path(__file__).parent / "catalogue")
SERVER = TOYS.resources["toy_server"]
LEGACY = TOYS.resources["toy_legacy"]


def server(**values: Any) -> dict[str, Any]:
    return planning.shaped(SERVER.fields, {"name": "web", "disk": [{"size": 5, "encryption": []}], **values})


# a name that is a keyword in Python
LARGE: dict[str, Any] = {"class": "large"}


def planned(kind: Kind = SERVER, prior: dict[str, Any] | None = None, **values: Any) -> dict[str, Any]:
    proposed = server(**values) if kind is SERVER else planning.shaped(kind.fields, {"name": "x", **values})
    return planning.plan(kind, prior=prior, proposed=proposed)


def test_computed_values_of_a_new_thing_are_unknown() -> None:
    plan = planned()
    assert plan["id"] is UNKNOWN
    assert plan["zone"] is UNKNOWN
    assert plan["certificates"] is UNKNOWN
    assert plan["size"] is None


def test_a_configured_optional_computed_value_stays_as_it_is() -> None:
    assert planned(zone="zone-b")["zone"] == "zone-b"


def test_an_expression_not_yet_known_stays_unknown() -> None:
    assert planned(size=UNKNOWN)["size"] is UNKNOWN


def test_a_default_stands_for_a_computed_value_that_is_left_out() -> None:
    assert planned()["class"] == "small"
    assert planned(**LARGE)["class"] == "large"


def test_computed_values_inside_every_kind_of_nesting_are_unknown() -> None:
    plan = planned(
        ports=[{"port": 80, "id": None}],
        labels={"a": {"text": "t", "id": None}},
        endpoint={"open": True, "host": None},
        network={"subnet": "s", "address": None},
        disk=[{"size": 5, "device": None, "encryption": [{"key": None}]}],
    )
    assert plan["ports"] == [{"port": 80, "id": UNKNOWN}]
    assert plan["labels"]["a"]["id"] is UNKNOWN
    assert plan["endpoint"] == {"open": True, "host": UNKNOWN}
    assert plan["network"] == {"subnet": "s", "address": UNKNOWN}
    assert plan["disk"] == [{"size": 5, "device": UNKNOWN, "encryption": [{"key": UNKNOWN}]}]


def test_an_update_keeps_what_core_carried_over() -> None:
    prior = server(id="srv-1", arn="a", zone="zone-a", certificates=[])
    plan = planned(prior=prior, id="srv-1", arn="a", zone="zone-a", certificates=[], size=3)
    assert plan == {**prior, "size": 3}


def test_a_computed_null_of_an_existing_thing_stays_null() -> None:
    # null planned and a value applied would be "inconsistent result after apply"
    assert planned(prior=server(zone=None), zone=None)["zone"] is None


def test_only_the_added_element_of_a_list_is_unknown() -> None:
    prior = server(ports=[{"port": 80, "id": "p-1"}])
    plan = planned(prior=prior, ports=[{"port": 80, "id": "p-1"}, {"port": 443, "id": None}])
    assert plan["ports"] == [{"port": 80, "id": "p-1"}, {"port": 443, "id": UNKNOWN}]


def test_an_object_that_appears_in_an_update_has_unknown_computed_values() -> None:
    plan = planned(prior=server(endpoint=None), endpoint={"open": True, "host": None})
    assert plan["endpoint"]["host"] is UNKNOWN


def test_write_only_values_are_never_planned() -> None:
    assert planned(password="hunter2")["password"] is None


def test_without_the_legacy_type_system_nothing_but_computed_values_gets_a_default() -> None:
    plan = planned(LEGACY)
    assert plan["deletion_days"] == 30
    assert plan["access"] == [{"mode": "API"}]
    kept = planned(LEGACY, prior={**plan, "access": [{"mode": "MAP"}]}, id="i")
    assert (kept["deletion_days"], kept["access"]) == (30, [{"mode": "MAP"}])
    strict = Kind(LEGACY.name, 0, LEGACY.fields, schema.Behaviour(defaults=LEGACY.behaviour.defaults))
    plan = planned(strict)
    assert plan["deletion_days"] is None
    assert plan["access"] == []


def test_planning_twice_gives_the_same() -> None:
    assert encode(planned(ports=[{"port": 80}])) == encode(planned(ports=[{"port": 80}]))


def test_a_replacement_names_the_place() -> None:
    prior = server(disk=[{"size": 5, "encryption": []}, {"size": 6, "encryption": []}])
    after = server(name="api", disk=[{"size": 5, "encryption": []}, {"size": 7, "encryption": []}])
    assert planning.replaced_by(SERVER, prior=prior, planned=after) == [("name",), ("disk", 1, "size")]


def test_nothing_is_replaced_by_other_changes() -> None:
    assert planning.replaced_by(SERVER, prior=server(), planned=server(size=7)) == []


def test_a_force_new_value_that_is_not_known_yet_replaces() -> None:
    assert planning.replaced_by(SERVER, prior=server(), planned=server(name=UNKNOWN)) == [("name",)]


def test_a_place_inside_a_set_is_named_as_the_set() -> None:
    assert planning.message_path(SERVER, ("rule", 1, "port")) == ("rule",)
    assert planning.message_path(SERVER, ("disk", 1, "size")) == ("disk", 1, "size")


def test_shaping_fills_and_drops_names() -> None:
    shaped = planning.shaped(SERVER.fields, {"name": "x", "gone": 1, "ports": [{"port": 1, "old": 2}]})
    assert "gone" not in shaped
    assert shaped["disk"] == []
    assert shaped["labels"] is None
    assert shaped["ports"] == [{"port": 1, "id": None}]


@pytest.mark.parametrize(
    ("actual", "name", "expected"),
    [
        pytest.param({"size": 9}, "size", 9, id="changed in the world"),
        pytest.param({"secret": "new"}, "secret", None, id="never configured, so nobody's business"),
        pytest.param({"zone": "zone-c"}, "zone", "zone-c", id="computed, so always read"),
        pytest.param(
            {"ports": [{"port": 81, "id": "p"}]}, "ports", [{"port": 81, "id": "p"}], id="in a list"
        ),
        pytest.param({"ports": []}, "ports", [], id="removed from a list"),
    ],
)
def test_a_read_shows_what_changed(actual: dict[str, Any], name: str, expected: Any) -> None:
    state = server(size=3, zone="zone-a", ports=[{"port": 80, "id": "p"}])
    seen = planning.refreshed(SERVER, state=state, actual={**state, **actual})
    assert seen[name] == expected
    assert {**seen, name: None} == {**state, name: None}


def test_a_read_leaves_what_the_real_provider_never_reads() -> None:
    domain = schema.load("libvirt").resources["libvirt_domain"]
    state = planning.shaped(domain.fields, {"name": "a", "running": True, "memory": 1})
    seen = planning.refreshed(domain, state=state, actual={**state, "running": False, "memory": 2})
    assert (seen["running"], seen["memory"]) == (True, 2)


def test_an_import_reads_only_what_the_real_provider_can_know() -> None:
    libvirt = schema.load("libvirt").resources
    network = libvirt["libvirt_network"]
    actual = {"id": "u", "uuid": "u", "name": "n", "autostart": True, "forward": {"mode": "nat"}}
    seen = planning.imported(network, actual)
    assert {name: value for name, value in seen.items() if value is not None} == {
        "id": "u",
        "uuid": "u",
        "name": "n",
        "autostart": True,
    }
    domain = libvirt["libvirt_domain"]
    interface = {"mac": {"address": "52:54:00:00:00:01"}, "wait_for_ip": {"timeout": 9}}
    seen = planning.imported(domain, {"name": "d", "devices": {"interfaces": [interface]}})
    assert seen["devices"]["interfaces"][0]["wait_for_ip"] is None
    assert seen["devices"]["interfaces"][0]["mac"]["address"] == "52:54:00:00:00:01"


def test_what_cannot_change_in_place_is_named() -> None:
    network = schema.load("libvirt").resources["libvirt_network"]
    actual = planning.shaped(network.fields, {"name": "n", "autostart": False, "ipv6": "no"})
    assert planning.not_in_place(network, actual=actual, planned={**actual, "autostart": True}) == []
    assert planning.not_in_place(network, actual=actual, planned={**actual, "ipv6": "yes"}) == ["ipv6"]
    assert planning.not_in_place(SERVER, actual=server(), planned=server(size=9)) == []
