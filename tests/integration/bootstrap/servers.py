"""Real Git behind real servers on loopback: git-http-backend over TLS, and OpenSSH."""

import base64
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
NOBODYS: Mapping[str, str] = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "somebody",
    "GIT_AUTHOR_EMAIL": "somebody@example.org",
    "GIT_COMMITTER_NAME": "somebody",
    "GIT_COMMITTER_EMAIL": "somebody@example.org",
}


def git(*words: str | Path, at: Path | None = None, stdin: bytes = b"") -> str:
    """Git as a test uses it: without anybody's configuration."""
    place: list[str | Path] = ["-C", at] if at else []
    whole: list[str | Path] = ["git", *place, *words]
    ran = subprocess.run(
        whole,
        env=NOBODYS,
        input=stdin,
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode()


@dataclass
class Served:
    """A bare repository as its server sees it."""

    path: Path
    work: Path

    def log(self, form: str = "%s", branch: str = "main") -> list[str]:
        """The branch's commits, newest first."""
        return git("log", f"--format={form}", branch, at=self.path).splitlines()

    def files(self, branch: str = "main") -> list[str]:
        return git("ls-tree", "-r", "--name-only", branch, at=self.path).splitlines()

    def read(self, path: str, branch: str = "main") -> str:
        return git("show", f"{branch}:{path}", at=self.path)

    def tip(self, branch: str = "main") -> str:
        return git("rev-parse", branch, at=self.path).strip()

    def edit(self, message: str = "by hand", **files: str | None) -> str:
        """Somebody else's commit; `__` in a name is a slash, `_dot_` a dot, None removes."""
        shutil.rmtree(self.work, ignore_errors=True)
        git("clone", "-q", "--no-local", self.path, self.work)
        git("checkout", "-q", "-B", "main", at=self.work)
        for name, content in files.items():
            file = self.work / name.replace("__", "/").replace("_dot_", ".")
            if content is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(content)
        git("add", "-A", at=self.work)
        git("commit", "-q", "--allow-empty", "-m", message, at=self.work)
        git("push", "-q", "origin", "main", at=self.work)
        return self.tip()

    def rewrite(self) -> str:
        """Somebody else's forced push: a branch with another history."""
        tree = git("mktree", at=self.path)
        commit = git("commit-tree", tree.strip(), "-m", "begun anew", at=self.path).strip()
        git("update-ref", "refs/heads/main", commit, at=self.path)
        return commit

    def everything(self) -> str:
        """Every commit with all that it changed."""
        return git("log", "-p", "--all", "--format=%B%an%ae", at=self.path)


@dataclass
class HttpsGit:
    """git-http-backend behind TLS and basic authentication with `token`."""

    folder: Path
    token: str
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    """Called once, before the first request whose path and query end so."""
    after: dict[str, Callable[[], object]] = field(default_factory=dict)
    """Called once, when the backend has done such a request; the answer is then not sent."""
    redirect: str | None = None
    requests: list[str] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    @property
    def authority(self) -> Path:
        return self.folder / "tls.crt"

    def start(self) -> None:
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        files: list[str | Path] = ["-keyout", self.folder / "tls.key", "-out", self.authority]
        words: list[str | Path] = ["openssl", "req", "-x509", "-days", "2", *curve, *subject, *files]
        subprocess.run(words, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority, self.folder / "tls.key")
        handler = type("Handler", (_Handler,), {"site": self})
        server = _Quiet(("127.0.0.1", 0), handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self._server = server

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def url(self, name: str) -> str:
        assert self._server is not None
        return f"https://localhost:{self._server.server_address[1]}/{name}"


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not believe the certificate hangs up: no failure of the server's."""


class _Handler(BaseHTTPRequestHandler):
    site: HttpsGit
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called above
        pass

    def _serve(self) -> None:
        self.site.requests.append(self.path)
        if self.site.redirect:
            self.send_response(301)
            self.send_header("Location", self.site.redirect + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        given = self.headers.get("Authorization", "")
        wanted = "Basic " + base64.b64encode(f"git:{self.site.token}".encode()).decode()
        if given != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        _once(self.site.before, self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        head, _, answer = self._backend(body).partition(b"\r\n\r\n")
        if _once(self.site.after, self.path):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in {**fields, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def _backend(self, body: bytes) -> bytes:
        path, _, query = self.path.partition("?")
        environment = {
            **NOBODYS,
            "GIT_PROJECT_ROOT": str(self.site.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "git",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        return subprocess.run(
            ["git", "http-backend"], env=environment, input=body, capture_output=True, check=False
        ).stdout


def _once(calls: dict[str, Callable[[], object]], path: str) -> bool:
    for end in list(calls):
        if path.endswith(end):
            calls.pop(end)()
            return True
    return False


@dataclass
class SshGit:
    """Repositories behind a real sshd, which lets one key in."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    @property
    def key(self) -> Path:
        return self.folder / "deploy_key"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def start(self) -> None:
        make_key(self.folder / "host_key")
        make_key(self.key)
        (self.folder / "authorized_keys").write_text(self.key.with_suffix(".pub").read_text())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.pin(self.folder / "host_key")
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host_key\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\n"
            "PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        )
        assert SSHD is not None
        with (self.folder / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=log, stdout=log)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self.process.poll() is None, (self.folder / "sshd.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def pin(self, key: Path) -> None:
        public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}\n")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def url(self, name: str) -> str:
        return f"ssh://{os.environ.get('USER') or 'root'}@127.0.0.1:{self.port}{self.folder}/{name}"


def make_key(path: Path) -> Path:
    """A private key at `path`, its public half beside it."""
    for file in (path, path.with_suffix(".pub")):
        file.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path
