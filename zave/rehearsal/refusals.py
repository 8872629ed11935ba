"""What a platform says when a fault strikes, in the words that people will meet on the real one."""

from collections.abc import Mapping

from zave.rehearsal.fault_text import Fault
from zave.rehearsal.things import WorldError, noun

INJECTED = "an injected fault of this rehearsal"

# the AWS provider's `max_retries`: 25 unless set (documentation of hashicorp/aws 6.25)
ATTEMPTS = 25

# AWS's own codes for a quota that is used up (API references of EC2, IAM, RDS and EKS)
_QUOTAS: Mapping[str, tuple[str, str]] = {
    "aws_db_instance": (
        "InstanceQuotaExceeded",
        "Cannot create more than 40 DBInstances, quota exceeded for this account in this region",
    ),
    "aws_ebs_volume": ("VolumeLimitExceeded", "You have exceeded your maximum gp3 storage limit"),
    "aws_eip": ("AddressLimitExceeded", "The maximum number of addresses has been reached."),
    "aws_eks_cluster": ("ResourceLimitExceededException", "Maximum number of clusters reached"),
    "aws_eks_node_group": (
        "VcpuLimitExceeded",
        "You have requested more vCPU capacity than your current vCPU limit allows for the instance bucket "
        "that the specified instance type belongs to.",
    ),
    "aws_iam_role": ("LimitExceeded", "Cannot exceed quota for RolesPerAccount"),
    "aws_internet_gateway": (
        "InternetGatewayLimitExceeded",
        "The maximum number of internet gateways has been reached.",
    ),
    "aws_nat_gateway": (
        "NatGatewayLimitExceeded",
        "The maximum number of NAT gateways for this availability zone has been reached.",
    ),
    "aws_vpc": ("VpcLimitExceeded", "The maximum number of VPCs has been reached."),
}
_ANY_QUOTA = ("ServiceQuotaExceededException", "The quota of this account in this region is used up")
_SPOT = (
    "AsgInstanceLaunchFailures: Could not launch Spot Instances. UnfulfillableCapacity - Unable to fulfill "
    "capacity due to your request configuration. Please adjust your request and try again."
)
EXPIRED = "ExpiredToken: The security token included in the request is expired"
UNREACHABLE = "RequestError: send request failed: dial tcp: i/o timeout: the region cannot be reached"


def refusal(fault: Fault, action: str, type_: str, name: str) -> WorldError | None:
    """What the platform answers to `action` on a thing when `fault` keeps it from happening at all."""
    what = f"{noun(type_)} '{name}'"
    match fault.verb:
        case "fail":
            return WorldError(fault.message or f"cannot {action} {what}", INJECTED)
        case "refuse":
            return WorldError(fault.message or _refused(type_, what), INJECTED)
        case "quota":
            code, text = _QUOTAS.get(type_, _ANY_QUOTA)
            return WorldError(f"cannot {action} {what}: {code}: {text}", INJECTED)
        case "expire":
            return WorldError(f"cannot {action} {what}: {EXPIRED}", INJECTED)
        case "region":
            return WorldError(f"cannot {action} {what}: {UNREACHABLE}", INJECTED)
    return None


def throttled(action: str, type_: str, name: str) -> WorldError:
    """What the provider says when AWS slowed it down for longer than it tries again."""
    return WorldError(
        f"cannot {action} {noun(type_)} '{name}': exceeded maximum number of attempts, {ATTEMPTS}: "
        "ThrottlingException: Rate exceeded",
        INJECTED,
    )


def no_spot_capacity(name: str) -> WorldError:
    """What EKS says about a node group for which there are no spot instances."""
    return WorldError(
        f"waiting for node group '{name}' to be created: unexpected state 'CREATE_FAILED': {_SPOT}", INJECTED
    )


def _refused(type_: str, what: str) -> str:
    code = "OperationNotPermitted: " if type_.startswith("aws_") else ""
    return f"{code}{what} must not be deleted"
