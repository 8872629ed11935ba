"""What AWS says of an account beside what exists in it: regions, roles, quotas, machines."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network

from zave.aws.findings import Quota
from zave.aws.live.api import Api, RefusedError
from zave.aws.places import HostedZone

# service and quota codes of Service Quotas; `list-service-quotas` tells them
_CODES: Mapping[Quota, tuple[str, str]] = {
    # Standard: A, C, D, H, I, M, R, T, Z, counted in vCPUs
    "on-demand vCPUs": ("ec2", "L-1216C47A"),
    "spot vCPUs": ("ec2", "L-34B43A08"),
    "elastic IPs": ("ec2", "L-0263D0A3"),
    "VPCs": ("vpc", "L-F678F1CE"),
}
_SPOT_ROLE = "AWSServiceRoleForEC2Spot"
# by partition (AWS's general reference on endpoints)
_ALWAYS_ENABLED = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
# the errors of GetHostedZone (Route 53 API reference); a HEAD has no text, so botocore gives its number
_NO_ZONE = frozenset({"InvalidInput", "NoSuchHostedZone"})
_NO_BUCKET = frozenset({"404", "NoSuchBucket"})
# for documentation, and so in examples; never routed (RFC 5737)
_EXAMPLES = tuple(IPv4Network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))
_NOT_OPTED_IN = "not-opted-in"


class LiveFacts:
    """Implements `zave.aws.findings.AccountFacts`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def region_enabled(self) -> bool:
        """Whether the account may use the region."""
        # asked where every account may ask: a region that is not enabled refuses all calls
        client = self._api.client("ec2", region=_ALWAYS_ENABLED[self._api.partition])
        with self._api.told("ec2", "describe_regions"):
            answer = client.describe_regions(AllRegions=True)
        return any(
            each["RegionName"] == self._api.region and each["OptInStatus"] != _NOT_OPTED_IN
            for each in answer["Regions"]
        )

    def spot_role(self) -> bool:
        """Whether EC2's service-linked role for spot instances is there."""
        try:
            self._api.call("iam", "get_role", RoleName=_SPOT_ROLE)
        except RefusedError as error:
            if error.code != "NoSuchEntity":
                raise
            return False
        return True

    def quota(self, name: Quota) -> float | None:
        """The account's own quota, else AWS's default; None where AWS tells neither."""
        service, code = _CODES[name]
        for operation in ("get_service_quota", "get_aws_default_service_quota"):
            try:
                answer = self._api.call("service-quotas", operation, ServiceCode=service, QuotaCode=code)
            except RefusedError as error:
                if error.code != "NoSuchResourceException":
                    raise
            else:
                return float(answer["Quota"]["Value"])
        return None

    def vcpus(self, instance_types: Sequence[str]) -> Mapping[str, int]:
        """Virtual processors by type; types that the region does not offer are left out."""
        wanted = [{"Name": "instance-type", "Values": list(instance_types)}]
        # a filter finds nothing for a type that is not offered, where a list of types is refused
        return {
            each["InstanceType"]: each["VCpuInfo"]["DefaultVCpus"]
            for page in self._api.pages("ec2", "describe_instance_types", Filters=wanted)
            for each in page["InstanceTypes"]
        }

    def nobodys(self, networks: Sequence[IPv4Network]) -> Sequence[IPv4Network]:
        """Addresses of examples: the internet has none of them."""
        return [each for each in networks if any(each.subnet_of(example) for example in _EXAMPLES)]

    def hosted_zone(self, zone: str) -> HostedZone | None:
        """The zone of this ID; None when the account has none such."""
        try:
            found = self._api.call("route53", "get_hosted_zone", Id=zone)["HostedZone"]
        except RefusedError as error:
            if error.code not in _NO_ZONE:
                raise
            return None
        return HostedZone(found["Name"].rstrip("."), found.get("Config", {}).get("PrivateZone", False))

    def bucket_region(self, bucket: str) -> str | None:
        """Where the bucket is, empty where that is not told; None when there is none of the name."""
        try:
            return str(self._api.call("s3", "head_bucket", Bucket=bucket).get("BucketRegion", ""))
        except RefusedError as error:
            if error.code not in _NO_BUCKET:
                raise
            return None
