"""The verbs: a table, so that neither `zave --help` nor another verb imports them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from zave.cli.coercion import lighten
from zave.cli.options import global_parameters


@dataclass(frozen=True)
class Verb:
    """One verb: the module in `zave.cli` that has it and the line that `zave --help` shows."""

    module: str
    summary: str


# in the order of a first day with zave
VERBS: Mapping[str, Verb] = {
    "init": Verb("init", "Make a project folder of your own to edit."),
    "doctor": Verb("doctor", "Check tools, machine and project; each finding has its fix."),
    "plan": Verb("plan", "Show what `up` would do, and why. Changes nothing."),
    "up": Verb("up", "Create or update an environment."),
    "demo": Verb("demo", "An AWS demo that cannot outlive its TTL."),
    "status": Verb("status", "Show what stands, since when and until when."),
    "extend": Verb("extend", "Move the moment at which a demo is destroyed."),
    "down": Verb("down", "Destroy an environment and prove it with a receipt."),
    "reap": Verb("reap", "Take down everything that is past its TTL."),
    "adopt": Verb("adopt", "Record an instance again whose record is lost."),
    "sweep": Verb("sweep", "Find what exists, recorded or not; exit 6 on leaks."),
    "drift": Verb("drift", "Compare plan, world and record; exit 3 on differences."),
    "parity": Verb("parity", "Compare two environments; exit 3 on what is not declared."),
    "cost": Verb("cost", "What an instance has cost, costs, and will have cost."),
    "savings": Verb("savings", "What ending in time has saved."),
    "prices": Verb("prices", "Ask AWS anew for the prices that are reckoned with."),
    "account": Verb("account", "The standing parts in an AWS account."),
    "history": Verb("history", "List runs and receipts."),
    "logs": Verb("logs", "Show the logs of a run's steps."),
    "secrets": Verb("secrets", "Secrets of a platform: encrypt, rotate, check."),
    "config": Verb("config", "Show each setting with its origin."),
    "kubeconfig": Verb("kubeconfig", "Print the path or the text of a cluster's kubeconfig."),
    "push": Verb("push", "Copy container images into a demo's registry."),
    "ssh": Verb("ssh", "Open a shell on a machine of a home lab."),
    "console": Verb("console", "Show what a machine writes to its serial console."),
    "snapshot": Verb("snapshot", "Copy a home lab's cluster datastore into a file."),
    "restore": Verb("restore", "Put a snapshot of the datastore back."),
    "exec": Verb("exec_", "Run a command with KUBECONFIG set for an environment."),
    "build-image": Verb("build_image", "Build a machine image, unless it is current."),
    "schema": Verb("schema", "Print the JSON Schema of a document."),
    "rehearse": Verb("rehearse", "Move the rehearsal's clock, set its faults, empty it."),
}


# 80 columns without margins and gaps
_EXAMPLE_WIDTH = 72


def examples(lines: tuple[tuple[str, str], ...]) -> str:
    """An epilog that teaches by example: pairs of a command line and what it does."""
    width = max(len(line) for line, _ in lines)
    if width + max(len(what) for _, what in lines) <= _EXAMPLE_WIDTH:
        shown = "\n".join(f"  {line:<{width}}  {what}" for line, what in lines)
    else:
        shown = "\n".join(f"  {line}\n      {what}" for line, what in lines)
    # \b keeps the formatter from filling the lines into a paragraph
    return f"\b\nExamples:\n{shown}"


class VerbCommand(TyperCommand):
    """A verb whose help lists the global options in a section of their own."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The verb's parameters and `--help`, converted without pydantic where that will do."""
        return lighten(super().get_params(ctx))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the verb's own arguments and options, then the global ones."""
        shared = {id(parameter) for parameter in _shared_parameters()}
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], "Global options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                own = "Arguments" if parameter.param_type_name == "argument" else "Options"
                sections["Global options" if id(parameter) in shared else own].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class VerbGroup(TyperGroup):
    """A verb with sub-commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The group's parameters and `--help`, converted without pydantic where that will do."""
        return lighten(super().get_params(ctx))


class LazyCommands(Mapping[str, Any]):
    """The verbs by name; a verb's module is imported when its command is asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _make(name, VERBS[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


class LazyGroup(VerbGroup):
    """The root: knows every verb's name and summary without importing one."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.params = [*_shared_parameters(), *self.params]
        self.commands = LazyCommands()  # type: ignore[assignment]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the table of verbs."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items()])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Complete verbs from the table, options as ever."""
        from typer._click.shell_completion import CompletionItem

        names = [CompletionItem(n, help=v.summary) for n, v in VERBS.items() if n.startswith(incomplete)]
        return names + super(TyperGroup, self).shell_complete(ctx, incomplete)


_SHARED: list[Any] = []


def _shared_parameters() -> list[Any]:
    if not _SHARED:
        _SHARED.extend(global_parameters())
    return _SHARED


def _make(name: str, verb: Verb) -> Any:
    """A verb's module has `command` (or `app`, a Typer of its own with sub-commands) and `EXAMPLES`."""
    module = import_module(f"zave.cli.{verb.module}")
    epilog = examples(module.EXAMPLES)
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, epilog=epilog, cls=VerbCommand)(module.command)
    command: Any = typer.main.get_command(app)
    command.name = name
    command.epilog = epilog
    # a command of its own for each sub-command, too: `zave rehearse log -o json`
    for each in (command, *getattr(command, "commands", {}).values()):
        each.params.extend(_shared_parameters())
    return command
