"""What must be so before anything is created: each thing looked at is a finding with its fix.

`doctor` shows all of them; `plan` and `up` refuse what is missing and needed.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from zave.aws.findings import AccountFacts, Finding, Wanted, Window, guarded, stopped
from zave.aws.lives import of_all_regions
from zave.aws.quotas import quotas
from zave.clock import Clock, rfc3339
from zave.errors import PreconditionError, StepFailedError
from zave.ports import PENDING, Item
from zave.ports.cloud import Caller, Cloud

# a whole stack takes 14 min up, its arming some more (aws.md of 2026-11-23, section 1)
_UP_TAKES = timedelta(minutes=30)
# within a demo's longest life: what happens then is told beforehand
_SOON = timedelta(days=30)
_PREFIX = "zave-"
_OTHER_ACCOUNT = "use the credentials of the spec's account, or change aws.account"


def look(cloud: Cloud, facts: AccountFacts, wanted: Wanted, *, clock: Clock) -> list[Finding]:
    """All findings, in the order in which they matter.

    Raises PreconditionError without usable credentials, or when the region cannot be reached. What only
    cannot be asked is a finding of its own.
    """
    caller = cloud.caller()
    found = [*_identity(cloud, caller, wanted), *_lifetime(caller, clock)]
    if stopped(found):
        return found  # whatever else is asked would be answered by the wrong account
    found += guarded("region", lambda: _region(cloud, facts))
    if stopped(found):
        return found
    items: Sequence[Item] = []
    listed: list[Finding] = []
    try:
        items = cloud.inventory.items()
    except StepFailedError as error:
        listed.append(_unlisted(error))
    else:
        listed += [*_names(items, wanted), *_leftovers(cloud, items, wanted)]
    stands = any(i.type == "aws_eks_cluster" and i.owner == wanted.instance for i in items)
    found += _support(wanted, stands=stands, today=clock.now().date())
    found += _access(facts, wanted)
    found += [] if stands else _administrators(caller, wanted)
    found += guarded("spot", lambda: _spot(facts, wanted))
    return [*found, *listed, *guarded("quotas", lambda: quotas(facts, items, wanted))]


def standing_parts(cloud: Cloud) -> Finding:
    """Whether the account is set up, which `demo` offers to do. Raises as `Switchboard.machinery`."""
    machinery = cloud.switchboard.machinery()
    if machinery.missing:
        what = f"missing or altered: {', '.join(machinery.missing)}"
        return Finding("standing parts", "warning", what, "zave account setup makes them")
    if not machinery.subscription_confirmed:
        what = "whole, but the address for alarms is not confirmed"
        return Finding("standing parts", "warning", what, "open the link that AWS sent to it")
    if machinery.undelivered:
        what = f"{machinery.undelivered} fires or mails were not delivered and wait in the dead-letter queue"
        return Finding(
            "standing parts", "warning", what, "zave account status; look into the queue, empty it"
        )
    if machinery.unread:
        what = f"what was looked at is whole; not looked at: {', '.join(machinery.unread)}"
        return Finding("standing parts", "warning", what, "give the caller the right to read them")
    return Finding("standing parts", "ok", "bucket, switch and alarms are whole")


def wrong_account(found: str, wanted: str, *, arn: str) -> PreconditionError:
    """The error for credentials of another account than the spec's."""
    return PreconditionError(
        f"these credentials belong to account {found}, the spec says {wanted}",
        where=arn,
        resolution=_OTHER_ACCOUNT,
    )


def _unlisted(error: StepFailedError) -> Finding:
    # fail closed: what stood there before must be known, or it might be deleted
    return Finding(
        "inventory",
        "missing",
        f"what exists cannot be listed: {error.details or error.brief}",
        "give the caller the right to list it",
        needed=True,
    )


def _identity(cloud: Cloud, caller: Caller, wanted: Wanted) -> Iterator[Finding]:
    if wanted.account is not None and caller.account != wanted.account:
        yield Finding(
            "account",
            "missing",
            f"these credentials belong to account {caller.account}, the spec says {wanted.account}",
            _OTHER_ACCOUNT,
            needed=True,
        )
        return
    yield Finding("account", "ok", f"{caller.account} in {cloud.region}, as {caller.arn}")


def _lifetime(caller: Caller, clock: Clock) -> Iterator[Finding]:
    if caller.expires_at is None and caller.temporary:
        yield Finding(
            "credentials",
            "warning",
            "they are temporary and do not tell when they end; making a demo takes up to "
            f"{_UP_TAKES.total_seconds() / 60:.0f} minutes",
            "use a profile (AWS_PROFILE; `aws sso login`), or set AWS_CREDENTIAL_EXPIRATION beside the token",
        )
        return
    if caller.expires_at is None:
        yield Finding("credentials", "ok", "they do not end by themselves")
        return
    left = caller.expires_at - clock.now()
    if left < _UP_TAKES:
        minutes = max(0, int(left.total_seconds() // 60))
        yield Finding(
            "credentials",
            "missing",
            f"they end in {minutes} minutes; making a demo takes up to {_UP_TAKES.total_seconds() / 60:.0f}",
            "renew them: `aws sso login`, or a role with longer sessions",
            needed=True,
        )
    else:
        yield Finding("credentials", "ok", f"they last until {rfc3339(caller.expires_at)}")


def _region(cloud: Cloud, facts: AccountFacts) -> Iterator[Finding]:
    if facts.region_enabled():
        yield Finding("region", "ok", f"{cloud.region} is enabled")
    else:
        yield Finding(
            "region",
            "missing",
            f"{cloud.region} is not enabled in this account",
            f"aws account enable-region --region-name {cloud.region}, or choose another aws.region",
            needed=True,
        )


def _support(wanted: Wanted, *, stands: bool, today: date) -> Iterator[Finding]:
    version, window = wanted.version, wanted.window
    if window is None:
        yield Finding(
            "EKS version", "warning", f"nothing is known of the support of {version}", "zave prices update"
        )
        return
    if window.extended_until is not None and today >= window.extended_until:
        what = f"EKS supports Kubernetes {version} no more since {window.extended_until}"
        yield Finding("EKS version", "missing", what, "set a newer eks.version", needed=True)
    elif window.standard_until is None or today >= window.standard_until:
        yield _extended(wanted.version, window, stands=stands)
    elif window.standard_until - today < _SOON:
        ends = f"standard support of Kubernetes {version} ends soon: on {window.standard_until}"
        what = f"{ends} AWS upgrades the cluster to the next version"
        yield Finding("EKS version", "warning", what, "set a newer eks.version")
    else:
        yield Finding(
            "EKS version", "ok", f"Kubernetes {version} is in standard support until {window.standard_until}"
        )


def _extended(version: str, window: Window, *, stands: bool) -> Finding:
    """The cluster's upgrade policy is STANDARD, which can be had in standard support alone.

    EKS user guide, "Prevent increased cluster costs by disabling EKS extended support".
    """
    since = "" if window.standard_until is None else f" since {window.standard_until}"
    until = "" if window.extended_until is None else f" until {window.extended_until}"
    extra = "" if window.surcharge is None else f" and costs {window.surcharge:.2f} USD an hour more"
    what = f"Kubernetes {version} is in extended support{since}{until}{extra}"
    if stands:
        return Finding("EKS version", "warning", what, "set a newer eks.version")
    refused = f"{what}: its clusters cannot have zave's upgrade policy, STANDARD"
    return Finding("EKS version", "missing", refused, "set a newer eks.version", needed=True)


def _access(facts: AccountFacts, wanted: Wanted) -> Iterator[Finding]:
    """Whether anybody can reach the API server: the addresses of the shipped spec are an example's."""
    nobodys = facts.nobodys(wanted.public_cidrs)
    if nobodys:
        yield Finding(
            "API server",
            "missing",
            f"nobody comes from {', '.join(map(str, nobodys))}: addresses of examples (RFC 5737)",
            "write your own public address into eks.public_cidrs, with /32",
            needed=True,
        )


def _administrators(caller: Caller, wanted: Wanted) -> Iterator[Finding]:
    """Who makes the cluster has an access entry by that, and EKS refuses a second one."""
    for arn in wanted.administrators:
        if _is(caller, arn):
            yield Finding(
                "administrators",
                "missing",
                f"{arn} makes the cluster, and administers it by that: EKS takes no second entry",
                "leave it out of eks.administrators, or make the demo as somebody else",
                needed=True,
            )


def _is(caller: Caller, arn: str) -> bool:
    """Whether the caller is this user, or in a session of this role, whose ARN leaves out the path."""
    if caller.arn == arn:
        return True
    service, _, rest = caller.arn.partition(":assumed-role/")
    account, _, role = arn.partition(":role/")
    return bool(rest and role) and (
        service.replace(":sts:", ":iam:") == account and rest.partition("/")[0] == role.rpartition("/")[2]
    )


def _spot(facts: AccountFacts, wanted: Wanted) -> Iterator[Finding]:
    if not wanted.spot and wanted.karpenter == 0:
        return
    what = "the account has no service-linked role for spot instances"
    make = "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com"
    if facts.spot_role():
        yield Finding("spot", "ok", "the service-linked role for spot instances is there")
    elif wanted.spot:
        # the first spot instance of an account needs it, and a node group only says so after minutes
        fix = f"{make}, or set eks.nodes.spot: false"
        yield Finding("spot", "missing", what, fix, needed=True)
    else:
        # Karpenter may not make the role, and takes the other market
        yield Finding("spot", "warning", f"{what}: Karpenter gets on-demand ones only", make)


def _names(items: Sequence[Item], wanted: Wanted) -> Iterator[Finding]:
    """Somebody else's thing under a name that the instance will need."""
    name = f"{_PREFIX}{wanted.instance}"
    for item in items:
        # keys that wait for their deletion keep no name from anybody
        if item.owner == wanted.instance or item.state == PENDING:
            continue
        if item.name == name or item.name.startswith((f"{name}/", f"alias/{name}-secrets")):
            yield Finding(
                "names",
                "missing",
                f"{item.type} {item.name} exists already and is not this instance's",
                "choose another name with --name",
                needed=True,
            )


def _leftovers(cloud: Cloud, items: Sequence[Item], wanted: Wanted) -> Iterator[Finding]:
    own = [item for item in items if item.owner == wanted.instance and item.state != PENDING]
    others = sorted({item.attributes.get("tag:zave:owner", "") for item in own} - {"", wanted.owner})
    if others:
        yield Finding(
            "leftovers",
            "missing",
            f"{wanted.instance} is an instance of {', '.join(others)}",
            "choose another name with --name",
            needed=True,
        )
    elif own and not wanted.stands and all(map(of_all_regions, own)):
        # taken over they would be deleted by whoever ends first
        yield Finding(
            "leftovers",
            "missing",
            f"roles of {wanted.instance} stand and nothing else of it in {cloud.region}: it may live in "
            "another region, and roles are every region's",
            "choose another name with --name; if it lives nowhere, delete the roles in "
            f"/zave/{wanted.instance}/",
            needed=True,
        )
    elif own and not wanted.stands:
        yield Finding(
            "leftovers",
            "warning",
            f"{len(own)} things of an earlier {wanted.instance} still stand: "
            + ", ".join(sorted({item.type for item in own})[:5]),
            f"zave sweep {wanted.instance} --delete takes them away; zave up goes on with them",
        )
    elif not wanted.stands and cloud.switchboard.schedule(wanted.instance) is not None:
        yield Finding(
            "leftovers",
            "warning",
            f"a switch of an earlier {wanted.instance} is still set",
            f"zave up {wanted.instance} takes it over and keeps its expiry",
        )
