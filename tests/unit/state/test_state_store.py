import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zave.clock import Clock, SystemClock
from zave.errors import LeakError, StateError
from zave.state import rows
from zave.state.directory import StateDirectory
from zave.state.records import InstanceRecord, ResourceRecord, RunRecord, StepEnd
from zave.state.store import StateStore

OpenStore = Callable[[], StateStore]


def begin(store: StateStore, instance: str = "homelab", command: str = "up") -> RunRecord:
    return store.begin_run(instance=instance, command=command, arguments=[command, instance, "--yes"])


def finish(store: StateStore, run: RunRecord) -> None:
    store.finish_run(run.id, outcome="done", exit_code=0, seconds=1.5, virtual_seconds=600)


def do_step(store: StateStore, run: RunRecord, step: str, *, seconds: float) -> None:
    store.begin_step(run.instance, step, run_id=run.id, fingerprint="f", verb="do")
    store.finish_step(run.instance, step, StepEnd("done", seconds=seconds, virtual_seconds=60, outputs={}))


# instances


def test_instance_is_read_as_it_was_saved(open_store: OpenStore, homelab: InstanceRecord) -> None:
    expiring = replace(
        homelab, expires_at=datetime(2026, 11, 25, tzinfo=UTC), outputs={"endpoint": "https://x"}
    )
    store = open_store()
    store.save_instance(homelab)
    store.save_instance(expiring)
    store.close()
    reopened = open_store()
    assert reopened.instance("homelab") == expiring
    assert reopened.instances() == [expiring]
    assert reopened.instance("other") is None
    assert reopened.notices == []


def test_instances_come_by_name(store: StateStore, homelab: InstanceRecord) -> None:
    for name in ("b", "a", "c"):
        store.save_instance(replace(homelab, name=name))
    assert [record.name for record in store.instances()] == ["a", "b", "c"]


def test_phase_outside_the_contract_is_refused(store: StateStore, homelab: InstanceRecord) -> None:
    with pytest.raises(StateError, match="refuses"):
        store.save_instance(replace(homelab, phase="fine"))  # type: ignore[arg-type]
    assert store.instances() == []


# runs


def test_run_is_recorded_before_it_does_anything(open_store: OpenStore, store: StateStore) -> None:
    run = begin(store)
    (seen,) = open_store().unfinished_runs("homelab")
    assert seen == run
    assert seen.pid == os.getpid()
    assert seen.arguments == ("up", "homelab", "--yes")
    assert (seen.finished_at, seen.outcome, seen.exit_code) == (None, None, None)


def test_finished_run_keeps_outcome_times_and_error(store: StateStore, clock: Clock) -> None:
    run = begin(store, command="down")
    clock.sleep(90)
    error = LeakError("a volume stands", resolution="zave sweep --delete").to_document()
    store.finish_run(
        run.id, outcome="failed", exit_code=LeakError.exit_code, seconds=2, virtual_seconds=90, error=error
    )
    (seen,) = store.runs("homelab")
    assert seen == replace(
        run,
        finished_at=run.started_at + timedelta(seconds=90),
        outcome="failed",
        exit_code=6,
        seconds=2.0,
        virtual_seconds=90.0,
        error=error,
    )
    assert store.unfinished_runs("homelab") == []


def test_runs_come_newest_first_although_the_clock_stands_still(store: StateStore) -> None:
    ids = [begin(store, instance=name).id for name in ("a", "b", "a", "a", "b")]
    assert [run.id for run in store.runs()] == ids[::-1]
    assert [run.id for run in store.runs("a")] == [ids[3], ids[2], ids[0]]
    assert [run.id for run in store.runs(limit=2)] == [ids[4], ids[3]]
    assert len(set(ids)) == 5


def test_unknown_run_cannot_end(store: StateStore) -> None:
    with pytest.raises(StateError, match="run 20261123T101500-000000 is not in the record"):
        store.finish_run("20261123T101500-000000", outcome="done", exit_code=0, seconds=0, virtual_seconds=0)


# steps


def test_step_is_on_record_as_running_before_it_runs(open_store: OpenStore, store: StateStore) -> None:
    run = begin(store)
    store.begin_step("homelab", "infra", run_id=run.id, fingerprint="abc", verb="do")
    seen = open_store().steps("homelab")["infra"]
    assert (seen.state, seen.verb, seen.fingerprint, seen.run_id) == ("running", "do", "abc", run.id)
    assert seen.finished_at is None


def test_finished_step_keeps_what_later_steps_and_people_need(store: StateStore) -> None:
    run = begin(store)
    store.begin_step("homelab", "infra", run_id=run.id, fingerprint="abc", verb="do")
    end = StepEnd("failed", seconds=1, virtual_seconds=5, outputs={"a": [1]}, reason="no space")
    store.finish_step("homelab", "infra", end)
    seen = store.steps("homelab")["infra"]
    assert (seen.state, seen.seconds, seen.virtual_seconds) == ("failed", 1.0, 5.0)
    assert (seen.outputs, seen.reason) == ({"a": [1]}, "no space")
    assert seen.finished_at is not None


def test_undoing_keeps_fingerprint_and_outputs_for_the_way_back(store: StateStore) -> None:
    run = begin(store)
    store.begin_step("homelab", "infra", run_id=run.id, fingerprint="abc", verb="do")
    store.finish_step("homelab", "infra", StepEnd("done", seconds=1, virtual_seconds=5, outputs={"a": 1}))
    down = begin(store, command="down")
    store.begin_step("homelab", "infra", run_id=down.id, fingerprint=None, verb="undo")
    seen = store.steps("homelab")["infra"]
    assert (seen.state, seen.fingerprint, seen.outputs, seen.seconds) == ("undoing", "abc", {"a": 1}, None)
    store.finish_step("homelab", "infra", StepEnd("undone", seconds=1, virtual_seconds=5))
    assert store.steps("homelab")["infra"].outputs == {"a": 1}


def test_steps_keep_the_order_in_which_they_first_began(store: StateStore) -> None:
    run = begin(store)
    for step in ("render", "infra", "gitops", "render"):
        store.begin_step("homelab", step, run_id=run.id, fingerprint="f", verb="do")
    assert list(store.steps("homelab")) == ["render", "infra", "gitops"]
    assert store.steps("other") == {}


def test_step_of_a_run_that_was_never_recorded_is_refused(store: StateStore) -> None:
    with pytest.raises(StateError, match="refuses"):
        store.begin_step("homelab", "infra", run_id="20261123T101500-000000", fingerprint="f", verb="do")
    with pytest.raises(StateError, match="step infra of homelab is not in the record"):
        store.finish_step("homelab", "infra", StepEnd("done", seconds=0, virtual_seconds=0))


def test_reason_in_no_known_encoding_is_kept_readable(store: StateStore) -> None:
    run = begin(store)
    store.begin_step("homelab", "infra", run_id=run.id, fingerprint="f", verb="do")
    hostile = b"caf\xe9 \x1b[31m\x00".decode("utf-8", "surrogateescape")
    store.finish_step("homelab", "infra", StepEnd("failed", seconds=0, virtual_seconds=0, reason=hostile))
    assert store.steps("homelab")["infra"].reason == "caf\\udce9 \x1b[31m\x00"


def test_estimate_is_the_median_of_the_last_ten_successes(store: StateStore, homelab: InstanceRecord) -> None:
    store.save_instance(homelab)
    run = begin(store)
    for seconds in [1000.0] * 5 + [10.0, 1.0, 9.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0, 5.0]:
        do_step(store, run, "infra", seconds=seconds)
    do_step(store, run, "render", seconds=0.5)
    assert store.typical_step_seconds("libvirt-k3s") == {"infra": 5.5, "render": 0.5}


def test_failures_other_platforms_and_undoing_teach_nothing_about_doing(
    store: StateStore, homelab: InstanceRecord
) -> None:
    store.save_instance(homelab)
    store.save_instance(replace(homelab, name="cloud", platform="aws-eks"))
    run, cloud = begin(store), begin(store, instance="cloud")
    store.begin_step("homelab", "infra", run_id=run.id, fingerprint="f", verb="do")
    store.finish_step("homelab", "infra", StepEnd("failed", seconds=99, virtual_seconds=0))
    do_step(store, cloud, "infra", seconds=50)
    do_step(store, begin(store, instance="unrecorded"), "infra", seconds=70)
    store.begin_step("homelab", "infra", run_id=run.id, fingerprint=None, verb="undo")
    store.finish_step("homelab", "infra", StepEnd("undone", seconds=3, virtual_seconds=0))
    assert store.typical_step_seconds("libvirt-k3s") == {}
    assert store.typical_step_seconds("libvirt-k3s", verb="undo") == {"infra": 3.0}
    assert store.typical_step_seconds("aws-eks") == {"infra": 50.0}


# resources


def test_resources_are_intended_then_present_then_gone(open_store: OpenStore, store: StateStore) -> None:
    run = begin(store)
    address = 'module.cluster.libvirt_domain.node["worker-1"]'
    intended = ResourceRecord(address, "libvirt_domain", "homelab-worker-1")
    store.intend_resources("homelab", [intended, replace(intended, address="b")], run.id)
    assert open_store().resources("homelab") == [replace(intended, address="b"), intended]
    store.mark_resources("homelab", [replace(intended, state="present", id="7")])
    assert replace(intended, state="present", id="7") in store.resources("homelab")
    store.mark_resources("homelab", [replace(intended, state="gone")])
    assert replace(intended, state="gone", id="7") in store.resources("homelab")
    assert store.resources("other") == []


def test_resource_intended_again_keeps_its_id(store: StateStore) -> None:
    run = begin(store)
    resource = ResourceRecord("a", "libvirt_volume", "disk", id="key")
    store.intend_resources("homelab", [resource], run.id)
    store.intend_resources("homelab", [replace(resource, id=None)], run.id)
    assert store.resources("homelab") == [resource]


def test_resources_are_marked_all_or_none(store: StateStore) -> None:
    resource = ResourceRecord("a", "t", "n")
    store.intend_resources("homelab", [resource], begin(store).id)
    marks = [replace(resource, state="present"), replace(resource, address="x", state="present")]
    with pytest.raises(StateError, match="resource x of homelab is not in the record"):
        store.mark_resources("homelab", marks)
    assert store.resources("homelab") == [resource]
    store.mark_resources("homelab", [])


def test_intent_is_recorded_for_all_resources_or_for_none(store: StateStore) -> None:
    run = begin(store)
    good = ResourceRecord("a", "t", "n")
    bad = replace(good, address="b", state="wrong")  # type: ignore[arg-type]
    with pytest.raises(StateError):
        store.intend_resources("homelab", [good, bad], run.id)
    assert store.resources("homelab") == []


# facts


@pytest.fixture(scope="module")
def fact_store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("facts") / "state"
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(root)}, rehearsal=False)
    store = StateStore.open(directory, clock=SystemClock())
    yield store
    store.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(key=st.text(max_size=20), value=JSON)
def test_fact_is_any_json_value_and_comes_back_equal(fact_store: StateStore, key: str, value: Any) -> None:
    fact_store.put_fact("homelab", key, value)
    assert fact_store.fact("homelab", key) == value
    fact_store.delete_fact("homelab", key)
    assert fact_store.fact("homelab", key) is None


def test_facts_of_instances_are_apart_and_the_last_counts(store: StateStore) -> None:
    store.put_fact("a", "seal", {"serial": 1})
    store.put_fact("a", "seal", {"serial": 2})
    store.put_fact("b", "seal", {"serial": 9})
    assert store.fact("a", "seal") == {"serial": 2}
    assert store.fact("b", "seal") == {"serial": 9}
    assert store.fact("a", "other") is None
    store.delete_fact("a", "never there")


@pytest.mark.parametrize("value", [float("nan"), object(), {"a": {1, 2}}])
def test_what_json_cannot_hold_is_refused_and_leaves_the_fact(store: StateStore, value: object) -> None:
    store.put_fact("a", "key", "before")
    with pytest.raises((TypeError, ValueError)):
        store.put_fact("a", "key", value)
    assert store.fact("a", "key") == "before"


# receipts


def receipt(leaks: int = 0) -> dict[str, Any]:
    return {
        "schema": "zave/receipt/v1",
        "at": "2026-11-23T11:00:00.000Z",
        "deleted": [{"type": "libvirt_domain", "id": "1", "name": "n"}],
        "accepted": [],
        "leaks": [{"type": "libvirt_volume", "id": str(number), "name": "v"} for number in range(leaks)],
        "usd_per_day_leaking": 0.25 * leaks,
    }


def test_receipts_come_newest_first_with_their_numbers(store: StateStore) -> None:
    run, other = begin(store, command="down"), begin(store, instance="other", command="down")
    store.add_receipt("homelab", receipt(leaks=2), run.id)
    store.add_receipt("other", receipt(), other.id)
    store.add_receipt("homelab", receipt(), run.id)
    last = store.last_receipt("homelab")
    assert last is not None
    assert last.document == receipt()
    assert [found.summary.leaks for found in store.receipts("homelab")] == [0, 2]
    assert store.receipts("homelab")[1].summary.usd_per_day_leaking == 0.5
    assert [found.instance for found in store.receipts()] == ["homelab", "other", "homelab"]
    assert store.last_receipt("never") is None


# the overview


def test_overview_gathers_what_belongs_to_each_instance(store: StateStore, homelab: InstanceRecord) -> None:
    store.save_instance(homelab)
    store.save_instance(replace(homelab, name="bare"))
    finish(store, begin(store))
    run = begin(store, command="down")
    do_step(store, run, "render", seconds=1)
    do_step(store, run, "infra", seconds=2)
    store.add_receipt("homelab", receipt(leaks=1), run.id)
    store.add_receipt("homelab", receipt(), run.id)
    bare, full = store.overview()
    assert (bare.record.name, bare.steps, bare.last_receipt) == ("bare", (), None)
    assert full.record == replace(homelab, spec={})
    assert [(step.step, step.state, step.seconds) for step in full.steps] == [
        ("render", "done", 1.0),
        ("infra", "done", 2.0),
    ]
    assert full.last_receipt is not None
    assert (full.last_receipt.deleted, full.last_receipt.leaks) == (1, 0)


def test_overview_of_many_instances_needs_no_more_queries_than_of_one(
    store: StateStore, directory: StateDirectory, homelab: InstanceRecord
) -> None:
    def queries() -> int:
        seen: list[str] = []
        connection = sqlite3.connect(directory.database)
        connection.set_trace_callback(seen.append)
        assert rows.overview(connection)
        connection.close()
        return len(seen)

    store.save_instance(homelab)
    few = queries()
    for number in range(30):
        store.save_instance(replace(homelab, name=f"lab-{number}"))
        do_step(store, begin(store, instance=f"lab-{number}"), "infra", seconds=1)
    assert queries() == few


# threads and processes


def test_threads_share_one_store_without_losing_anything(store: StateStore, homelab: InstanceRecord) -> None:
    store.save_instance(homelab)
    run = begin(store)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                do_step(store, run, f"step-{number}", seconds=turn)
                store.put_fact("homelab", f"{number}-{turn}", turn)
                store.intend_resources("homelab", [ResourceRecord(f"{number}-{turn}", "t", "n")], run.id)
                assert store.fact("homelab", f"{number}-{turn}") == turn
                assert store.overview()
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store.resources("homelab")) == 160
    assert {step.state for step in store.steps("homelab").values()} == {"done"}
    assert len(store.steps("homelab")) == 8


def test_processes_write_side_by_side_and_start_together_from_nothing(
    directory: StateDirectory, open_store: OpenStore
) -> None:
    script = (
        "import sys\n"
        "from zave.clock import SystemClock\n"
        "from zave.state.directory import StateDirectory\n"
        "from zave.state.store import StateStore\n"
        "directory = StateDirectory.locate({'ZAVE_STATE_DIR': sys.argv[1]}, rehearsal=False)\n"
        "sys.stdin.readline()\n"
        "store = StateStore.open(directory, clock=SystemClock())\n"
        "assert store.notices == []\n"
        "for number in range(10):\n"
        "    store.begin_run(instance=sys.argv[2], command='up', arguments=[])\n"
        "store.close()\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(directory.root), f"lab-{number}"], stdin=subprocess.PIPE
        )
        for number in range(12)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait() for process in processes] == [0] * 12
    store = open_store()
    assert store.notices == []
    assert len({run.id for run in store.runs()}) == 120


def test_closed_store_can_be_closed_again_and_leaves_one_file(
    store: StateStore, directory: StateDirectory
) -> None:
    begin(store)
    store.close()
    store.close()
    assert [path for path in directory.database_files if path.exists()] == [directory.database]
