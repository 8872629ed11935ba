"""The pipeline that `zave init --ci gitlab` writes is one that GitLab takes, and does what it should."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from zave.cli.app import main
from zave.errors import UsageError
from zave.lifecycle.pipeline import FILE, write_pipeline
from zave.project import Project

# what is no job (GitLab CI/CD YAML reference, "Global keywords")
GLOBAL = {"default", "include", "stages", "variables", "workflow"}
# "Job keywords" of the same page, those that are used here
KEYWORDS = {
    "after_script",
    "artifacts",
    "before_script",
    "environment",
    "extends",
    "id_tokens",
    "resource_group",
    "rules",
    "script",
    "stage",
    "variables",
}


class _Loader(yaml.SafeLoader):
    """YAML as GitLab reads it: with `!reference`."""


def _reference(loader: yaml.SafeLoader, node: yaml.Node) -> list[Any]:
    assert isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node)


_Loader.add_constructor("!reference", _reference)


@pytest.fixture
def written(tmp_path: Path) -> dict[str, Any]:
    path = write_pipeline(Project(), tmp_path, environment="aws-demo")
    assert path == tmp_path / FILE
    found: dict[str, Any] = yaml.load(path.read_text(), _Loader)
    return found


def jobs(pipeline: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Jobs with what they extend put in, as GitLab merges it: maps deeply, all else replaced."""

    def merged(name: str) -> dict[str, Any]:
        own = pipeline[name]
        result = merged(own["extends"]) if "extends" in own else {}
        for key, value in own.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = {**result[key], **value} if both else value
        return result

    return {name: merged(name) for name in pipeline if name not in GLOBAL and not name.startswith(".")}


def test_every_job_is_one_that_gitlab_takes(written: dict[str, Any]) -> None:
    found = jobs(written)
    assert found.keys() == {"validate", "plan", "demo", "end demo", "reap"}
    for name, job in found.items():
        assert job.keys() <= KEYWORDS, name
        assert job["stage"] in written["stages"]
        assert job["script"]
        assert all(isinstance(line, str) for line in job["script"]), name
        for rule in job["rules"]:
            assert rule.keys() <= {"allow_failure", "if", "when"}
    for part, content in written.items():
        if part.startswith("."):
            assert content.keys() <= KEYWORDS


def test_a_demo_begins_by_hand_and_gitlab_ends_it_no_earlier_than_the_switch(written: dict[str, Any]) -> None:
    demo, end = jobs(written)["demo"], jobs(written)["end demo"]
    (rule,) = demo["rules"]
    assert rule["when"] == "manual"
    assert demo["environment"] == {
        "name": "demo/$ZAVE_INSTANCE",
        "on_stop": "end demo",
        "auto_stop_in": "48 hours",
    }
    assert end["environment"] == {"name": demo["environment"]["name"], "action": "stop"}
    # GitLab: the job that stops must be in the pipeline wherever the one that starts is
    assert end["rules"] == demo["rules"]
    assert end["resource_group"] == demo["resource_group"] == jobs(written)["reap"]["resource_group"]
    assert any("zave down" in line for line in end["script"])


def test_merge_requests_are_validated_for_nothing_and_planned_with_their_cost(
    written: dict[str, Any],
) -> None:
    validate, plan = jobs(written)["validate"], jobs(written)["plan"]
    assert all("--rehearse" in line for line in validate["script"])
    assert "id_tokens" not in validate
    assert plan["artifacts"]["paths"] == ["plan.json", "plan.txt"]
    assert 'zave plan "$ZAVE_ENVIRONMENT" -o json > plan.json' in plan["script"]
    assert plan["variables"]["AWS_ROLE_ARN"] == "$ZAVE_PLAN_ROLE_ARN"
    for job in (validate, plan):
        assert job["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "merge_request_event"'}]


def test_a_schedule_reaps(written: dict[str, Any]) -> None:
    reap = jobs(written)["reap"]
    assert reap["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "schedule"'}]
    assert any("zave reap" in line for line in reap["script"])


def test_no_job_forgives_a_failure(written: dict[str, Any]) -> None:
    """Exit code 2 is also that of every broken file: where a demo stands, its job must fail."""
    for name, job in jobs(written).items():
        assert not any("||" in line or "$?" in line for line in job["script"]), name
    for name in ("demo", "end demo", "reap"):
        adopt = jobs(written)[name]["script"][0]
        assert adopt == 'zave adopt "$ZAVE_ENVIRONMENT" --name "$ZAVE_INSTANCE" --if-any'


def _install(pipeline: dict[str, Any], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """What each job begins with, in a shell that stops at the first failure; `python` tells its arguments."""
    python = folder / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    return subprocess.run(
        ["/bin/sh", "-e", "-c", "\n".join(pipeline[".zave"]["before_script"])],
        env={"PATH": str(folder), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_zave_is_installed_from_where_the_user_says_and_never_by_its_name(
    written: dict[str, Any], tmp_path: Path
) -> None:
    url = "git+https://git.example.org/zave@0123"
    ended = _install(written, tmp_path, ZAVE_PACKAGE=url)
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[-1] == f"zave[aws,embedded] @ {url}"


@pytest.mark.parametrize("variables", [{}, {"ZAVE_PACKAGE": ""}])
def test_a_job_says_that_nobody_named_where_zave_comes_from(
    written: dict[str, Any], tmp_path: Path, variables: dict[str, str]
) -> None:
    ended = _install(written, tmp_path, **variables)
    assert ended.returncode != 0
    assert "ZAVE_PACKAGE: is not set" in ended.stderr
    assert "pip" not in ended.stdout


def test_no_key_is_kept_anywhere(written: dict[str, Any]) -> None:
    assert "AWS_SECRET_ACCESS_KEY" not in str(written)
    for name in ("plan", "demo", "end demo", "reap"):
        job = jobs(written)[name]
        assert job["id_tokens"] == {"ZAVE_ID_TOKEN": {"aud": "$CI_SERVER_URL"}}
        token = job["variables"]["AWS_WEB_IDENTITY_TOKEN_FILE"]
        assert any(
            "umask 077" in line and "AWS_WEB_IDENTITY_TOKEN_FILE" in line
            for line in job["before_script"]
            if isinstance(line, str)
        )
        assert job["after_script"] == ['rm -f "$AWS_WEB_IDENTITY_TOKEN_FILE"']
        assert token.startswith("$CI_PROJECT_DIR/")


def test_values_come_from_the_environments_own_file(tmp_path: Path) -> None:
    text = (Project().environment_file("aws-demo")).read_text()
    file = tmp_path / "environments" / "workshop" / "environment.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text.replace("us-east-1", "eu-central-1").replace("default: 48h", "default: 26h30m"))
    path = write_pipeline(Project(tmp_path), tmp_path, environment="workshop")
    found = yaml.load(path.read_text(), _Loader)
    assert found["variables"]["AWS_REGION"] == "eu-central-1"
    assert found["demo"]["environment"]["auto_stop_in"] == "27 hours"
    assert any(line.startswith('zave up "$ZAVE_ENVIRONMENT"') for line in found["demo"]["script"])


def test_a_pipeline_that_is_there_and_a_home_lab_are_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("mine\n")
    with pytest.raises(UsageError, match="would be overwritten"):
        write_pipeline(Project(), tmp_path, environment="aws-demo")
    assert (tmp_path / FILE).read_text() == "mine\n"
    write_pipeline(Project(), tmp_path, environment="aws-demo", overwrite=True)
    with pytest.raises(UsageError, match="no AWS account"):
        write_pipeline(Project(), tmp_path, environment="homelab", overwrite=True)


@pytest.mark.parametrize("environment", ["nope", "homelab"])
def test_nothing_is_written_when_the_pipeline_would_be_refused(
    tmp_path: Path, environment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "lab"
    assert main(["init", str(target), "--ci", "gitlab", "--for", environment]) == 2
    assert environment in capsys.readouterr().err
    assert not target.exists()
