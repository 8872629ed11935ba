"""Terraform's `-json` stream as typed events, and its diagnostics as errors for people.

Formats: HashiCorp's "Machine-Readable UI" (ui 1.2) and `validate -json` (format 1.0), as written by
Terraform 1.11.4 and 1.15.5. What is unknown is ignored; what is broken stays text.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from zave.errors import ToolFailedError
from zave.events import ResourceAction

Severity = Literal["error", "warning"]

# how much of what Terraform said goes into an error
_SHOWN_DIAGNOSTICS = 10
# Terraform's core says this after the provider reported success
_INCONSISTENT = "Provider produced inconsistent result after apply"
_SHOWN_CHARACTERS = 2000

_ACTIONS = frozenset(get_args(ResourceAction))
_WORDS = frozenset({"version", "log", "init_output", "provision_progress"})
_CHANGES = frozenset({"planned_change", "resource_drift"})
_HOOKS = frozenset(
    {
        "apply_start",
        "apply_progress",
        "apply_complete",
        "apply_errored",
        "provision_start",
        "provision_complete",
        "provision_errored",
        "refresh_start",
        "refresh_complete",
    }
)


@dataclass(frozen=True)
class Diagnostic:
    """An error or warning of Terraform's; `file` is as Terraform names it, relative to the root."""

    severity: Severity
    summary: str
    detail: str = ""
    address: str | None = None
    file: str | None = None
    line: int | None = None
    snippet: str | None = None

    @property
    def where(self) -> str | None:
        """`file:line`, else the resource's address, else None."""
        if self.file is None:
            return self.address
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class ChangeCounts:
    """Terraform's own count at the end of a plan or an apply (`operation`)."""

    operation: str
    add: int
    change: int
    remove: int
    imported: int


@dataclass(frozen=True)
class TerraformEvent:
    """One event. `kind` is Terraform's message type, or `text` for what is no event at all.

    `text` is Terraform's sentence. `address`, `resource_type` and `action` belong to resources;
    `seconds` (whole, as Terraform counts) and `id_value` to work on them (`apply_*`, `refresh_*`).
    `action` is None where nothing is done to the object itself (no-op, move, forget).
    """

    kind: str
    text: str = ""
    address: str | None = None
    resource_type: str | None = None
    action: ResourceAction | None = None
    seconds: float | None = None
    id_value: str | None = None
    diagnostic: Diagnostic | None = None
    counts: ChangeCounts | None = None
    outputs: Mapping[str, Any] | None = None

    @property
    def severity(self) -> Severity | None:
        """Of a diagnostic; None for other events."""
        return None if self.diagnostic is None else self.diagnostic.severity

    @property
    def summary(self) -> str | None:
        """Of a diagnostic; None for other events."""
        return None if self.diagnostic is None else self.diagnostic.summary


def parse_line(line: str) -> TerraformEvent | None:
    """The event in one line of the stream; None for one that zave has no use for. Never raises."""
    if not line.strip():
        return None
    try:
        document: Any = json.loads(line)
    except (ValueError, RecursionError):
        return TerraformEvent("text", line)
    if not isinstance(document, dict) or not isinstance(document.get("type"), str):
        return TerraformEvent("text", line)
    try:
        return _event(document)
    except (KeyError, TypeError, ValueError, AttributeError):
        # of a shape that no known version writes
        return TerraformEvent("text", line)


def parse_validation(document: Any) -> tuple[Diagnostic, ...]:
    """The diagnostics in the output of `validate -json`. Raises ValueError when it is another."""
    try:
        return tuple(_diagnostic(item) for item in document["diagnostics"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a validation result: {error}") from error


class DoubtedApplyError(ToolFailedError):
    """Everything was done, and Terraform's core found results that the provider's plan had not named."""


def failure(
    what: str,
    diagnostics: Iterable[Diagnostic],
    *,
    root: Path,
    log: Path,
    said: str = "",
    at_work: Sequence[str] = (),
) -> ToolFailedError:
    """The error for a command that failed; `said` is its last words where it left no diagnostic.

    `at_work` are the addresses that it had begun: a provider that dies names none of them.
    """
    errors = [item for item in diagnostics if item.severity == "error"]
    resolution = f"put it right and run the same command again; the whole log is {log}"
    if not errors:
        details = "\n".join([said[-_SHOWN_CHARACTERS:], *_begun(at_work, [])]).strip()
        return ToolFailedError(what, details=details or None, where=str(root), resolution=resolution)
    # init of Terraform 1.15 begins with a sentence that names no place, and then tells the errors
    first = next((item for item in errors if item.file), errors[0])
    doubted = all(item.summary == _INCONSISTENT for item in errors)
    shown = [_shown(item) for item in errors[:_SHOWN_DIAGNOSTICS]]
    if len(errors) > len(shown):
        shown.append(f"... and {len(errors) - len(shown)} more errors")
    return (DoubtedApplyError if doubted else ToolFailedError)(
        f"{what}: {_line(first.summary)}",
        details="\n".join([*shown, *_begun(at_work, errors)]),
        where=_relative(first, root),
        resolution=resolution,
    )


def _begun(addresses: Sequence[str], errors: Sequence[Diagnostic]) -> list[str]:
    named = {error.address for error in errors}
    unnamed = [address for address in addresses if address not in named]
    if not unnamed:
        return []
    more = f" and {len(unnamed) - _SHOWN_DIAGNOSTICS} more" if len(unnamed) > _SHOWN_DIAGNOSTICS else ""
    return [f"begun and not finished: {', '.join(unnamed[:_SHOWN_DIAGNOSTICS])}{more}"]


def _event(document: dict[str, Any]) -> TerraformEvent | None:
    kind, text = document["type"], str(document.get("@message", ""))
    if kind == "diagnostic":
        diagnostic = _diagnostic(document["diagnostic"])
        return TerraformEvent(kind, text, address=diagnostic.address, diagnostic=diagnostic)
    if kind == "change_summary":
        return TerraformEvent(kind, text, counts=_counts(document["changes"]))
    if kind == "outputs":
        return TerraformEvent(kind, text, outputs=_outputs(document["outputs"]))
    if kind in _WORDS:
        return TerraformEvent(kind, text)
    if kind in _CHANGES or kind in _HOOKS:
        return _resource(kind, text, document["change" if kind in _CHANGES else "hook"])
    return None


def _resource(kind: str, text: str, body: dict[str, Any]) -> TerraformEvent:
    identity = body.get("id_value")
    action = "read" if kind.startswith("refresh_") else body.get("action")
    return TerraformEvent(
        kind,
        text,
        address=str(body["resource"]["addr"]),
        resource_type=str(body["resource"]["resource_type"]),
        action=cast(ResourceAction, action) if action in _ACTIONS else None,
        seconds=float(body["elapsed_seconds"]) if "elapsed_seconds" in body else None,
        id_value=None if identity is None else str(identity),
    )


def _counts(changes: dict[str, Any]) -> ChangeCounts:
    return ChangeCounts(
        operation=str(changes["operation"]),
        add=int(changes["add"]),
        change=int(changes["change"]),
        remove=int(changes["remove"]),
        imported=int(changes.get("import", 0)),
    )


def _outputs(values: dict[str, Any]) -> dict[str, Any]:
    """Outputs that have a value now and are not sensitive."""
    return {
        str(name): output["value"]
        for name, output in values.items()
        if "value" in output and not output.get("sensitive")
    }


def _diagnostic(item: dict[str, Any]) -> Diagnostic:
    place = item.get("range") or {}
    snippet = item.get("snippet") or {}
    address = item.get("address")
    return Diagnostic(
        severity="error" if item["severity"] == "error" else "warning",
        summary=str(item["summary"]),
        detail=str(item.get("detail") or ""),
        address=None if address is None else str(address),
        file=None if "filename" not in place else str(place["filename"]),
        line=int(place["start"]["line"]) if "start" in place else None,
        snippet=None if "code" not in snippet else str(snippet["code"]),
    )


def _shown(item: Diagnostic) -> str:
    place = [part for part in (item.where, item.address) if part]
    lines = [f"Error: {_line(item.summary)}"]
    if place:
        lines.append("  at " + ", ".join(dict.fromkeys(place)))
    lines += [f"  {line}" for line in (item.snippet or "")[:_SHOWN_CHARACTERS].splitlines()]
    lines += [f"  {line}" for line in item.detail[:_SHOWN_CHARACTERS].splitlines() if line.strip()]
    return "\n".join(lines)


def _line(text: str) -> str:
    return " ".join(text.split())[:300]


def _relative(diagnostic: Diagnostic, root: Path) -> str | None:
    where = diagnostic.where
    return None if where is None else where.removeprefix(f"{root}/")
