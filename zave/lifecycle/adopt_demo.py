"""What an account says of a demo that no record knows: tags, schedule, bundle, Terraform's state."""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zave.aws.bundle import InstanceFacts, load_bundle, unpack
from zave.aws.keys import bundle_prefix, receipt_prefix, state_key
from zave.clock import from_rfc3339, rfc3339
from zave.errors import NothingStandsError, PreconditionError
from zave.lifecycle.adopt import Finding
from zave.ports import PENDING, Item
from zave.ports.cloud import Bucket, Cloud, Schedule
from zave.spec.load import spec_document, spec_from_document
from zave.state.records import InstanceRecord, Phase, ResourceRecord
from zave.steps.infra import VARIABLES
from zave.steps.site import Site
from zave.tools.terraform_state import StateSeal
from zave.tools.terraform_statefile import StateFile, StateFileError, read_state

if TYPE_CHECKING:
    from zave.spec import AwsSpec

_TAGS = ("zave:environment", "zave:owner", "zave:creation")
_CLUSTER = "aws_eks_cluster"


@dataclass(frozen=True)
class _Kept:
    """What the bucket keeps of an instance: a verified bundle, and Terraform's state where there is one."""

    facts: InstanceFacts
    spec: "AwsSpec"
    sha256: str
    variables: bytes | None
    state: StateFile | None
    outputs: Mapping[str, Any]


def look_at_demo(site: Site, spec: "AwsSpec") -> Finding | None:
    """The demo as its account shows it; None when the account shows nothing of it.

    `spec` says which account to ask; the instance's own comes from its bundle. Raises NothingStandsError
    for an instance that was destroyed, PreconditionError for another account and for whatever does not agree.
    """
    cloud, instance = _cloud(site), site.instance
    account = cloud.caller().account
    if spec.aws.account is not None and account != spec.aws.account:
        raise PreconditionError(
            f"these credentials belong to account {account}, the spec says {spec.aws.account}",
            where=cloud.caller().arn,
            resolution="use the credentials of the spec's account, or change aws.account",
        )
    own = [i for i in cloud.inventory.items() if i.owner == instance and i.state != PENDING]
    schedule = cloud.switchboard.schedule(instance)
    if not own and schedule is None:
        _refuse_destroyed(cloud, instance)
        return None
    kept = _kept(cloud, instance, schedule)
    _require_agreement(kept, own, account=account, region=cloud.region)
    return _finding(site, cloud, schedule, own, kept)


def _cloud(site: Site) -> Cloud:
    if site.tools.cloud is None:
        raise PreconditionError("no cloud is at hand for an aws-eks environment")
    return site.tools.cloud


def _refuse_destroyed(cloud: Cloud, instance: str) -> None:
    """Say when it was destroyed: that is what people want to know of a demo that is not there."""
    try:
        receipts = cloud.bucket.list(receipt_prefix(instance))
    except PreconditionError:
        return  # an account without a bucket never had an instance
    if receipts:
        key = receipts[-1].key
        raise NothingStandsError(
            f"nothing of {instance} stands in {cloud.inventory.source}: it was destroyed",
            where=f"{cloud.bucket.name}/{key}",
            resolution=f"the receipt is there; zave up {instance} makes a new one",
        )


def _kept(cloud: Cloud, instance: str, schedule: Schedule | None) -> _Kept:
    bucket = cloud.bucket
    key, digest = _bundle_of(bucket, instance, schedule)
    content = bucket.get(key)
    if content is None or hashlib.sha256(content).hexdigest() != digest:
        what = "is gone" if content is None else "is not the one that was proven"
        raise _doubt(instance, f"its bundle {what}", where=f"{bucket.name}/{key}")
    with tempfile.TemporaryDirectory(prefix="zave-") as folder:
        unpack(content, Path(folder, "bundle"))
        bundle = load_bundle(Path(folder, "bundle"), work=Path(folder, "work"))
        variables = bundle.root / VARIABLES
        given = variables.read_bytes() if variables.is_file() else None
    spec = spec_from_document(bundle.spec, where=f"{bucket.name}/{key}")
    if spec.platform != "aws-eks":
        raise _doubt(instance, f"its bundle is one of {spec.platform}", where=f"{bucket.name}/{key}")
    state, outputs = _state(bucket, instance)
    return _Kept(bundle.facts, spec, digest, given, state, outputs)


def _bundle_of(bucket: Bucket, instance: str, schedule: Schedule | None) -> tuple[str, str]:
    """(key, SHA-256) of the bundle: the schedule's, else the only one, whose name is its digest."""
    if schedule is not None:
        return schedule.bundle, schedule.bundle_sha256
    keys = [stored.key for stored in bucket.list(bundle_prefix(instance))]
    if len(keys) != 1:
        what = "the bucket has no bundle of it" if not keys else f"the bucket has {len(keys)} bundles of it"
        raise _doubt(instance, f"it has no switch, and {what}", where=bucket.name)
    return keys[0], keys[0].removeprefix(bundle_prefix(instance)).partition(".")[0]


def _state(bucket: Bucket, instance: str) -> tuple[StateFile | None, Mapping[str, Any]]:
    """Terraform's state with its outputs, those that are sensitive left out. None: there is none."""
    content = bucket.get(state_key(instance))
    if content is None:
        return None, {}
    with tempfile.TemporaryDirectory(prefix="zave-") as folder:
        path = Path(folder, "terraform.tfstate")
        path.write_bytes(content)
        try:
            state = read_state(path)
        except StateFileError as error:
            raise _doubt(
                instance,
                f"its Terraform state is damaged ({error})",
                where=f"{bucket.name}/{state_key(instance)}",
            ) from error
    return state, plain_outputs(content)


def plain_outputs(content: bytes) -> dict[str, Any]:
    """The outputs in a whole Terraform state; secrets have no place in a record."""
    outputs = json.loads(content).get("outputs") or {}
    return {name: output.get("value") for name, output in outputs.items() if not output.get("sensitive")}


def _require_agreement(kept: _Kept, own: Sequence[Item], *, account: str, region: str) -> None:
    """Raise PreconditionError unless bundle, tags and state tell of one and the same instance."""
    facts = kept.facts
    if (facts.account, facts.region) != (account, region):
        raise PreconditionError(
            f"the bundle is for account {facts.account} in {facts.region}, this is {account} in {region}",
            resolution="use the credentials of its own account",
        )
    others = sorted(
        {f"{i.type} {i.name}: {tag} is {i.attributes[f'tag:{tag}']}" for i, tag in _strange(own, facts)}
    )
    if others:
        raise _doubt(
            facts.instance,
            "not everything in the account carries the tags of its bundle",
            details="\n".join(others[:20]),
        )
    for held in kept.state.resources if kept.state is not None else ():
        tags = held.values.get("tags_all") or {}
        for tag in ("zave:instance", *_TAGS):
            if tags.get(tag, facts.tags.get(tag)) != facts.tags.get(tag):
                raise _doubt(
                    facts.instance,
                    f"its Terraform state is of another one: {held.address} has {tag} {tags[tag]}",
                )


def _strange(own: Sequence[Item], facts: InstanceFacts) -> list[tuple[Item, str]]:
    """What says otherwise than the bundle. What the cluster made may carry no tag of zave's at all."""
    return [
        (item, tag)
        for item in own
        for tag in _TAGS
        if item.attributes.get(f"tag:{tag}", facts.tags.get(tag)) != facts.tags.get(tag)
    ]


def _finding(
    site: Site, cloud: Cloud, schedule: Schedule | None, own: Sequence[Item], kept: _Kept
) -> Finding:
    facts, now = kept.facts, site.tools.clock.now()
    resources = _resources(site, kept)
    gone = missing(resources, own, types=cloud.inventory.types)
    ends = None if schedule is None else schedule.first_fire_at
    record = InstanceRecord(
        name=site.instance,
        environment=facts.environment,
        platform="aws-eks",
        phase=_phase(kept, gone, ends, now=now),
        created_at=from_rfc3339(facts.creation),
        expires_at=ends,
        spec=spec_document(kept.spec),
        outputs={},
    )
    return Finding(
        record=record,
        source=cloud.inventory.source,
        resources=resources,
        steps=_steps(cloud, schedule, own, kept),
        seal=_seal(kept.state),
        variables=kept.variables,
        said=_said(record, cloud, own, kept, gone),
    )


def _resources(site: Site, kept: _Kept) -> tuple[ResourceRecord, ...]:
    identify = site.tools.identify
    held = kept.state.resources if kept.state is not None else ()
    return tuple(
        ResourceRecord(
            each.address, each.type, identify(each.type, each.values) or each.name, each.id, "present"
        )
        for each in held
    )


def missing(
    resources: Sequence[ResourceRecord], items: Sequence[Item], *, types: frozenset[str]
) -> list[ResourceRecord]:
    """What Terraform's state holds and the inventory, which shows such `types`, does not."""
    there = {(item.type, item.name) for item in items}
    return [r for r in resources if r.type in types and (r.type, r.name) not in there]


def _phase(kept: _Kept, gone: Sequence[object], ends: datetime | None, *, now: datetime) -> Phase:
    """Ready is what is whole and has an end; the rest is `up`'s or the switch's to deal with."""
    if ends is not None and ends <= now:
        return "expired"
    whole = kept.state is not None and kept.state.resources and not gone and ends is not None
    return "ready" if whole else "degraded"


def _steps(
    cloud: Cloud, schedule: Schedule | None, own: Sequence[Item], kept: _Kept
) -> dict[str, Mapping[str, Any]]:
    """The steps whose work stands, wholly or in part, with what they would have told."""
    account = {"account": kept.facts.account, "region": cloud.region, "bucket": cloud.bucket.name}
    steps: dict[str, Mapping[str, Any]] = {"state-backend": account, "render": {}}
    if schedule is not None:
        ends = rfc3339(schedule.first_fire_at)
        steps["ttl-switch"] = {"expires_at": ends, "bundle_sha256": kept.sha256, "proof": ""}
    if own or (kept.state is not None and kept.state.resources):
        steps["infra"] = dict(kept.outputs)
    if any(item.type == _CLUSTER for item in own):
        steps["gitops"] = {}
    return steps


def _seal(state: StateFile | None) -> StateSeal | None:
    if state is None:
        return None
    return StateSeal(state.lineage, state.serial, len(state.resources), state.sha256)


def _said(
    record: InstanceRecord, cloud: Cloud, own: Sequence[Item], kept: _Kept, gone: Sequence[ResourceRecord]
) -> tuple[str, ...]:
    state = (
        "none" if kept.state is None else f"serial {kept.state.serial}, {len(kept.state.resources)} resources"
    )
    ends = (
        "it has no switch, so no end: zave up arms it again"
        if record.expires_at is None
        else (f"ends {rfc3339(record.expires_at)}, by its schedule")
    )
    return (
        f"found in {cloud.inventory.source}: {len(own)} things that carry its mark",
        f"environment {record.environment}, owner {kept.facts.tags.get('zave:owner', 'not known')}, "
        f"made {rfc3339(record.created_at)}, by its tags",
        ends,
        f"spec from its bundle (sha256 {kept.sha256[:12]}, verified); Terraform's state: {state}",
        *(f"gone: {r.type} {r.name}; zave up {record.name} makes it again" for r in gone[:20]),
    )


def _doubt(
    instance: str, what: str, *, where: str | None = None, details: str | None = None
) -> PreconditionError:
    return PreconditionError(
        f"{instance} cannot be adopted: {what}; nothing was recorded",
        where=where,
        details=details,
        resolution=f"zave sweep {instance} lists what stands, zave sweep {instance} --delete removes it; the "
        "bucket keeps older versions of its objects",
    )
