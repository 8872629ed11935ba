"""Whether two environments are the same platform, but for what is declared and why."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from zave.gitops.compare import ABSENT, Difference, differences, written
from zave.gitops.declared import Declaration
from zave.gitops.kustomize import Built
from zave.gitops.manifests import Identity, Manifest


@dataclass(frozen=True)
class Side:
    """One environment: its name, its platform and everything that its tree builds to."""

    environment: str
    platform: str
    built: Built


@dataclass(frozen=True)
class Found:
    """One difference. `declared` are the declarations that allow it; without one it is not allowed.

    `missing` are the variables that would have to be declared as well.
    """

    identity: Identity
    difference: Difference
    layer: str
    declared: tuple[Declaration, ...] = ()
    missing: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Parity:
    """The comparison of two environments; which declarations it needed, and which not."""

    left: Side
    right: Side
    found: tuple[Found, ...]
    used: tuple[Declaration, ...]
    unused: tuple[Declaration, ...]

    @property
    def holds(self) -> bool:
        """Every difference is declared, every declaration used, every variable defined."""
        return not self.unused and not any(self._undefined()) and all(each.declared for each in self.found)

    def document(self) -> dict[str, Any]:
        """The `zave/parity/v1` document."""
        left, right = self.left.built.objects, self.right.built.objects
        return {
            "schema": "zave/parity/v1",
            "left": _side(self.left),
            "right": _side(self.right),
            "in_parity": self.holds,
            "objects": {"left": len(left), "right": len(right), "both": len(left.keys() & right.keys())},
            "undeclared": [_entry(each) for each in self.found if not each.declared],
            "undefined": list(self._undefined()),
            "unused": [_told(declaration) for declaration in self.unused],
            "declared": [_entry(each) for each in self.found if each.declared],
            "declarations": [_told(declaration) for declaration in self.used],
        }

    def _undefined(self) -> Iterator[dict[str, str]]:
        for side in (self.left, self.right):
            for identity, manifest in sorted(side.built.objects.items()):
                for each in manifest.undefined:
                    yield {
                        "environment": side.environment,
                        "object": str(identity),
                        "path": each.path,
                        "text": each.text,
                        "problem": each.problem,
                    }


def compare_sides(left: Side, right: Side, declarations: Sequence[Declaration]) -> Parity:
    """Compare every object of the two, and judge each difference by `declarations`."""
    found = tuple(_judged(left, right, declarations))
    used = {declaration for each in found for declaration in each.declared}
    return Parity(
        left,
        right,
        found,
        used=tuple(d for d in declarations if d in used),
        unused=tuple(d for d in declarations if d not in used),
    )


def _judged(left: Side, right: Side, declarations: Sequence[Declaration]) -> Iterator[Found]:
    for identity in sorted({*left.built.objects, *right.built.objects}):
        here, there = left.built.objects.get(identity), right.built.objects.get(identity)
        if here is not None and there is not None:
            if not (here.undefined or there.undefined):
                sources = left.built.sources | right.built.sources
                for difference in differences(here, there):
                    yield _judge(identity, _of_source(identity, difference, sources), here, declarations)
            continue
        side, only = (left, here) if here is not None else (right, there)
        assert only is not None
        difference = Difference((), *((only.value, ABSENT) if side is left else (ABSENT, only.value)))
        allowed = [d for d in declarations if d.allows_object(identity, platform=side.platform)]
        yield Found(identity, difference, only.layer, tuple(allowed[:1]))


def _of_source(identity: Identity, difference: Difference, sources: Iterable[Identity]) -> Difference:
    """Where the variables themselves are kept, each value is its own variable's."""
    if identity in sources and len(difference.path) == 2 and difference.path[0] == "data":
        names = frozenset({str(difference.path[1])})
        return Difference(difference.path, difference.left, difference.right, names)
    return difference


def _judge(
    identity: Identity, difference: Difference, manifest: Manifest, declarations: Sequence[Declaration]
) -> Found:
    """A field's own declaration counts first; else every variable that makes it must be declared."""
    fields = [d for d in declarations if d.allows_field(identity, difference)]
    if fields:
        return Found(identity, difference, manifest.layer, tuple(fields[:1]))
    known = {d.variable: d for d in declarations if d.variable is not None}
    missing = difference.variables - known.keys()
    if not difference.variables or missing:
        return Found(identity, difference, manifest.layer, missing=missing)
    return Found(
        identity, difference, manifest.layer, tuple(known[name] for name in sorted(difference.variables))
    )


def _side(side: Side) -> dict[str, str]:
    return {"environment": side.environment, "platform": side.platform}


def _told(declaration: Declaration) -> dict[str, Any]:
    return {"declaration": str(declaration), "line": declaration.line, "reason": declaration.reason}


def _entry(each: Found) -> dict[str, Any]:
    """A difference as it appears in JSON; of an object that only one side has, only that."""
    difference = each.difference
    entry: dict[str, Any] = {
        "object": str(each.identity),
        "layer": each.layer,
        "path": written(difference.path),
        "left": _shown(difference, "left"),
        "right": _shown(difference, "right"),
        "only": "left" if difference.right is ABSENT else "right" if difference.left is ABSENT else None,
    }
    if each.declared:
        entry["declarations"] = [str(declaration) for declaration in each.declared]
    elif each.missing:
        entry["variables"] = sorted(each.missing)
    return entry


def _shown(difference: Difference, side: str) -> Any:
    value = getattr(difference, side)
    return None if value is ABSENT or not difference.path else value
