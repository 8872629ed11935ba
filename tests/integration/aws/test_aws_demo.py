"""A demo by the AWS root: what it is made of, what changes do to it, how it ends."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from zave.aws.identity import import_id

if TYPE_CHECKING:
    from tests.integration.aws.conftest import Demo

Objects = dict[str, dict[str, Any]]

CREATION = "2026-11-23T12:00:00Z"
# each option that costs more than the default
RICH: dict[str, Any] = {
    "network": {"nat": "single"},
    "rds": {"enabled": True},
    "state": {"lock": "dynamodb"},
    "eks": {
        "public_cidrs": ["203.0.113.7/32"],
        "nodes": {"instance_types": ["m7g.large"], "spot": False},
        "karpenter": False,
    },
}
# the home lab's outputs (tests/integration/test_modules.py): the parity of both platforms
SHARED_OUTPUTS = {"cluster_name", "cluster_endpoint", "kubernetes_version", "nodes", "network_id"}


def test_a_demo_has_sixty_resources_and_a_second_plan_is_empty(made: Demo, demo_objects: Objects) -> None:
    assert len(demo_objects) >= 60
    made.converged("demo")


def test_a_demo_has_the_outputs_of_the_home_lab(made: Demo) -> None:
    outputs = made.outputs("demo")
    assert set(outputs) > SHARED_OUTPUTS
    assert outputs["cluster_name"] == "zave-demo"
    assert outputs["cluster_endpoint"].startswith("https://")
    assert outputs["kubernetes_version"] == "1.35"
    assert {node["role"] for node in outputs["nodes"].values()} == {"worker"}
    assert outputs["network_id"].startswith("vpc-")


def test_a_plan_shows_the_version_of_every_addon(demo: Demo) -> None:
    demo.write_instance("demo")
    demo.terraform("demo", "init", "-input=false")
    shown = demo.plan("demo")["planned_values"]["outputs"]["addons"]["value"]
    assert set(shown) == {
        "aws-ebs-csi-driver",
        "coredns",
        "eks-pod-identity-agent",
        "kube-proxy",
        "vpc-cni",
    }
    assert all(shown.values())


def test_everything_that_can_carry_tags_says_whose_it_is(demo_objects: Objects) -> None:
    wanted = {
        "zave:instance": "demo",
        "zave:environment": "aws-demo",
        "zave:owner": "me@example.org",
        "zave:creation": CREATION,
    }
    objects = [each for each in demo_objects.values() if "tags_all" in each["values"]]
    assert len(objects) > 35
    for each in objects:
        tags = each["values"]["tags_all"]
        assert {key: tags.get(key) for key in wanted} == wanted, each["address"]
        assert tags["Name"].startswith("zave-demo"), each["address"]


def test_no_two_things_of_a_demo_have_one_name(demo_objects: Objects) -> None:
    objects = [each for each in demo_objects.values() if "tags_all" in each["values"]]
    named = [(each["type"], each["values"]["tags_all"]["Name"]) for each in objects]
    assert len(set(named)) == len(named)


def test_what_the_cluster_makes_says_whose_it_is(made: Demo, demo_objects: Objects) -> None:
    tags = {"zave:instance": "demo"}
    values = {a: each["values"] for a, each in demo_objects.items()}
    template = values["module.cluster.aws_launch_template.nodes"]
    tagged = {each["resource_type"]: each["tags"] for each in template["tag_specifications"]}
    assert set(tagged) == {"instance", "network-interface", "volume"}
    assert all(tags.items() <= each.items() for each in tagged.values())
    cni = values['module.cluster.aws_eks_addon.before_nodes["vpc-cni"]']
    driver = values['module.cluster.aws_eks_addon.after_nodes["aws-ebs-csi-driver"]']
    interfaces = json.loads(json.loads(cni["configuration_values"])["env"]["ADDITIONAL_ENI_TAGS"])
    volumes = json.loads(driver["configuration_values"])["controller"]["extraVolumeTags"]
    assert tags.items() <= interfaces.items()
    assert tags.items() <= volumes.items()
    assert tags.items() <= made.outputs("demo")["karpenter"]["node_tags"].items()


def test_nothing_of_a_demo_outlives_it_by_its_own_settings(demo_objects: Objects) -> None:
    values = {a: each["values"] for a, each in demo_objects.items()}
    cluster = values["module.cluster.aws_eks_cluster.this"]
    assert cluster["deletion_protection"] is False
    assert cluster["upgrade_policy"] == [{"support_type": "STANDARD"}]
    assert all(v["force_delete"] for a, v in values.items() if "aws_ecr_repository." in a)
    assert values["module.cluster.aws_kms_key.secrets"]["deletion_window_in_days"] == 7
    groups = [v for a, v in values.items() if "aws_cloudwatch_log_group" in a]
    assert groups
    assert all(0 < group["retention_in_days"] <= 90 for group in groups)


def test_the_api_server_is_open_to_the_given_networks_only(demo_objects: Objects) -> None:
    values = {a: each["values"] for a, each in demo_objects.items()}
    (network,) = values["module.cluster.aws_eks_cluster.this"]["vpc_config"]
    assert network["public_access_cidrs"] == ["203.0.113.7/32"]
    assert network["endpoint_private_access"] is True
    (metadata,) = values["module.cluster.aws_launch_template.nodes"]["metadata_options"]
    assert (metadata["http_tokens"], metadata["http_put_response_hop_limit"]) == ("required", 1)


# names that hold in a whole account: by type, the attribute
ACCOUNT_WIDE = {
    "aws_cloudwatch_event_rule": "name",
    "aws_db_instance": "identifier",
    "aws_db_subnet_group": "name",
    "aws_ecr_repository": "name",
    "aws_eks_cluster": "name",
    "aws_iam_instance_profile": "name",
    "aws_iam_role": "name",
    "aws_kms_alias": "name",
    "aws_launch_template": "name",
    "aws_sqs_queue": "name",
    "aws_cloudwatch_log_group": "name",
}
# the limits of AWS's APIs (botocore 1.44.5 models, as of 2026-11-23)
LONGEST = {
    "aws_cloudwatch_event_rule": 64,
    "aws_db_instance": 63,
    "aws_eks_cluster": 100,
    "aws_eks_node_group": 63,
    "aws_iam_role": 64,
    "aws_launch_template": 128,
    "aws_sqs_queue": 80,
}


def test_names_end_in_one_word_so_that_instances_cannot_meet(demo: Demo) -> None:
    # `a` + `b-c` and `a-b` + `c` would be one name
    demo.write_instance("a-b", network={"nat": "single"}, rds={"enabled": True})
    demo.terraform("a-b", "init", "-input=false")
    seen = set()
    for each in demo.managed("a-b").values():
        attribute = ACCOUNT_WIDE.get(each["type"])
        if attribute is None:
            continue
        seen.add(each["type"])
        name = each["values"][attribute]
        whole = re.fullmatch(
            r"(alias/)?zave-a-b(-[a-z]+|/[a-z-]+)?|/aws/eks/zave-a-b/cluster|/zave/a-b/[a-z]+", name
        )
        assert whole, f"{each['address']}: {name}"
    assert seen == set(ACCOUNT_WIDE)


def test_the_longest_name_of_an_instance_fits_everywhere(demo: Demo) -> None:
    longest = "a" * 32
    demo.write_instance(longest, environment=longest, network={"nat": "single"}, rds={"enabled": True})
    demo.terraform(longest, "init", "-input=false")
    checked = set()
    for each in demo.managed(longest).values():
        if each["type"] in LONGEST:
            attribute = {"aws_eks_node_group": "node_group_name"}.get(each["type"])
            attribute = attribute or ACCOUNT_WIDE[each["type"]]
            assert len(each["values"][attribute]) <= LONGEST[each["type"]], each["address"]
            checked.add(each["type"])
    assert checked == set(LONGEST)


def test_roles_of_an_instance_are_in_a_folder_of_their_own(demo_objects: Objects) -> None:
    # the destroyer's policy goes by it: `zave-a-*` would match the roles of `a-b` as well
    for each in demo_objects.values():
        if each["type"] in ("aws_iam_role", "aws_iam_instance_profile"):
            assert each["values"]["path"] == "/zave/demo/", each["address"]


def test_a_demo_is_destroyed_whole_and_the_account_stays(running: Demo) -> None:
    standing = [(t, a) for t, a in running.things() if t != "" and a.get("tags_all", {}).get("zave:standing")]
    assert standing
    running.terraform("demo", "destroy", "-input=false", "-auto-approve")
    left = running.things()
    assert [(t, a) for t, a in left if (a.get("tags_all") or {}).get("zave:instance")] == []
    assert [(t, a) for t, a in left if (a.get("tags_all") or {}).get("zave:standing")] == standing


def test_two_demos_stand_side_by_side_and_one_goes_alone(running: Demo) -> None:
    running.write_instance("demo-b", network={"cidr": "10.43.0.0/16"})
    running.terraform("demo-b", "init", "-input=false")
    running.apply("demo-b")
    running.terraform("demo", "destroy", "-input=false", "-auto-approve")
    running.converged("demo-b")


def test_the_costly_options_are_made_once_and_destroyed_whole(demo: Demo) -> None:
    demo.write_instance("rich", **RICH)
    demo.terraform("rich", "init", "-input=false")
    done = demo.apply("rich")
    assert {"module.network.aws_nat_gateway.single[0]", "module.database[0].aws_db_instance.this"} <= set(
        done
    )
    assert not [address for address in done if "karpenter" in address or "interruptions" in address]
    demo.converged("rich")
    outputs = demo.outputs("rich")
    assert "karpenter" not in outputs
    assert outputs["database"]["secret_arn"].startswith("arn:aws:secretsmanager:")
    demo.terraform("rich", "destroy", "-input=false", "-auto-approve")
    assert demo.things() == []


def test_nodes_without_nat_are_in_public_subnets_and_with_nat_in_private_ones(demo: Demo) -> None:
    for nat in ("none", "single"):
        demo.write_instance("demo", network={"nat": nat})
        demo.terraform("demo", "init", "-input=false")
        subnets = {
            each["values"]["tags"]["Name"]: each["values"]
            for each in demo.managed("demo").values()
            if each["type"] == "aws_subnet"
        }
        found = {name for name, values in subnets.items() if "karpenter.sh/discovery" in values["tags"]}
        assert found == {f"zave-demo-{'public' if nat == 'none' else 'private'}-1"}
        assert len({values["availability_zone"] for values in subnets.values()}) == 2
        open_to = [v["map_public_ip_on_launch"] for n, v in subnets.items() if "public" in n]
        assert open_to == [nat == "none"] * 2


def test_another_answer_about_zones_moves_no_subnet(running: Demo) -> None:
    file = running.folder / "demo/main.tf"
    file.write_text(
        re.sub(r"zones = slice.*", 'zones = ["us-east-1c", "us-east-1d"]', file.read_text(), count=1)
    )
    running.converged("demo")


def test_further_administrators_are_let_in_beside_the_destroyer(running: Demo) -> None:
    arns = ["arn:aws:iam::123456789012:role/admin", "arn:aws:iam::123456789012:user/me"]
    access = {"public_cidrs": ["203.0.113.7/32"], "administrators": arns}
    running.write_instance("demo", eks=access)
    done = running.apply("demo")
    assert set(done.values()) == {("create",)}
    assert len(done) == 4
    running.write_instance("demo", eks={**access, "administrators": [*reversed(arns)]})
    running.converged("demo")
    entries = {
        each["values"]["principal_arn"].rpartition(":")[2]
        for each in running.managed("demo").values()
        if each["type"] == "aws_eks_access_policy_association"
    }
    assert entries == {
        "role/admin",
        "user/me",
        "role/zave/standing/zave-destroyer-us-east-1-123456789012",
    }


def test_another_owner_or_size_changes_in_place(running: Demo) -> None:
    running.write_instance(
        "demo", eks={"public_cidrs": ["198.51.100.0/24"], "nodes": {"minimum": 3, "maximum": 5}}
    )
    done = running.apply("demo")
    assert set(done.values()) == {("update",)}
    assert "module.cluster.aws_eks_cluster.this" in done
    running.converged("demo")
    group = running.managed("demo")["module.cluster.aws_eks_node_group.nodes"]["values"]
    assert group["scaling_config"] == [{"min_size": 3, "desired_size": 3, "max_size": 5}]


@pytest.mark.parametrize("root", ["demo", "account"])
def test_what_exists_is_adopted_without_making_anything_anew(running: Demo, root: str) -> None:
    state = json.loads(running.state_of(root).read_text())
    imports, adopted = "", set()
    for resource in state["resources"]:
        if resource["mode"] != "managed":
            continue
        for each in resource["instances"]:
            key = json.dumps(each["index_key"]) if "index_key" in each else None
            address = ".".join([resource["module"], resource["type"], resource["name"]])
            address += f"[{key}]" if key is not None else ""
            wanted = import_id(resource["type"], each["attributes"])
            assert wanted is not None, address
            imports += f"import {{\n  to = {address}\n  id = {json.dumps(wanted)}\n}}\n"
            adopted.add(address)
    (running.folder / root / "imports.tf").write_text(imports)
    running.state_of(root).unlink()
    before = [(kind, values["id"]) for kind, values in running.things()]

    done = running.apply(root)

    assert set(done.values()) <= {("update",)}, done
    assert set(running.managed(root)) == adopted
    assert [(kind, values["id"]) for kind, values in running.things()] == before
    (running.folder / root / "imports.tf").unlink()
    running.converged(root)
