"""The pipeline of a user's repository: `.gitlab-ci.yml`, rendered once, theirs from then on."""

import os
from pathlib import Path

from zave.errors import UsageError
from zave.project import Project
from zave.render import Renderer
from zave.spec.aws import AwsSpec
from zave.spec.load import load_spec
from zave.spec.names import check_name
from zave.spec.units import HOUR, format_duration

TEMPLATE = "templates/ci/gitlab/gitlab-ci.yml.j2"
FILE = ".gitlab-ci.yml"


def check_environment(project: Project, environment: str) -> AwsSpec:
    """The spec that a pipeline is for. Raises UsageError for one that does not exist or is in no account."""
    spec = load_spec(project.environment_file(check_name(environment)))
    if spec.platform != "aws-eks":
        raise UsageError(
            f"{environment} is in no AWS account: a runner cannot reach it",
            resolution="name an environment of platform aws-eks: --for aws-demo",
        )
    return spec


def write_pipeline(project: Project, folder: Path, *, environment: str, overwrite: bool = False) -> Path:
    """Write the pipeline for an AWS environment of `project` into `folder`; its path.

    Raises UsageError for an environment that is in no account, and for a file that is there unless
    `overwrite`.
    """
    spec = check_environment(project, environment)
    path = folder / FILE
    if os.path.lexists(path) and not overwrite:
        raise UsageError(
            f"{path} would be overwritten",
            where=str(path),
            resolution="move it away, or repeat with --force to replace it",
        )
    values = {
        "environment": environment,
        "instance": environment,
        "region": spec.aws.region,
        "ttl": format_duration(spec.ttl.default),
        # GitLab counts from the end of the job; rounded up, so that it never comes before the switch
        "stops": f"{-(-spec.ttl.default // HOUR)} hours",
    }
    text = Renderer(project).render_text(TEMPLATE, values)
    if path.is_symlink():
        path.unlink()
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)  # it goes into git
    return path
