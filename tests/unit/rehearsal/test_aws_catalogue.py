"""The AWS catalogue holds together: its data name what exists, and every type can live a life."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from zave.aws.identity import identity, import_id
from zave.rehearsal import account, computed, planning, schema, validation
from zave.rehearsal.schema import Behaviour, Field, Kind
from zave.rehearsal.templates import text
from zave.rehearsal.values import UNKNOWN, find, has_unknown
from zave.rehearsal.world import World

ROOT = Path(__file__).parents[3]
AWS = schema.load("aws")
# read here: tests themselves run without variables of zave's
PACKAGE = os.environ.get("ZAVE_AWS_PACKAGE")
FACTS = account.Account(
    facts={
        "region": "eu-central-1",
        "account": "123456789012",
        "partition": "aws",
        "dns_suffix": "amazonaws.com",
        "reverse_dns_prefix": "com.amazonaws",
    },
    default_tags={"zave:instance": "demo"},
)
ABOUT = {"provider": FACTS.facts, "tables": AWS.tables, "found": None}
KINDS = {**AWS.resources, **{f"data.{name}": kind for name, kind in AWS.data_sources.items()}}
_PLACE = re.compile(r"\{([a-z0-9_.*]+)(?:\|[a-z0-9]+)?\}")

# where these texts come from when nothing else says what a value may be
_TEXTS = {
    "cidr_block": "10.1.0.0/16",
    "cidr_ipv4": "10.1.0.0/16",
    "cluster_name": "zave-demo",
    "default_route_table_id": "rtb-0123456789abcdef0",
    "service_ipv4_cidr": "172.20.0.0/16",
    "url": "https://oidc.eks.eu-central-1.amazonaws.com/id/A",
}


def paths(behaviour: Behaviour) -> Iterator[str]:
    yield from (*behaviour.force_new, *behaviour.removal, *behaviour.enums, *behaviour.defaults)
    yield from (*behaviour.renewed, *(value for value in behaviour.renewed.values() if value))
    limits = behaviour.limits
    yield from (*limits.numbers, *limits.lengths, *limits.patterns)
    yield from (path for group in behaviour.conflicts for path in group)
    yield from (path for check in behaviour.checks for path in check.require)
    yield from (guard.path for guard in behaviour.guards)
    yield from (guard.unless for guard in behaviour.guards if guard.unless)
    yield from (rule.path for rule in behaviour.computed)
    if behaviour.imports:
        yield from (behaviour.imports.attribute, *behaviour.imports.blank)


def templates(behaviour: Behaviour) -> Iterator[str]:
    yield from behaviour.unique
    if "{" in behaviour.name:
        yield behaviour.name
    yield from (behaviour.exists, *(guard.summary for guard in behaviour.guards))
    if behaviour.imports:
        yield from behaviour.imports.by
    for rule in behaviour.computed:
        yield from texts(list(rule.sources))


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "value":
                continue
            yield from texts([f"{{{item}}}" if key in ("copy", "if", "each") else item])
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


def known(fields: Mapping[str, Field], path: str) -> bool:
    step, _, rest = path.partition(".")
    if step not in fields:
        return False
    field, rest = fields[step], rest.removeprefix("*").removeprefix(".")
    return not rest or not field.nesting or known(field.fields, rest)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_place_that_the_behaviour_names_is_in_the_schema(name: str) -> None:
    kind = KINDS[name]
    assert [path for path in paths(kind.behaviour) if not known(kind.fields, path)] == []
    elsewhere = ("provider.", "found.", "prior.", "item")
    places = [place for template in templates(kind.behaviour) for place in _PLACE.findall(template)]
    assert [each for each in places if not each.startswith(elsewhere) and not known(kind.fields, each)] == []


def test_values_of_other_things_are_named_as_those_have_them() -> None:
    wrong = []
    for name, kind in KINDS.items():
        for source in (source for rule in kind.behaviour.computed for source in rule.sources):
            if "lookup" not in source:
                continue
            type_, attribute, _ = source["lookup"]
            fields = AWS.resources[type_].fields
            found = [place for each in texts(dict(source)) for place in _PLACE.findall(each)]
            places = [attribute, *(place[6:] for place in found if place.startswith("found."))]
            wrong += [f"{name}: {type_}.{place}" for place in places if not known(fields, place)]
    assert wrong == []


def test_tables_that_rules_name_are_there() -> None:
    rules = (rule for kind in KINDS.values() for rule in kind.behaviour.computed)
    named = {source["table"][0] for rule in rules for source in rule.sources if "table" in source}
    assert named
    assert named <= set(AWS.tables)
    assert all("*" in AWS.tables[name] for name in named)


def test_the_catalogue_says_where_it_comes_from() -> None:
    document = json.loads((schema.FOLDER / "aws.json").read_text())
    provenance = document["provenance"]
    assert provenance["provider_version"] == AWS.version == "6.25.0"
    assert re.fullmatch(r"[0-9a-f]{64}", provenance["sha256"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", provenance["generated"])
    assert "provider-aws" in provenance["package"]
    behaviour = json.loads((schema.FOLDER / "aws.behaviour.json").read_text())
    for section in ("resources", "data_sources"):
        assert [name for name, data in behaviour[section].items() if not data.get("source")] == []


def test_every_type_that_a_module_or_a_root_uses_is_in_the_catalogue() -> None:
    files = [*ROOT.glob("terraform-modules/aws-*/**/*.tf"), *ROOT.glob("templates/terraform/aws-*/*")]
    block = re.compile(r'^(resource|data) +"(aws_[a-z0-9_]+)"', re.M)
    used = {match for file in files for match in block.findall(file.read_text())}
    assert len(used) > 30
    sections = {"resource": AWS.resources, "data": AWS.data_sources}
    assert sorted(name for section, name in used if name not in sections[section]) == []


@pytest.mark.skipif(PACKAGE is None, reason="ZAVE_AWS_PACKAGE names no package")
def test_the_package_gives_the_committed_catalogue(tmp_path: Path) -> None:
    made = tmp_path / "aws.json"
    script = [sys.executable, "-m", "zave.rehearsal.generate_aws", str(PACKAGE)]
    subprocess.run([*script, "--output", str(made)], check=True, cwd=ROOT)
    fresh, committed = (json.loads(path.read_text()) for path in (made, schema.FOLDER / "aws.json"))
    del fresh["provenance"]["generated"], committed["provenance"]["generated"]
    assert fresh == committed


# a life of every type


def sample(kind: Kind, path: str, field: Field) -> Any:
    if path in kind.behaviour.enums:
        return kind.behaviour.enums[path][0]
    low = kind.behaviour.limits.numbers.get(path, (1, 1))[0]
    plain = {
        "string": _TEXTS.get(field.name, f"{field.name.replace('_', '-')}1"),
        "number": low,
        "bool": True,
    }
    if isinstance(field.type, str):
        return plain[field.type]
    collection, inner = field.type
    item = sample(kind, f"{path}.*", Field(name=field.name, type=inner))
    if collection == "map":
        return {"key": item}
    least = kind.behaviour.limits.lengths.get(path, (1, 1))[0]
    return [item, *(f"{item}{index}" for index in range(1, least))]


def least(kind: Kind, fields: Mapping[str, Field], prefix: str = "") -> dict[str, Any]:
    """The smallest configuration that the schema accepts."""
    config: dict[str, Any] = {}
    for name, field in fields.items():
        path = f"{prefix}{name}"
        if field.block:
            inner = least(kind, field.fields, f"{path}.*.") if field.min_items else None
            config[name] = (
                None if field.nesting == "single" else [inner] * field.min_items if inner is not None else []
            )
        else:
            config[name] = sample(kind, path, field) if field.required else None
    return config


def planned(kind: Kind, prior: dict[str, Any] | None, config: dict[str, Any]) -> dict[str, Any]:
    """What the provider plans, asked as Terraform's core asks."""
    proposed = dict(config)
    if prior is not None:
        carried = carry(kind.fields, prior, config)
        proposed = carried
    return planning.plan(kind, prior=prior, proposed=FACTS.complete(kind, proposed))


def carry(fields: Mapping[str, Field], prior: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    carried: dict[str, Any] = {}
    for name, field in fields.items():
        value, before = config[name], prior[name]
        if field.block and field.nesting in ("list", "set") and len(value) == len(before or []):
            carried[name] = [carry(field.fields, old, new) for old, new in zip(before, value, strict=True)]
        else:
            carried[name] = before if value is None and field.computed else value
    return carried


@pytest.mark.parametrize("name", sorted(AWS.resources))
def test_a_type_is_made_whole_and_planned_again_without_a_change(name: str, world: World) -> None:
    kind = AWS.resources[name]
    config = least(kind, kind.fields)
    assert validation.problems(kind, config) == []
    made = computed.fill(kind, planned(kind, None, config), world, about=ABOUT)
    assert set(made) == set(kind.fields)
    assert not has_unknown(made)
    again = planned(kind, made, config)
    assert {key for key in made if again[key] != made[key]} == set()
    assert planning.replaced_by(kind, prior=made, planned=again) == []
    identity_attributes = [made.get(key) for key in ("id", "arn") if key in kind.fields]
    assert all(identity_attributes) or not kind.behaviour.computed, made


@pytest.mark.parametrize("name", sorted(AWS.resources))
def test_a_type_is_imported_by_the_name_that_zave_would_use(name: str, world: World) -> None:
    kind = AWS.resources[name]
    config = least(kind, kind.fields)
    for choice in ("cidr_ipv4", "destination_cidr_block", "subnet_id", "name"):
        if choice in kind.fields and config[choice] is None:
            config[choice] = sample(kind, choice, kind.fields[choice])
    made = computed.fill(kind, planned(kind, None, config), world, about=ABOUT)
    wanted = import_id(name, {key: value for key, value in made.items() if value not in (None, "")})
    assert wanted is not None
    imports = kind.behaviour.imports
    assert imports is not None
    forms = imports.by or (f"{{{imports.attribute}}}",)
    assert wanted in [text(form, made) for form in forms]


def test_what_an_import_cannot_know_never_forces_a_new_thing() -> None:
    for kind in AWS.resources.values():
        assert kind.behaviour.imports is not None, kind.name
        assert not {*kind.behaviour.imports.blank} & {*kind.behaviour.force_new}, kind.name


def test_what_is_adopted_after_a_crash_has_a_name_before_it_exists(world: World) -> None:
    kind = AWS.resources["aws_eks_node_group"]
    config = least(kind, kind.fields)
    config["node_group_name"] = "nodes"
    plan = planned(kind, None, config)
    seen = {key: value for key, value in plan.items() if value is not UNKNOWN}
    made = computed.fill(kind, plan, world, about=ABOUT)
    assert identity(kind.name, seen) == identity(kind.name, made) == "zave-demo/nodes"


def test_identifiers_contain_one_another(world: World) -> None:
    kind = AWS.resources["aws_eks_cluster"]
    config = least(kind, kind.fields) | {"name": "zave-demo"}
    made = computed.fill(kind, planned(kind, None, config), world, about=ABOUT)
    number = re.fullmatch(r"https://([0-9A-F]{32})\.gr7\.eu-central-1\.eks\.amazonaws\.com", made["endpoint"])
    assert number
    issuer = next(value for _, value in find(made, "identity.*.oidc.*.issuer"))
    assert issuer == f"https://oidc.eks.eu-central-1.amazonaws.com/id/{number[1]}"
    assert made["arn"] == "arn:aws:eks:eu-central-1:123456789012:cluster/zave-demo"
    assert re.fullmatch(r"sg-[0-9a-f]{17}", made["vpc_config"][0]["cluster_security_group_id"])
    vpc = AWS.resources["aws_vpc"]
    network = computed.fill(vpc, planned(vpc, None, least(vpc, vpc.fields)), world, about=ABOUT)
    assert re.fullmatch(r"vpc-[0-9a-f]{17}", network["id"])
    assert network["arn"] == f"arn:aws:ec2:eu-central-1:123456789012:vpc/{network['id']}"
    assert network["main_route_table_id"] == network["default_route_table_id"]


def test_two_things_of_a_type_never_share_an_identifier(world: World) -> None:
    kind = AWS.resources["aws_subnet"]
    plan = planned(kind, None, least(kind, kind.fields))
    made = [computed.fill(kind, plan, world, about=ABOUT)["id"] for _ in range(20)]
    assert len(set(made)) == 20


def test_passwords_are_sensitive_and_write_only_ones_go_nowhere() -> None:
    fields = AWS.resources["aws_db_instance"].fields
    assert fields["password"].sensitive
    assert fields["password_wo"].write_only
    assert not fields["username"].sensitive


def test_blocks_have_the_shape_of_the_real_provider() -> None:
    cluster = AWS.resources["aws_eks_cluster"].fields
    assert (cluster["vpc_config"].nesting, cluster["vpc_config"].min_items) == ("list", 1)
    assert cluster["vpc_config"].max_items == 1
    assert cluster["timeouts"].nesting == "single"
    # in protocol 5 a structure that is no block is a type
    group = AWS.resources["aws_security_group"].fields
    assert not group["ingress"].block
    assert group["ingress"].type[0] == "set"
    assert AWS.resources["aws_eks_node_group"].fields["taint"].nesting == "set"
