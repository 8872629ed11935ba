"""Which AWS object belongs to which: for owners, for what goes along, for what stands in the way."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zave.rehearsal.things import WITH, Thing
from zave.rehearsal.values import find, first

INSTANCE = "zave:instance"
STANDING = "zave:standing"
CLUSTER_TAG = "kubernetes.io/cluster/"
# other marks of a cluster on what its controllers made, with the cluster's name as the value
_CLUSTER_TAGS = ("eks:cluster-name", "elbv2.k8s.aws/cluster", "cluster.k8s.amazonaws.com/name")
_LOG_GROUP = "/aws/eks/"


@dataclass(frozen=True)
class Parent:
    """How a child names its parent. What `goes` along vanishes with it; the rest keeps it from going."""

    attribute: str
    type: str
    goes: bool = True


_ROLE = Parent("role", "aws_iam_role", goes=False)
_CLUSTER = Parent("cluster_name", "aws_eks_cluster")
_TABLE = Parent("route_table_id", "aws_route_table")
_BUCKET = Parent("bucket", "aws_s3_bucket")
_REPOSITORY = Parent("repository", "aws_ecr_repository")
_GROUP = Parent("security_group_id", "aws_security_group")

# what has no tags, or goes with something else without anybody deleting it
PARENTS: Mapping[str, Sequence[Parent]] = {
    "aws_cloudwatch_event_target": (Parent("rule", "aws_cloudwatch_event_rule", goes=False),),
    "aws_default_route_table": (Parent("vpc_id", "aws_vpc"),),
    "aws_default_security_group": (Parent("vpc_id", "aws_vpc"),),
    "aws_ec2_tag": (Parent("resource_id", "aws_subnet"), Parent("resource_id", "aws_vpc")),
    "aws_ecr_lifecycle_policy": (_REPOSITORY,),
    "aws_ecr_repository_policy": (_REPOSITORY,),
    "aws_eks_access_entry": (_CLUSTER,),
    "aws_eks_access_policy_association": (_CLUSTER,),
    "aws_eks_addon": (_CLUSTER,),
    "aws_eks_node_group": (Parent("cluster_name", "aws_eks_cluster", goes=False),),
    "aws_eks_pod_identity_association": (_CLUSTER,),
    "aws_iam_instance_profile": (_ROLE,),
    "aws_iam_role_policies_exclusive": (Parent("role_name", "aws_iam_role"),),
    "aws_iam_role_policy": (_ROLE,),
    "aws_iam_role_policy_attachment": (
        _ROLE,
        Parent("policy_arn", "aws_iam_policy", goes=False),
    ),
    "aws_iam_role_policy_attachments_exclusive": (Parent("role_name", "aws_iam_role"),),
    "aws_kms_alias": (Parent("target_key_id", "aws_kms_key"),),
    "aws_kms_key_policy": (Parent("key_id", "aws_kms_key"),),
    "aws_lb_listener": (Parent("load_balancer_arn", "aws_lb"),),
    "aws_route": (_TABLE,),
    "aws_route_table_association": (_TABLE, Parent("subnet_id", "aws_subnet")),
    "aws_s3_bucket_lifecycle_configuration": (_BUCKET,),
    "aws_s3_bucket_logging": (_BUCKET,),
    "aws_s3_bucket_ownership_controls": (_BUCKET,),
    "aws_s3_bucket_policy": (_BUCKET,),
    "aws_s3_bucket_public_access_block": (_BUCKET,),
    "aws_s3_bucket_server_side_encryption_configuration": (_BUCKET,),
    "aws_s3_bucket_versioning": (_BUCKET,),
    "aws_s3_object": (_BUCKET,),
    "aws_scheduler_schedule": (Parent("group_name", "aws_scheduler_schedule_group"),),
    "aws_sns_topic_policy": (Parent("arn", "aws_sns_topic"),),
    "aws_sns_topic_subscription": (Parent("topic_arn", "aws_sns_topic"),),
    "aws_sqs_queue_policy": (Parent("queue_url", "aws_sqs_queue"),),
    "aws_vpc_endpoint_route_table_association": (_TABLE, Parent("vpc_endpoint_id", "aws_vpc_endpoint")),
    "aws_vpc_security_group_egress_rule": (_GROUP,),
    "aws_vpc_security_group_ingress_rule": (_GROUP,),
}

# by which a child may name its parent
_NAMES = ("id", "arn", "name", "url", "key_id", "bucket")


def tags_of(thing: Thing) -> Mapping[str, str]:
    """A thing's tags, those of the provider's configuration included."""
    return {**(thing.attributes.get("tags") or {}), **(thing.attributes.get("tags_all") or {})}


def named(thing: Thing, value: object) -> bool:
    """Whether `value` is one of the names of `thing`."""
    return value is not None and any(thing.attributes.get(name) == value for name in _NAMES)


def children(thing: Thing, others: Iterable[Thing], *, goes: bool) -> Sequence[Thing]:
    """Those of `others` that go along with `thing`, or that keep it from going."""
    return [
        other
        for other in others
        for parent in PARENTS.get(other.type, ())
        if parent.type == thing.type
        and parent.goes == goes
        and named(thing, other.attributes.get(parent.attribute))
    ]


def child_types(type_: str, *, goes: bool) -> tuple[str, ...]:
    """The types whose things may be such children of a thing of `type_`."""
    return tuple(
        child
        for child, parents in PARENTS.items()
        if any(parent.type == type_ and parent.goes == goes for parent in parents)
    )


def cluster_of(thing: Thing) -> str | None:
    """The name of the cluster that a thing is marked as belonging to."""
    tags = tags_of(thing)
    for name in _CLUSTER_TAGS:
        if tags.get(name):
            return tags[name]
    for name in tags:
        if name.startswith(CLUSTER_TAG):
            return name.removeprefix(CLUSTER_TAG)
    if thing.type == "aws_cloudwatch_log_group" and thing.name.startswith(_LOG_GROUP):
        return thing.name.removeprefix(_LOG_GROUP).partition("/")[0]
    return None


@dataclass(frozen=True)
class Belonging:
    """To which instance something belongs (None: to none that is known), and whether it is standing."""

    instance: str | None
    standing: bool


class Family:
    """The relations among all things of an account at one moment."""

    def __init__(self, things: Iterable[Thing]) -> None:
        self._by_key: dict[str, Thing] = {}
        self._by_name: dict[tuple[str, Any], Thing] = {}
        for thing in things:
            self._by_key[thing.key] = thing
            for name in _NAMES:
                value = thing.attributes.get(name)
                if isinstance(value, str) and value:
                    self._by_name.setdefault((thing.type, value), thing)
        self._known: dict[str, Belonging] = {}

    def belonging(self, thing: Thing) -> Belonging:
        """By its tags, else by the cluster, the network or whatever else it is a part of."""
        found = self._known.get(thing.key)
        if found is None:
            # a circle among things would end here
            self._known[thing.key] = Belonging(None, standing=False)
            found = self._known[thing.key] = self._belonging(thing)
        return found

    def _belonging(self, thing: Thing) -> Belonging:
        tags = tags_of(thing)
        if tags.get(STANDING) == "true":
            return Belonging(None, standing=True)
        if tags.get(INSTANCE):
            return Belonging(tags[INSTANCE], standing=False)
        cluster = cluster_of(thing)
        if cluster is not None:
            return Belonging(self._instance_of_cluster(cluster), standing=False)
        for type_, value in self._above(thing):
            parent = self._by_name.get((type_, value))
            if parent is not None and parent is not thing:
                belonging = self.belonging(parent)
                if belonging.instance or belonging.standing:
                    return belonging
        carrier = self._by_key.get(str(thing.attributes.get(WITH)))
        return self.belonging(carrier) if carrier is not None else Belonging(None, standing=False)

    def _above(self, thing: Thing) -> Iterable[tuple[str, Any]]:
        for parent in PARENTS.get(thing.type, ()):
            yield parent.type, thing.attributes.get(parent.attribute)
        if thing.type != "aws_vpc":
            yield "aws_vpc", first(thing.attributes, "vpc_id")
            yield "aws_subnet", first(thing.attributes, "subnet_id")
            for _, subnet in find(thing.attributes, "subnet_ids.*"):
                yield "aws_subnet", subnet

    def _instance_of_cluster(self, name: str) -> str | None:
        cluster = self._by_name.get(("aws_eks_cluster", name))
        if cluster is not None:
            return tags_of(cluster).get(INSTANCE)
        # the cluster is gone, what its controllers made is not: zave's clusters are named after instances
        return name.removeprefix("zave-") if name.startswith("zave-") else None
