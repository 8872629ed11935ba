"""What a cluster in AWS makes in the account by itself: for Services, for claims, for pods without room.

Names and tags: the AWS Load Balancer Controller's, the EBS CSI driver's and Karpenter's, as in `aws.md` of
2026-11-23, section 3. One gateway and two claims stand for the platform's own.
"""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import replace

from zave.rehearsal import aws_blocks, aws_parts
from zave.rehearsal.aws_family import INSTANCE, cluster_of, tags_of
from zave.rehearsal.aws_machines import karpenter_parts, launch_karpenter_nodes
from zave.rehearsal.aws_parts import Maker
from zave.rehearsal.durations import seconds_for
from zave.rehearsal.flux_state import Held
from zave.rehearsal.ledger import Ledger
from zave.rehearsal.things import MADE_BY, Thing
from zave.rehearsal.values import find
from zave.rehearsal.world import World

_BALANCER_TAG = "elbv2.k8s.aws/cluster"
# subnets for load balancers that face the internet carry it (EKS user guide, network load balancing)
_PUBLIC_ROLE = "kubernetes.io/role/elb"
# with two nodes of 20 GiB the 60 GB of the default estimate
_CLAIMS = ("platform-metrics", "platform-git")
_CLAIM_GIB = 10
_CLAIM_TAG = "kubernetes.io/created-for/pvc/name"
# what a fault may have a controller forget, by what it then leaves
_LEAVINGS = {"aws_lb": "load-balancer", "aws_ebs_volume": "volume", "aws_instance": "instance"}


def provide(ledger: Ledger, cluster: Thing, *, nodes: int) -> Sequence[Held]:
    """Make what the platform asks of AWS, unless it is there: a gateway, claims, and `nodes` more nodes.

    Returns what holds it in the cluster.
    """
    _make_gateway(ledger, cluster)
    _make_claims(ledger, cluster)
    if nodes:
        launch_karpenter_nodes(ledger, cluster, count=nodes)
    instance = tags_of(cluster).get(INSTANCE)
    for repository in ledger.things("aws_ecr_repository"):
        if instance is not None and tags_of(repository).get(INSTANCE) == instance:
            # the platform's own image, which the cluster runs from there
            pushed = ledger.document(aws_blocks.IMAGES, repository.name) or {}
            ledger.put_document(aws_blocks.IMAGES, repository.name, {"count": 1, **pushed})
    return _holders(ledger.things(), cluster)


def let_go(world: World, cluster: Thing, held: Held) -> None:
    """Have its controller delete what `held` holds in AWS, unless a fault has it forget that."""
    for thing in [each for each in world.things(provider="aws") if each.key in held.keys]:
        what = _LEAVINGS.get(thing.type)
        if what is not None and _left(world, what, thing):
            continue
        if thing.type == "aws_lb":
            _remove_balancer(world, cluster, thing)
        elif thing.type == "aws_ebs_volume":
            with world.transaction() as ledger:
                ledger.drop(thing, verb="delete")
        else:
            # a machine's end takes its volume and interfaces along
            world.remove(thing.key)


def _holders(things: Sequence[Thing], cluster: Thing) -> Sequence[Held]:
    """What in the cluster holds what its controllers made in AWS."""
    found = [
        Held(
            "Service",
            "gateway",
            "istio-ingress",
            layer="infrastructure-configs",
            finalizer="service.k8s.aws/resources",
            controller="aws-load-balancer-controller",
            seconds=seconds_for("aws_lb", "delete", balancer.name),
            keys=(balancer.key,),
        )
        for balancer in _made(things, cluster, "service-controller", "aws_lb")
    ]
    found += [
        claim(str(tags_of(volume)[_CLAIM_TAG]), keys=(volume.key,))
        for volume in _made(things, cluster, "ebs-csi", "aws_ebs_volume")
    ]
    parts = karpenter_parts(things, cluster.name)
    if not parts:
        return found
    seconds = seconds_for("cluster.karpenter", "delete", cluster.name)
    karpenter = Held(
        "NodePool",
        "default",
        layer="infrastructure-configs",
        finalizer="karpenter.sh/termination",
        controller="karpenter",
        seconds=seconds,
    )
    machines = [each for each in parts if each.type == "aws_instance"]
    found += [
        replace(karpenter, kind="NodeClaim", name=f"default-{each.key[-5:]}", layer="", keys=(each.key,))
        for each in machines
    ]
    return [*found, replace(karpenter, keys=tuple(each.key for each in parts if each not in machines))]


def claim(name: str, *, keys: tuple[str, ...] = ()) -> Held:
    """A PersistentVolumeClaim of the platform's, with the volume behind it."""
    return Held(
        "PersistentVolumeClaim",
        name,
        "platform",
        layer="platform",
        finalizer="kubernetes.io/pvc-protection",
        seconds=seconds_for("cluster.volume", "delete", name),
        keys=keys,
    )


def _made(things: Sequence[Thing], cluster: Thing, by: str, type_: str) -> Sequence[Thing]:
    """What a controller made for a cluster."""
    return [
        thing
        for thing in things
        if thing.type == type_ and thing.attributes.get(MADE_BY) == by and cluster_of(thing) == cluster.name
    ]


def _left(world: World, what: str, thing: Thing) -> bool:
    """Whether a fault has its controller forget a thing."""
    struck = world.faults.take("leave", what, thing.name, verbs=("leave",)).fault
    if struck is not None:
        world.note("leave", thing.type, thing.name, detail=str(struck))
    return struck is not None


def _remove_balancer(world: World, cluster: Thing, balancer: Thing) -> None:
    """The controller takes listener, group and target group along, as it made them."""
    with world.transaction() as ledger:
        types = ("aws_lb_listener", "aws_network_interface", "aws_lb_target_group", "aws_security_group")
        going = [
            thing
            for thing in ledger.things(*types)
            if thing.attributes.get(MADE_BY) == "service-controller" and cluster_of(thing) == cluster.name
        ]
        for thing in [balancer, *going]:
            ledger.drop(thing, verb="delete")


def _make_gateway(ledger: Ledger, cluster: Thing) -> None:
    made = [each for each in ledger.things("aws_lb") if cluster_of(each) == cluster.name]
    if made:
        return
    # the controller's way to a name that fits: the hash is the cluster's and the Service's
    token = hashlib.sha256(f"{cluster.name}/{cluster.key}/gateway".encode()).hexdigest()
    name = f"k8s-gateway-gateway-{token[:10]}"
    maker = Maker(
        ledger, cluster, "service-controller", ledger.now + seconds_for("aws_lb", "create", cluster.name)
    )
    tags = {_BALANCER_TAG: cluster.name, "service.k8s.aws/stack": "gateway/gateway"}
    places = _public_subnets(ledger, cluster)
    vpc = places[0].attributes.get("vpc_id") if places else None
    group = _backend_group(maker, vpc, token)
    arn = maker.arn("elasticloadbalancing", f"loadbalancer/net/{name}/{token[:16]}")
    balancer = maker.make(
        "aws_lb",
        name,
        {
            "id": arn,
            "arn": arn,
            "name": name,
            "load_balancer_type": "network",
            "internal": False,
            "vpc_id": vpc,
            "subnets": [place.attributes.get("id") for place in places],
            "security_groups": [group],
            "dns_name": f"{name}-{token[:16]}.elb.{aws_parts.region_and_account(cluster)[0]}.amazonaws.com",
            "tags": tags,
        },
        unique=maker.regional(name),
    )
    target = maker.arn("elasticloadbalancing", f"targetgroup/{name}/{token[16:32]}")
    common = {"vpc_id": vpc, "tags": tags}
    maker.make("aws_lb_target_group", name, {"id": target, "arn": target, "name": name, **common})
    listener = arn.replace(":loadbalancer/", ":listener/") + f"/{token[32:48]}"
    values = {"id": listener, "arn": listener, "load_balancer_arn": arn, "port": 443, "tags": tags}
    maker.make("aws_lb_listener", name, values, carrier=balancer.key)
    for place in places:
        more = {
            "security_groups": [group],
            "public_ip": aws_parts.public_address(ledger),
            # nobody but ELB may detach it
            "attachment_id": f"ela-attach-0{token[:16]}",
            "tags": {_BALANCER_TAG: cluster.name},
        }
        description = f"ELB net/{name}/{token[:16]}"
        aws_parts.interface(maker, place, description, carrier=balancer.key, more=more)


def _backend_group(maker: Maker, vpc: object, token: str) -> str:
    identity = maker.id_of("aws_security_group")
    name = f"k8s-traffic-{maker.cause.name}-{token[:10]}"
    attributes = {
        "id": identity,
        "arn": maker.arn("ec2", f"security-group/{identity}"),
        "name": name,
        "description": "[k8s] Shared Backend SecurityGroup for LoadBalancer",
        "vpc_id": vpc,
        "tags": {_BALANCER_TAG: maker.cause.name, "elbv2.k8s.aws/resource": "backend-sg"},
    }
    maker.make("aws_security_group", name, attributes)
    return identity


def _public_subnets(ledger: Ledger, cluster: Thing) -> Sequence[Thing]:
    identities = [found for _, found in find(cluster.attributes, "vpc_config.*.subnet_ids.*")]
    known = aws_parts.subnets(ledger, identities)
    vpcs = {place.attributes.get("vpc_id") for place in known}
    marked = [
        place
        for place in ledger.things("aws_subnet")
        if tags_of(place).get(_PUBLIC_ROLE) == "1" and place.attributes.get("vpc_id") in vpcs
    ]
    return marked or known


def _make_claims(ledger: Ledger, cluster: Thing) -> None:
    there = [each for each in ledger.things("aws_ebs_volume") if cluster_of(each) == cluster.name]
    if any(each.attributes.get(MADE_BY) == "ebs-csi" for each in there):
        return
    machines = [each for each in ledger.things("aws_instance") if cluster_of(each) == cluster.name]
    maker = Maker(
        ledger, cluster, "ebs-csi", ledger.now + seconds_for("cluster.volume", "create", cluster.name)
    )
    extra = aws_parts.extra_tags(ledger, cluster, "aws-ebs-csi-driver", ("controller", "extraVolumeTags"))
    for number, name in enumerate(_CLAIMS):
        machine = machines[number % len(machines)] if machines else None
        identity = maker.id_of("aws_ebs_volume")
        token = hashlib.sha256(identity.encode()).hexdigest()
        attributes = {
            "id": identity,
            "arn": maker.arn("ec2", f"volume/{identity}"),
            "availability_zone": machine.attributes.get("availability_zone") if machine else None,
            "size": _CLAIM_GIB,
            "type": "gp3",
            "state": "in-use" if machine else "available",
            "attached_to": machine.attributes.get("id") if machine else None,
            "tags": {
                **extra,
                **aws_parts.owned(cluster),
                "CSIVolumeName": f"pvc-{uuid.UUID(token[:32])}",
                "ebs.csi.aws.com/cluster": "true",
                _CLAIM_TAG: name,
            },
        }
        maker.make("aws_ebs_volume", identity, attributes)
