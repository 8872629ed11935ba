"""A real kube-apiserver on Debian's etcd, both on loopback and for one test: an API without any controller.

    with kube_apiserver(folder) as server:
        server.kubeconfig      leads to it, as an administrator
        server.call(...)       one request, past all of zave's code
        server.kill()          as kill -9 does; what it knew is in etcd
        server.start()         again, at the same address
        server.audit()         every change that was asked of it, by its own log

The server is built once from its Go module by the ordinary Go client (`tests/system/kube-apiserver/go.mod`;
3 minutes on two cores) and kept in `.cache`. Skips the test, with the reason, where Go, its modules or etcd
are missing.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

VERSION = "1.35.4"
MODULE = Path(__file__).with_name("kube-apiserver")
CACHE = Path(__file__).parents[2] / ".cache" / "kube-apiserver"

_PROGRAMS = ("etcd", "setpriv", "ssh-keygen")
_BUILD_SECONDS = 1500
_READY_SECONDS = 90
# go.mod asks for 1.25; from 1.21 on an older Go gets that as a module
_OLDEST_GO = (1, 21)
_TOKEN = "administrator-of-a-test"
# reads are left out: an audit is of what was changed, in which order
_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Request", "verbs": ["create", "update", "patch", "delete"]}, {"level": "None"}],
}


def kube_apiserver_program() -> Path:
    """The program, built where it was not yet."""
    missing = [each for each in _PROGRAMS if shutil.which(each, path=_path()) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (tests/system/packages.txt)")
    recipe = hashlib.sha256(b"".join((MODULE / each).read_bytes() for each in ("go.mod", "go.sum")))
    program = CACHE / f"{VERSION}-{recipe.hexdigest()[:16]}"
    if program.is_file():
        return program
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.is_file():
            _build(program)
    return program


def _build(program: Path) -> None:
    go = shutil.which("go", path=_path())
    if go is None:
        pytest.skip("Go is not installed: https://go.dev/dl, 1.21 or newer (Debian 12 has 1.19)")
    environ = {**os.environ, "PATH": _path(), "GOWORK": "off"}
    environ.setdefault("HOME", str(CACHE))
    said = subprocess.run([go, "version"], capture_output=True, text=True, check=True, env=environ).stdout
    version = re.search(r"go(\d+)\.(\d+)", said)
    if version is None or tuple(map(int, version.groups())) < _OLDEST_GO:
        pytest.skip(f"Go 1.21 or newer is needed, this is {said.strip()}")
    if tuple(map(int, version.groups())) < (1, 25):
        environ["GOTOOLCHAIN"] = "auto"
    # a place without the module proxy is no defect; modules that do not build are one
    modules = subprocess.run(
        [go, "mod", "download"], cwd=MODULE, env=environ, capture_output=True, text=True, check=False
    )
    if modules.returncode != 0:
        pytest.skip(f"the Go modules of kube-apiserver cannot be had: {modules.stderr.strip()[-500:]}")
    draft = program.with_suffix(".new")
    # without a version of its own it says v0.0.0, which kubectl does not take for a server's
    flags = f"-s -w -X k8s.io/component-base/version.gitVersion=v{VERSION}"
    build = [go, "build", "-mod=readonly", "-trimpath", f"-ldflags={flags}", "-o", str(draft)]
    subprocess.run(
        [*build, "k8s.io/kubernetes/cmd/kube-apiserver"],
        cwd=MODULE,
        env=environ,
        check=True,
        timeout=_BUILD_SECONDS,
    )
    draft.replace(program)


@dataclass(frozen=True)
class Change:
    """A change that was asked of the API, as its audit log has it. `body` is what was sent, if anything."""

    verb: str
    resource: str
    namespace: str
    name: str
    code: int
    manager: str
    client: str
    body: Any = None


@dataclass
class KubeApiserver:
    """One server; its etcd runs as long as the test does."""

    program: Path
    folder: Path
    etcd: str
    port: int
    store: "subprocess.Popen[bytes]" = field(repr=False)
    arguments: Sequence[str] = ()
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def kubeconfig(self) -> Path:
        """Of an administrator."""
        return self.folder / "kubeconfig"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it is ready. From the test's main thread: it ends with that."""
        options = {
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "secure-port": self.port,
            "cert-dir": self.folder / "certificates",
            "etcd-servers": self.etcd,
            "token-auth-file": self.folder / "tokens",
            "authorization-mode": "RBAC",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": self.folder / "key",
            "service-account-signing-key-file": self.folder / "key",
            "service-cluster-ip-range": "10.0.0.0/24",
            "endpoint-reconciler-type": "none",
            # or such pods are refused before their namespace is asked
            "allow-privileged": "true",
            # nobody is there who makes the service accounts of namespaces
            "disable-admission-plugins": "ServiceAccount",
            "audit-policy-file": self.folder / "audit-policy",
            "audit-log-path": self.folder / "audit.jsonl",
            # written before the answer is given: a kill loses nothing
            "audit-log-mode": "blocking",
        }
        # of an option that is there twice the last one counts
        argv = [str(self.program), *(f"--{name}={value}" for name, value in options.items()), *self.arguments]
        self._process = _process(argv, log=self.folder / "apiserver.log")
        _until(self._is_ready, self._process, log=self.folder / "apiserver.log")
        self._write_kubeconfig()

    def kill(self) -> None:
        """End it at once."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it, if it runs."""
        if self.running:
            self.kill()

    @contextlib.contextmanager
    def store_stopped(self) -> Iterator[None]:
        """Hold etcd where it is: it takes connections, and answers nothing."""
        os.killpg(self.store.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.store.pid, signal.SIGCONT)
            _until(self._is_ready, self.store, log=self.folder / "etcd.log")

    def call(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> Any:
        """The answer to one request; None for a 404. Raises HTTPError for any other refusal."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {_TOKEN}", "Content-Type": kind, "User-Agent": "the-test"},
        )
        context = ssl.create_default_context(cafile=str(self._authority))
        try:
            with urllib.request.urlopen(request, context=context, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise

    def audit(self, *, client: str = "kubectl") -> list[Change]:
        """The changes that a client asked for, in the order in which they were answered."""
        lines = (self.folder / "audit.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        return [change for change in map(_change, events) if change.client.startswith(client)]

    @property
    def _authority(self) -> Path:
        return self.folder / "certificates" / "apiserver.crt"

    def _is_ready(self) -> bool:
        if not self._authority.is_file():
            return False
        request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {_TOKEN}"})
        try:
            context = ssl.create_default_context(cafile=str(self._authority))
            with urllib.request.urlopen(request, context=context, timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, ssl.SSLError):
            return False

    def _write_kubeconfig(self) -> None:
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": self.url, "certificate-authority": str(self._authority)},
                }
            ],
            "users": [{"name": "test", "user": {"token": _TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        self.kubeconfig.write_text(json.dumps(document))
        self.kubeconfig.chmod(0o600)


@contextlib.contextmanager
def kube_apiserver(folder: Path, *, arguments: Sequence[str] = ()) -> Iterator[KubeApiserver]:
    """A server that is ready, with an empty etcd; all it keeps is in `folder`. `arguments` are its own."""
    program = kube_apiserver_program()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokens").write_text(f'{_TOKEN},administrator,1,"system:masters"\n')
    (folder / "audit-policy").write_text(json.dumps(_POLICY))
    (folder / "audit.jsonl").touch()
    keygen = ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f", str(folder / "key")]
    subprocess.run(keygen, check=True, stdin=subprocess.DEVNULL)
    client, peer, own = _free_ports(3)
    etcd, url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    argv = ["etcd", "--data-dir", str(folder / "etcd"), "--listen-client-urls", etcd]
    argv += ["--advertise-client-urls", etcd, "--listen-peer-urls", url, "--unsafe-no-fsync"]
    argv += ["--initial-advertise-peer-urls", url, "--initial-cluster", f"default={url}"]
    store = _process(argv, log=folder / "etcd.log")
    server = KubeApiserver(program, folder, etcd, own, store, arguments)
    try:
        _until(lambda: _is_healthy(etcd), store, log=folder / "etcd.log")
        server.start()
        yield server
    finally:
        server.stop()
        store.kill()
        store.wait()


def _process(argv: list[str], *, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output:
        return subprocess.Popen(
            # it ends with whoever started it, also when that is killed
            ["setpriv", "--pdeathsig", "KILL", *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": _path(), "HOME": str(log.parent)},
            start_new_session=True,
        )


def _until(ready: Any, process: "subprocess.Popen[bytes]", *, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"{log.stem} does not start: {log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)


def _is_healthy(etcd: str) -> bool:
    try:
        with urllib.request.urlopen(f"{etcd}/health", timeout=5) as answer:
            return json.loads(answer.read()).get("health") in ("true", True)
    except OSError:
        return False


def _change(event: Mapping[str, Any]) -> Change:
    place = event.get("objectRef") or {}
    manager = re.search(r"fieldManager=([^&]+)", str(event.get("requestURI")))
    return Change(
        verb=str(event["verb"]),
        resource=str(place.get("resource")),
        namespace=str(place.get("namespace") or ""),
        name=str(place.get("name") or ""),
        code=int((event.get("responseStatus") or {}).get("code") or 0),
        manager=manager[1] if manager else "",
        client=str(event.get("userAgent", "")),
        body=event.get("requestObject"),
    )


def _free_ports(count: int) -> list[int]:
    """Ports that nobody has now; all are held until each is found."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _path() -> str:
    return ":".join([os.environ.get("PATH", ""), "/usr/local/go/bin", "/usr/bin", "/bin"])
