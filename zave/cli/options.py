"""The global options: declared once, accepted before and after every verb."""

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from zave.settings import Settings, load_settings

Parameters = list[Any]


@dataclass(frozen=True)
class Options:
    """What the command line, the environment and the settings files say together.

    `project`: the folder given by `--project` or `ZAVE_PROJECT` (`project_origin` says which), None
    when neither is given. `closing` is what the command's end has to close.
    """

    rehearse: bool
    project: Path | None
    quiet: bool
    verbose: int
    settings: Settings
    project_origin: str | None = None
    closing: ExitStack = field(default_factory=ExitStack, repr=False, compare=False)

    @property
    def json(self) -> bool:
        """Whether output is for programs."""
        return self.settings.output == "json"

    @property
    def no_input(self) -> bool:
        """Whether questions are forbidden."""
        return self.settings.no_input


@dataclass
class Given:
    """The global options seen so far; the root's context object, filled while the line is parsed."""

    values: dict[str, Any] = field(default_factory=dict)
    options: Options | None = None


def options_of(context: typer.Context) -> Options:
    """The options in force. Raises UsageError for a setting that cannot be."""
    given: Given = context.find_object(Given) or Given()
    if given.options is None:
        given.options = resolve(given.values)
    return given.options


def resolve(values: dict[str, Any]) -> Options:
    """Options from what was given on the command line."""
    given, named = values.get("project"), os.environ.get("ZAVE_PROJECT")
    project = Path(given or named or "") if given or named else None
    flags = {
        "output": "json" if values.get("json") else values.get("output"),
        "color": "never" if values.get("no_color") else None,
        "no_input": True if values.get("no_input") else None,
    }
    here = Path.cwd()
    folder = project or (here if (here / "environments").is_dir() else None)
    return Options(
        rehearse=bool(values.get("rehearse")),
        project=project,
        quiet=bool(values.get("quiet")),
        verbose=int(values.get("verbose") or 0),
        settings=load_settings(environ=os.environ, project=folder, flags=flags),
        project_origin="flag --project" if given else "ZAVE_PROJECT" if named else None,
    )


def global_parameters() -> Parameters:
    """The global options as parameters that any command can take in addition to its own."""
    found: Parameters = []
    for declarations in (_world, _talk):
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command()(declarations)
        found += typer.main.get_command(app).params
    return found


def _remember(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
    given = context.find_object(Given)
    # a default must not overwrite what stood before the verb
    if given is not None and value not in (None, False, 0):
        given.values[str(parameter.name)] = value
    return value


def _option(*names: str, text: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, callback=_remember, expose_value=False, show_default=False, **more)


def _world(
    rehearse: Annotated[
        bool, _option("--rehearse", text="Work on the simulated world: offline, free.")
    ] = False,
    project: Annotated[
        str | None, _option("--project", metavar="DIR", text="Project folder with your own environments.")
    ] = None,
) -> None:
    """Nothing but a place for declarations."""


def _talk(
    output: Annotated[
        Literal["text", "json"] | None, _option("-o", "--output", text="For people or for programs.")
    ] = None,
    json: Annotated[bool, _option("--json", text="The same as -o json.")] = False,
    quiet: Annotated[bool, _option("-q", "--quiet", text="Only results and errors.")] = False,
    verbose: Annotated[int, _option("-v", "--verbose", count=True, text="More detail; -vv: tracebacks.")] = 0,
    no_input: Annotated[bool, _option("--no-input", text="Never ask a question.")] = False,
    no_color: Annotated[bool, _option("--no-color", text="No colours.")] = False,
) -> None:
    """Nothing but a place for declarations."""
