"""Terraform's stream of events, whole, unknown and broken."""

import json
from pathlib import Path
from typing import Any

import pytest

from zave.tools.terraform_json import (
    ChangeCounts,
    Diagnostic,
    TerraformEvent,
    failure,
    parse_line,
    parse_validation,
)

# as written by Terraform 1.11.4
RESOURCE = {
    "addr": 'module.vm["a"].terraform_data.b',
    "module": 'module.vm["a"]',
    "resource": "terraform_data.b",
    "implied_provider": "terraform",
    "resource_type": "terraform_data",
    "resource_name": "b",
    "resource_key": None,
}
DIAGNOSTIC = {
    "severity": "error",
    "summary": "Unsupported argument",
    "detail": 'An argument named "nmae" is not expected here.',
    "address": "terraform_data.b",
    "range": {
        "filename": "terraform-modules/k3s-cluster/network.tf",
        "start": {"line": 7, "column": 3, "byte": 90},
        "end": {"line": 7, "column": 7, "byte": 94},
    },
    "snippet": {"context": 'resource "terraform_data" "b"', "code": "  nmae = 1", "start_line": 7},
}


def parse(kind: str, **body: Any) -> TerraformEvent | None:
    return parse_line(json.dumps({"@level": "info", "@message": "said", "type": kind, **body}))


def test_work_on_a_resource_is_told_with_its_outcome() -> None:
    hook = {"resource": RESOURCE, "action": "create", "id_key": "id", "id_value": "7", "elapsed_seconds": 3}

    assert parse("apply_complete", hook=hook) == TerraformEvent(
        "apply_complete",
        "said",
        address='module.vm["a"].terraform_data.b',
        resource_type="terraform_data",
        action="create",
        seconds=3.0,
        id_value="7",
    )


@pytest.mark.parametrize("kind", ["apply_start", "apply_progress", "apply_errored", "provision_start"])
def test_each_stage_of_work_is_an_event_of_its_own(kind: str) -> None:
    event = parse(kind, hook={"resource": RESOURCE, "action": "delete"})

    assert event is not None
    assert (event.kind, event.action, event.seconds) == (kind, "delete", None)


def test_a_refresh_is_a_read() -> None:
    event = parse("refresh_complete", hook={"resource": RESOURCE, "id_key": "id", "id_value": "7"})

    assert event is not None
    assert (event.action, event.id_value) == ("read", "7")


@pytest.mark.parametrize(("action", "known"), [("replace", "replace"), ("noop", None), ("move", None)])
def test_a_planned_change_names_what_is_done_to_the_object(action: str, known: str | None) -> None:
    event = parse("planned_change", change={"resource": RESOURCE, "action": action})

    assert event is not None
    assert event.action == known


def test_a_diagnostic_has_its_place() -> None:
    event = parse("diagnostic", diagnostic=DIAGNOSTIC)

    assert event is not None
    assert event.diagnostic == Diagnostic(
        severity="error",
        summary="Unsupported argument",
        detail='An argument named "nmae" is not expected here.',
        address="terraform_data.b",
        file="terraform-modules/k3s-cluster/network.tf",
        line=7,
        snippet="  nmae = 1",
    )
    assert (event.severity, event.summary) == ("error", "Unsupported argument")
    assert event.diagnostic.where == "terraform-modules/k3s-cluster/network.tf:7"


def test_a_diagnostic_without_a_place_names_the_resource() -> None:
    event = parse("diagnostic", diagnostic={"severity": "warning", "summary": "s", "address": "a.b"})

    assert event is not None
    assert event.diagnostic is not None
    assert (event.diagnostic.where, event.severity) == ("a.b", "warning")


def test_counts_are_read_from_the_summary() -> None:
    counts = {"add": 2, "change": 1, "import": 3, "remove": 4, "operation": "apply"}
    event = parse("change_summary", changes=counts)

    assert event is not None
    assert event.counts == ChangeCounts("apply", add=2, change=1, remove=4, imported=3)


def test_sensitive_outputs_are_left_out() -> None:
    event = parse(
        "outputs",
        outputs={
            "open": {"sensitive": False, "type": "string", "value": "x"},
            "secret": {"sensitive": True, "type": "string", "value": "y"},
            "planned": {"sensitive": False, "action": "create"},
        },
    )

    assert event is not None
    assert event.outputs == {"open": "x"}


def test_unknown_events_are_ignored() -> None:
    assert parse("ephemeral_op_start", hook={"resource": RESOURCE}) is None
    assert parse("no_such_event") is None
    assert parse_line("   ") is None


@pytest.mark.parametrize(
    "line",
    [
        "panic: runtime error",
        '{"@level":"info","@message":"cut of',
        '{"type": 7}',
        '["type"]',
        "[" * 100_000,
        '{"x": ' * 50_000,
        '{"type":"apply_complete"}',
        '{"type":"apply_complete","hook":{"resource":7}}',
        '{"type":"diagnostic","diagnostic":null}',
        '{"type":"change_summary","changes":{"add":"x"}}',
        '{"type":"outputs","outputs":[]}',
        '{"type":"apply_progress","hook":{"resource":{"addr":"a","resource_type":"b"},"elapsed_seconds":"x"}}',
        "9" * 5000,
        "\x1b[31m\ufffd",
    ],
)
def test_a_broken_line_is_kept_as_text(line: str) -> None:
    assert parse_line(line) == TerraformEvent("text", line)


def test_a_failure_names_the_first_error_and_its_line() -> None:
    warning = Diagnostic("warning", "Deprecated")
    first = Diagnostic("error", "Unsupported\n  argument", "Not expected here.", "a.b", "main.tf", 7, "x = 1")
    second = Diagnostic("error", "Other")

    error = failure("terraform plan failed", [warning, first, second], root=Path("/r"), log=Path("/l"))

    assert error.brief == "terraform plan failed: Unsupported argument"
    assert error.where == "main.tf:7"
    assert error.details == (
        "Error: Unsupported argument\n  at main.tf:7, a.b\n  x = 1\n  Not expected here.\nError: Other"
    )
    assert "/l" in (error.resolution or "")


def test_files_below_the_root_are_named_relative_to_it() -> None:
    item = Diagnostic("error", "s", file="/state/instances/x/terraform/main.tf", line=1)

    error = failure("f", [item], root=Path("/state/instances/x/terraform"), log=Path("/l"))

    assert error.where == "main.tf:1"


def test_a_failure_without_diagnostics_gives_the_last_words() -> None:
    error = failure("f", [], root=Path("/r"), log=Path("/l"), said="x" * 10_000 + "panic: last")

    assert (error.details or "").endswith("panic: last")
    assert len(error.details or "") <= 2000


def test_a_failure_with_very_many_errors_stays_readable() -> None:
    items = [Diagnostic("error", f"error {n}", "d" * 100_000, snippet="s" * 100_000) for n in range(500)]

    error = failure("f", items, root=Path("/r"), log=Path("/l"))

    assert (error.details or "").endswith("... and 490 more errors")
    assert len(error.details or "") < 50_000


def test_the_document_of_validate_is_read() -> None:
    (found,) = parse_validation({"valid": False, "diagnostics": [DIAGNOSTIC]})

    assert found.where == "terraform-modules/k3s-cluster/network.tf:7"


@pytest.mark.parametrize("document", [None, [], {}, {"diagnostics": [7]}, {"diagnostics": [{}]}])
def test_another_document_is_no_validation(document: Any) -> None:
    with pytest.raises(ValueError, match="not a validation result"):
        parse_validation(document)
