"""The AWS modules and their examples in the real Terraform engine; what they refuse."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.integration.aws.conftest import Demo

REPOSITORY = Path(__file__).parents[3]
EXAMPLES = {
    "aws-ecr": ("two", ()),
    "aws-eks": ("spot", ("-var=public_cidr=203.0.113.7/32",)),
    "aws-rds": ("single", ()),
    "aws-state": ("account", ()),
    "aws-ttl": ("account", ("-var=email=me@example.org",)),
    "aws-vpc": ("public", ()),
}


@pytest.mark.parametrize("module", EXAMPLES)
def test_aws_modules_and_their_examples_are_valid(demo: Demo, module: str) -> None:
    shutil.copytree(REPOSITORY / "terraform-modules", demo.folder / "m")
    for folder in (f"m/{module}", f"m/{module}/examples/{EXAMPLES[module][0]}"):
        demo.terraform(folder, "init", "-input=false", "-backend=false")
        demo.terraform(folder, "validate")


@pytest.mark.parametrize("module", EXAMPLES)
def test_aws_examples_are_made_once_and_destroyed_whole(demo: Demo, module: str) -> None:
    shutil.copytree(REPOSITORY / "terraform-modules", demo.folder / "m")
    example, variables = EXAMPLES[module]
    folder = f"m/{module}/examples/{example}"
    demo.terraform(folder, "init", "-input=false")
    demo.terraform(folder, "apply", "-input=false", "-auto-approve", *variables)
    assert demo.things()
    demo.terraform(folder, "plan", "-input=false", "-detailed-exitcode", *variables)
    demo.terraform(folder, "destroy", "-input=false", "-auto-approve", *variables)
    assert demo.things() == []


@pytest.mark.parametrize("module", EXAMPLES)
def test_readme_of_aws_module_names_every_variable_and_output(module: str) -> None:
    folder = REPOSITORY / "terraform-modules" / module
    readme = (folder / "README.md").read_text()
    for file, keyword in (("variables.tf", "variable"), ("outputs.tf", "output")):
        names = re.findall(rf'^{keyword} "(\w+)"', (folder / file).read_text(), re.M)
        assert names
        assert [name for name in names if f"`{name}`" not in readme] == []


# what is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cidr": "10.42.0.0/8"}, "The range must be IPv4 in CIDR notation, from /16 to /24"),
        ({"nat": "both"}, "nat must be none or single"),
        ({"public_cidrs": []}, "An empty list would mean the whole internet"),
        ({"kubernetes_version": "latest"}, "The version must look like 1.35"),
        ({"tags": {"zave:instance": "demo"}}, "the sweep goes by them"),
        ({"repositories": ["A b"]}, "lower-case letters and digits"),
        ({"account": "999999999999"}, "AWS account ID not allowed"),
    ],
)
def test_a_value_that_cannot_be_right_for_aws_is_refused(
    demo: Demo, change: dict[str, Any], message: str
) -> None:
    demo.write_instance("demo")
    demo.terraform("demo", "init", "-input=false")
    file = demo.folder / "demo/zave.auto.tfvars.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    told = demo.terraform("demo", "plan", "-input=false", "-no-color", expect=1)
    assert message in " ".join(told.replace("│", " ").split())
    assert demo.things() == []


def test_tags_of_another_instance_are_refused(demo: Demo) -> None:
    demo.write_instance("demo")
    demo.terraform("demo", "init", "-input=false")
    file = demo.folder / "demo/zave.auto.tfvars.json"
    values = json.loads(file.read_text())
    values["tags"]["zave:instance"] = "other"
    file.write_text(json.dumps(values))
    told = demo.terraform("demo", "plan", "-input=false", "-no-color", expect=1)
    assert "must name the instance" in " ".join(told.replace("│", " ").split())
