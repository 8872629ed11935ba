"""`zave kubeconfig`: where a cluster's kubeconfig is, what is in it, and its place in the user's own."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Instance
from zave.cli.options import options_of
from zave.errors import LockedError, PreconditionError, UsageError
from zave.ui.document import show
from zave.ui.kubeconfig import render_kubeconfig

EXAMPLES = (
    ("zave kubeconfig homelab --rehearse", "the path of the file"),
    ("export KUBECONFIG=$(zave kubeconfig homelab)", "for the tools of this shell"),
    ("zave kubeconfig homelab --merge --use", "into your own, as current context zave-homelab"),
    ("zave kubeconfig homelab --unmerge", "out of it again"),
)


def command(
    context: typer.Context,
    env: Instance = None,
    content: Annotated[bool, typer.Option("--content", help="Print the text, not the path.")] = False,
    merge: Annotated[
        bool, typer.Option("--merge", help="Put it into ~/.kube/config, or KUBECONFIG's first file.")
    ] = False,
    unmerge: Annotated[bool, typer.Option("--unmerge", help="Take it out of there.")] = False,
    use: Annotated[bool, typer.Option("--use", help="With --merge: make it the current context.")] = False,
) -> None:
    """Print the path, or the text, of an instance's kubeconfig.

    --merge changes nothing else in your file, and keeps a copy of it as it was
    before zave first touched it.
    """
    if merge + unmerge + content > 1:
        raise UsageError("--content, --merge and --unmerge exclude one another", resolution="give one")
    if use and not merge:
        raise UsageError("--use goes with --merge", resolution="add --merge")
    zave = Context(options_of(context))
    # what is taken out may be all that is left of an instance
    instance = (zave.instances.record(env).name if env else None) if unmerge else None
    instance = instance or zave.instances.only_standing(env)
    path = zave.directory.instance(instance).kubeconfig if unmerge else kubeconfig_of(zave, instance)
    if merge or unmerge:
        path = _edit(zave, instance, merge=merge, use=use)
    document: dict[str, Any] = {
        "schema": "zave/kubeconfig/v1",
        "instance": instance,
        "path": str(path),
        "content": path.read_text(encoding="utf-8") if content else None,
    }
    if merge or unmerge:
        document |= {"context": context_of(instance), "merged": merge}
    show(document, render_kubeconfig, settings=zave.settings)


def kubeconfig_of(zave: Context, instance: str) -> Path:
    """The path of the instance's kubeconfig. Raises PreconditionError (exit 5) when there is none."""
    record = zave.instances.record(instance)
    path = zave.directory.instance(instance).kubeconfig
    if not path.is_file():
        raise PreconditionError(
            f"{instance} has no kubeconfig",
            where=str(path),
            details=f"its phase is {record.phase}",
            resolution=f"zave up {instance} writes it once the cluster answers",
        )
    return path


def context_of(instance: str) -> str:
    """The name of the instance's context in the user's own kubeconfig."""
    return f"zave-{instance}"


def _edit(zave: Context, instance: str, *, merge: bool, use: bool) -> Path:
    """Put the instance into the user's own kubeconfig, or take it out; the file's path."""
    from zave.lifecycle.merged_kubeconfig import Entries, merged, unmerged
    from zave.steps.kubeconfig import MERGED

    target, name = _target(zave, instance), context_of(instance)

    def edited(text: str) -> str:
        if not merge:
            return unmerged(text, name)
        own = kubeconfig_of(zave, instance).read_text(encoding="utf-8")
        return merged(text, Entries.of(name, own), use=use)

    with zave.locked(instance, command="kubeconfig"):
        if merge:
            # noted first: what was put there must not be forgotten
            zave.store.put_fact(instance, MERGED, str(target))
        rewrite(target, edited)
        if not merge:
            zave.store.delete_fact(instance, MERGED)
    return target


def _target(zave: Context, instance: str) -> Path:
    """The user's own kubeconfig, as kubectl finds it; a rehearsal has another file for this."""
    if zave.rehearsal:
        if not zave.options.quiet:
            sys.stderr.write("rehearsal: your own kubeconfig is left alone; this file stands for it\n")
        return zave.directory.instance(instance).root / "kubeconfig-of-the-user"
    named = next((part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part), None)
    path = Path(named) if named else Path.home() / ".kube" / "config"
    # a link stays one: what it points to is edited
    return path.resolve()


def rewrite(path: Path, edit: Callable[[str], str]) -> None:
    """Replace the text of a kubeconfig whole or not at all, 0600, with a copy of the first one kept."""
    from zave.lifecycle.merged_kubeconfig import LARGEST

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked_as_kubectl_does(path):
        try:
            content = path.read_bytes() if path.exists() else b""
            text = content.decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read", details=str(error)) from error
        if len(content) > LARGEST:
            raise UsageError(f"{path} is larger than a kubeconfig", resolution="name another in KUBECONFIG")
        changed = edit(text)
        if changed == text:
            return
        backup = path.with_name(path.name + ".before-zave")
        if content and not backup.exists():
            _write_new(backup, content)
        draft = path.with_name(f".{path.name}.zave-{os.getpid()}")
        draft.unlink(missing_ok=True)
        try:
            _write_new(draft, changed.encode("utf-8"))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _locked_as_kubectl_does(path: Path) -> Iterator[None]:
    """Hold `<path>.lock`, as client-go does while it writes (tools/clientcmd/config.go, lockFile)."""
    lock = path.with_name(path.name + ".lock")
    try:
        os.close(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as error:
        raise LockedError(
            f"somebody else is writing {path}",
            where=str(lock),
            resolution="try again in a moment; if nobody is, remove that file",
        ) from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
