"""The records of `state.db` as frozen values. Moments are in UTC, of the world's clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

Phase = Literal["absent", "provisioning", "ready", "degraded", "failed", "destroying", "destroyed", "expired"]
STANDING: tuple[Phase, ...] = ("provisioning", "ready", "degraded", "failed", "destroying", "expired")
"""The phases in which something of an instance may stand."""
RunOutcome = Literal["done", "failed", "interrupted", "declined"]
StepVerb = Literal["do", "undo"]
StepState = Literal["running", "done", "failed", "undoing", "undone", "interrupted"]
ResourceState = Literal["intended", "present", "gone"]


@dataclass(frozen=True)
class InstanceRecord:
    """One instance of an environment. `spec` and `outputs` are JSON objects without secrets."""

    name: str
    environment: str
    platform: str
    phase: Phase
    created_at: datetime
    expires_at: datetime | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """One run of a command. `finished_at` is None while it runs, and for ever after a kill.

    `seconds` is real time, `virtual_seconds` the world's; `error` is `ZaveError.to_document()`.
    """

    id: str
    instance: str
    command: str
    arguments: tuple[str, ...]
    started_at: datetime
    pid: int
    finished_at: datetime | None = None
    outcome: RunOutcome | None = None
    exit_code: int | None = None
    seconds: float | None = None
    virtual_seconds: float | None = None
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class StepRecord:
    """The last that was done to a step of an instance, by run `run_id`.

    `fingerprint` is that of the last `do`; `outputs` are those of the last finish that had any.
    """

    instance: str
    step: str
    state: StepState
    verb: StepVerb
    run_id: str
    fingerprint: str | None
    started_at: datetime
    finished_at: datetime | None
    seconds: float | None
    virtual_seconds: float | None
    outputs: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class StepEnd:
    """How a step ended, and why where that needs saying.

    `seconds` is real time, `virtual_seconds` the world's; both are 0 where nothing was done but
    recording. `outputs` of None leaves those of the last finish.
    """

    state: StepState
    seconds: float = 0.0
    virtual_seconds: float = 0.0
    outputs: Mapping[str, Any] | None = None
    reason: str = ""


@dataclass(frozen=True)
class ResourceRecord:
    """A resource by its Terraform address.

    `intended` was written before the attempt to make, change or delete it: it may exist. `id` is
    None as long as the platform has not said.
    """

    address: str
    type: str
    name: str
    id: str | None = None
    state: ResourceState = "intended"


class ReceiptSummary(NamedTuple):
    """A receipt in numbers; `usd_per_day_leaking` is what the leaks cost."""

    at: datetime
    deleted: int
    accepted: int
    leaks: int
    usd_per_day_leaking: float


@dataclass(frozen=True)
class ReceiptRecord:
    """A `zave/receipt/v1` document and the run that issued it."""

    instance: str
    run_id: str
    summary: ReceiptSummary
    document: Mapping[str, Any]


@dataclass(frozen=True)
class CostRecord:
    """One charge: `quantity` of `unit` at `usd_rate` from `starts_at` to `ends_at` came to `usd`.

    The rate's date and source are kept with it: a catalogue changes, a bill does not.
    """

    item: str
    unit: str
    quantity: float
    usd_rate: float
    rate_as_of: str
    rate_source: str
    starts_at: datetime
    ends_at: datetime
    usd: float


class StepSummary(NamedTuple):
    """A step as `status` shows it. A tuple: there are thousands of them in one overview."""

    step: str
    state: StepState
    seconds: float | None
    reason: str


@dataclass(frozen=True)
class Overview:
    """What `status` says of one instance, its spec left out.

    `steps` are in the order in which they first began.
    """

    record: InstanceRecord
    steps: tuple[StepSummary, ...]
    last_receipt: ReceiptSummary | None
