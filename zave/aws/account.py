"""An account's standing parts: bucket, switch machinery, budget. Set up, looked at, removed.

The bucket is made by the very Terraform root whose state it will hold: first the state is beside the
root, then it moves into the bucket. Every point at which that may be cut off is found again from what
exists.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zave.aws.identity import identity
from zave.aws.keys import ACCOUNT_STATE
from zave.aws.state import BucketState, replace_state, state_of
from zave.clock import Clock
from zave.errors import LeakError, NoBucketError, PreconditionError, StepFailedError
from zave.ports import PENDING, Inventory, Item
from zave.ports.cloud import Bucket, Cloud
from zave.render import write_private
from zave.tools.terraform import Plan, Terraform

Home = Literal["beside", "bucket"]
Phase = Literal["absent", "partial", "ready"]

_STATE = "terraform.tfstate"
_BUCKET_TYPE = "aws_s3_bucket"
_BUCKET = f"module.state.{_BUCKET_TYPE}.this"
# seconds of the world's time until everything that was made must show (aws.md of 2026-11-23, section 1:
# the provider waits 25 s for a queue, 29 s at most for a key)
_READY_LIMIT = 120.0
_READY_POLL = 5.0
# each pass makes names known that were not before; the root is three levels deep
_PASSES = 5


@dataclass(frozen=True)
class AccountRoot:
    """The rendered root of the standing parts.

    `write` renders it into `folder` for a state that is `beside` it or in the `bucket`, with the
    bucket protected or, for its removal, not. `terraform` works in that folder; `evidence` is a
    folder for states that were replaced. `bucket` is the name that the spec gives the state bucket.
    """

    folder: Path
    evidence: Path
    bucket: str
    write: Callable[[Home, bool], None]
    terraform: Callable[[], Terraform]
    say: Callable[[str], None]


def set_up(cloud: Cloud, clock: Clock, root: AccountRoot) -> dict[str, Any]:
    """Make the standing parts, or bring them to what the spec says; Terraform's outputs.

    Safe to repeat at any point. Raises PreconditionError for what is somebody else's, and where the
    switch works from another bucket than the spec's.
    """
    cloud.caller()  # without usable credentials nothing else can be believed
    _refuse_another_bucket(cloud, root)
    remote = _remote(cloud)
    if remote.kind == "whole":
        root.say("the state is in the bucket")
        outputs = _apply(cloud, root, home="bucket")
        _wait_for_machinery(cloud, clock)
        return outputs
    if remote.kind == "damaged":
        _keep(root, "bucket", remote)
    if state_of(_local(root)).kind == "damaged":
        # a cut-off apply: what it made is adopted from the inventory
        _keep(root, "beside", state_of(_local(root)))
        _drop_local(root)
    root.say("making bucket and switch, with the state beside the root")
    _apply(cloud, root, home="beside")
    root.say("moving the state into the bucket")
    _migrate(cloud, root)
    outputs = _apply(cloud, root, home="bucket")
    _wait_for_machinery(cloud, clock)
    return outputs


def remove(cloud: Cloud, root: AccountRoot) -> tuple[Item, ...]:
    """Take the standing parts away; what was there. Safe to repeat.

    Raises PreconditionError while an instance stands or has a switch, LeakError when standing parts
    are left.
    """
    cloud.caller()
    refuse_instances(cloud)
    before = tuple(item for item in cloud.inventory.items() if item.standing)
    state = _newest(_remote(cloud), state_of(_local(root)))
    if state.kind != "whole":
        if before:
            raise PreconditionError(
                "the standing parts are there, but no Terraform state describes them",
                details="\n".join(f"{item.type} {item.name}" for item in before),
                resolution="zave account setup adopts them; then run this again",
            )
        return ()
    write_private(root.folder / _STATE, state.content)
    root.write("beside", True)
    _forget_backend(root)
    terraform = root.terraform()
    terraform.init()
    if _bucket(cloud) is not None:
        # the provider deletes a bucket that is not empty only when the state says so beforehand
        plan = terraform.plan(targets=[_BUCKET])
        if plan.has_changes:
            terraform.apply(plan)
    root.say("removing bucket and switch")
    plan = terraform.plan(destroy=True)
    if plan.has_changes:
        terraform.apply(plan)
    _require_gone(cloud)
    _drop_local(root)
    return before


def refuse_instances(cloud: Cloud) -> None:
    """Raise PreconditionError while anything needs the standing parts."""
    standing = sorted(instances(cloud))
    if standing:
        raise PreconditionError(
            f"{len(standing)} instances stand or have a switch in this account: {', '.join(standing[:10])}",
            resolution=f"zave down {standing[0]} first: without the switch nothing would end it",
        )


def instances(cloud: Cloud) -> set[str]:
    """The instances that own anything in the account, or have a schedule there."""
    owners = {i.owner for i in cloud.inventory.items() if i.owner and not i.standing and i.state != PENDING}
    return owners | {schedule.instance for schedule in cloud.switchboard.schedules()}


def account_document(
    cloud: Cloud, *, rehearsal: bool, usd_per_month: Callable[[Item], float | None]
) -> dict[str, Any]:
    """The `zave/account/v1` document. `usd_per_month` prices a standing part, None where it cannot."""
    machinery = cloud.switchboard.machinery()
    standing = [item for item in cloud.inventory.items() if item.standing]
    prices = [usd_per_month(item) for item in standing]
    bucket = _bucket(cloud)
    phase: Phase = "ready" if machinery.ready and bucket is not None else "partial" if standing else "absent"
    return {
        "schema": "zave/account/v1",
        "rehearsal": rehearsal,
        "account": cloud.caller().account,
        "region": cloud.region,
        "phase": phase,
        "bucket": None if bucket is None else bucket.name,
        "missing": list(machinery.missing),
        "unread": list(machinery.unread),
        "undelivered": machinery.undelivered,
        "subscription_confirmed": machinery.subscription_confirmed,
        "standing": [
            {"type": item.type, "id": item.id, "name": item.name, "usd_per_month": price}
            for item, price in zip(standing, prices, strict=True)
        ],
        "usd_per_month": round(sum(price or 0.0 for price in prices), 2),
        "instances": sorted(instances(cloud)),
    }


def _refuse_another_bucket(cloud: Cloud, root: AccountRoot) -> None:
    """Raise PreconditionError rather than turn the switch away from the bundles of demos that stand.

    Its parts are named after account and region alone: Terraform would adopt them all, and what another
    bucket holds would never be run again.
    """
    standing = {i.name for i in cloud.inventory.items() if i.standing and i.type == _BUCKET_TYPE}
    others = sorted(standing - {root.bucket})
    if not others:
        return
    told = cloud.switchboard.works_from()
    armed = sorted(schedule.instance for schedule in cloud.switchboard.schedules())
    if told is None and armed and root.bucket not in standing:
        told = others[0]  # the project is gone, and those schedules need one of them
    if told not in others:
        return  # a project that was altered to name no bucket of zave's is made as it was
    raise PreconditionError(
        f"the switch of {cloud.inventory.source} works from the bucket {told}, the spec says {root.bucket}",
        details=f"it ends: {', '.join(armed[:10])}" if armed else None,
        resolution=f"write {told} into the spec's state.bucket; it can be changed after zave account remove",
    )


def _wait_for_machinery(cloud: Cloud, clock: Clock) -> None:
    """What was adopted while AWS still made it needs its time; a new queue takes some 25 seconds."""
    waited = 0.0
    while missing := cloud.switchboard.machinery().missing:
        if waited >= _READY_LIMIT:
            raise StepFailedError(
                "the switch's standing parts were made, but do not all show",
                details="\n".join(missing),
                where=cloud.inventory.source,
                resolution="run the same command again",
            )
        clock.sleep(_READY_POLL)
        waited += _READY_POLL


def _apply(cloud: Cloud, root: AccountRoot, *, home: Home) -> dict[str, Any]:
    root.write(home, False)
    if home == "bucket":
        _drop_local(root)
    _forget_backend(root)
    terraform = root.terraform()
    terraform.write_imports([])
    terraform.init()
    plan = _adopted(terraform, cloud.inventory, terraform.plan(), root)
    if plan.has_changes:
        terraform.apply(plan)
    terraform.write_imports([])
    return terraform.outputs()


def _adopted(terraform: Terraform, inventory: Inventory, plan: Plan, root: AccountRoot) -> Plan:
    """The plan with imports for what a cut-off set-up made and the state does not hold."""
    imports: dict[str, str] = {}
    for _ in range(_PASSES):
        found = {
            address: item for address, item in _existing(plan, inventory).items() if address not in imports
        }
        if not found:
            break
        for address, item in found.items():
            if item.owner is not None or item.import_id is None:
                raise PreconditionError(
                    f"{item.type} {item.name} exists already and is no standing part of zave's",
                    where=inventory.source,
                    resolution=f"delete it if you can do without it: {inventory.how_to_delete(item)}",
                )
            imports[address] = item.import_id
        terraform.write_imports(list(imports.items()))
        plan = terraform.plan()
    if imports:
        root.say(f"adopting {len(imports)} parts that an earlier set-up had made")
    return plan


def _existing(plan: Plan, inventory: Inventory) -> dict[str, Item]:
    """Address -> item of what `plan` would make although it is there."""
    wanted: dict[tuple[str, str], str] = {}
    for change in plan.document.get("resource_changes", ()):
        if change["change"]["actions"] == ["create"]:
            name = identity(change["type"], change["change"]["after"] or {})
            if name is not None:
                wanted[change["type"], name] = change["address"]
    if not wanted:
        return {}
    there = {(item.type, item.name): item for item in inventory.items()}
    return {address: there[key] for key, address in wanted.items() if key in there}


def _migrate(cloud: Cloud, root: AccountRoot) -> None:
    bucket, content = cloud.bucket, _local(root)
    if content is None or state_of(content).kind != "whole":
        raise PreconditionError(
            "Terraform left no whole state to move into the bucket",
            where=str(root.folder / _STATE),
            resolution="run the same command again: it adopts what was made",
        )
    replace_state(cloud, ACCOUNT_STATE, content)
    if bucket.get(ACCOUNT_STATE) != content:
        # the copy beside the root stays the one that counts
        raise PreconditionError(
            "the bucket does not give back the state that was written into it",
            where=f"{bucket.name}/{ACCOUNT_STATE}",
            resolution="run the same command again",
        )


def _bucket(cloud: Cloud) -> Bucket | None:
    try:
        return cloud.bucket
    except NoBucketError:
        return None  # not made yet


def _remote(cloud: Cloud) -> BucketState:
    bucket = _bucket(cloud)
    return state_of(None if bucket is None else bucket.get(ACCOUNT_STATE))


def _local(root: AccountRoot) -> bytes | None:
    try:
        return (root.folder / _STATE).read_bytes()
    except FileNotFoundError:
        return None


def _newest(*states: BucketState) -> BucketState:
    """Of two copies of one state the one that Terraform wrote last."""
    return max(states, key=lambda state: (state.kind == "whole", state.serial))


def _keep(root: AccountRoot, name: str, state: BucketState) -> None:
    kept = root.evidence / f"damaged-{name}-{os.getpid()}.tfstate"
    write_private(kept, state.content)
    root.say(f"the state in place `{name}` was damaged ({state.reason}); kept as {kept}")


def _drop_local(root: AccountRoot) -> None:
    # beside another backend Terraform would ask whether to move it there
    for name in (_STATE, f"{_STATE}.backup"):
        (root.folder / name).unlink(missing_ok=True)


def _forget_backend(root: AccountRoot) -> None:
    # what an earlier init wrote of its backend: a change of it would need a person's answer
    (root.folder / ".terraform" / _STATE).unlink(missing_ok=True)
    (root.folder / ".terraform" / "zave-init").unlink(missing_ok=True)


def _require_gone(cloud: Cloud) -> None:
    left: Sequence[Item] = [i for i in cloud.inventory.items() if i.standing and i.state != PENDING]
    if left:
        raise LeakError(
            f"{len(left)} standing parts are left after the removal",
            details="\n".join(f"{i.type} {i.name}: {cloud.inventory.how_to_delete(i)}" for i in left),
            resolution="run the same command again, or delete them by hand",
        )
