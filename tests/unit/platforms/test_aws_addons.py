"""The add-ons that a plan of Terraform names."""

from typing import Any

from zave.platforms.aws_addons import planned_addons


def change(name: str, before: str | None, after: str | None, **more: Any) -> dict[str, Any]:
    def side(version: str | None) -> dict[str, Any] | None:
        return None if version is None else {"addon_name": name, "addon_version": version or None}

    return {"type": "aws_eks_addon", "change": {"before": side(before), "after": side(after)}, **more}


def test_each_addon_has_its_version_and_the_one_before() -> None:
    document = {
        "resource_changes": [
            change("vpc-cni", None, "v1.21.1-eksbuild.1"),
            change("coredns", "v1.12.1-eksbuild.2", "v1.12.4-eksbuild.1"),
            change("kube-proxy", "v1.33.0-eksbuild.2", None),
            change("told-later", None, ""),
            change("read", None, "v1", mode="data"),
            {"type": "aws_vpc", "change": {"before": None, "after": {"addon_name": "no"}}},
        ]
    }
    assert planned_addons(document) == [
        {"name": "coredns", "version": "v1.12.4-eksbuild.1", "before": "v1.12.1-eksbuild.2"},
        {"name": "kube-proxy", "version": None, "before": "v1.33.0-eksbuild.2"},
        {"name": "told-later", "version": None, "before": None},
        {"name": "vpc-cni", "version": "v1.21.1-eksbuild.1", "before": None},
    ]
    assert planned_addons({}) == []
