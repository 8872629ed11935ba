"""Putting to rest whoever makes things again in a cluster, and letting them go on.

What stood in a field before it was changed is kept in an annotation of the object, so that a teardown
that was given up can be taken back, and nothing is woken that somebody else had put to rest.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zave.errors import StepFailedError
from zave.flux.kinds import (
    APPLICATION,
    APPLICATION_SET,
    HELM_RELEASE,
    KUSTOMIZATION,
    Api,
    Document,
    Groups,
    Kind,
    all_of,
    name_of,
    namespace_of,
)

BEFORE = "zave/before-teardown"
"""The annotation that holds what was in the field before, as JSON."""

# another one's reconciliation, begun before its own suspension, may take a suspension back
_ROUNDS = 3


@dataclass(frozen=True)
class _Rest:
    """A kind, the field that puts an object of it to rest, and the value that does."""

    kind: Kind
    field: tuple[str, ...]
    value: Any

    def found(self, item: Document) -> Any:
        """What the field holds now."""
        value: Any = item
        for name in self.field:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def change(self, value: Any, *, before: str | None) -> Document:
        """The merge patch that sets the field, and notes (None: forgets) what it held before."""
        change: Any = value
        for name in reversed(self.field):
            change = {name: change}
        return {"metadata": {"annotations": {BEFORE: before}}, **change}


# Those that apply others come first. Argo CD: with `create-only` a set leaves its applications alone, without
# `automated` an application stays as it is, and its finalizer still works (its docs, versions 2.8 to 3.4).
_RESTS = (
    _Rest(KUSTOMIZATION, ("spec", "suspend"), True),
    _Rest(HELM_RELEASE, ("spec", "suspend"), True),
    _Rest(APPLICATION_SET, ("spec", "syncPolicy", "applicationsSync"), "create-only"),
    _Rest(APPLICATION, ("spec", "syncPolicy", "automated"), None),
)


def suspend_all(api: Api, groups: Groups) -> None:
    """Put everything to rest that would make deleted things again; what rests already is left.

    Raises StepFailedError where something is woken again and again.
    """
    awake: list[Document] = []
    for _ in range(_ROUNDS):
        awake = []
        for rest in _RESTS:
            found = [item for item in all_of(api, groups, rest.kind) if rest.found(item) != rest.value]
            _suspend(api, rest, found)
            awake += found
        if not awake:
            return
    first = awake[0]
    raise StepFailedError(
        f"{first['kind']} {namespace_of(first)}/{name_of(first)} does not stay suspended",
        details="\n".join(f"{each['kind']} {namespace_of(each)}/{name_of(each)}" for each in awake[:20]),
        resolution="see who changes it (kubectl get ... --show-managed-fields -o yaml), "
        "then run the same command again",
    )


def resume_all(api: Api, groups: Groups) -> None:
    """Wake what `suspend_all` put to rest, and nothing else."""
    for rest in reversed(_RESTS):
        for item in all_of(api, groups, rest.kind):
            note = (item["metadata"].get("annotations") or {}).get(BEFORE)
            if note is not None:
                api.patch([item], rest.change(_read(note), before=None))


def _suspend(api: Api, rest: _Rest, items: Sequence[Document]) -> None:
    """One request for all objects whose fields held the same: of Flux's, that is nearly every one."""
    alike: dict[str, list[Document]] = {}
    for item in items:
        # an older note is of a suspension that somebody took back: what holds now is what was before
        alike.setdefault(json.dumps(rest.found(item), sort_keys=True), []).append(item)
    for before, those in alike.items():
        api.patch(those, rest.change(rest.value, before=before))


def _read(note: str) -> Any:
    try:
        return json.loads(note)
    except (ValueError, RecursionError):
        # written by somebody else; without the field Flux and Argo CD do what is usual
        return None
