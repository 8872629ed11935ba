"""What a standing instance cannot change: it would be made once more, and forgotten where it stands."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from zave.errors import RefusedChangeError
from zave.lifecycle.place import Place
from zave.spec.load import spec_document

_FORGOTTEN = "there Terraform would find nothing, make all of it again, and forget what stands"
# by platform: the value, and why it stays
_FIXED: Mapping[str, Mapping[str, str]] = {
    "aws-eks": {
        "aws.account": _FORGOTTEN,
        "aws.region": _FORGOTTEN,
        "state.bucket": "its Terraform state, its lock and the destroyer's bundle are in that bucket",
        "network.cidr": "a VPC keeps its range, and a cluster its VPC",
    },
    "libvirt-k3s": {
        "libvirt.uri": _FORGOTTEN,
        "libvirt.network.cidr": "its machines know one another by these addresses",
    },
}
# what these steps make binds an instance to no place
_FREE = frozenset({"render", "image", "state-backend"})
_VERSION = re.compile(r"(\d+)\.(\d+)")


def require_fixed_values(place: Place) -> None:
    """Refuse a spec that would leave a standing instance behind. Raises RefusedChangeError."""
    record = place.site.store.instance(place.instance)
    if record is None or record.phase in ("absent", "destroyed"):
        return
    steps = place.site.store.steps(place.instance)
    if all(step.state == "undone" or name in _FREE for name, step in steps.items()):
        return
    wanted = spec_document(place.spec)
    refused = [*_moved(place.spec.platform, record.spec, wanted), *_version(record.spec, wanted)]
    if refused:
        first, *others = refused
        raise RefusedChangeError(
            first,
            where=f"the spec of {place.instance}",
            details="\n".join(f"and {other}" for other in others) or None,
            resolution="set it back to what it was; for another one take this down first "
            f"(zave down {place.instance}), or bring one up beside it (--name)",
        )


def _moved(platform: str, recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for key, why in _FIXED[platform].items():
        before, after = _value(recorded, key), _value(wanted, key)
        # an account that is not named is the one of the record's credentials, which are compared elsewhere
        if before is not None and after is not None and before != after:
            yield f"{key} stays {before} while it stands, not {after}: {why}"


def _version(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """EKS goes up one minor version at a time, and back only by a rollback of its own, within 7 days.

    docs.aws.amazon.com/eks/latest/userguide: update-cluster.html and rollback-cluster.html, read 2026-11-24.
    """
    before, after = _value(recorded, "eks.version"), _value(wanted, "eks.version")
    if before is None or after is None:
        return
    parts = [_VERSION.fullmatch(str(each)) for each in (before, after)]
    if parts[0] is None or parts[1] is None:
        return
    (old_major, old), (new_major, new) = ((int(part[1]), int(part[2])) for part in parts if part)
    if old_major != new_major or new not in (old, old + 1):
        following = f"{old_major}.{old + 1}"
        yield f"eks.version is {before}, and EKS goes from there to {following} only, not to {after}"


def _value(document: Mapping[str, Any], key: str) -> Any:
    found: Any = document
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
