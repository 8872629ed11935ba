"""Terraform, driven by typed verbs; only saved plans are applied.

The lists of arguments and the files of variables come from python-terraform's `generate_cmd_string`
(0.10.1, its last release). The rest of that library is not used: it cannot stream, its `destroy`
passes a flag that Terraform 1.0 removed, and it reads state files on its own.
"""

import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from zave.errors import PreconditionError, StepFailedError
from zave.ports import Runner
from zave.render import hcl, write_private
from zave.tools.terraform_engine import Engine
from zave.tools.terraform_init import InitRecord
from zave.tools.terraform_json import ChangeCounts, Diagnostic, TerraformEvent, parse_validation
from zave.tools.terraform_plan import (
    HeldResource,
    Plan,
    PlannedResource,
    file_digest,
    held_resources,
    planned_resources,
)
from zave.tools.terraform_shell import Limits, Shell, terraform_environment

__all__ = ["HeldResource", "Limits", "Plan", "PlannedResource", "Terraform"]

PLAN_FILE = "zave.tfplan"
IMPORTS_FILE = "zave-imports.tf"
STATE_FILE = "terraform.tfstate"

_LOCK_TIMEOUT = "60s"
# before an apply: a full disk truncates the backup and leaves the new state on stdout only (tried,
# 2026-11-23). Terraform may hold the old and the new state, a backup and `errored.tfstate`
_SPACE_FACTOR = 4
_SPACE_MARGIN = 64 * 1024 * 1024

_KEY = r'\[(?:[0-9]+|"(?:[^"\\$%\x00-\x1f]|\\["\\])*")\]'
_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_ADDRESS = re.compile(rf"(?:module\.{_NAME}(?:{_KEY})?\.)*{_NAME}\.{_NAME}(?:{_KEY})?")


@dataclass(frozen=True)
class Terraform:
    """Terraform in the folder `root`; its words go to `log`, its events to `on_event`.

    `environment` is what the providers need beside the user's PATH, HOME and proxies; every TF_*
    in it is dropped but a TF_CLI_CONFIG_FILE that exists. `relock` makes the dependency lock file
    anew at each init: for providers without published checksums. Every verb raises ToolFailedError
    when Terraform fails, InterruptedRunError when the user interrupted it. `parallelism` is how many
    resources Terraform works on at once.
    """

    engine: Engine
    runner: Runner
    root: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    survivors: Path | None = None
    on_event: Callable[[TerraformEvent], None] | None = None
    limits: Limits = field(default_factory=Limits)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    relock: bool = False
    parallelism: int = 10

    def init(self, *, force: bool = False) -> bool:
        """Install providers and modules; False when nothing changed since the last time."""
        config = terraform_environment(self.environment).get("TF_CLI_CONFIG_FILE")
        record = InitRecord(self.root, engine=self.engine, config=None if config is None else Path(config))
        if not force and record.current():
            return False
        if self.relock:
            (self.root / ".terraform.lock.hcl").unlink(missing_ok=True)
        options = {"input": False, "no_color": True, "json": True}
        with _arguments("init", options) as arguments:
            self._shell.stream(arguments, limit=self.limits.init)
        record.write()
        return True

    def validate(self) -> tuple[Diagnostic, ...]:
        """What is wrong with the configuration, warnings included; empty when nothing is."""
        with _arguments("validate", _PRINTING) as arguments:
            # 1: there are errors; they are in the document
            document = self._shell.document(arguments, accepted=(0, 1))
            try:
                return parse_validation(document)
            except ValueError as error:
                raise self._shell.nonsense(arguments) from error

    def format_check(self) -> tuple[str, ...]:
        """The files below the root that are not formatted as `terraform fmt` would."""
        options = {"check": True, "recursive": True, "no_color": True}
        with _arguments("fmt", options) as arguments:
            # 3: some are not; others: they could not be parsed
            said = self._shell.text(arguments, accepted=(0, 3))
        return tuple(line for line in said.splitlines() if line)

    def plan(
        self,
        *,
        destroy: bool = False,
        refresh_only: bool = False,
        targets: Sequence[str] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> Plan:
        """Save a plan. `variables` come on top of the root's own `*.tfvars.json` files."""
        path = self.root / PLAN_FILE
        path.unlink(missing_ok=True)
        options = {
            **_CHANGING,
            "out": PLAN_FILE,
            "detailed_exitcode": True,
            "destroy": destroy,
            "refresh_only": refresh_only,
            "target": [_address(target) for target in targets],
            "var": dict(variables or {}),
        }
        with _arguments("plan", options) as arguments:
            result = self._shell.stream(arguments, limit=self.limits.plan, accepted=(0, 2))
        if not path.is_file():
            raise self._shell.nonsense(arguments)
        digest = file_digest(path)
        if result.outcome.exit_code == 0:
            return Plan(path, digest, has_changes=False, destroy=destroy)
        return self._explained(Plan(path, digest, has_changes=True, destroy=destroy))

    def apply(self, plan: Plan, *, parallelism: int | None = None) -> ChangeCounts | None:
        """Apply a plan saved by `plan`; Terraform's own count of what was done.

        `parallelism` is how many things it may work on at once; as many as usual unless given.
        Raises StepFailedError when the file is not the one that was planned, PreconditionError when
        the disk is too full to write the state safely.
        """
        if not plan.path.is_file() or file_digest(plan.path) != plan.digest:
            raise StepFailedError(
                "the saved plan was changed or removed before it could be applied",
                where=str(plan.path),
                resolution="run the same command again: it makes a new plan",
            )
        self._require_space()
        options = {**_CHANGING, "parallelism": parallelism or self.parallelism}
        with _arguments("apply", options, str(plan.path)) as arguments:
            return self._shell.stream(arguments, limit=self.limits.apply).counts

    def outputs(self) -> dict[str, Any]:
        """The outputs by name, sensitive ones included."""
        with _arguments("output", _PRINTING) as arguments:
            document = self._shell.document(arguments)
            try:
                return {str(name): output["value"] for name, output in document.items()}
            except (KeyError, TypeError, AttributeError) as error:
                raise self._shell.nonsense(arguments) from error

    def show_state(self) -> tuple[HeldResource, ...]:
        """What Terraform's state holds, as the providers' schemas read it."""
        with _arguments("show", _PRINTING) as arguments:
            document = self._shell.document(arguments)
            try:
                return held_resources(document)
            except (KeyError, TypeError, AttributeError) as error:
                raise self._shell.nonsense(arguments) from error

    def write_imports(self, imports: Sequence[tuple[str, str]]) -> Path:
        """Let the next plan adopt objects: (resource address, the provider's import id) each.

        None at all removes the file: the import of a thing that is gone would fail every plan.
        """
        path = self.root / IMPORTS_FILE
        if not imports:
            path.unlink(missing_ok=True)
            return path
        blocks = [
            f"import {{\n  to = {_address(to)}\n  id = {hcl(identity)}\n}}\n" for to, identity in imports
        ]
        write_private(path, "\n".join(blocks).encode())
        return path

    @cached_property
    def _shell(self) -> Shell:
        return Shell(
            engine=self.engine,
            runner=self.runner,
            root=self.root,
            log=self.log,
            environment=self.environment,
            survivors=self.survivors,
            on_event=self.on_event,
            limits=self.limits,
            secrets=self.secrets,
        )

    def shown(self, plan: Plan) -> Plan:
        """`plan` with its document, which one that changes nothing has not: what stands is in it."""
        return plan if plan.document else replace(self._explained(plan), has_changes=plan.has_changes)

    def _explained(self, plan: Plan) -> Plan:
        with _arguments("show", _PRINTING, str(plan.path)) as arguments:
            document = self._shell.document(arguments)
            try:
                resources = planned_resources(document)
                drift = planned_resources(document, "resource_drift")
            except (KeyError, TypeError, AttributeError) as error:
                raise self._shell.nonsense(arguments) from error
        return Plan(plan.path, plan.digest, True, plan.destroy, resources, drift, document)

    def _require_space(self) -> None:
        state = self.root / STATE_FILE
        size = state.stat().st_size if state.exists() else 0
        needed = _SPACE_FACTOR * size + _SPACE_MARGIN
        free = shutil.disk_usage(self.root).free
        if free < needed:
            raise PreconditionError(
                f"the disk is too full for an apply: {free >> 20} MiB free, {needed >> 20} MiB needed",
                where=str(self.root),
                details="Terraform cannot write its state safely on a full disk",
                resolution="free some space, then run the same command again",
            )


# one document on stdout
_PRINTING: Mapping[str, Any] = {"no_color": True, "json": True}
# events on stdout, no questions, waits for another's lock
_CHANGING: Mapping[str, Any] = {"input": False, **_PRINTING, "lock_timeout": _LOCK_TIMEOUT}
# options that take `=true` or `=false`; any other truth value is a flag, there or not
_VALUED = frozenset({"input"})


@contextmanager
def _arguments(verb: str, options: Mapping[str, Any], *arguments: str) -> Iterator[list[str]]:
    """The arguments from the verb on; a file of variables lives as long as the context.

    `options` have python-terraform's names; a mapping becomes a var-file, so that no value is ever
    on a command line.
    """
    # importing it costs 18 ms: only where Terraform really runs
    from python_terraform import IsFlagged, IsNotFlagged  # type: ignore[import-untyped]
    from python_terraform import Terraform as Builder

    # it would log the values of variables
    logging.getLogger("python_terraform").setLevel(logging.CRITICAL)
    # its constructor reads a state file: name one that cannot exist, below a device
    builder = Builder(state="/dev/null/none", is_env_vars_included=False)
    given = {
        name: (IsFlagged if value else IsNotFlagged)
        if isinstance(value, bool) and name not in _VALUED
        else value
        for name, value in options.items()
        if value != {}
    }
    try:
        yield builder.generate_cmd_string(verb, *arguments, **given)[1:]
    finally:
        builder.temp_var_files.clean_up()


def _address(address: str) -> str:
    """`address` if it can only be a resource's address: it goes into HCL unquoted."""
    if not _ADDRESS.fullmatch(address):
        raise StepFailedError(f"{address!r} is no address of a resource")
    return address
