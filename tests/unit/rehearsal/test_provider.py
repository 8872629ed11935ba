import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tf.gen import tfplugin_pb2 as pb  # type: ignore[import-untyped]

from zave.rehearsal import planning, provider, schema
from zave.rehearsal.faults import parse_fault
from zave.rehearsal.provider import Provider
from zave.rehearsal.values import UNKNOWN, decode, encode
from zave.rehearsal.world import World

TOYS = schema.load("toy", folder=Path(__file__).parent / "catalogue")
LIBVIRT = schema.load("libvirt")


class Core:
    """Calls a provider as Terraform's core does: plan, then apply of that plan."""

    def __init__(self, catalogue: schema.Catalogue, world: World) -> None:
        self.catalogue = catalogue
        self.provider = Provider(catalogue, world)

    def shaped(self, kind: str, **values: Any) -> dict[str, Any]:
        return planning.shaped(self.catalogue.resources[kind].fields, values)

    def plan(self, kind: str, prior: Any, proposed: Any, private: bytes = b"") -> Any:
        return self.provider.plan_resource_change(
            pb.PlanResourceChange.Request(
                type_name=kind,
                prior_state=message(prior),
                proposed_new_state=message(proposed),
                prior_private=private,
            )
        )

    def apply(self, kind: str, prior: Any, proposed: Any, private: bytes = b"") -> Any:
        plan = self.plan(kind, prior, proposed, private)
        return self.provider.apply_resource_change(
            pb.ApplyResourceChange.Request(
                type_name=kind,
                prior_state=message(prior),
                planned_state=plan.planned_state,
                planned_private=plan.planned_private,
            )
        )

    def create(self, kind: str, **values: Any) -> tuple[dict[str, Any], bytes]:
        answer = self.apply(kind, None, self.shaped(kind, **values))
        assert not list(answer.diagnostics)
        return decode(answer.new_state.msgpack), answer.private

    def read(self, kind: str, state: Any, private: bytes) -> Any:
        return self.provider.read_resource(
            pb.ReadResource.Request(type_name=kind, current_state=message(state), private=private)
        )


def message(value: Any) -> pb.DynamicValue:
    return pb.DynamicValue(msgpack=encode(value))


def errors(answer: Any) -> list[tuple[str, str]]:
    return [(diagnostic.summary, diagnostic.detail) for diagnostic in answer.diagnostics]


def core_proposes(
    fields: Mapping[str, schema.Field], state: dict[str, Any], wanted: dict[str, Any]
) -> dict[str, Any]:
    """The configuration, with prior values where it is silent and the value is computed."""
    proposed = {}
    for name, field in fields.items():
        before, value = state[name], wanted[name]
        if field.nesting == "single" and isinstance(before, dict) and isinstance(value, dict):
            proposed[name] = core_proposes(field.fields, before, value)
        else:
            proposed[name] = before if field.computed and value is None else value
    return proposed


@pytest.fixture
def toys(world: World) -> Core:
    return Core(TOYS, world)


@pytest.fixture
def libvirt(world: World) -> Core:
    return Core(LIBVIRT, world)


def test_a_created_thing_is_in_the_world_and_reads_back_unchanged(toys: Core, world: World) -> None:
    state, private = toys.create("toy_server", name="web", tags={"a": "b"}, disk=[{"size": 5}])
    (thing,) = world.things()
    assert (thing.provider, thing.type, thing.name) == ("toy", "toy_server", "web")
    assert thing.attributes == state
    before = message(state)
    answer = toys.provider.read_resource(
        pb.ReadResource.Request(type_name="toy_server", current_state=before, private=private)
    )
    assert answer.new_state.msgpack == before.msgpack
    assert json.loads(private) == {"key": thing.key}


def test_values_with_more_digits_than_a_float_come_back_as_they_were(toys: Core) -> None:
    state, private = toys.create("toy_server", name="web", size="123456789012345678901234567890")
    answer = toys.read("toy_server", state, private)
    assert decode(answer.new_state.msgpack)["size"] == "123456789012345678901234567890"


def test_a_write_only_value_reaches_neither_state_nor_world(toys: Core, world: World) -> None:
    state, _ = toys.create("toy_server", name="web", password="hunter2")
    assert state["password"] is None
    assert "hunter2" not in json.dumps([thing.attributes for thing in world.things()])


def test_an_update_changes_the_world(toys: Core, world: World) -> None:
    state, private = toys.create("toy_server", name="web", size=1)
    answer = toys.apply("toy_server", state, {**state, "size": 2}, private)
    assert errors(answer) == []
    assert answer.private == private
    assert decode(answer.new_state.msgpack) == world.things()[0].attributes == {**state, "size": 2}


def test_a_force_new_change_asks_for_a_replacement(toys: Core) -> None:
    state, private = toys.create("toy_server", name="web")
    answer = toys.plan("toy_server", state, {**state, "name": "api"}, private)
    assert [[step.attribute_name for step in path.steps] for path in answer.requires_replace] == [["name"]]


def test_a_destroy_is_planned_as_null_and_empties_the_world(toys: Core, world: World) -> None:
    state, private = toys.create("toy_server", name="web")
    assert decode(toys.plan("toy_server", state, None, private).planned_state.msgpack) is None
    answer = toys.apply("toy_server", state, None, private)
    assert decode(answer.new_state.msgpack) is None
    assert list(world.things()) == []


def test_destroying_what_is_gone_already_succeeds(toys: Core, world: World) -> None:
    state, private = toys.create("toy_server", name="web")
    world.lose("toy_server", "web")
    assert errors(toys.apply("toy_server", state, None, private)) == []


@pytest.mark.parametrize("after", [None, 7])
def test_without_private_data_a_thing_is_known_by_its_identity(
    toys: Core, world: World, after: int | None
) -> None:
    # as Terraform sends it when it destroys a tainted object
    toys.create("toy_server", name="other")
    state, _ = toys.create("toy_server", name="web")
    answer = toys.apply("toy_server", state, None if after is None else {**state, "size": after}, b"")
    assert errors(answer) == []
    left = {thing.name: thing.attributes["size"] for thing in world.things()}
    assert left == ({"other": None} if after is None else {"other": None, "web": after})


def test_what_was_lost_in_the_world_leaves_the_state(toys: Core, world: World) -> None:
    state, private = toys.create("toy_server", name="web")
    assert world.lose("toy_server", "web")
    assert decode(toys.read("toy_server", state, private).new_state.msgpack) is None


def test_what_changed_in_the_world_is_read(toys: Core, world: World) -> None:
    state, private = toys.create("toy_server", name="web", size=1)
    key = world.things()[0].key
    world.update(key, {**world.things()[0].attributes, "size": 9})
    assert decode(toys.read("toy_server", state, private).new_state.msgpack)["size"] == 9


def test_a_name_that_is_taken_is_refused_and_nothing_is_made(toys: Core, world: World) -> None:
    toys.create("toy_server", name="web")
    answer = toys.apply("toy_server", None, toys.shaped("toy_server", name="web"))
    assert decode(answer.new_state.msgpack) is None
    assert "already exists" in " ".join(errors(answer)[0])
    assert len(world.things()) == 1


def test_a_failed_create_leaves_no_state(toys: Core, world: World) -> None:
    world.faults.add(parse_fault('fail create toy_server with "out of luck"'))
    answer = toys.apply("toy_server", None, toys.shaped("toy_server", name="web"))
    assert decode(answer.new_state.msgpack) is None
    assert errors(answer)[0][0] == "out of luck"
    assert list(world.things()) == []


def test_a_failed_update_and_a_failed_delete_leave_the_prior_state(toys: Core, world: World) -> None:
    state, private = toys.create("toy_server", name="web", size=1)
    for action, after in (("update", {**state, "size": 2}), ("delete", None)):
        world.faults.add(parse_fault(f"fail {action} toy_server"))
        answer = toys.apply("toy_server", state, after, private)
        assert errors(answer)
        assert decode(answer.new_state.msgpack) == state
        assert answer.private == private


def test_a_failed_read_keeps_the_state(toys: Core, world: World) -> None:
    state, private = toys.create("toy_server", name="web")
    world.faults.add(parse_fault("fail read toy_server"))
    answer = toys.read("toy_server", state, private)
    assert errors(answer)
    assert decode(answer.new_state.msgpack) == state


def test_a_thing_that_stands_although_its_create_failed_is_recorded_as_tainted(
    toys: Core, world: World
) -> None:
    world.faults.add(parse_fault("hang create toy_server for 1s"))
    answer = toys.apply("toy_server", None, toys.shaped("toy_server", name="web"))
    assert "timeout" in errors(answer)[0][0]
    assert decode(answer.new_state.msgpack)["id"] == "srv-1"
    assert json.loads(answer.private)["key"] == world.things()[0].key


def test_stop_ends_a_call_that_hangs(toys: Core, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "GRACE", 0.05)
    world.faults.add(parse_fault("hang create toy_server"))
    answers: list[Any] = []
    proposed = toys.shaped("toy_server", name="web")
    thread = threading.Thread(
        target=lambda: answers.append(toys.apply("toy_server", None, proposed)), daemon=True
    )
    thread.start()
    while not world.things():
        threading.Event().wait(0.01)
    toys.provider.stop_provider(pb.StopProvider.Request())
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert "cancelled" in errors(answers[0])[0][0]
    assert decode(answers[0].new_state.msgpack)["name"] == "web"


def test_an_import_finds_the_thing_by_the_attribute_of_the_catalogue(toys: Core) -> None:
    state, _ = toys.create("toy_server", name="web", size=4)
    answer = toys.provider.import_resource_state(
        pb.ImportResourceState.Request(type_name="toy_server", id=state["id"])
    )
    (imported,) = answer.imported_resources
    read = toys.read("toy_server", decode(imported.state.msgpack), imported.private)
    assert decode(read.new_state.msgpack) == state
    assert "key" in json.loads(read.private)


def test_importing_what_does_not_exist_reads_as_gone(toys: Core) -> None:
    answer = toys.provider.import_resource_state(
        pb.ImportResourceState.Request(type_name="toy_server", id="srv-404")
    )
    (imported,) = answer.imported_resources
    read = toys.read("toy_server", decode(imported.state.msgpack), imported.private)
    assert decode(read.new_state.msgpack) is None


def test_what_cannot_be_imported_says_so(toys: Core) -> None:
    answer = toys.provider.import_resource_state(
        pb.ImportResourceState.Request(type_name="toy_legacy", id="x")
    )
    assert "toy_legacy cannot be imported" in errors(answer)[0][1]


def test_an_older_state_gets_the_shape_of_today(toys: Core) -> None:
    raw = json.dumps({"name": "web", "gone": True, "size": 53687091200}).encode()
    answer = toys.provider.upgrade_resource_state(
        pb.UpgradeResourceState.Request(type_name="toy_server", version=1, raw_state=pb.RawState(json=raw))
    )
    upgraded = json.loads(answer.upgraded_state.json)
    assert upgraded == toys.shaped("toy_server", name="web", size=53687091200)


def test_the_old_type_system_is_announced_where_the_catalogue_says_so(toys: Core) -> None:
    assert toys.plan("toy_legacy", None, toys.shaped("toy_legacy", name="x")).legacy_type_system
    assert not toys.plan("toy_server", None, toys.shaped("toy_server", name="x")).legacy_type_system
    state, _ = toys.create("toy_legacy", name="x")
    assert (state["deletion_days"], state["access"]) == (30, [{"mode": "API"}])


def test_a_data_source_reads_the_world(toys: Core) -> None:
    toys.create("toy_server", name="web", zone="zone-z")
    config = {"name": "web", "id": None, "zone": None}
    answer = toys.provider.read_data_source(
        pb.ReadDataSource.Request(type_name="toy_server", config=message(config))
    )
    assert decode(answer.state.msgpack) == {"name": "web", "id": "srv-1", "zone": "zone-z"}


def test_a_data_source_without_a_match_is_an_error(toys: Core) -> None:
    config = {"name": "ghost", "id": None, "zone": None}
    answer = toys.provider.read_data_source(
        pb.ReadDataSource.Request(type_name="toy_server", config=message(config))
    )
    assert errors(answer) == [("No Such Server", "There is no server 'ghost'.")]


def test_validation_points_at_the_attribute(toys: Core) -> None:
    config = toys.shaped("toy_server", name="web", ports=[{"port": 80, "id": "x"}])
    answer = toys.provider.validate_resource_config(
        pb.ValidateResourceConfig.Request(type_name="toy_server", config=message(config))
    )
    (diagnostic,) = answer.diagnostics
    steps = diagnostic.attribute.steps
    assert [step.attribute_name for step in steps] == ["ports", "", "id"]
    assert steps[1].element_key_int == 0


# libvirt


def test_a_volume_without_a_capacity_or_content_is_refused(libvirt: Core) -> None:
    proposed = libvirt.shaped("libvirt_volume", name="v", pool="default")
    assert errors(libvirt.apply("libvirt_volume", None, proposed))[0][0] == "Missing Capacity"


def test_a_volume_cannot_be_updated(libvirt: Core) -> None:
    state, private = libvirt.create("libvirt_volume", name="v", pool="default", capacity=5)
    answer = libvirt.apply("libvirt_volume", state, {**state, "capacity": 6}, private)
    assert errors(answer)[0][0] == "Update Not Supported"
    assert "libvirt_volume" in errors(answer)[0][1]


def test_a_network_keeps_what_only_a_new_one_could_have(libvirt: Core, world: World) -> None:
    state, private = libvirt.create("libvirt_network", name="n", autostart=False, forward={"mode": "nat"})
    answer = libvirt.apply("libvirt_network", state, {**state, "autostart": True}, private)
    assert errors(answer) == []
    answer = libvirt.apply("libvirt_network", state, {**state, "forward": {"mode": "route"}}, private)
    assert errors(answer)[0][0] == "Update Not Supported"
    assert "forward" in errors(answer)[0][1]
    assert world.things()[0].attributes["forward"]["mode"] == "nat"


def test_a_domain_on_a_network_that_is_not_there_does_not_start(libvirt: Core) -> None:
    devices = {"interfaces": [{"source": {"network": {"network": "ghost"}}}]}
    proposed = libvirt.shaped("libvirt_domain", name="d", type="kvm", running=True, devices=devices)
    summary, detail = errors(libvirt.apply("libvirt_domain", None, proposed))[0]
    assert summary == "Failed to Start Domain"
    assert "'ghost'" in detail


def test_a_domain_that_waits_for_an_address_nobody_gives_fails(libvirt: Core) -> None:
    libvirt.create("libvirt_network", name="lab", ips=[{"address": "10.1.1.1", "prefix": 24}])
    interface = {
        "mac": {"address": "52:54:00:00:00:07"},
        "source": {"network": {"network": "lab"}},
        "wait_for_ip": {"source": "lease"},
    }
    proposed = libvirt.shaped(
        "libvirt_domain", name="d", type="kvm", running=True, devices={"interfaces": [interface]}
    )
    summary, detail = errors(libvirt.apply("libvirt_domain", None, proposed))[0]
    assert "IP Address" in summary
    assert "52:54:00:00:00:07" in detail


@pytest.mark.parametrize("kind", ["libvirt_domain", "libvirt_volume", "libvirt_network"])
def test_an_import_followed_by_a_plan_replaces_nothing_and_converges(libvirt: Core, kind: str) -> None:
    configuration = {
        "libvirt_domain": {
            "name": "x",
            "type": "kvm",
            "running": True,
            "memory": 4,
            "destroy": {"graceful": True},
        },
        "libvirt_volume": {
            "name": "x",
            "pool": "default",
            "capacity": 4,
            "target": {"format": {"type": "raw"}},
        },
        "libvirt_network": {
            "name": "x",
            "autostart": True,
            "forward": {"mode": "nat"},
            "bridge": {"stp": "on"},
        },
    }[kind]
    made, _ = libvirt.create(kind, **configuration)
    imports = LIBVIRT.resources[kind].behaviour.imports
    assert imports is not None
    answer = libvirt.provider.import_resource_state(
        pb.ImportResourceState.Request(type_name=kind, id=str(made[imports.attribute]))
    )
    (imported,) = answer.imported_resources
    read = libvirt.read(kind, decode(imported.state.msgpack), imported.private)
    state = decode(read.new_state.msgpack)
    proposed = core_proposes(LIBVIRT.resources[kind].fields, state, libvirt.shaped(kind, **configuration))
    plan = libvirt.plan(kind, state, proposed, read.private)
    assert not list(plan.requires_replace)
    if decode(plan.planned_state.msgpack) != state:
        applied = libvirt.apply(kind, state, proposed, read.private)
        assert errors(applied) == []
        # a machine that is restarted has another number, which nothing refers to
        renumbered = dict.fromkeys(LIBVIRT.resources[kind].behaviour.unannounced)
        state, made = ({**each, **renumbered} for each in (decode(applied.new_state.msgpack), made))
    assert state == made


def test_an_update_changes_what_its_plan_had_said_would_stay(libvirt: Core) -> None:
    made, private = libvirt.create("libvirt_domain", name="d", type="kvm", memory=4)
    wanted = {**made, "memory": 8}
    plan = decode(libvirt.plan("libvirt_domain", made, wanted, private).planned_state.msgpack)
    updated = decode(libvirt.apply("libvirt_domain", made, wanted, private).new_state.msgpack)
    assert plan["id"] == made["id"] != updated["id"]
    assert updated == {**wanted, "id": updated["id"]}


def test_a_domains_number_is_no_name_of_it(libvirt: Core) -> None:
    domain, _ = libvirt.create("libvirt_domain", name="d", type="kvm")
    for wanted, found in ((domain["name"], True), (domain["uuid"], True), (str(domain["id"]), False)):
        answer = libvirt.provider.read_data_source(
            pb.ReadDataSource.Request(
                type_name="libvirt_domain_interface_addresses",
                config=message({"domain": wanted, "source": None, "id": None, "interfaces": None}),
            )
        )
        assert (errors(answer) == []) is found


def test_planning_knows_no_unknown_where_terraform_sends_a_refined_one(toys: Core) -> None:
    plan = toys.plan("toy_server", None, toys.shaped("toy_server", name=UNKNOWN))
    assert decode(plan.planned_state.msgpack)["name"] is UNKNOWN
