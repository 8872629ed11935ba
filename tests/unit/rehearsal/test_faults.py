import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zave.errors import UsageError
from zave.rehearsal.faults import GRAMMAR, Fault, load_faults, parse_fault
from zave.rehearsal.world import CRASH_EXIT, Draft, World, WorldError

DraftOf = Callable[..., Draft]

WRITTEN = [
    ("fail create libvirt_domain", Fault("fail", "create", "libvirt_domain")),
    ("fail update libvirt_* twice", Fault("fail", "update", "libvirt_*", count=2)),
    (
        "fail delete libvirt_volume.zave-*-1.qcow2",
        Fault("fail", "delete", "libvirt_volume", "zave-*-1.qcow2"),
    ),
    (
        r'fail read aws_eks_cluster with "it said \"no\" \\ once" after 3 5 times',
        Fault("fail", "read", "aws_eks_cluster", message=r'it said "no" \ once', after=3, count=5),
    ),
    ("fail build image", Fault("fail", "build", "image")),
    ("fail build image.k3s-base always", Fault("fail", "build", "image", "k3s-base", count=None)),
    ("fail reconcile apps", Fault("fail", "reconcile", "kustomization", "apps", count=None)),
    ("fail reconcile apps once", Fault("fail", "reconcile", "kustomization", "apps")),
    (
        'fail reconcile helmrelease argocd with "x"',
        Fault("fail", "reconcile", "helmrelease", "argocd", message="x", count=None),
    ),
    ("slow pull image.argocd by 10x", Fault("slow", "pull", "image", "argocd", factor=10)),
    ("keep finalizer service", Fault("keep", "release", "service", count=None)),
    ("keep finalizer nodeclaim.default-1 once", Fault("keep", "release", "nodeclaim", "default-1")),
    ("silent api after 3", Fault("silent", "ask", "api", after=3, count=None)),
    ("slow create libvirt_domain by 10x", Fault("slow", "create", "libvirt_domain", factor=10)),
    ("slow build image by 1.5x always", Fault("slow", "build", "image", factor=1.5, count=None)),
    ("hang delete libvirt_domain", Fault("hang", "delete", "libvirt_domain")),
    ("hang create libvirt_domain for 2m", Fault("hang", "create", "libvirt_domain", seconds=120)),
    ("hang build image for 60s", Fault("hang", "build", "image", seconds=60)),
    ("crash provider", Fault("crash", "*", "*")),
    ("crash provider on read libvirt_volume", Fault("crash", "read", "libvirt_volume")),
    ("leak libvirt_network", Fault("leak", "delete", "libvirt_network")),
    ("refuse delete libvirt_domain", Fault("refuse", "delete", "libvirt_domain", count=None)),
    (
        'refuse delete libvirt_domain with "busy" once after 1',
        Fault("refuse", "delete", "libvirt_domain", message="busy", after=1),
    ),
    ("fill pool", Fault("fill", "create", "libvirt_volume", count=None)),
    ("fill pool default", Fault("fill", "create", "libvirt_volume", "default", count=None)),
    ("throttle all 3 times", Fault("throttle", "*", "aws_*", count=3)),
    (
        "throttle aws_eks_cluster.zave-* always",
        Fault("throttle", "*", "aws_eks_cluster", "zave-*", count=None),
    ),
    ("quota aws_eks_node_group", Fault("quota", "create", "aws_eks_node_group", count=None)),
    ("no spot capacity", Fault("no", "create", "aws_*", "spot", count=None)),
    ("no spot capacity once", Fault("no", "create", "aws_*", "spot")),
    ("expire credentials", Fault("expire", "any", "aws_*", count=None)),
    ("expire credentials after 40 calls", Fault("expire", "any", "aws_*", after=40, count=None)),
    ("region unreachable 5 times", Fault("region", "any", "aws_*", count=5)),
    ("leave load-balancer", Fault("leave", "leave", "load-balancer")),
    ("leave log-group twice", Fault("leave", "leave", "log-group", count=2)),
    ("lose lock", Fault("lose", "change", "aws_*")),
    ("stale lock after 3", Fault("stale", "change", "aws_*", after=3)),
    ("fail destroyer 3 times", Fault("fail", "run", "destroyer", count=3)),
    ('fail destroyer with "no machine"', Fault("fail", "run", "destroyer", message="no machine")),
    ("surge by 2 nodes", Fault("surge", "scale", "cluster", factor=2)),
    ("alter aws_iam_role_policy.*:run", Fault("alter", "alter", "aws_iam_role_policy", "*:run")),
    ("alter aws_*_policy twice", Fault("alter", "alter", "aws_*_policy", count=2)),
    ("fill pool 3 times", Fault("fill", "create", "libvirt_volume", count=3)),
    (
        "fill pool default after 2 twice",
        Fault("fill", "create", "libvirt_volume", "default", after=2, count=2),
    ),
]


@pytest.mark.parametrize(("text", "fault"), WRITTEN)
def test_fault_is_read_and_written_back(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault
    assert parse_fault(str(fault)) == fault


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "fail or slow"),
        ("explode create libvirt_domain", "'explode'"),
        ("fail", "missing"),
        ("fail destroy libvirt_domain", "'destroy'"),
        ("fail create", "missing"),
        ("fail create LIBVIRT", "'LIBVIRT'"),
        ("fail create libvirt_domain;rm", "'libvirt_domain;rm'"),
        ("fail create libvirt_domain with nothing", "'nothing'"),
        ('fail create libvirt_domain with "open', "quote"),
        ("fail create libvirt_domain sometimes", "'sometimes'"),
        ("fail create libvirt_domain 3", "times is missing"),
        ("fail create libvirt_domain 0 times", "0 is not between"),
        ("fail create libvirt_domain 9999999 times", "not between"),
        ("fail create libvirt_domain \u0663 times", "'\u0663'"),
        ("fail create libvirt_domain once twice", "'twice'"),
        ("fail create libvirt_domain after", "a number is missing"),
        ("fail create libvirt_domain after 1 after 2", "'after'"),
        ("fail build libvirt_domain", "'libvirt_domain'"),
        ("fail reconcile", "missing"),
        ("fail reconcile helmrelease", "missing"),
        ("keep finalizer pod", "kustomization"),
        ("slow pull libvirt_volume by 2x", "image"),
        ("slow create libvirt_domain", "by is missing"),
        ("slow create libvirt_domain by 10", "'10'"),
        ("slow create libvirt_domain by 0x", "factor of 0"),
        ("slow read libvirt_domain by 2x", "'read'"),
        ("hang create libvirt_domain for ever", "'ever'"),
        ("crash", "missing"),
        ("crash plugin", "'plugin'"),
        ("crash provider on libvirt_domain", "'libvirt_domain'"),
        ("refuse create libvirt_domain", "'create'"),
        ("fill bucket", "'bucket'"),
        ("throttle", "missing"),
        ("throttle ALL", "'ALL'"),
        ("quota", "missing"),
        ("no capacity", "'capacity'"),
        ("expire", "credentials is missing"),
        ("expire tokens", "'tokens'"),
        ("expire credentials after many calls", "'many'"),
        ("region slow", "'slow'"),
        ("leave cluster", "'cluster'"),
        ("lose network", "'network'"),
        ("stale state", "'state'"),
        ("surge by many nodes", "'many'"),
        ("surge by 3", "nodes or node is missing"),
        ("alter aws_vpc", "'aws_vpc'"),
        ("alter", "a type such as libvirt_domain is missing"),
        ("fail create libvirt_domain\nonce", "control characters"),
        ("fail create libvirt_domain\x1b[2J", "control characters"),
        ("leak " + "a" * 600, "longer than"),
    ],
)
def test_unreadable_fault_is_refused_naming_the_word_and_the_grammar(text: str, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_fault(text)
    assert named in caught.value.brief
    assert "\n" not in caught.value.brief
    assert caught.value.details == GRAMMAR


@given(st.text(max_size=600))
@example('fail create a with "' + '\\"' * 200)
@example("fail create " + "*" * 80)
def test_hostile_text_is_read_or_refused(text: str) -> None:
    try:
        fault = parse_fault(text)
    except UsageError:
        return
    assert parse_fault(str(fault)) == fault


@given(message=st.text(st.characters(categories=("L", "N", "P", "S")), max_size=50))
def test_messages_survive_being_written(message: str) -> None:
    fault = Fault("fail", "create", "libvirt_domain", message=message)
    assert parse_fault(str(fault)) == fault


def test_file_of_faults_is_read_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "faults"
    file.write_text("# a comment\n\n  fill pool  \nleak libvirt_volume\n")
    assert load_faults(file) == (parse_fault("fill pool"), parse_fault("leak libvirt_volume"))


def test_error_in_a_file_of_faults_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "faults"
    file.write_text("fill pool\n# next one is wrong\nfill bucket\n")
    with pytest.raises(UsageError) as caught:
        load_faults(file)
    assert caught.value.where == f"{file}:3"
    assert "'bucket'" in caught.value.brief


@pytest.mark.parametrize("content", [None, b"\xff\xfe leak", b"# large\n" * 20_000])
def test_unusable_file_of_faults_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "faults"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_faults(file)
    assert caught.value.where == str(file)


# what faults do


def test_failing_creation_makes_nothing_and_the_next_one_succeeds(world: World, draft: DraftOf) -> None:
    world.faults.add('fail create libvirt_domain with "no more memory"')
    with pytest.raises(WorldError, match="no more memory"):
        world.create(draft("web"))
    assert world.things() == []
    assert world.faults.list() == []
    world.create(draft("web"))


def test_failures_of_each_verb_leave_the_thing_as_it_was(world: World, draft: DraftOf) -> None:
    thing = world.create(draft("web"))
    for action in ("read", "update", "delete"):
        world.faults.add(f"fail {action} libvirt_domain")
    with pytest.raises(WorldError, match="cannot read domain 'web'"):
        world.read(thing.key)
    with pytest.raises(WorldError, match="cannot update domain 'web'"):
        world.update(thing.key, {})
    with pytest.raises(WorldError, match="cannot delete domain 'web'"):
        world.delete(thing.key)
    assert world.things() == [thing]


def test_fault_counts_down_and_passes_over_what_comes_before(world: World, draft: DraftOf) -> None:
    world.faults.add("fail create libvirt_domain after 1 twice")
    world.create(draft("a"))
    for name in ("b", "c"):
        with pytest.raises(WorldError):
            world.create(draft(name))
    world.create(draft("d"))
    assert [thing.name for thing in world.things()] == ["a", "d"]


def test_fault_concerns_only_the_type_and_name_it_names(world: World, draft: DraftOf) -> None:
    world.faults.add("fail create libvirt_dom*.*-worker-? always")
    world.create(draft("zave-a-worker-10"))
    world.create(draft("zave-a-worker-1", type="libvirt_volume"))
    with pytest.raises(WorldError):
        world.create(draft("zave-a-worker-1"))


def test_slow_faults_multiply_the_virtual_duration(world: World, draft: DraftOf) -> None:
    world.faults.add("slow create libvirt_domain by 10x always")
    world.faults.add("slow create libvirt_* by 1.5x once")
    start = world.clock.now()
    world.create(draft("a", seconds=4))
    assert world.clock.now() - start == timedelta(seconds=60)
    world.create(draft("b", seconds=4))
    assert world.clock.now() - start == timedelta(seconds=100)


def test_hanging_creation_times_out_and_leaves_what_it_made(world: World, draft: DraftOf) -> None:
    world.faults.add("hang create libvirt_domain for 1s")
    with pytest.raises(WorldError, match="timeout while waiting to create domain 'web'"):
        world.create(draft("web"))
    assert [thing.name for thing in world.things()] == ["web"]


def test_hanging_operation_holds_nobody_else_up(world: World, draft: DraftOf) -> None:
    world.faults.add("hang create libvirt_domain.stuck")

    def hang() -> None:
        with pytest.raises(WorldError, match="cancelled"):
            world.create(draft("stuck", seconds=1))

    hanging = threading.Thread(target=hang)
    hanging.start()
    world.create(draft("web", seconds=500))
    assert hanging.is_alive()
    world.cancel()
    hanging.join()


@pytest.mark.parametrize(
    ("action", "standing"),
    [
        # it dies at the worst moment: what it was making stands, what it was deleting still does
        ("create", ["web", "other"]),
        ("read", ["web"]),
        ("update", ["web"]),
        ("delete", ["web"]),
    ],
)
def test_provider_crashes_on_what_the_fault_names(
    world_path: Path, draft: DraftOf, action: str, standing: list[str]
) -> None:
    class CrashError(Exception):
        pass

    def crash() -> None:
        raise CrashError

    world = World.open(world_path, on_crash=crash)
    thing = world.create(draft("web"))
    world.faults.add(f"crash provider on {action} libvirt_domain")
    calls: dict[str, Callable[[], object]] = {
        "create": lambda: world.create(draft("other")),
        "read": lambda: world.read(thing.key),
        "update": lambda: world.update(thing.key, {}),
        "delete": lambda: world.delete(thing.key),
    }
    with pytest.raises(CrashError):
        calls[action]()
    assert [each.name for each in world.things()] == standing
    assert world.things()[0] == thing
    world.clock.sleep(1)
    world.close()


def test_crash_without_a_place_strikes_the_next_call_of_a_provider(world_path: Path, draft: DraftOf) -> None:
    crashes: list[int] = []
    world = World.open(world_path, on_crash=lambda: crashes.append(CRASH_EXIT))
    world.faults.add("crash provider")
    assert world.faults.take("build", "image", "k3s").fault is None
    world.create(draft("web"))
    world.create(draft("other"))
    assert crashes == [CRASH_EXIT]
    world.close()


def test_leak_reports_success_and_keeps_the_thing(world: World, draft: DraftOf) -> None:
    world.faults.add("leak libvirt_volume")
    key = world.create(draft("disk", type="libvirt_volume")).key
    world.delete(key)
    assert [(thing.name, thing.left_behind) for thing in world.things()] == [("disk", True)]
    world.delete(key)
    assert world.things() == []


def test_refused_deletion_holds_for_terraform_and_for_everybody_else(world: World, draft: DraftOf) -> None:
    key = world.create(draft("web")).key
    fault = world.faults.add('refuse delete libvirt_domain with "the domain is in use"')
    with pytest.raises(WorldError, match="in use"):
        world.delete(key)
    with pytest.raises(WorldError, match="in use"):
        world.remove(key)
    assert world.faults.remove(fault)
    assert not world.faults.remove(fault)
    world.remove(key)
    assert world.things() == []


def test_removal_by_hand_uses_up_no_other_fault(world: World, draft: DraftOf) -> None:
    world.faults.add("leak libvirt_domain")
    world.remove(world.create(draft("web")).key)
    assert world.things() == []
    assert [str(active.fault) for active in world.faults.list()] == ["leak libvirt_domain once"]


def test_full_pool_takes_no_volumes_until_the_fault_is_cleared(world: World, draft: DraftOf) -> None:
    world.faults.add("fill pool default")
    for name in ("a", "b"):
        with pytest.raises(WorldError, match="not enough free space in pool 'default'"):
            world.create(draft(name, type="libvirt_volume", pool="default"))
    world.create(draft("a", type="libvirt_volume", pool="fast"))
    world.create(draft("a", pool="default"))
    assert world.faults.clear() == 1
    world.create(draft("b", type="libvirt_volume", pool="default"))


def test_struck_faults_are_in_the_log(world: World, draft: DraftOf) -> None:
    world.faults.add("fail create libvirt_domain.web")
    with pytest.raises(WorldError):
        world.create(draft("web"))
    assert [(e.verb, e.name, e.detail) for e in world.log()] == [
        ("fault", "web", "fail create libvirt_domain.web once")
    ]


def test_listing_shows_what_is_left_of_each_fault(world: World, draft: DraftOf) -> None:
    world.faults.add("fail create libvirt_domain after 1 3 times")
    world.create(draft("a"))
    with pytest.raises(WorldError):
        world.create(draft("b"))
    (active,) = world.faults.list()
    assert (active.remaining, active.skip, active.fault.count) == (2, 0, 3)
