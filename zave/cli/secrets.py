"""`zave secrets`: what the platform needs to be told in private, encrypted for Flux."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zave.cli.context import Context
from zave.cli.lazy import VerbCommand, VerbGroup, examples
from zave.cli.lifecycle_options import Environment, Name
from zave.cli.options import options_of
from zave.errors import PreconditionError, UsageError

if TYPE_CHECKING:
    from zave.gitops.plaintext import Finding
    from zave.gitops.secrets import SecretStore, Wanted

EXAMPLES = (
    ("zave secrets list homelab", "what is wanted, and what is there"),
    ("zave secrets set homelab tunnel-token token=-", "asked for, or taken from stdin"),
    ("zave secrets check homelab", "exit 5 when one is missing or in the clear"),
    ("zave secrets rotate homelab", "a new key, everything encrypted anew"),
)

app = typer.Typer(
    cls=VerbGroup,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Secrets of a platform, encrypted with SOPS and age; `zave up` publishes them.",
)

# more than any credential needs, little enough for one that is not what it seems
_LONGEST = 256 * 1024
_LARGEST_SCANNED = 4 * 1024 * 1024


def _command(name: str, *lines: tuple[str, str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return app.command(name, cls=VerbCommand, epilog=examples(lines))


@_command("init", ("zave secrets init homelab", "make the key; `set` does that as well"))
def init(context: typer.Context, env: Environment, name: Name = None) -> None:
    """Make the key that secrets are encrypted for, where there is none yet."""
    zave = Context(options_of(context))
    instance, _, store = _place(zave, env, name)
    with zave.locked(instance, command="secrets init"):
        store.keys.make()
    sys.stderr.write(f"the key is {store.keys.path}: keep a copy where nobody else reads it\n")
    _show(zave, env, name)


@_command(
    "set",
    ("zave secrets set homelab tunnel-token token=-", "asked for on a terminal, else taken from stdin"),
    ("zave secrets set homelab velero cloud=velero.ini", "the content of a file"),
)
def set_(
    context: typer.Context,
    env: Environment,
    secret: Annotated[str, typer.Argument(metavar="SECRET", help="Which one; `list` names them.")],
    values: Annotated[
        list[str], typer.Argument(metavar="FIELD=FILE...", help="Files with the values; - is stdin.")
    ],
    name: Name = None,
) -> None:
    """Encrypt a secret, or replace it. A value is never an argument: others could read it there."""
    zave = Context(options_of(context))
    from zave.gitops.secrets import known

    instance, _, store = _place(zave, env, name)
    known(secret)
    read = {field: _value(field, file, zave) for field, file in (_pair(each) for each in values)}
    if len(read) != len(values):
        raise UsageError("a field is given twice")
    with zave.locked(instance, command="secrets set"):
        store.put(secret, read, now=zave.clock.now())
    sys.stderr.write(f"{secret} is encrypted; `zave up {env}` publishes it\n")
    _show(zave, env, name)


@_command("rotate", ("zave secrets rotate homelab", "then `zave up homelab` brings it into the cluster"))
def rotate(context: typer.Context, env: Environment, name: Name = None) -> None:
    """Make a new key and encrypt every secret anew for it. The values stay: replace them by `set`."""
    zave = Context(options_of(context))
    instance, _, store = _place(zave, env, name)
    with zave.locked(instance, command="secrets rotate"):
        store.rotate(now=zave.clock.now())
    sys.stderr.write(
        f"encrypted anew; `zave up {env}` publishes it: until then the cluster has the old one\n"
    )
    _show(zave, env, name)


@_command("list", ("zave secrets list homelab -o json", "a zave/secrets/v1 document"))
def list_(context: typer.Context, env: Environment, name: Name = None) -> None:
    """Show which secrets the platform wants and how they stand. No values."""
    _show(Context(options_of(context)), env, name)


@_command(
    "check",
    ("zave secrets check homelab", "every secret is there, encrypted, and opens with the key"),
    ("zave secrets check homelab --repository .", "and nothing in this work tree is in the clear"),
)
def check(
    context: typer.Context,
    env: Environment,
    repository: Annotated[
        Path | None,
        typer.Option("--repository", metavar="DIR", help="A work tree to look for secrets in the clear in."),
    ] = None,
    name: Name = None,
) -> None:
    """See that every wanted secret is ready and that none is in plain text; exit 5 otherwise."""
    zave = Context(options_of(context))
    instance, environment, store = _place(zave, env, name)
    from zave.gitops.secrets import require
    from zave.spec.load import load_spec

    found = _scan(repository or zave.directory.instance(instance).gitops)
    _show(zave, env, name, findings=found)
    if found:
        raise PreconditionError(
            f"{len(found)} secret{'s are' if len(found) > 1 else ' is'} in plain text",
            details="\n".join(str(each) for each in found[:20]),
            where=str(repository or instance),
            resolution="encrypt what is there; what was pushed already must be replaced where it came from",
        )
    require(store, load_spec(zave.project.environment_file(environment)), instance=instance)


def _place(zave: Context, env: str, name: str | None) -> "tuple[str, str, SecretStore]":
    """(instance, environment, its secrets)."""
    from zave.gitops.secrets import store_of

    instance, environment = zave.instances.names(env, name)
    zave.directory.prepare()
    return instance, environment, store_of(zave.directory, instance)


def _pair(text: str) -> tuple[str, str]:
    field, equals, file = text.partition("=")
    if not equals or not field or not file:
        raise UsageError(f"{text[:40]!r} is not FIELD=FILE", resolution="write token=- or token=FILE")
    return field, file


def _value(field: str, file: str, zave: Context) -> str:
    if file == "-" and sys.stdin.isatty():
        if zave.settings.no_input:
            raise UsageError(
                f"{field} would have to be asked for", resolution="give it on stdin or in a file"
            )
        import getpass

        return getpass.getpass(f"{field}: ", stream=sys.stderr)
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(_LONGEST + 1)
        else:
            with Path(file).open("rb") as stream:
                raw = stream.read(_LONGEST + 1)
    except OSError as error:
        # not the name: who writes token=SECRET by mistake must not find it in a log
        raise UsageError(
            f"the file for {field} cannot be read: {error.strerror}",
            resolution="a value is given in a file, or on stdin as -",
        ) from error
    if len(raw) > _LONGEST:
        raise UsageError(f"{field} is larger than {_LONGEST >> 10} KiB")
    try:
        # an editor's or echo's line end is not part of a token; in a file of several lines it is
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{field} is not text") from error
    return text.strip() if text.count("\n") <= 1 else text


def _scan(folder: Path) -> "list[Finding]":
    from zave.gitops.plaintext import plain_secrets

    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if each != ".git"]
        for each in names:
            file = Path(place, each)
            if file.is_file() and not file.is_symlink() and file.stat().st_size <= _LARGEST_SCANNED:
                found[file.relative_to(folder).as_posix()] = file.read_bytes()
    return plain_secrets(found)


def _show(zave: Context, env: str, name: str | None, *, findings: "list[Finding] | None" = None) -> None:
    from zave.gitops.secrets import KNOWN, wanted_by
    from zave.spec.load import load_spec
    from zave.ui.document import show
    from zave.ui.secrets import render_secrets

    instance, environment, store = _place(zave, env, name)
    wanted = wanted_by(load_spec(zave.project.environment_file(environment)))
    shown = [each for each in KNOWN.values() if each in wanted or store.file(each.name).is_file()]
    document = {
        "schema": "zave/secrets/v1",
        "instance": instance,
        "rehearsal": zave.rehearsal,
        "recipient": store.keys.recipient(),
        "secrets": [_row(store, each, wanted=each in wanted) for each in shown],
        "in_plain_text": [vars(each) for each in findings or ()],
    }
    show(document, render_secrets, settings=zave.settings)


def _row(store: "SecretStore", secret: "Wanted", *, wanted: bool) -> dict[str, Any]:
    condition = store.condition(secret)
    return {
        "name": secret.name,
        "namespace": secret.namespace,
        "fields": list(secret.fields),
        "wanted": wanted,
        "state": condition.state,
        "reason": condition.reason,
    }
