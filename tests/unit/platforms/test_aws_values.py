"""What an AWS environment's spec means in names, tags, variables, backends and rendered roots.

`ZAVE_UPDATE_GOLDEN=1 pytest tests/unit/platforms/test_aws_values.py` accepts a change of the roots.
"""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from zave.platforms.aws_values import (
    ACCOUNT_MODULES,
    ACCOUNT_ROOT,
    MODULES,
    ROOT,
    account_backend,
    account_root_values,
    account_variables,
    backend,
    destroyer_role,
    instance_tags,
    override_local,
    root_values,
    standing_tags,
    terraform_variables,
)
from zave.project import Project
from zave.render import MANIFEST, Renderer, write_tfvars
from zave.spec.aws import AwsSpec
from zave.spec.load import parse_spec

GOLDEN = Path(__file__).parents[2] / "golden"
# read at import: tests themselves see none of the caller's ZAVE_ variables
UPDATE = os.environ.get("ZAVE_UPDATE_GOLDEN") == "1"
ACCOUNT = "123456789012"
CREATION = "2026-11-23T12:00:00Z-7f3a"
LONGEST = "a" * 32
PLAIN: dict[str, Any] = {
    "platform": "aws-eks",
    "owner": "me@example.org",
    "notify": {"email": "alarms@example.org"},
    "eks": {"public_cidrs": ["203.0.113.7/32"]},
    "gitops": {"repository": "https://git.example.org/me/platform.git"},
}
CASES: dict[str, dict[str, Any]] = {
    "aws-demo": {},
    "aws-private": {
        "aws": {"region": "eu-west-1"},
        "network": {"cidr": "10.50.0.0/20", "nat": "single"},
        "eks": {
            "version": "1.36",
            "public_cidrs": ["203.0.113.7/32", "198.51.100.0/24"],
            "nodes": {"instance_types": ["m7g.large", "t4g.large"], "spot": False, "maximum": 6},
            "karpenter": False,
        },
        "rds": {"enabled": True},
        "state": {"bucket": "own-{region}-{account}", "lock": "dynamodb"},
        "budget": {"usd": 75, "alert": [90]},
    },
}


def spec_of(**sections: Any) -> AwsSpec:
    spec = parse_spec(json.dumps(PLAIN | sections), where="environment.yaml")
    assert isinstance(spec, AwsSpec)
    return spec


def variables_of(spec: AwsSpec, *, instance: str = "demo", creation: str = CREATION) -> dict[str, Any]:
    return terraform_variables(
        spec, instance=instance, environment="aws-demo", account=ACCOUNT, creation=creation
    )


def declared(root: str) -> dict[str, bool]:
    """The variables of a root, and whether each has a default."""
    text = (Project().path(root) / "variables.tf").read_text()
    return {
        name: re.search(r"^  default ", body, re.M) is not None
        for name, body in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.M | re.S)
    }


def test_an_instance_is_tagged_with_what_never_changes() -> None:
    tags = variables_of(spec_of())["tags"]
    assert tags == {
        "zave:instance": "demo",
        "zave:environment": "aws-demo",
        "zave:owner": "me@example.org",
        "zave:creation": CREATION,
    }


def test_no_tag_knows_when_the_instance_ends() -> None:
    long, short = spec_of(ttl={"default": "7d"}), spec_of(ttl={"default": "2h", "warn": ["1h"]})
    assert variables_of(long) == variables_of(short)


def test_standing_parts_belong_to_no_instance_and_are_marked_for_cleaners() -> None:
    tags = account_variables(spec_of(), account=ACCOUNT)["tags"]
    assert tags["zave:standing"] == tags["cloud-nuke-excluded"] == "true"
    assert "zave:instance" not in tags


def test_tags_are_within_the_limits_of_aws() -> None:
    owner = f"{'o' * 64}@{'d' * 60}.example.org"
    spec = spec_of(owner=owner)
    tags = instance_tags(spec, instance=LONGEST, environment=LONGEST, creation=CREATION) | standing_tags(spec)
    # EC2 user guide, "Tag restrictions"
    assert all(len(key) <= 128 and len(value) <= 256 for key, value in tags.items())
    assert all(re.fullmatch(r"[\w .:/=+@-]+", text) for pair in tags.items() for text in pair)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("root", [ROOT, ACCOUNT_ROOT])
def test_a_root_is_given_each_variable_that_it_declares_and_no_other(case: str, root: str) -> None:
    spec = spec_of(**CASES[case])
    given = variables_of(spec) if root == ROOT else account_variables(spec, account=ACCOUNT)
    known = declared(root)
    assert set(given) <= set(known)
    assert {name for name, has_default in known.items() if not has_default} <= set(given)


@pytest.mark.parametrize(
    ("root", "modules"), [(ROOT, MODULES), (ACCOUNT_ROOT, ACCOUNT_MODULES)], ids=["instance", "account"]
)
def test_the_modules_to_render_are_those_that_a_root_calls(root: str, modules: tuple[str, ...]) -> None:
    text = (Project().path(root) / "main.tf.j2").read_text()
    assert sorted(re.findall(r'source = "\./(\S+)"', text)) == sorted(modules)


def test_the_spec_reaches_terraform() -> None:
    plain, other = variables_of(spec_of()), variables_of(spec_of(**CASES["aws-private"]))
    assert plain["nodes"]["spot"]
    assert plain["nodes"]["architecture"] == "amd64"
    assert plain["database"] is None
    assert other["nodes"] == {
        "instance_types": ["m7g.large", "t4g.large"],
        "spot": False,
        "minimum": 2,
        "maximum": 6,
        "disk_gib": 30,
        "architecture": "arm64",
    }
    assert other["database"] == {"instance_class": "db.t4g.micro", "storage_gb": 20}
    assert (other["cidr"], other["nat"], other["region"]) == ("10.50.0.0/20", "single", "eu-west-1")
    assert other["public_cidrs"] == ["203.0.113.7/32", "198.51.100.0/24"]
    assert (other["kubernetes_version"], other["karpenter"]) == ("1.36", False)


def test_what_pods_may_do_outside_is_given_for_the_extras_that_do_it_and_for_no_other() -> None:
    gitops = {**PLAIN["gitops"], "variables": {"velero_bucket": "backups", "velero_region": "eu-west-1"}}
    named = {"domain": "demo.example.org", "zone": "Z0123456789ABCDEFGHIJ"}
    with_both = spec_of(gitops={**gitops, "extras": ["velero", "external-dns"]}, ingress=named)
    values = variables_of(with_both)
    assert values["dns"] == {"zone_id": "Z0123456789ABCDEFGHIJ", "domain": "demo.example.org"}
    assert values["backups"] == {"bucket": "backups"}
    # a zone alone gives nobody a right
    for spec in (spec_of(), spec_of(ingress=named)):
        assert (variables_of(spec)["dns"], variables_of(spec)["backups"]) == (None, None)


def test_a_budget_is_the_specs() -> None:
    variables = account_variables(spec_of(**CASES["aws-private"]), account=ACCOUNT)
    assert variables["budget"] == {"usd": 75, "alerts": [90]}
    assert variables["email"] == "alarms@example.org"


def test_only_removal_lets_the_bucket_go_with_its_content() -> None:
    assert account_variables(spec_of(), account=ACCOUNT)["force_destroy"] is False
    assert account_variables(spec_of(), account=ACCOUNT, force_destroy=True)["force_destroy"] is True


def test_a_state_is_locked_by_a_file_in_the_bucket() -> None:
    assert backend(spec_of(), instance="demo", account=ACCOUNT) == {
        "bucket": f"zave-state-{ACCOUNT}",
        "key": "instances/demo/terraform.tfstate",
        "region": "us-east-1",
        "encrypt": True,
        "allowed_account_ids": [ACCOUNT],
        "use_lockfile": True,
    }


def test_a_state_is_locked_by_a_table_where_the_spec_says_so() -> None:
    spec = spec_of(**CASES["aws-private"])
    values = backend(spec, instance="demo", account=ACCOUNT)
    assert values["bucket"] == f"own-eu-west-1-{ACCOUNT}"
    assert values["dynamodb_table"] == account_variables(spec, account=ACCOUNT)["lock_table"]
    assert "use_lockfile" not in values


def test_instances_and_the_account_share_a_bucket_and_no_key() -> None:
    spec = spec_of()
    all_of_them = [
        backend(spec, instance="a", account=ACCOUNT),
        backend(spec, instance="b", account=ACCOUNT),
        account_backend(spec, account=ACCOUNT),
    ]
    assert len({values["key"] for values in all_of_them}) == 3
    assert {values["bucket"] for values in all_of_them} == {
        account_variables(spec, account=ACCOUNT)["bucket"]
    }


def test_a_cluster_lets_in_the_destroyer_that_the_account_has() -> None:
    spec = spec_of(**CASES["aws-private"])
    role = variables_of(spec)["destroyer_role"]
    assert role == account_variables(spec, account=ACCOUNT)["destroyer_role"]
    # IAM's limit; the longest region that there is
    assert len(destroyer_role(spec_of(aws={"region": "ap-southeast-2"}), account=ACCOUNT)) <= 64


def test_the_account_root_has_no_backend_until_its_bucket_is_there(tmp_path: Path) -> None:
    renderer = Renderer(Project())
    texts = []
    for exists in (False, True):
        values = account_root_values(spec_of(), account=ACCOUNT, bucket_exists=exists)
        renderer.render_tree(ACCOUNT_ROOT, tmp_path, values)
        texts.append((tmp_path / "backend.tf").read_text())
    assert 'backend "s3"' not in texts[0]
    assert f'bucket = "zave-state-{ACCOUNT}"' in texts[1]
    assert 'key    = "account/terraform.tfstate"' in texts[1]


def test_the_override_keeps_the_state_at_a_path_whatever_is_in_it() -> None:
    text = override_local('/tmp/a "b" ${c}/terraform.tfstate')
    assert 'backend "local"' in text
    assert 'path = "/tmp/a \\"b\\" \\u0024{c}/terraform.tfstate"' in text


def render(case: str, destination: Path) -> None:
    spec = spec_of(**CASES[case])
    renderer = Renderer(Project())
    instance = root_values(spec, instance=case, account=ACCOUNT)
    account = account_root_values(spec, account=ACCOUNT, bucket_exists=True)
    renderer.render_tree(ROOT, destination / "instance", instance)
    renderer.render_tree(ACCOUNT_ROOT, destination / "account", account)
    for name, root in (("instance", ROOT), ("account", ACCOUNT_ROOT)):
        # copied as they are: nothing of them is rendered
        for file in Project().path(root).glob("*.tf"):
            (destination / name / file.name).unlink()
    write_tfvars(destination / "instance.json", variables_of(spec, instance=case))
    write_tfvars(destination / "account.json", account_variables(spec, account=ACCOUNT))


def files_below(folder: Path) -> dict[str, str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(paths)}


@pytest.mark.parametrize("case", CASES)
def test_roots_are_rendered_as_accepted(case: str, tmp_path: Path) -> None:
    render(case, tmp_path)
    if UPDATE:
        shutil.rmtree(GOLDEN / case, ignore_errors=True)
        for name, text in files_below(tmp_path).items():
            (GOLDEN / case / name).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / case / name).write_text(text)
    assert files_below(tmp_path) == files_below(GOLDEN / case)
