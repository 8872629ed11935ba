"""What a Terraform plan would leave standing: the objects in `show -json`, as far as they are known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zave.cost.parts import block, number, text
from zave.cost.types import BILLABLE, FREE

# EKS takes subnets in two zones at least, and so does zave's network
_ZONES = 2
# what EKS gives a node whose disk nobody sizes (EKS API, `diskSize`)
_ROOT_GB = 20.0


@dataclass(frozen=True)
class NodeGroup:
    """A managed node group: how many nodes, of which types. `root_gb` is one node's root volume."""

    minimum: float
    maximum: float
    instance_types: tuple[str, ...]
    spot: bool
    root_gb: float


@dataclass(frozen=True)
class Planned:
    """The managed objects of a plan or state by type. Values that are not known yet are absent."""

    objects: tuple[tuple[str, Mapping[str, Any]], ...] = field(default=())

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Planned":
        """The objects that stand after the plan (or in the state) of a `terraform show -json`."""
        values = document.get("planned_values") or document.get("values") or {}
        return cls(tuple(_managed(values.get("root_module") or {})))

    def of_type(self, resource_type: str) -> list[Mapping[str, Any]]:
        """The values of each object of a type."""
        return [values for found, values in self.objects if found == resource_type]

    def unknown_types(self) -> list[str]:
        """AWS types of which zave does not know whether they cost anything."""
        types = {found for found, _ in self.objects}
        return sorted(t for t in types if t.startswith("aws_") and t not in BILLABLE and t not in FREE)

    def types(self) -> set[str]:
        """All types in the plan."""
        return {found for found, _ in self.objects}

    def zones(self) -> int:
        """How many availability zones the subnets are in."""
        known = {text(values, "availability_zone") for values in self.of_type("aws_subnet")} - {""}
        return len(known) or _ZONES

    def node_groups(
        self, *, instance_types: Sequence[str], spot: bool, minimum: int, maximum: int
    ) -> list[NodeGroup]:
        """The node groups; what is not known in the plan is as the arguments say."""
        templates = [_root_gb(values) for values in self.of_type("aws_launch_template")]
        found = []
        for values in self.of_type("aws_eks_node_group"):
            scaling = block(values, "scaling_config")
            fewest = number(scaling, "min_size", minimum)
            capacity = text(values, "capacity_type", "SPOT" if spot else "ON_DEMAND")
            found.append(
                NodeGroup(
                    minimum=max(fewest, number(scaling, "desired_size", fewest)),
                    maximum=max(number(scaling, "max_size", maximum), fewest),
                    instance_types=tuple(values.get("instance_types") or instance_types),
                    spot=capacity == "SPOT",
                    root_gb=max([number(values, "disk_size"), *templates]) or _ROOT_GB,
                )
            )
        return found


def _managed(module: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for item in module.get("resources") or []:
        if item["mode"] == "managed":
            yield str(item["type"]), item.get("values") or {}
    for child in module.get("child_modules") or []:
        yield from _managed(child)


def _root_gb(template: Mapping[str, Any]) -> float:
    """The size of a launch template's largest disk; 0 where it says none."""
    disks = template.get("block_device_mappings") or []
    return max((number(block(disk, "ebs"), "volume_size") for disk in disks), default=0.0)
