import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zave.rehearsal import computed, planning, schema, templates
from zave.rehearsal.schema import Kind, Rule
from zave.rehearsal.values import has_unknown
from zave.rehearsal.world import Draft, World

SERVER = schema.load("toy", folder=Path(__file__).parent / "catalogue").resources["toy_server"]
LIBVIRT = schema.load("libvirt").resources


def fill(world: World, kind: Kind = SERVER, **values: Any) -> dict[str, Any]:
    proposed = planning.shaped(kind.fields, {"name": "web", **values})
    return computed.fill(kind, planning.plan(kind, prior=None, proposed=proposed), world)


def ruled(path: str, **source: Any) -> Kind:
    return replace(SERVER, behaviour=replace(SERVER.behaviour, computed=(Rule(path, (source,)),)))


def test_values_follow_from_one_another(world: World) -> None:
    filled = fill(world, tags={"a": "b"})
    assert filled["id"] == "srv-1"
    assert filled["arn"] == "arn:toy:srv-1/web"
    assert filled["tags_all"] == {"a": "b"}


def test_the_next_source_is_tried_when_one_has_no_value(world: World) -> None:
    assert fill(world)["zone"] == "zone-a"


def test_configured_values_are_never_touched(world: World) -> None:
    assert fill(world, zone="zone-b")["zone"] == "zone-b"


def test_rules_reach_every_element(world: World) -> None:
    filled = fill(world, disk=[{"size": 1}, {"size": 2}])
    assert [disk["device"] for disk in filled["disk"]] == ["/dev/sd1", "/dev/sd2"]


def test_no_unknown_survives_where_no_rule_helps(world: World) -> None:
    filled = fill(
        world,
        ports=[{"port": 80}],
        labels={"a": {"text": "t"}},
        endpoint={"open": True},
        network={"subnet": "s"},
        disk=[{"size": 1, "encryption": [{}]}],
    )
    assert not has_unknown(filled)
    assert filled["zones"] == []
    assert filled["certificates"] == []
    assert re.fullmatch(r"host-[0-9a-f]{17}", filled["endpoint"]["host"])
    assert filled["ports"][0]["id"] != filled["labels"]["a"]["id"]


def test_what_the_world_holds_wins_over_a_new_value(world: World) -> None:
    planned = planning.plan(SERVER, prior=None, proposed=planning.shaped(SERVER.fields, {"name": "web"}))
    filled = computed.fill(SERVER, planned, world, existing={"id": "srv-77"})
    assert filled["id"] == "srv-77"
    assert filled["arn"] == "arn:toy:srv-77/web"


def test_the_plan_itself_is_not_changed(world: World) -> None:
    planned = planning.plan(SERVER, prior=None, proposed=planning.shaped(SERVER.fields, {"name": "web"}))
    computed.fill(SERVER, planned, world)
    assert has_unknown(planned)


def test_identifiers_are_unique_version_four_and_the_same_in_every_world(tmp_path: Path) -> None:
    kind = ruled("id", uuid="x")
    seen = []
    for name in ("one", "two"):
        world = World.open(tmp_path / name / "world.db")
        seen.append([fill(world, kind)["id"] for _ in range(3)])
        world.close()
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 3
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", i)
        for i in seen[0]
    )


def test_a_digest_covers_its_inputs(world: World) -> None:
    kind = ruled("id", digest=["name", "secret"], length=16)
    filled = fill(world, kind, secret="s")
    assert filled["id"] == hashlib.sha256(b"webs").hexdigest()[:16]


def test_a_size_counts_whole_blocks(world: World) -> None:
    kind = ruled("id", size=["name", "secret"], block=10, base=100)
    assert fill(world, kind, secret="x" * 11)["id"] == 100 + 10 + 20


def test_a_lookup_takes_another_things_value(world: World) -> None:
    pool = {"name": "fast", "target": {"path": "/srv/fast"}}
    world.create(Draft("libvirt", "libvirt_pool", "fast", "fast", pool, seconds=0.0))
    volume = fill(world, LIBVIRT["libvirt_volume"], pool="fast", capacity=5, target={})
    assert volume["path"] == volume["id"] == volume["key"] == volume["target"]["path"] == "/srv/fast/web"


def test_a_volume_of_the_default_pool_lies_where_libvirt_keeps_it(world: World) -> None:
    volume = fill(world, LIBVIRT["libvirt_volume"], pool="default", capacity=5)
    assert volume["path"] == "/var/lib/libvirt/images/web"


def test_a_volume_is_as_large_as_the_seed_that_is_uploaded_into_it(world: World) -> None:
    seed = fill(world, LIBVIRT["libvirt_cloudinit_disk"], user_data="u", meta_data="m")
    world.create(Draft("libvirt", "libvirt_cloudinit_disk", "web", None, seed, local=True))
    content = {"content": {"url": seed["path"]}}
    volume = fill(world, LIBVIRT["libvirt_volume"], pool="default", create=content)
    assert volume["capacity"] == volume["allocation"] == seed["size"] == 49152 + 2 * 2048


def test_a_domain_gets_a_number_and_a_uuid(world: World) -> None:
    first, second = (fill(world, LIBVIRT["libvirt_domain"], type="kvm") for _ in range(2))
    assert (first["id"], second["id"]) == (1, 2)
    assert first["uuid"] != second["uuid"]


def test_a_networks_bridge_is_named_as_libvirt_names_it(world: World) -> None:
    assert fill(world, LIBVIRT["libvirt_network"], bridge={})["bridge"]["name"] == "virbr1"


@pytest.mark.parametrize(("template", "expected"), [("{a}/{b.c}", "1/2"), ("{a}/{d}", None), ("{b.e}", None)])
def test_a_template_without_all_its_values_has_no_value(template: str, expected: str | None) -> None:
    assert templates.text(template, {"a": 1, "b": {"c": 2, "e": None}}) == expected
