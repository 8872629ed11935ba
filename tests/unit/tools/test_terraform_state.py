"""No command works on a Terraform state that does not follow the record."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zave.errors import TerraformStateError
from zave.tools.terraform_state import StateGuard, StateSeal

LINEAGE = "e20e6854-579a-d74f-5d0b-33c69c170473"


def state_text(*, serial: int, resources: int, lineage: str = LINEAGE, **more: Any) -> str:
    entry = {
        "mode": "managed",
        "type": "libvirt_domain",
        "name": "this",
        "provider": 'provider["registry.terraform.io/dmacvicar/libvirt"]',
    }
    entries = [
        {
            **entry,
            "module": f'module.vm["{n}"]',
            "instances": [{"attributes": {"id": n, "name": f"vm-{n}"}}],
        }
        for n in range(resources)
    ]
    document = {"version": 4, "serial": serial, "lineage": lineage, "outputs": {}, "resources": entries}
    return json.dumps(document | more, indent=2)


@pytest.fixture
def guard(tmp_path: Path) -> StateGuard:
    (tmp_path / "root").mkdir()
    return StateGuard(root=tmp_path / "root", copies=tmp_path / "copies")


def put(guard: StateGuard, *, serial: int, resources: int, **more: Any) -> None:
    guard.state.write_text(state_text(serial=serial, resources=resources, **more))


@pytest.fixture
def seal(guard: StateGuard) -> StateSeal:
    """Serial 5 with 3 resources was sealed."""
    put(guard, serial=5, resources=3)
    return guard.seal()


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# sealing


def test_a_seal_tells_what_the_state_was_and_keeps_a_private_copy(guard: StateGuard, seal: StateSeal) -> None:
    assert (seal.lineage, seal.serial, seal.resources) == (LINEAGE, 5, 3)
    (copy,) = guard.copies.iterdir()
    assert copy.read_bytes() == guard.state.read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert guard.copies.stat().st_mode & 0o777 == 0o700


def test_the_newest_ten_copies_are_kept(guard: StateGuard) -> None:
    for serial in range(1, 14):
        put(guard, serial=serial, resources=1)
        guard.seal()

    assert [state.serial for state in guard.candidates(None)] == list(range(13, 3, -1))


def test_sealing_the_same_state_again_keeps_one_copy(guard: StateGuard, seal: StateSeal) -> None:
    assert guard.seal() == seal
    assert len(list(guard.copies.iterdir())) == 1


@pytest.mark.parametrize("content", [None, "", "{}", "{", '{"version": 3}'])
def test_what_is_no_whole_state_is_not_sealed(guard: StateGuard, content: str | None) -> None:
    if content is not None:
        guard.state.write_text(content)

    with pytest.raises(TerraformStateError, match="no usable state"):
        guard.seal()

    assert not guard.copies.exists()


def test_resources_have_terraforms_addresses(guard: StateGuard) -> None:
    instances = [{"index_key": 'a"b', "attributes": {"id": "x"}}, {"index_key": 1, "attributes": {}}]
    entries = [
        {"mode": "managed", "type": "t", "name": "n", "module": "module.m", "instances": instances},
        {"mode": "managed", "type": "t", "name": "one", "instances": [{"attributes": {"id": 7}}]},
        {"mode": "data", "type": "t", "name": "d", "instances": [{"attributes": {"id": 8}}]},
    ]
    guard.state.write_text(json.dumps({"version": 4, "serial": 1, "lineage": "l", "resources": entries}))

    assert [(held.address, held.id) for held in guard.resources()] == [
        ('module.m.t.n["a\\"b"]', "x"),
        ("module.m.t.n[1]", None),
        ("t.one", "7"),
    ]


def test_a_state_that_is_not_there_holds_nothing(guard: StateGuard) -> None:
    assert guard.resources() == ()


# inspecting


def damage_none(guard: StateGuard) -> None:
    """Leave it."""


def damage_reformat(guard: StateGuard) -> None:
    guard.state.write_text(json.dumps(json.loads(guard.state.read_text())))


def damage_garbage(guard: StateGuard) -> None:
    guard.state.write_bytes(os.urandom(500))


def damage_truncate(guard: StateGuard) -> None:
    os.truncate(guard.state, guard.state.stat().st_size // 2)


def damage_zeros(guard: StateGuard) -> None:
    guard.state.write_bytes(bytes(4096))


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (damage_none, "ok"),
        (damage_reformat, "ok"),
        (lambda guard: put(guard, serial=6, resources=4), "newer"),
        (lambda guard: guard.state.unlink(), "absent"),
        (lambda guard: guard.state.write_text(""), "empty"),
        (lambda guard: guard.state.write_text("\n"), "empty"),
        (damage_zeros, "empty"),
        (damage_truncate, "unreadable"),
        (damage_garbage, "unreadable"),
        (lambda guard: guard.state.write_text("[" * 100_000), "unreadable"),
        (lambda guard: guard.state.write_text("{}"), "unreadable"),
        (lambda guard: put(guard, serial=5, resources=3, version=3), "unreadable"),
        (lambda guard: put(guard, serial=5, resources=3, lineage=""), "unreadable"),
        (lambda guard: put(guard, serial=6, resources=0), "emptied"),
        (lambda guard: put(guard, serial=5, resources=0), "emptied"),
        (lambda guard: put(guard, serial=5, resources=2), "foreign"),
        (lambda guard: put(guard, serial=4, resources=3), "older"),
        (lambda guard: put(guard, serial=9, resources=3, lineage="other"), "foreign"),
    ],
)
def test_each_kind_of_damage_is_told(
    guard: StateGuard, seal: StateSeal, act: Callable[[StateGuard], object], kind: str
) -> None:
    act(guard)

    health = guard.inspect(seal)

    assert health.kind == kind
    assert health.usable == (kind in ("ok", "newer"))


def test_no_state_is_fine_before_the_first_apply_and_after_a_destroy(guard: StateGuard) -> None:
    assert guard.inspect(None).usable
    assert guard.inspect(StateSeal(LINEAGE, 9, 0, "x")).usable


# requiring


DAMAGES: dict[str, Callable[[StateGuard], object]] = {
    "absent": lambda guard: guard.state.unlink(),
    "empty": lambda guard: guard.state.write_text(""),
    "unreadable": damage_truncate,
    "emptied": lambda guard: put(guard, serial=5, resources=0),
    "older": lambda guard: put(guard, serial=4, resources=3),
    "foreign": lambda guard: put(guard, serial=6, resources=3, lineage="other"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_state_is_refused_with_a_way_out_and_nothing_is_changed(
    guard: StateGuard, seal: StateSeal, kind: str, tmp_path: Path
) -> None:
    (copy,) = guard.copies.iterdir()
    DAMAGES[kind](guard)
    before = everything(tmp_path)

    with pytest.raises(TerraformStateError, match=rf"cannot be trusted \({kind}\)") as caught:
        guard.require(seal, interrupted=False)

    assert everything(tmp_path) == before
    assert str(copy) in (caught.value.details or "")
    assert "zave down ENV --recover" in (caught.value.resolution or "")
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("kind", ["emptied", "older", "foreign"])
def test_damage_that_no_crash_explains_is_refused_even_after_a_crash(
    guard: StateGuard, seal: StateSeal, kind: str, tmp_path: Path
) -> None:
    DAMAGES[kind](guard)
    before = everything(tmp_path)

    with pytest.raises(TerraformStateError):
        guard.require(seal, interrupted=True)

    assert everything(tmp_path) == before


@pytest.mark.parametrize("kind", ["absent", "empty", "unreadable"])
def test_damage_by_a_crash_is_repaired_from_the_newest_state_and_kept(
    guard: StateGuard, seal: StateSeal, kind: str
) -> None:
    DAMAGES[kind](guard)
    damaged = guard.state.read_bytes() if guard.state.exists() else None
    (guard.root / "terraform.tfstate.backup").write_text(state_text(serial=7, resources=4))
    (guard.root / "errored.tfstate").write_text("")

    recovery = guard.require(seal, interrupted=True)

    assert recovery is not None
    assert (recovery.serial, recovery.resources) == (7, 4)
    assert recovery.source == guard.root / "terraform.tfstate.backup"
    assert guard.state.read_text() == state_text(serial=7, resources=4)
    assert guard.state.stat().st_mode & 0o777 == 0o600
    if damaged is None:
        assert recovery.evidence is None
    else:
        assert recovery.evidence is not None
        assert recovery.evidence.read_bytes() == damaged
        assert recovery.evidence.parent.name.startswith("damaged-")
        assert str(recovery.evidence) in recovery.describe()
    assert guard.require(seal, interrupted=False) is None


def test_the_verified_copy_is_used_when_terraforms_backup_is_older(
    guard: StateGuard, seal: StateSeal
) -> None:
    guard.state.write_text("")
    (guard.root / "terraform.tfstate.backup").write_text(state_text(serial=2, resources=1))

    recovery = guard.require(seal, interrupted=True)

    assert recovery is not None
    assert recovery.serial == 5
    assert guard.inspect(seal).kind == "ok"


def test_states_of_another_lineage_are_never_restored(guard: StateGuard, seal: StateSeal) -> None:
    guard.state.write_text("")
    for copy in guard.copies.iterdir():
        copy.unlink()
    (guard.root / "terraform.tfstate.backup").write_text(state_text(serial=8, resources=9, lineage="other"))

    with pytest.raises(TerraformStateError, match="cannot be trusted") as caught:
        guard.require(seal, interrupted=True)

    assert guard.state.read_text() == ""
    assert "no copy to recover from" in (caught.value.details or "")
    assert "sweep" in (caught.value.resolution or "")


def test_nothing_older_than_the_record_is_restored_unasked(guard: StateGuard, seal: StateSeal) -> None:
    guard.state.write_text("")
    for copy in guard.copies.iterdir():
        copy.unlink()
    (guard.root / "terraform.tfstate.backup").write_text(state_text(serial=4, resources=2))

    with pytest.raises(TerraformStateError):
        guard.require(seal, interrupted=True)

    assert guard.recover(seal).serial == 4


def test_a_cut_off_destroy_may_have_emptied_the_state(guard: StateGuard, seal: StateSeal) -> None:
    put(guard, serial=9, resources=0)

    assert guard.require(seal, interrupted=True) is None
    with pytest.raises(TerraformStateError, match="emptied"):
        guard.require(seal, interrupted=False)


@pytest.mark.parametrize("content", ["", "{"])
def test_a_cut_off_first_apply_starts_afresh_and_keeps_the_evidence(guard: StateGuard, content: str) -> None:
    guard.state.write_text(content)

    recovery = guard.require(None, interrupted=True)

    assert recovery is not None
    assert recovery.source is None
    assert not guard.state.exists()
    assert recovery.evidence is not None
    assert recovery.evidence.read_text() == content
    assert "starts from nothing" in recovery.describe()


def test_a_damaged_state_without_a_record_and_without_a_crash_is_refused(guard: StateGuard) -> None:
    guard.state.write_text("{")

    with pytest.raises(TerraformStateError, match="unreadable"):
        guard.require(None, interrupted=False)


def test_the_empty_file_of_a_plan_that_was_killed_is_no_damage(guard: StateGuard) -> None:
    guard.state.write_bytes(b"")

    recovery = guard.require(None, interrupted=False)

    assert recovery is not None
    assert "a plan was cut off" in recovery.describe()
    assert not guard.state.exists()
    assert guard.require(None, interrupted=False) is None


def test_what_an_earlier_life_left_is_not_restored_for_a_plan_that_was_killed(guard: StateGuard) -> None:
    guard.state.write_bytes(b"")
    left = guard.root / "terraform.tfstate.backup"
    left.write_text(state_text(serial=7, resources=4))

    recovery = guard.require(None, interrupted=False)

    assert recovery is not None
    assert recovery.source is None
    assert not guard.state.exists()
    assert left.read_text() == state_text(serial=7, resources=4)


def test_an_empty_state_that_was_sealed_once_is_refused(guard: StateGuard, seal: StateSeal) -> None:
    for copy in guard.copies.iterdir():
        copy.unlink()
    guard.state.write_bytes(b"")

    with pytest.raises(TerraformStateError, match="empty"):
        guard.require(seal, interrupted=False)


def test_a_state_that_terraform_could_not_write_in_place_is_taken_up(
    guard: StateGuard, seal: StateSeal
) -> None:
    (guard.root / "errored.tfstate").write_text(state_text(serial=8, resources=5))

    recovery = guard.require(seal, interrupted=False)

    assert recovery is not None
    assert len(guard.resources()) == 5
    assert guard.require(seal, interrupted=False) is None


@pytest.mark.parametrize(("serial", "lineage"), [(5, LINEAGE), (3, LINEAGE), (8, "other")])
def test_an_errored_state_that_does_not_follow_is_ignored(
    guard: StateGuard, seal: StateSeal, serial: int, lineage: str
) -> None:
    (guard.root / "errored.tfstate").write_text(state_text(serial=serial, resources=5, lineage=lineage))

    assert guard.require(seal, interrupted=True) is None
    assert len(guard.resources()) == 3


# recovering on demand


@pytest.mark.parametrize("kind", [*DAMAGES, "emptied, newer"])
def test_recover_puts_the_sealed_state_back_whatever_was_there(
    guard: StateGuard, seal: StateSeal, kind: str
) -> None:
    if kind == "emptied, newer":
        put(guard, serial=50, resources=0)
    else:
        DAMAGES[kind](guard)
    found = guard.state.read_bytes() if guard.state.exists() else None

    recovery = guard.recover(seal)

    assert guard.inspect(seal).kind == "ok"
    assert guard.seal() == seal
    if found is not None:
        assert recovery.evidence is not None
        assert recovery.evidence.read_bytes() == found


def test_recover_does_not_go_back_behind_a_good_state(guard: StateGuard, seal: StateSeal) -> None:
    put(guard, serial=8, resources=6)

    guard.recover(seal)

    assert guard.inspect(seal).serial == 8


def test_recover_without_any_copy_says_what_else_helps(guard: StateGuard) -> None:
    guard.state.write_text("{")

    with pytest.raises(TerraformStateError, match="no whole copy") as caught:
        guard.recover(StateSeal(LINEAGE, 5, 3, "x"))

    assert guard.state.read_text() == "{"
    assert "sweep" in (caught.value.resolution or "")


def test_recovering_twice_keeps_both_pieces_of_evidence(guard: StateGuard, seal: StateSeal) -> None:
    evidence = set()
    for content in ("one", "two"):
        guard.state.write_text(content)
        evidence.add(guard.recover(seal).evidence)

    assert {path.read_text() for path in evidence if path is not None} == {"one", "two"}


def test_a_seal_survives_being_stored_as_json(seal: StateSeal) -> None:
    assert StateSeal(**json.loads(json.dumps(seal.__dict__))) == seal
    assert replace(seal, serial=6) != seal


# the local lock


LOCK = {"ID": "7", "Operation": "OperationTypeApply", "Who": "me@here", "Created": "2026-11-23T13:00:00Z"}


def test_no_lock_file_means_no_lock(guard: StateGuard) -> None:
    assert guard.local_lock() is None


@pytest.mark.parametrize("content", [json.dumps(LOCK), "", "[]", "{"])
def test_a_lock_that_was_left_is_told_from_one_that_is_held(
    guard: StateGuard, seal: StateSeal, content: str
) -> None:
    (guard.root / ".terraform.tfstate.lock.info").write_text(content)
    holder = (
        "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX);"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holder, str(guard.state)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        held = guard.local_lock()
        process.kill()
    left = guard.local_lock()

    assert held is not None
    assert left is not None
    assert (held.held, left.held) == (True, False)
    assert "harmless" in left.describe()
    assert ("me@here" in left.describe()) == (content == json.dumps(LOCK))
