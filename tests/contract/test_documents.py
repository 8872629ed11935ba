"""Every document that zave prints is valid against the schema that it ships."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from zave.schemas import kinds, load_schema

RUN = "import sys; from zave.cli.app import main; sys.exit(main(sys.argv[1:]))"
SPECS = {"aws-eks", "libvirt-k3s"}
OWN_KINDS = [kind for kind in kinds() if kind not in SPECS]


@dataclass(frozen=True)
class Rehearsal:
    """A state directory of its own, and the command line on it."""

    state: Path

    def run(self, *words: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-c", RUN, *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.state,
            env={**os.environ, "ZAVE_STATE_DIR": str(self.state / "records")},
        )
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def document(self, *words: str, status: int = 0) -> dict[str, Any]:
        """The one document of a reading command, valid by its own kind."""
        found: dict[str, Any] = json.loads(self.run(*words, "-o", "json", status=status))
        check(found)
        return found

    def events(self, *words: str, status: int = 0) -> list[dict[str, Any]]:
        """The events of a lifecycle command, each valid."""
        found = [json.loads(line) for line in self.run(*words, "-o", "json", status=status).splitlines()]
        for event in found:
            check(event)
        return found


def check(document: dict[str, Any]) -> None:
    name, kind, version = document["schema"].split("/")
    assert (name, version) == ("zave", "v1")
    Draft202012Validator(load_schema(kind)).validate(document)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """A rehearsed home lab that is up."""
    rehearsal = Rehearsal(tmp_path_factory.mktemp("life"))
    started = rehearsal.events("up", "homelab", "--rehearse", "--yes")
    assert [started[0]["event"], started[-1]["event"]] == ["run.started", "run.finished"]
    assert started[-1]["exit_code"] == 0
    yield rehearsal
    ended = rehearsal.events("down", "homelab", "--rehearse", "--yes")
    (receipt,) = [event["receipt"] for event in ended if event["event"] == "receipt"]
    check(receipt)
    assert receipt["leaks"] == []
    assert ended[-1]["event"] == "run.finished"
    history = rehearsal.document("history", "--rehearse")
    assert history["receipts"][0]["receipt"] == receipt


@pytest.mark.parametrize("kind", kinds())
def test_each_schema_is_one(kind: str) -> None:
    schema = load_schema(kind)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def objects_of(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object schema within `schema`."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for value in schema.values():
            yield from objects_of(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects_of(value)


@pytest.mark.parametrize("kind", OWN_KINDS)
def test_each_schema_is_closed_and_names_its_kind(kind: str) -> None:
    schema = load_schema(kind)
    assert schema["$id"] == f"zave/{kind}/v1"
    assert schema["title"]
    closed = list(objects_of(schema))
    assert closed
    for each in closed:
        assert each["additionalProperties"] is False
        assert set(each["required"]) <= set(each["properties"])


def test_a_key_too_many_or_too_few_is_refused() -> None:
    validator = Draft202012Validator(load_schema("faults"))
    good = {"schema": "zave/faults/v1", "faults": [{"id": 1, "text": "leak x", "remaining": None, "skip": 0}]}
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "more": 1})
    assert not validator.is_valid({"schema": "zave/faults/v1"})
    assert not validator.is_valid({**good, "schema": "zave/faults/v2"})


def test_reading_commands_print_one_valid_document(life: Rehearsal) -> None:
    status = life.document("status", "--rehearse")
    (environment,) = status["environments"]
    assert (environment["phase"], environment["rehearsal"], len(environment["nodes"])) == ("ready", True, 3)
    assert life.document("plan", "homelab", "--rehearse", "--detailed-exitcode")["terraform"]["create"] == 0
    assert life.document("drift", "homelab", "--rehearse")["in_sync"] is True
    assert life.document("sweep", "--rehearse")["leaks"] == []
    assert life.document("history", "--rehearse")["runs"][0]["outcome"] == "done"
    assert life.document("logs", "homelab", "--rehearse", "-n", "5")["logs"]
    assert life.document("kubeconfig", "homelab", "--rehearse", "--content")["content"]
    assert life.document("kubeconfig", "homelab", "--rehearse", "--merge")["merged"] is True
    assert life.document("kubeconfig", "homelab", "--rehearse", "--unmerge")["merged"] is False
    assert life.document("console", "homelab", "worker-1", "--rehearse")["lines"]
    assert life.document("logs", "homelab", "--rehearse", "--node", "worker-1")["run_id"] is None
    assert life.document("doctor", "--rehearse")["ready"] is True
    assert life.document("doctor", "homelab", "--rehearse")["ready"] is True
    assert life.document("rehearse")["things"] > 0
    assert life.document("rehearse", "log")["events"]
    assert life.document("rehearse", "faults")["faults"] == []


@pytest.mark.usefixtures("life")
def test_differences_are_a_document_and_exit_3(life: Rehearsal) -> None:
    life.document("rehearse", "lose", "libvirt_domain", "zave-homelab-worker-1")
    drift = life.document("drift", "homelab", "--rehearse", status=3)
    assert drift["in_sync"] is False
    assert drift["world"][0]["problem"] == "missing"
    plan = life.document("plan", "homelab", "--rehearse", "--detailed-exitcode", status=3)
    assert plan["terraform"]["create"] == 1
    life.events("up", "homelab", "--rehearse", "--yes")
    assert life.document("drift", "homelab", "--rehearse")["in_sync"] is True


def test_a_snapshot_and_its_return_are_documents(life: Rehearsal, tmp_path: Path) -> None:
    file = str(tmp_path / "lab.snapshot")
    taken = life.document("snapshot", "homelab", file, "--rehearse")
    restored = life.document("restore", "homelab", file, "--yes", "--rehearse")
    assert [taken["action"], restored["action"]] == ["taken", "restored"]
    assert taken["sha256"] == restored["sha256"]


def test_the_event_file_holds_what_was_printed(life: Rehearsal) -> None:
    run_id = life.document("history", "--rehearse")["runs"][0]["id"]
    folder = life.state / "records" / "rehearsal" / "instances" / "homelab" / "events"
    lines = (folder / f"{run_id}.jsonl").read_text().splitlines()
    for line in lines:
        check(json.loads(line))
    assert json.loads(lines[-1])["event"] == "run.finished"


def test_the_rest_is_valid_without_a_life(tmp_path: Path) -> None:
    alone = Rehearsal(tmp_path)
    for words in (["status"], ["config"], ["schema"], ["history"], ["init", "lab"], ["doctor"]):
        alone.document(*words)
    for words in (["statsu"], ["status", "nothing"], ["status", "--limit"], ["schema", "nothing"]):
        assert alone.document(*words, status=2)["exit_code"] == 2


def test_a_failed_run_ends_with_its_error(tmp_path: Path) -> None:
    events = Rehearsal(tmp_path).events(
        "up", "homelab", "--rehearse", "--yes", "--fault", "fail create libvirt_network once", status=1
    )
    assert events[-1]["event"] == "run.finished"
    assert events[-1]["error"]["exit_code"] == 1


def test_a_place_that_does_not_answer_is_in_the_inventory_and_exits_5(tmp_path: Path) -> None:
    rehearsal = Rehearsal(tmp_path)
    rehearsal.document("account", "setup", "--yes", "--rehearse")
    whole = rehearsal.document("sweep", "--rehearse")
    assert (len(whole["looked_at"]), whole["unanswered"]) == (2, [])
    rehearsal.document("rehearse", "faults", "add", "region unreachable")
    part = rehearsal.document("sweep", "--rehearse", status=5)
    (unanswered,) = part["unanswered"]
    assert {*part["looked_at"], unanswered["place"]} == set(whole["looked_at"])
    assert "cannot be reached" in unanswered["problem"]
    assert unanswered["resolution"]
    assert part["leaks"] == []


def test_a_leak_is_in_the_receipt_and_exits_6(tmp_path: Path) -> None:
    leaking = Rehearsal(tmp_path)
    leaking.events("up", "homelab", "--rehearse", "--yes")
    events = leaking.events("down", "--rehearse", "--yes", "--fault", "leak libvirt_network", status=6)
    (receipt,) = [event["receipt"] for event in events if event["event"] == "receipt"]
    check(receipt)
    assert [leak["type"] for leak in receipt["leaks"]] == ["libvirt_network"]
    leaking.events("down", "homelab", "--rehearse", "--yes")
    assert leaking.document("sweep", "--rehearse")["leaks"] == []
