"""What CodeBuild is told to run is `build.sh`, byte for byte: the script that other tests run."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

MODULE = Path(__file__).parents[3] / "terraform-modules" / "aws-ttl"


def test_the_project_runs_the_script_of_the_module_and_nothing_else(
    account_objects: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    project = account_objects["module.switch.aws_codebuild_project.destroyer"]["values"]
    phases = yaml.safe_load(project["source"][0]["buildspec"])["phases"]
    assert list(phases) == ["build"]
    write, run = phases["build"]["commands"]
    assert run == "sh build.sh"
    subprocess.run(["sh", "-c", write], cwd=tmp_path, check=True)
    assert (tmp_path / "build.sh").read_bytes() == (MODULE / "build.sh").read_bytes()


def test_the_project_may_read_what_a_fire_runs_and_no_states(
    account_objects: dict[str, dict[str, Any]],
) -> None:
    policy = account_objects["module.switch.aws_iam_role_policy.project"]["values"]["policy"]
    (statement,) = (each for each in yaml.safe_load(policy)["Statement"] if each["Sid"] == "FetchWhatRuns")
    assert statement["Action"] == "s3:GetObject"
    keys = [resource.partition(":::")[2].partition("/")[2] for resource in statement["Resource"]]
    assert keys == ["account/programs-*", "instances/*/bundle-*"]
