"""What an AWS environment's spec means in names, tags, Terraform variables and a backend.

All of it follows from the spec, the account and the instance's name and creation, so a crashed run,
the one that recovers from it and the destroyer in the cloud name the same things.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zave.render import hcl
from zave.spec.network import architecture_of

if TYPE_CHECKING:
    from zave.spec.aws import AwsSpec

ROOT = "templates/terraform/aws-eks"
"""The Terraform root of an instance."""
MODULES = (
    "terraform-modules/aws-vpc",
    "terraform-modules/aws-eks",
    "terraform-modules/aws-ecr",
    "terraform-modules/aws-rds",
)
"""The modules that `ROOT` calls."""
ACCOUNT_ROOT = "templates/terraform/aws-account"
"""The Terraform root of an account's standing parts."""
ACCOUNT_MODULES = ("terraform-modules/aws-state", "terraform-modules/aws-ttl")
"""The modules that `ACCOUNT_ROOT` calls."""
OVERRIDE = "zave_override.tf"
"""The file that a rehearsal adds to a rendered root: all in which it differs from a real run's."""

ACCOUNT_KEY = "account/terraform.tfstate"
"""Where in the bucket the state of the standing parts is."""

# two nodes have the 60 GB of gp3 on which the price table of 2026-11-23 reckons
_DISK_GIB = 30
# the cheapest of that table, with the least that RDS takes of gp3
_DATABASE = {"instance_class": "db.t4g.micro", "storage_gb": 20}


def state_key(instance: str) -> str:
    """Where in the bucket Terraform's state of `instance` is."""
    return f"instances/{instance}/terraform.tfstate"


def bucket_name(spec: "AwsSpec", *, account: str) -> str:
    """The state bucket of the account."""
    return spec.state.bucket.replace("{account}", account).replace("{region}", spec.aws.region)


def destroyer_role(spec: "AwsSpec", *, account: str) -> str:
    """The role with which the switch deletes. IAM's names hold for all regions, a switch for one."""
    return f"zave-destroyer-{spec.aws.region}-{account}"


def instance_tags(spec: "AwsSpec", *, instance: str, environment: str, creation: str) -> dict[str, str]:
    """The immutable tags of everything that an instance owns."""
    return {
        "zave:instance": instance,
        "zave:environment": environment,
        "zave:owner": spec.owner,
        "zave:creation": creation,
    }


def standing_tags(spec: "AwsSpec") -> dict[str, str]:
    """The tags of everything that outlives instances."""
    return {"zave:standing": "true", "zave:owner": spec.owner, "cloud-nuke-excluded": "true"}


def terraform_variables(
    spec: "AwsSpec", *, instance: str, environment: str, account: str, creation: str
) -> dict[str, Any]:
    """The variables of the root `ROOT`, JSON-able.

    `creation` tells this instance from an earlier one of its name; it never changes while the
    instance stands.
    """
    nodes = spec.eks.nodes
    return {
        "account": account,
        "region": spec.aws.region,
        "destroyer_role": destroyer_role(spec, account=account),
        "instance": instance,
        "tags": instance_tags(spec, instance=instance, environment=environment, creation=creation),
        "kubernetes_version": spec.eks.version,
        "cidr": str(spec.network.cidr),
        "nat": spec.network.nat,
        "public_cidrs": [str(cidr) for cidr in spec.eks.public_cidrs],
        # by what tells them apart: another order of the list moves nothing
        "administrators": {arn.partition(":iam::")[2]: arn for arn in spec.eks.administrators},
        "nodes": {
            "instance_types": list(nodes.instance_types),
            "spot": nodes.spot,
            "minimum": nodes.minimum,
            "maximum": nodes.maximum,
            "disk_gib": _DISK_GIB,
            "architecture": architecture_of(nodes.instance_types[0]),
        },
        "karpenter": spec.eks.karpenter,
        "dns": _dns(spec),
        "backups": _backups(spec),
        "repositories": list(spec.registry.repositories),
        "database": dict(_DATABASE) if spec.rds.enabled else None,
    }


def _dns(spec: "AwsSpec") -> dict[str, str] | None:
    """What external-dns may write: the names of the domain, in the one zone."""
    zone, domain = spec.ingress.zone, spec.ingress.domain
    # the spec refuses the extra without them; one on record may have been accepted before it did
    if "external-dns" not in spec.gitops.extras or zone is None or domain is None:
        return None
    return {"zone_id": zone, "domain": domain}


def _backups(spec: "AwsSpec") -> dict[str, str] | None:
    """Where Velero writes: a bucket of the user's, which outlives the instance."""
    if "velero" not in spec.gitops.extras:
        return None
    return {"bucket": spec.gitops.variables["velero_bucket"]}


def account_variables(spec: "AwsSpec", *, account: str, force_destroy: bool = False) -> dict[str, Any]:
    """The variables of the root `ACCOUNT_ROOT`, JSON-able.

    `force_destroy` lets Terraform delete the bucket with what is in it: for `zave account remove`.
    """
    return {
        "account": account,
        "region": spec.aws.region,
        "tags": standing_tags(spec),
        "bucket": bucket_name(spec, account=account),
        "lock_table": _lock_table(spec, account=account),
        "force_destroy": force_destroy,
        "destroyer_role": destroyer_role(spec, account=account),
        "email": spec.notify.email,
        "budget": {"usd": spec.budget.usd, "alerts": list(spec.budget.alert)},
    }


def backend(spec: "AwsSpec", *, instance: str, account: str) -> dict[str, Any]:
    """The values of an instance's S3 backend, by Terraform's names."""
    return _backend(spec, key=state_key(instance), account=account)


def account_backend(spec: "AwsSpec", *, account: str) -> dict[str, Any]:
    """The values of the S3 backend of an account's standing parts, by Terraform's names."""
    return _backend(spec, key=ACCOUNT_KEY, account=account)


def root_values(spec: "AwsSpec", *, instance: str, account: str) -> dict[str, Any]:
    """What the templates of `ROOT` are rendered with; all else goes by variables."""
    return {
        "instance": instance,
        "platform": spec.platform,
        "backend": backend(spec, instance=instance, account=account),
    }


def account_root_values(spec: "AwsSpec", *, account: str, bucket_exists: bool) -> dict[str, Any]:
    """What the templates of `ACCOUNT_ROOT` are rendered with.

    Without a bucket the state is beside the root; once it exists, `terraform init -migrate-state` moves
    the state into it.
    """
    values = account_backend(spec, account=account) if bucket_exists else None
    return {"account": account, "backend": values}


def override_local(path: str) -> str:
    """The text of `OVERRIDE`: keeps the state at `path`, whatever backend the root names."""
    return f'terraform {{\n  backend "local" {{\n    path = {hcl(path)}\n  }}\n}}\n'


def _backend(spec: "AwsSpec", *, key: str, account: str) -> dict[str, Any]:
    table = _lock_table(spec, account=account)
    lock: Mapping[str, Any] = {"use_lockfile": True} if table is None else {"dynamodb_table": table}
    return {
        "bucket": bucket_name(spec, account=account),
        "key": key,
        "region": spec.aws.region,
        "encrypt": True,
        "allowed_account_ids": [account],
        **lock,
    }


def _lock_table(spec: "AwsSpec", *, account: str) -> str | None:
    return f"zave-locks-{account}" if spec.state.lock == "dynamodb" else None
