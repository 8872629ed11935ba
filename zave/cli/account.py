"""`zave account`: the standing parts in an AWS account, without which no demo may begin."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zave.cli.completion import complete_environments
from zave.cli.context import Context
from zave.cli.lazy import VerbCommand, VerbGroup, examples
from zave.cli.lifecycle_options import StepTimeout, Yes
from zave.cli.options import options_of
from zave.errors import UsageError

if TYPE_CHECKING:
    from zave.aws.account import AccountRoot
    from zave.lifecycle.place import Place
    from zave.ports import Item
    from zave.ports.cloud import Cloud
    from zave.spec.aws import AwsSpec
    from zave.steps.site import Tools

EXAMPLES = (
    ("zave account setup --rehearse", "bucket, switch, alarms, budget; safe to repeat"),
    ("zave account status --rehearse", "what stands and what it costs"),
    ("zave account remove --rehearse", "when no demo is left"),
)

app = typer.Typer(
    cls=VerbGroup,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="The standing parts in an AWS account: state bucket, dead-man's switch, budget.",
)

For = Annotated[
    str,
    typer.Option(
        "--for",
        metavar="ENV",
        help="The environment whose account, region and addresses count.",
        autocompletion=complete_environments,
    ),
]


def _command(name: str, *lines: tuple[str, str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return app.command(name, cls=VerbCommand, epilog=examples(lines))


@_command("setup", ("zave account setup --rehearse", "make them, or bring them up to date"))
def setup(
    context: typer.Context, env: For = "aws-demo", yes: Yes = False, step_timeout: StepTimeout = None
) -> None:
    """Make the standing parts. Safe to repeat, also after a crash."""
    zave = Context(options_of(context), step_timeout=step_timeout)
    _spec(zave, env)
    ask = zave.screens.asker(yes=yes)
    with zave.account_lock(command="account setup"):
        zave.settle_account(env, ask=ask)
        spec = _spec(zave, env)
        tools = zave.tools_for(zave.account_folder, spec)
        if ask is not None:
            ask(_question(cloud_of(tools), spec, rehearsal=zave.rehearsal))
        make_standing_parts(zave, spec, tools)
        _show(zave, cloud_of(tools))


@_command("status", ("zave account status --rehearse", "what stands, what is missing, what it costs"))
def status(context: typer.Context, env: For = "aws-demo") -> None:
    """Show the standing parts as they are in the account now."""
    zave = Context(options_of(context))
    _show(zave, cloud_of(zave.tools_for(zave.account_folder, _spec(zave, env))))


@_command("remove", ("zave account remove --rehearse", "refused while a demo stands"))
def remove(
    context: typer.Context, env: For = "aws-demo", yes: Yes = False, step_timeout: StepTimeout = None
) -> None:
    """Remove the standing parts with the bucket and everything in it."""
    from zave.aws import account

    zave = Context(options_of(context), step_timeout=step_timeout)
    spec = _spec(zave, env)
    with zave.account_lock(command="account remove"):
        tools = zave.tools_for(zave.account_folder, spec)
        cloud = cloud_of(tools)
        account.refuse_instances(cloud)
        ask = zave.screens.asker(yes=yes)
        if ask is not None:
            ask(
                f"Remove everything of zave's from account {cloud.caller().account}, states and receipts too?"
            )
        account.remove(cloud, _root(zave, spec, tools))
        _show(zave, cloud)


def offer_set_up(zave: Context, place: "Place", *, ask: Callable[[str], None] | None) -> None:
    """Make the standing parts where they are missing, after a question."""
    spec, tools = place.spec, place.site.tools
    if spec.platform != "aws-eks" or not cloud_of(tools).switchboard.machinery().missing:
        return
    with zave.account_lock(command="demo"):
        if ask is not None:
            ask(_question(cloud_of(tools), spec, rehearsal=zave.rehearsal))
        make_standing_parts(zave, spec, zave.tools_for(zave.account_folder, spec))


def make_standing_parts(zave: Context, spec: "AwsSpec", tools: "Tools") -> None:
    """Set the account up; told on stderr."""
    from zave.aws import account

    account.set_up(cloud_of(tools), zave.clock, _root(zave, spec, tools))


def cloud_of(tools: "Tools") -> "Cloud":
    """The tools' cloud. Raises UsageError for tools of another platform."""
    if tools.cloud is None:
        raise UsageError("that environment is in no cloud", resolution="zave account setup --for aws-demo")
    return tools.cloud


def _spec(zave: Context, env: str) -> "AwsSpec":
    from zave.spec.load import load_spec

    path = zave.project.environment_file(zave.checked(env) or env)
    spec = load_spec(path, kept=zave.directory.checked_specs)
    if spec.platform != "aws-eks":
        raise UsageError(f"{env} is in no AWS account", resolution="name an environment of platform aws-eks")
    return zave.pinned(env, spec)


def _question(cloud: "Cloud", spec: "AwsSpec", *, rehearsal: bool) -> str:
    from zave.aws.preconditions import wrong_account
    from zave.ui.advice import advice

    caller = cloud.caller()
    if spec.aws.account not in (None, caller.account):
        raise wrong_account(caller.account, str(spec.aws.account), arn=caller.arn)
    tells = advice("zave account status", rehearsal=rehearsal)
    return (
        f"Set up account {caller.account} in {cloud.region}? A bucket, the switch, alarms and a budget will "
        f"stand there, for cents a month; {tells} tells what each costs."
    )


def _root(zave: Context, spec: "AwsSpec", tools: "Tools") -> "AccountRoot":
    from zave.aws.account import AccountRoot, Home
    from zave.aws.keys import ACCOUNT_STATE
    from zave.platforms.aws_values import (
        ACCOUNT_MODULES,
        ACCOUNT_ROOT,
        OVERRIDE,
        account_root_values,
        account_variables,
        bucket_name,
    )
    from zave.render import write_tfvars
    from zave.steps.infra import VARIABLES
    from zave.steps.render import RootTemplate
    from zave.survivors import settle

    folder = zave.account_folder
    number = cloud_of(tools).caller().account
    settle(folder.survivors, patience=zave.patience, say=_say(zave))

    def write(home: Home, unprotected: bool) -> None:
        values = account_root_values(spec, account=number, bucket_exists=home == "bucket")
        override = zave.backend_override(ACCOUNT_STATE) if home == "bucket" else None
        (folder.terraform / OVERRIDE).unlink(missing_ok=True)
        extra = {} if override is None else {OVERRIDE: override}
        RootTemplate(ACCOUNT_ROOT, ACCOUNT_MODULES, values, extra).write(zave.project, folder.terraform)
        variables = account_variables(spec, account=number, force_destroy=unprotected)
        write_tfvars(folder.terraform / VARIABLES, variables)

    return AccountRoot(
        folder=folder.terraform,
        evidence=folder.terraform_copies,
        bucket=bucket_name(spec, account=number),
        write=write,
        terraform=lambda: tools.terraform(root=folder.terraform, log=folder.logs / "account.log"),
        say=_say(zave),
    )


def _say(zave: Context) -> Callable[[str], None]:
    def say(text: str) -> None:
        if not zave.options.quiet:
            sys.stderr.write(f"account: {text}\n")

    return say


def _show(zave: Context, cloud: "Cloud") -> None:
    from zave.aws.account import account_document
    from zave.cost.catalogue import Catalogue
    from zave.cost.ledger import keep_standing
    from zave.cost.meter import usd_per_month
    from zave.ui.account import render_account
    from zave.ui.document import show

    catalogue = Catalogue.load(cloud.region, refreshed=zave.directory.prices)
    now = zave.clock.now()

    def monthly(item: "Item") -> float | None:
        return usd_per_month(item, catalogue, at=now)

    document: dict[str, Any] = account_document(cloud, rehearsal=zave.rehearsal, usd_per_month=monthly)
    keep_standing(zave.store, cloud.inventory.items(), region=cloud.region, now=now)
    show(document, render_account, settings=zave.settings)
