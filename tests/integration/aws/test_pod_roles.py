"""What external-dns and Velero may do on AWS: as much as they need, in their own zone, domain and folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.aws.conftest import empty_demo
from tests.policy.authorization import exists
from tests.policy.evaluator import Policy, Request, Rights, listed, statements

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.aws.conftest import Demo

pytest.importorskip("policy_sentry", reason="policy-sentry of the extra `dev` is not installed")

ZONE = "arn:aws:route53:::hostedzone/Z0123456789ABCDEFGHIJ"
OTHER_ZONE = "arn:aws:route53:::hostedzone/Z9999999999ABCDEFGHIJ"
BUCKET = "arn:aws:s3:::my-backups"
SECTIONS: dict[str, Any] = {
    "gitops": {
        "repository": "https://git.example.org/me/platform.git",
        "extras": ["external-dns", "velero"],
        "variables": {"velero_bucket": "my-backups", "velero_region": "us-east-1"},
    },
    "ingress": {"domain": "demo.example.org", "zone": "Z0123456789ABCDEFGHIJ"},
}


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, mirror: Path) -> Demo:
    """A demo with both extras, not made."""
    demo = empty_demo(tmp_path_factory.mktemp("extras"), mirror)
    demo.write_instance("demo", **SECTIONS)
    demo.terraform("demo", "init", "-input=false")
    return demo


@pytest.fixture(scope="module")
def objects(planned: Demo) -> dict[str, dict[str, Any]]:
    return planned.managed("demo")


@pytest.fixture(scope="module")
def policies(objects: dict[str, dict[str, Any]]) -> dict[str, Policy]:
    """Each role's one policy, by the last word of its name."""
    return {
        name: json.loads(objects[f"module.cluster.aws_iam_role_policy.{name}[0]"]["values"]["policy"])
        for name in ("dns", "backups")
    }


def change(
    name: str, *, action: str = "UPSERT", kind: str = "A", zone: str = ZONE, also: tuple[str, ...] = ()
) -> Request:
    key = "route53:ChangeResourceRecordSets"
    context = {
        f"{key}NormalizedRecordNames": (name, *also),
        f"{key}Actions": (action,),
        f"{key}RecordTypes": (kind,),
    }
    return Request(key, zone, context)


@pytest.mark.parametrize(
    "request_",
    [
        # as Route 53 writes names for this: an asterisk as an octal code, no last dot
        change(r"\052.demo.example.org"),
        change(r"\052.demo.example.org", kind="AAAA"),
        change("a-any.demo.example.org", kind="TXT"),
        change("shop.demo.example.org", kind="CNAME"),
        change("shop.demo.example.org", action="DELETE"),
        change("demo.example.org", action="CREATE"),
        *(change(f"{kind}-demo.example.org", kind="TXT") for kind in ("a", "aaaa", "cname")),
        Request("route53:ListHostedZones", "*"),
        Request("route53:ListResourceRecordSets", ZONE),
    ],
    ids=lambda each: f"{each.action} {each.context}",
)
def test_external_dns_may_write_and_take_back_the_names_of_its_domain(
    request_: Request, policies: dict[str, Policy]
) -> None:
    assert Rights([policies["dns"]]).allow(request_)


@pytest.mark.parametrize(
    "request_",
    [
        change("shop.demo.example.org", zone=OTHER_ZONE),
        change("www.example.org"),
        change("example.org", kind="TXT"),
        change("notdemo.example.org"),
        change("mx-demo.example.org", kind="TXT"),
        # one change of a batch that is another's is enough
        change("shop.demo.example.org", also=("www.example.org",)),
        *(change("demo.example.org", kind=kind) for kind in ("NS", "SOA", "MX", "CAA")),
        Request("route53:ListResourceRecordSets", OTHER_ZONE),
        Request("route53:DeleteHostedZone", ZONE),
    ],
    ids=lambda each: f"{each.action} {each.resource[-8:]} {each.context}",
)
def test_external_dns_may_write_nothing_else(request_: Request, policies: dict[str, Policy]) -> None:
    assert not Rights([policies["dns"]]).allow(request_)


def test_velero_may_write_its_own_folder_and_open_no_other(policies: dict[str, Policy]) -> None:
    rights = Rights([policies["backups"]])
    calls = ("GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload", "ListMultipartUploadParts")
    for call in calls:
        assert rights.allow(Request(f"s3:{call}", f"{BUCKET}/zave-demo/backups/b1/velero-backup.json"))
        for other in ("zave-demo2/backups/b1", "zave/b1", "secret"):
            assert not rights.allow(Request(f"s3:{call}", f"{BUCKET}/{other}"))
        assert not rights.allow(Request(f"s3:{call}", "arn:aws:s3:::other/zave-demo/backups/b1"))
    # also while it asks for an object that is not there: S3 would say 403, and no backup would begin
    assert rights.allow(Request("s3:ListBucket", BUCKET))
    assert not rights.allow(Request("s3:ListBucket", "arn:aws:s3:::other"))
    assert not rights.allow(Request("s3:DeleteBucket", BUCKET))
    assert not rights.allow(Request("ec2:CreateSnapshot", "arn:aws:ec2:us-east-1:123456789012:volume/vol-1"))


def test_every_action_of_pods_exists(policies: dict[str, Policy]) -> None:
    named = [action for s in statements(policies.values()) for action in listed(s["Action"])]
    assert [action for action in named if "*" in action or not exists(action)] == []


def test_only_pods_take_on_these_roles(objects: dict[str, dict[str, Any]]) -> None:
    for name in ("dns", "backups"):
        values = objects[f"module.cluster.aws_iam_role.{name}[0]"]["values"]
        [trust] = json.loads(values["assume_role_policy"])["Statement"]
        assert trust["Principal"] == {"Service": "pods.eks.amazonaws.com"}
        # where the destroyer may delete roles
        assert values["path"] == "/zave/demo/"


def test_rights_are_there_before_the_first_pod_and_until_the_last(planned: Demo) -> None:
    # what a node group waits for is destroyed after it: external-dns can take its names back until then
    configuration = planned.plan("demo")["configuration"]["root_module"]["module_calls"]["cluster"]["module"]
    [nodes] = [each for each in configuration["resources"] if each["address"] == "aws_eks_node_group.nodes"]
    assert {"aws_iam_role_policy.dns", "aws_eks_pod_identity_association.dns"} <= set(nodes["depends_on"])


@pytest.mark.parametrize(
    ("change_", "message"),
    [
        ({"dns": {"zone_id": "/hostedzone/Z1", "domain": "demo.example.org"}}, "without /hostedzone/"),
        ({"dns": {"zone_id": "Z0123456789", "domain": "*.example.org"}}, "must be a DNS name"),
        ({"dns": {"zone_id": "Z0123456789", "domain": "demo.example.org."}}, "must be a DNS name"),
        ({"backups": {"bucket": "my-*"}}, "3 to 63 lower-case letters"),
    ],
)
def test_what_would_widen_a_policy_is_refused(demo: Demo, change_: dict[str, Any], message: str) -> None:
    demo.write_instance("demo", **SECTIONS)
    demo.terraform("demo", "init", "-input=false")
    file = demo.folder / "demo/zave.auto.tfvars.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change_))
    told = demo.terraform("demo", "plan", "-input=false", "-no-color", expect=1)
    assert message in " ".join(told.replace("│", " ").split())
