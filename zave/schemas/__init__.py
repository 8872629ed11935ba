"""The JSON Schemas of every document that zave prints, and of `environment.yaml`."""

import json
from pathlib import Path
from typing import Any

from zave.errors import UsageError

_FOLDER = Path(__file__).resolve().parent
# made from the models that read them, not kept a second time
_SPECS = ("aws-eks", "libvirt-k3s")


def kinds() -> list[str]:
    """The kinds that have a schema, sorted."""
    return sorted([*_SPECS, *(path.stem for path in _FOLDER.glob("*.json"))])


def load_schema(kind: str) -> dict[str, Any]:
    """The schema of `zave/<kind>/v1`, or of an `environment.yaml` of that platform.

    Raises UsageError with the nearest kind.
    """
    if kind in _SPECS:
        from zave.spec.load import spec_schema

        return spec_schema(kind)
    if kind not in kinds():
        import difflib

        near = difflib.get_close_matches(kind, kinds(), n=1)
        raise UsageError(
            f"there is no document kind `{kind}`",
            resolution=f"did you mean `{near[0]}`?" if near else "`zave schema` lists the kinds",
        )
    document: dict[str, Any] = json.loads((_FOLDER / f"{kind}.json").read_text(encoding="utf-8"))
    return document
