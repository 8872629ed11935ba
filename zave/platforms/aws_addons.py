"""The add-ons of an EKS cluster in a plan: AWS's default versions for its Kubernetes."""

from collections.abc import Mapping
from typing import Any

_TYPE = "aws_eks_addon"


def planned_addons(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name, `version` and the version `before` of each, by Terraform's plan as JSON (`show -json`).

    A version is None where only the apply will tell it, or where there is no add-on before or after.
    """
    found = []
    for each in document.get("resource_changes", ()):
        if each.get("type") == _TYPE and each.get("mode", "managed") == "managed":
            before, after = (each["change"].get(side) or {} for side in ("before", "after"))
            name = after.get("addon_name") or before.get("addon_name")
            if name:
                versions = {"version": after.get("addon_version"), "before": before.get("addon_version")}
                found.append({"name": name, **versions})
    return sorted(found, key=lambda addon: addon["name"])
