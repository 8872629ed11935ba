"""The model of `platform: aws-eks`: EKS in the user's own account, with a time to live."""

from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Network
from typing import Annotated, Literal, Self

from pydantic import Field, Strict, ValidationInfo, model_validator

from zave.spec.gitops import GitOps, Repository, gitops_problems
from zave.spec.models import Parsed, Problem, Section, duplicates, refuse
from zave.spec.network import (
    architecture_of,
    first_overlap,
    parse_account,
    parse_bucket,
    parse_domain,
    parse_email,
    parse_instance_type,
    parse_principal,
    parse_private_cidr,
    parse_public_cidr,
    parse_region,
    parse_zone,
)
from zave.spec.places import IMAGE_REPOSITORY, LOCAL, parse_image_repository
from zave.spec.units import DAY, HOUR, MINUTE, format_duration, parse_duration, parse_eks_version

# EKS takes one of these two for Services unless told otherwise (EKS user guide, network requirements)
SERVICE_RANGES = (IPv4Network("10.100.0.0/16"), IPv4Network("172.20.0.0/16"))

# fewer bits than this let in a good part of the internet: 0.0.0.0/0 split in two is still the world
_WORLD_PREFIX = 8

# building takes about 14 minutes and tearing down 12 (facts of 2026-11-23): less than an hour is no demo
_Lifetime = Annotated[
    int,
    Parsed(
        partial(parse_duration, what="lifetime", minimum=HOUR, maximum=30 * DAY),
        example="48h",
        write=format_duration,
        pattern="^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
    ),
]
_Notice = Annotated[
    int,
    Parsed(
        partial(parse_duration, what="warning", minimum=5 * MINUTE, maximum=30 * DAY),
        example="6h",
        write=format_duration,
        pattern="^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
    ),
]
_Email = Annotated[str, Parsed(parse_email, example="me@example.org")]
_PublicCidr = Annotated[IPv4Network, Parsed(parse_public_cidr, example="203.0.113.7/32")]
_Principal = Annotated[str, Parsed(parse_principal, example="arn:aws:iam::123456789012:role/admin")]
_InstanceType = Annotated[str, Parsed(parse_instance_type, example="t3.large")]
_ImageRepository = Annotated[str, Parsed(parse_image_repository, example="apps", pattern=IMAGE_REPOSITORY)]
_Percent = Annotated[int, Field(ge=1, le=100)]


class Aws(Section):
    """Which account and region."""

    account: Annotated[str | None, Parsed(parse_account, example="123456789012", pattern="^[0-9]{12}$")] = (
        Field(
            default=None,
            description="Twelve digits in quotes; another account at run time is refused. Default: asked "
            "once, then pinned.",
        )
    )
    region: Annotated[str, Parsed(parse_region, example="us-east-1")] = Field(
        default="us-east-1", description="Region of everything. Default: us-east-1."
    )


class Notify(Section):
    """Who hears of warnings and failures."""

    email: _Email = Field(description="Where warnings before expiry and alarms go. Required.")


class Ttl(Section):
    """How long a demo may live; counted from the arming of its switch."""

    default: _Lifetime = Field(
        default=48 * HOUR, description="Lifetime unless --ttl says otherwise. Default: 48h."
    )
    maximum: _Lifetime = Field(
        default=7 * DAY, description="Longest lifetime, extensions included; 30d at most. Default: 7d."
    )
    warn: Annotated[tuple[_Notice, ...], Strict(False)] = Field(
        default=(6 * HOUR, HOUR),
        max_length=8,
        description="Warnings, so long before the end. Default: [6h, 1h].",
    )

    def problems(self) -> Iterator[Problem]:
        """What does not fit together."""
        if self.default > self.maximum:
            yield Problem(
                ("ttl", "default"),
                f"ttl.default {format_duration(self.default)} is longer than ttl.maximum "
                f"{format_duration(self.maximum)}",
                "lower the default or raise the maximum",
            )
        for index, ahead in enumerate(self.warn):
            if ahead >= self.default:
                yield Problem(
                    ("ttl", "warn", index),
                    f"ttl.warn {format_duration(ahead)} is not before the end of a demo of "
                    f"{format_duration(self.default)}",
                    "warn later, or raise ttl.default",
                )
        for index in duplicates(self.warn):
            yield Problem(("ttl", "warn", index), "ttl.warn says the same twice", "remove one of them")


class Vpc(Section):
    """The network that zave makes for the demo."""

    # AWS takes /16 to /28; below /24 two zones with public and private subnets leave pods too few addresses
    cidr: Annotated[
        IPv4Network, Parsed(partial(parse_private_cidr, widest=16, narrowest=24), example="10.42.0.0/16")
    ] = Field(
        default=IPv4Network("10.42.0.0/16"),
        description="Private range of the VPC, /16 to /24. Default: 10.42.0.0/16.",
    )
    nat: Literal["none", "single"] = Field(
        default="none",
        description="none: nodes in public subnets; single: private nodes behind one NAT gateway, which "
        "costs by the hour. Default: none.",
    )


class EksNodes(Section):
    """The managed node group."""

    instance_types: Annotated[tuple[_InstanceType, ...], Strict(False)] = Field(
        default=("t3.large", "t3a.large", "m6i.large"),
        min_length=1,
        max_length=20,
        description="Types to choose from, of one architecture. Default: [t3.large, t3a.large, m6i.large].",
    )
    spot: bool = Field(default=True, description="Spot instances instead of on-demand ones. Default: true.")
    minimum: int = Field(default=2, ge=1, le=50, description="Fewest nodes. Default: 2.")
    maximum: int = Field(default=4, ge=1, le=50, description="Most nodes. Default: 4.")


class Eks(Section):
    """The cluster."""

    version: Annotated[str, Parsed(parse_eks_version, example="1.35")] = Field(
        default="1.35", description='Kubernetes version in quotes. Default: "1.35".'
    )
    # EKS takes at most 40 (service quotas of EKS)
    public_cidrs: Annotated[tuple[_PublicCidr, ...], Strict(False)] = Field(
        min_length=1, max_length=40, description="Networks that may reach the API server. Required."
    )
    allow_world: bool = Field(
        default=False,
        description="Says that a range wider than /8 in public_cidrs is meant. Default: false.",
    )
    administrators: Annotated[tuple[_Principal, ...], Strict(False)] = Field(
        default=(),
        max_length=20,
        description="ARNs of IAM roles and users that administer the cluster beside the one that makes it. "
        "Default: [].",
    )
    nodes: EksNodes = Field(default=EksNodes(), description="The managed node group.")
    karpenter: bool = Field(default=True, description="Install Karpenter to add nodes. Default: true.")

    def problems(self) -> Iterator[Problem]:
        """What does not fit together."""
        for index, cidr in enumerate(self.public_cidrs):
            if cidr.prefixlen < _WORLD_PREFIX and not self.allow_world:
                yield Problem(
                    ("eks", "public_cidrs", index),
                    f"eks.public_cidrs {cidr} opens the API server to the world",
                    "write your own address, such as 203.0.113.7/32, or say allow_world: true",
                )
        for index in duplicates(self.public_cidrs):
            yield Problem(
                ("eks", "public_cidrs", index), "eks.public_cidrs says the same twice", "remove one of them"
            )
        for index in duplicates(self.administrators):
            yield Problem(
                ("eks", "administrators", index),
                "eks.administrators says the same twice",
                "remove one of them",
            )
        yield from self._node_problems()

    def _node_problems(self) -> Iterator[Problem]:
        nodes, at = self.nodes, ("eks", "nodes")
        if nodes.minimum > nodes.maximum:
            yield Problem(
                (*at, "minimum"),
                f"eks.nodes.minimum {nodes.minimum} is more than eks.nodes.maximum {nodes.maximum}",
                "lower the minimum or raise the maximum",
            )
        for index in duplicates(nodes.instance_types):
            yield Problem(
                (*at, "instance_types", index),
                f"eks.nodes.instance_types names {nodes.instance_types[index]} twice",
                "remove one of them",
            )
        first = nodes.instance_types[0]
        for index, other in enumerate(nodes.instance_types):
            if architecture_of(other) != architecture_of(first):
                yield Problem(
                    (*at, "instance_types", index),
                    f"eks.nodes.instance_types mixes {architecture_of(first)} ({first}) and "
                    f"{architecture_of(other)} ({other})",
                    "one node group boots one image: keep types of one architecture",
                )


class Rds(Section):
    """A database beside the cluster."""

    enabled: bool = Field(default=False, description="Make an RDS instance. Default: false.")


class State(Section):
    """Where Terraform keeps its state."""

    bucket: Annotated[str, Parsed(parse_bucket, example="zave-state-{account}")] = Field(
        default="zave-state-{account}",
        description="S3 bucket; {account} and {region} are filled in. Default: zave-state-{account}.",
    )
    lock: Literal["s3", "dynamodb"] = Field(
        default="s3", description="s3: a lock file in the bucket; dynamodb: a table. Default: s3."
    )


class Budget(Section):
    """The account's own alarm, a backstop: AWS brings it up to date every 8 to 12 hours only."""

    usd: int = Field(default=20, ge=1, le=100_000, description="USD a month, a whole number. Default: 20.")
    # AWS Budgets: at most ten notifications a budget
    alert: Annotated[tuple[_Percent, ...], Strict(False)] = Field(
        default=(50, 80, 100),
        min_length=1,
        max_length=10,
        description="Percents at which to write, ascending. Default: [50, 80, 100].",
    )

    def problems(self) -> Iterator[Problem]:
        """What does not fit together."""
        for index, (before, after) in enumerate(zip(self.alert, self.alert[1:], strict=False), start=1):
            if after <= before:
                yield Problem(
                    ("budget", "alert", index),
                    f"budget.alert is not ascending: {after} comes after {before}",
                    "order the percents, each once",
                )


class Usage(Section):
    """What is expected of a demo of 48 hours, for the estimate only; a longer life grows it."""

    nat_gb: int = Field(default=20, ge=0, le=1_000_000, description="GB through NAT. Default: 20.")
    logs_gb: int = Field(default=2, ge=0, le=1_000_000, description="GB of logs. Default: 2.")
    cross_az_gb: int = Field(default=10, ge=0, le=1_000_000, description="GB between zones. Default: 10.")
    load_balancers: int = Field(default=1, ge=0, le=100, description="Load balancers. Default: 1.")
    volumes_gb: int = Field(default=60, ge=0, le=1_000_000, description="GB of volumes. Default: 60.")


class AwsGitOps(GitOps):
    """Where the platform's desired state is kept."""

    repository: Repository = Field(
        description="A Git repository that the cluster can reach (https://, ssh://, git@host:path). Required."
    )
    profile: Literal["slim", "bigbang", "none"] = Field(
        default="slim",
        description="What is installed: slim fits 3 nodes of 4 vCPU and 8 GiB, bigbang wants 8 vCPU and "
        "32 GB in all, none leaves a bare cluster. Default: slim.",
    )
    extras: Annotated[tuple[Literal["external-dns", "velero"], ...], Strict(False)] = Field(
        default=(),
        max_length=2,
        description="What is added: external-dns (names in Route 53), velero (backups into a bucket). "
        "Default: [].",
    )


class AwsRegistry(Section):
    """Where container images are kept."""

    kind: Literal["ecr"] = Field(default="ecr", description="ecr: the account's own registry. Default: ecr.")
    repositories: Annotated[tuple[_ImageRepository, ...], Strict(False)] = Field(
        default=("apps",),
        max_length=20,
        description="Repositories of the instance, without its name; `zave push` puts an image into the one "
        "of the image's name, any other into apps. Default: [apps].",
    )

    def problems(self) -> Iterator[Problem]:
        """What does not fit together."""
        for index in duplicates(self.repositories):
            yield Problem(
                ("registry", "repositories", index),
                f"registry.repositories names {self.repositories[index]} twice",
                "name each once",
            )


class AwsStorage(Section):
    """What volumes are made of."""

    class_: Literal["gp3"] = Field(
        default="gp3", alias="class", description="The default storage class. Default: gp3."
    )


class AwsIngress(Section):
    """How requests come in."""

    service: Literal["load-balancer"] = Field(
        default="load-balancer", description="Kind of Service of the gateway. Default: load-balancer."
    )
    domain: Annotated[str | None, Parsed(parse_domain, example="demo.example.org")] = Field(
        default=None, description="Domain under which services are named. Default: none."
    )
    zone: Annotated[str | None, Parsed(parse_zone, example="Z0123456789ABCDEFGHIJ")] = Field(
        default=None,
        description="ID of the hosted zone of Route 53 that has the domain: external-dns writes there and "
        "nowhere else. Default: none.",
    )


class AwsSpec(Section):
    """An environment in an AWS account."""

    platform: Literal["aws-eks"] = Field(description="Platform kind: aws-eks. Required.")
    owner: _Email = Field(description="Who answers for it; tagged on every resource. Required.")
    aws: Aws = Field(default=Aws(), description="Which account and region.")
    notify: Notify = Field(description="Who hears of warnings and failures. Required.")
    ttl: Ttl = Field(default=Ttl(), description="How long a demo may live.")
    network: Vpc = Field(default=Vpc(), description="The network of the demo.")
    eks: Eks = Field(description="The cluster. Required, for its public_cidrs.")
    rds: Rds = Field(default=Rds(), description="A database beside the cluster.")
    state: State = Field(default=State(), description="Where Terraform keeps its state.")
    budget: Budget = Field(default=Budget(), description="The account's own alarm.")
    usage: Usage = Field(
        default=Usage(), description="What is expected of a demo of 48 hours, for the estimate."
    )
    gitops: AwsGitOps = Field(description="Where the desired state is kept. Required, for its repository.")
    registry: AwsRegistry = Field(default=AwsRegistry(), description="Where container images are kept.")
    storage: AwsStorage = Field(default=AwsStorage(), description="What volumes are made of.")
    ingress: AwsIngress = Field(default=AwsIngress(), description="How requests come in.")

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Self:
        refuse(
            [
                *self.ttl.problems(),
                *self._network_problems(),
                *self.eks.problems(),
                *self.budget.problems(),
                *self.registry.problems(),
                *self._gitops_problems(),
            ],
            info,
        )
        return self

    def _network_problems(self) -> Iterator[Problem]:
        clash = first_overlap(self.network.cidr, SERVICE_RANGES)
        if clash:
            yield Problem(
                ("network", "cidr"),
                f"network.cidr {self.network.cidr} overlaps {clash}, which EKS takes for services",
                "choose another private range, such as 10.42.0.0/16",
            )

    def _gitops_problems(self) -> Iterator[Problem]:
        gitops = self.gitops
        yield from gitops_problems(gitops, profile=gitops.profile, extras=gitops.extras)
        if "external-dns" in gitops.extras and self.ingress.domain is None:
            yield Problem(
                ("gitops", "extras", gitops.extras.index("external-dns")),
                "the extra external-dns needs a domain to write names under",
                "set ingress.domain, or remove the extra",
            )
        elif "external-dns" in gitops.extras and self.ingress.zone is None:
            # named, and not looked for by its name: a destroy must not depend on a zone that may be gone
            yield Problem(
                ("gitops", "extras", gitops.extras.index("external-dns")),
                "the extra external-dns may write into one hosted zone only, and none is named",
                f"set ingress.zone to the ID of the one that has {self.ingress.domain}: "
                "`aws route53 list-hosted-zones` shows it",
            )
        if self.gitops.repository == LOCAL:
            yield Problem(
                ("gitops", "repository"),
                "gitops.repository is local, which a cluster in AWS cannot reach",
                "name a repository by https://, ssh:// or git@host:path",
            )
