"""What Karpenter's NodePools in the tree allow: what may come beside the node group, for quotas and bill."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zave.cost.karpenter import ARCHITECTURES, NodePool

if TYPE_CHECKING:
    from zave.project import Project

_NODE_POOLS = "templates/gitops/infrastructure/configs/karpenter/nodes.yaml"
# Kubernetes' quantities of processors: 8, or 8000m
_CORES = re.compile(r"(\d{1,6})(m?)")
_DISK = re.compile(r"(\d{1,5})(Gi|Ti)")
_GIB = {"Gi": 1, "Ti": 1024}

Document = Mapping[str, Any]


def node_pools(project: "Project") -> tuple[NodePool, ...]:
    """Each NodePool of the tree; none where the file cannot be read as YAML."""
    import yaml

    text = project.path(_NODE_POOLS).read_text(encoding="utf-8")
    try:
        documents = [each for each in yaml.safe_load_all(text) if isinstance(each, dict)]
    except yaml.YAMLError:
        return ()  # whoever renders the tree says so
    classes = {
        str(_in(each, "metadata").get("name")): each
        for each in documents
        if each.get("kind") == "EC2NodeClass"
    }
    return tuple(_node_pool(each, classes) for each in documents if each.get("kind") == "NodePool")


def karpenter_limit(pools: Sequence[NodePool]) -> int | None:
    """How many vCPUs Karpenter may add; None where a pool has no limit, or none is known."""
    limits = [pool.vcpu for pool in pools]
    return sum(limit for limit in limits if limit is not None) if limits and None not in limits else None


def _node_pool(document: Document, classes: Mapping[str, Document]) -> NodePool:
    template = _in(document, "spec", "template", "spec")
    requirements = {
        str(each.get("key")): each for each in template.get("requirements") or () if isinstance(each, dict)
    }
    allowed = {key: _values(each) for key, each in requirements.items()}
    architectures = allowed.get("kubernetes.io/arch")
    cores = [int(text) for text in allowed.get("karpenter.k8s.aws/instance-cpu") or () if text.isdigit()]
    node_class = classes.get(str(_in(template, "nodeClassRef").get("name")))
    return NodePool(
        vcpu=_cores(_in(document, "spec", "limits").get("cpu")),
        families=allowed.get("karpenter.k8s.aws/instance-family"),
        architectures=ARCHITECTURES if architectures is None else architectures,
        smallest=min(cores, default=1),
        disk_gib=None if node_class is None else _disks(node_class),
    )


def _in(document: Document, *names: str) -> Document:
    """What is under these keys, empty where there is nothing of the kind."""
    for name in names:
        found = document.get(name)
        document = found if isinstance(found, dict) else {}
    return document


def _values(requirement: Document) -> tuple[str, ...] | None:
    """The values of `In`; any other operator allows more than a list could say."""
    if requirement.get("operator") != "In":
        return None
    return tuple(str(value) for value in requirement.get("values") or ())


def _cores(value: object) -> int | None:
    match = _CORES.fullmatch(str(value))
    return None if match is None else math.ceil(int(match[1]) / (1000 if match[2] else 1))


def _disks(node_class: Document) -> float | None:
    """GiB of all disks of a node; None for what is not gp3, or is left to Karpenter."""
    mappings = _in(node_class, "spec").get("blockDeviceMappings") or ()
    disks = [_in(each, "ebs") for each in mappings if isinstance(each, dict)]
    sizes = [_DISK.fullmatch(str(disk.get("volumeSize"))) for disk in disks]
    if not disks or any(disk.get("volumeType") != "gp3" for disk in disks):
        return None
    known = [int(size[1]) * _GIB[size[2]] for size in sizes if size]
    return float(sum(known)) if len(known) == len(sizes) else None
