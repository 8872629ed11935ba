"""CodeBuild's machine: an empty folder, a Python, POSIX tools, and a network that leads to moto alone."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.integration.aws_bundle import inside
from tests.integration.aws_live.standing import PARTS, REGION
from tests.system.moto_server import MotoServer

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
SCRIPT = REPOSITORY / "terraform-modules" / "aws-ttl" / "build.sh"
_SYSTEM = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
_LONGEST = 300


def why_not() -> str:
    """Why this machine cannot make such ones; or nothing."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return "a machine with a network of its own takes root and unshare"
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], check=False, capture_output=True)
    if tried.returncode != 0:
        return f"this machine makes no namespaces: {tried.stderr.decode().strip()}"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    places = _SYSTEM.split(":")
    if not any(Path(place, f"python{version}").is_file() for place in places):
        return f"the system has no python{version}, as CodeBuild's image has"
    return ""


@dataclass
class Machine:
    """Runs the build script as CodeBuild does, each time in an empty folder of `folder`."""

    folder: Path
    server: MotoServer
    door: Path
    runs: int = 0

    def build(self, told: Mapping[str, str], *, run: str) -> tuple[int, str]:
        """Exit code and words of one build; `told` is what the fire overrides, `run` its id."""
        self.runs += 1
        place = self.folder / f"machine-{self.runs}"
        tools, home, work = place / "tools", place / "home", place / "work"
        for each in (place, tools, home, work):
            each.mkdir()
        # what is in the image beside the system's programs; copied, as the sources will not be there
        shutil.copy(HERE / "aws", tools / "aws")
        (tools / "aws").chmod(0o755)
        shutil.copy(inside.__file__, tools / "inside.py")
        shutil.copy(SCRIPT, work / "build.sh")
        port = urlsplit(self.server.url).port
        ran = subprocess.run(
            [
                *("unshare", "--net", "--mount", "/usr/bin/python3", "-I", str(tools / "inside.py")),
                *(str(port), str(self.door), str(REPOSITORY), "sh", "build.sh"),
            ],
            cwd=work,
            env=self._environment(told, run=run, tools=tools, home=home),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_LONGEST,
        )
        (place / "log").write_text(ran.stdout)
        assert list(home.iterdir()) == []
        return ran.returncode, ran.stdout

    def _environment(self, told: Mapping[str, str], *, run: str, tools: Path, home: Path) -> dict[str, str]:
        return {
            "PATH": f"{tools}:{_SYSTEM}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            # as CodeBuild tells every build
            "CODEBUILD_BUILD_ID": run,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            # as the project tells its builds (terraform-modules/aws-ttl/destroyer.tf)
            "ZAVE_BUCKET": PARTS.bucket,
            "ZAVE_DESTROYER_ROLE": PARTS.destroyer_role_arn,
            # CodeBuild's come from a service of its own; moto takes any
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.server.url,
            **told,
        }


@contextmanager
def machines(folder: Path, server: MotoServer) -> Iterator[Machine]:
    """Machines whose only way out is a socket that leads to `server`."""
    address = urlsplit(server.url)
    # short: a socket's path may have 108 bytes (unix(7))
    with tempfile.TemporaryDirectory(prefix="zave-") as name:
        door = Path(name, "door")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(door))
        listener.listen(64)
        to = (socket.AF_INET, (address.hostname, address.port))
        threading.Thread(target=inside.forward, args=(listener, *to), daemon=True).start()
        try:
            yield Machine(folder, server, door)
        finally:
            # wakes up who waits in accept
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
