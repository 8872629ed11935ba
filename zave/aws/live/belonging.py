"""Whose a thing is: by its own tags, else by the cluster, the network or whatever else it is a part of.

What AWS and a cluster's controllers make by themselves carries no tag of zave's (aws.md of 2026-11-23,
section 3).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from zave.aws.live.listing import Found

INSTANCE = "zave:instance"
STANDING = "zave:standing"
IMAGE = "zave:image"
_CLUSTER_KEY = "kubernetes.io/cluster/"
# What a build of an image is for: it outlives instances. All else with that tag is a build at work, or was
# left by one that was killed: none is let work longer (zave/images/amazon.py)
_IMAGES = frozenset({"aws_ami", "aws_ebs_snapshot"})
_LONGEST_BUILD = timedelta(hours=3)
# with the cluster's name as the value
CLUSTER_TAGS = (
    "aws:eks:cluster-name",
    "eks:cluster-name",
    "eks:eks-cluster-name",
    "elbv2.k8s.aws/cluster",
    "cluster.k8s.amazonaws.com/name",
    "alpha.eksctl.io/cluster-name",
)
# what a cluster merely uses, such as a subnet that many share, is not its own
_SHARED = "shared"
_CONTROL_PLANE = "Amazon EKS "
_LOG_GROUPS = "/aws/eks/"
_PREFIX = "zave-"
_PATH = "/zave/"

# by which attribute a thing names what it is a part of; the nearest first, the network last
_ABOVE: Sequence[tuple[str, str]] = (
    ("cluster_name", "aws_eks_cluster"),
    ("role", "aws_iam_role"),
    ("route_table_id", "aws_route_table"),
    ("route_table_id", "aws_default_route_table"),
    ("security_group_id", "aws_security_group"),
    ("security_group_id", "aws_default_security_group"),
    ("load_balancer_arn", "aws_lb"),
    ("repository", "aws_ecr_repository"),
    ("rule", "aws_cloudwatch_event_rule"),
    ("topic_arn", "aws_sns_topic"),
    ("queue_url", "aws_sqs_queue"),
    ("target_key_id", "aws_kms_key"),
    ("db_instance_identifier", "aws_db_instance"),
    ("issuer", "aws_eks_cluster"),
    ("instance_id", "aws_instance"),
    ("allocation_id", "aws_eip"),
    ("volume_id", "aws_ebs_volume"),
    ("vpc_id", "aws_vpc"),
    ("subnet_id", "aws_subnet"),
    ("subnet_ids", "aws_subnet"),
)
_NAMES = ("id", "arn", "name", "url", "key_id", "issuer")


@dataclass(frozen=True)
class Belonging:
    """To which instance something belongs (None: to none that is known), and whether it is standing."""

    instance: str | None
    standing: bool = False


_NOBODYS = Belonging(None)


class Family:
    """The relations among all that was found at one moment."""

    def __init__(self, found: Sequence[Found], *, now: datetime | None = None) -> None:
        """`now` tells builds that work from those that were killed; without it all of them work."""
        self._now = now
        self._by_name: dict[tuple[str, str], Found] = {}
        self._snapshots: dict[str, Found] = {}
        for thing in found:
            if thing.type == "aws_ami":
                of_image = thing.attributes.get("snapshot_ids", "").split(",")
                self._snapshots |= dict.fromkeys(of_image, thing)
            for name in _NAMES:
                value = thing.attributes.get(name)
                if value:
                    self._by_name.setdefault((thing.type, value), thing)
        self._known: dict[int, Belonging] = {}

    def belonging(self, thing: Found) -> Belonging:
        """Whose it is."""
        known = self._known.get(id(thing))
        if known is None:
            # a circle among things would end here
            self._known[id(thing)] = _NOBODYS
            known = self._known[id(thing)] = self._belonging(thing)
        return known

    def _belonging(self, thing: Found) -> Belonging:
        marked = self._by_own_tags(thing)
        if marked is not None:
            return marked
        cluster = _cluster_of(thing)
        if cluster is not None:
            return Belonging(self._instance_of_cluster(cluster))
        by_path = _by_path(thing)
        if by_path is not None:
            return by_path
        for parent in self._above(thing):
            belonging = self.belonging(parent)
            if belonging.instance or belonging.standing:
                return belonging
        return _NOBODYS

    def _by_own_tags(self, thing: Found) -> Belonging | None:
        if thing.tags.get(STANDING) == "true":
            return Belonging(None, standing=True)
        if IMAGE in thing.tags:
            return self._of_build(thing)
        return Belonging(thing.tags[INSTANCE]) if thing.tags.get(INSTANCE) else None

    def _of_build(self, thing: Found) -> Belonging:
        """An image stands. So does what builds one; left alone it is a leak, of an owner that never lives."""
        made = datetime.fromisoformat(thing.created_at) if thing.created_at else None
        if thing.type in _IMAGES or made is None or self._now is None or self._now - made < _LONGEST_BUILD:
            return Belonging(None, standing=True)
        return Belonging(f"{IMAGE}={thing.tags[IMAGE]}")

    def _above(self, thing: Found) -> Iterator[Found]:
        # a snapshot goes with the image that it is of, whatever it was taken from
        image = self._snapshots.get(thing.id) if thing.type == "aws_ebs_snapshot" else None
        if image is not None:
            yield image
        for attribute, type_ in _ABOVE:
            for value in thing.attributes.get(attribute, "").split(","):
                # an OIDC provider names its cluster's issuer without the scheme
                for name in (value, f"https://{value}"):
                    parent = self._by_name.get((type_, name))
                    if value and parent is not None and parent is not thing:
                        yield parent

    def _instance_of_cluster(self, name: str) -> str | None:
        cluster = self._by_name.get(("aws_eks_cluster", name))
        if cluster is not None:
            return cluster.tags.get(INSTANCE)
        # the cluster is gone, what its controllers made is not: zave's clusters are named after instances
        return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else None


def _cluster_of(thing: Found) -> str | None:
    """The name of the cluster that a thing is marked as belonging to."""
    if thing.type == "aws_eks_cluster":
        return None
    for tag in CLUSTER_TAGS:
        if thing.tags.get(tag):
            return thing.tags[tag]
    for tag, value in thing.tags.items():
        if tag.startswith(_CLUSTER_KEY) and value != _SHARED:
            return tag.removeprefix(_CLUSTER_KEY)
    if thing.type == "aws_cloudwatch_log_group" and thing.id.startswith(_LOG_GROUPS):
        return thing.id.removeprefix(_LOG_GROUPS).partition("/")[0]
    description = thing.attributes.get("description", "")
    if thing.type == "aws_network_interface" and description.startswith(_CONTROL_PLANE):
        return description.removeprefix(_CONTROL_PLANE)
    return None


def _by_path(thing: Found) -> Belonging | None:
    """Identities lie in a folder of their instance, `/zave/<instance>/`; a network's logs are named so."""
    path = thing.attributes.get("path") or (thing.id if thing.type == "aws_cloudwatch_log_group" else "")
    if not path.startswith(_PATH):
        return None
    owner = path.removeprefix(_PATH).partition("/")[0]
    if owner == "standing":
        return Belonging(None, standing=True)
    return Belonging(owner) if owner else None
