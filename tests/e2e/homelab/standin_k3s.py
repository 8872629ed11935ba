#!/usr/bin/env python3
"""Stands in for k3s in the home lab's tests: it starts, joins and answers as k3s does, and runs nothing.

    k3s server | agent          what the machine's unit starts; reads /etc/rancher/k3s/config.yaml
    k3s --version
    k3s kubectl get|annotate|cordon|uncordon|drain|delete ...   (of secrets: nodes' passwords only)
    k3s etcd-snapshot save

As k3s does, a server makes a certificate authority, writes its tokens in secure form and a kubeconfig,
and serves HTTPS on 6443; an agent believes the authority only if its digest is the one in the agent's
token. A node's name belongs to the first password that came with it, until that is deleted, or the node. An
agent that is not let in tries again and again, and stays alive. What a server was told lies in its datastore
(SQLite), one object a node; every join, with what was sent, in `server/joins.jsonl`. Everything else of
Kubernetes is missing.

Only Python's standard library and openssl. ZAVE_STANDIN_ROOT puts all files elsewhere, for tests.
"""

import base64
import hashlib
import hmac
import http.client
import http.server
import ipaddress
import json
import os
import re
import secrets
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

Config = dict[str, Any]
Node = dict[str, Any]
Told = dict[str, Any]

RELEASE = "v1.35.9+k3s1"
ROOT = Path(os.environ.get("ZAVE_STANDIN_ROOT", "/"))
PORT = int(os.environ.get("ZAVE_STANDIN_PORT", "6443"))
ETC = ROOT / "etc/rancher/k3s"
DATA = ROOT / "var/lib/rancher/k3s"
SERVER = DATA / "server"
TLS = SERVER / "tls"
KUBECONFIG = ETC / "k3s.yaml"
BEAT = 5.0
LOST = 30.0
LARGEST = 1 << 20
# kubelet's own demands under protect-kernel-defaults (kubernetes, pkg/kubelet/cm, setupKernelTunables)
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
}


class RefusedError(Exception):
    """Why this k3s does not start, or does not do what it was asked."""


# configuration


def parse(text: str) -> Config:
    """The YAML that a config.yaml of k3s is made of: keys with a scalar or a list of scalars."""
    values: Config = {}
    name: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        item = re.fullmatch(r"\s*- +(.*)", line)
        if item and name is not None and isinstance(values.get(name), list):
            values[name].append(scalar(item[1]))
            continue
        pair = re.fullmatch(r"([a-z][a-z0-9-]*\+?):(?: +(.*))?", line)
        if pair is None:
            raise RefusedError(f"config.yaml: line {number} is not understood: {line}")
        name, value = pair[1], (pair[2] or "").strip()
        if name in values:
            raise RefusedError(f"config.yaml: line {number}: {name} is there twice")
        if not value:
            values[name] = []
        elif value.startswith("["):
            inner = value.removeprefix("[").removesuffix("]").strip()
            values[name] = [scalar(part.strip()) for part in inner.split(",")] if inner else []
        else:
            values[name] = scalar(value)
    return values


def scalar(text: str) -> str | bool:
    if text.startswith('"'):
        return str(json.loads(text))
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    return {"true": True, "false": False}.get(text, text)


def configuration() -> tuple[Config, str]:
    """(values, SHA-256) of config.yaml and config.yaml.d, as k3s merges them: the later file wins."""
    files = [ETC / "config.yaml", *sorted((ETC / "config.yaml.d").glob("*.yaml"))]
    values: Config = {}
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(content)
        for name, value in parse(content.decode()).items():
            if name.endswith("+"):
                values[name[:-1]] = [*values.get(name[:-1], []), *value]
            else:
                values[name] = value
    return values, digest.hexdigest()


def check(config: Config) -> None:
    """What k3s would not start with."""
    if config.get("protect-kernel-defaults") is True:
        for name, wanted in SYSCTLS.items():
            found = Path("/proc/sys", name).read_text().strip()
            if found != wanted:
                raise RefusedError(
                    f"invalid kernel flag: {name}, expected value: {wanted}, actual value: {found}"
                )
    for argument in config.get("kube-apiserver-arg", []):
        name, _, value = argument.partition("=")
        if name.endswith(("-file", "-config")) and not (ROOT / value.lstrip("/")).is_file():
            raise RefusedError(f"{name}: {value} is not there")


def secret(config: Config, option: str) -> str | None:
    """A token, from the file that the configuration names; only its owner may read it."""
    named = config.get(option)
    if not isinstance(named, str):
        return None
    file = ROOT / named.lstrip("/")
    if file.stat().st_mode & 0o077:
        raise RefusedError(f"{named} can be read by others")
    return file.read_text().strip()


def secure(token: str | None) -> tuple[str, ...]:
    """(digest of the authority, user, password) of a token in the form K10<digest>::<user>:<password>."""
    matched = re.fullmatch(r"K10([0-9a-f]{64})::([a-z]+):(\S+)", token or "")
    if matched is None:
        raise RefusedError("the token is not in secure form: K10<SHA-256 of the CA>::<user>:<password>")
    return matched.groups()


# the authority


def openssl(*arguments: str) -> None:
    ran = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RefusedError(f"openssl {arguments[0]}: {ran.stderr[-500:]}")


def authority() -> None:
    """Made once: a restart must not change what agents trust."""
    TLS.mkdir(parents=True, exist_ok=True)
    for folder in (SERVER, TLS):
        folder.chmod(0o700)
    if (TLS / "server-ca.crt").exists():
        return
    with Private(TLS):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", "3650", "-subj", "/CN=k3s-server-ca", "-keyout", str(TLS / "server-ca.key"),
                "-out", str(TLS / "server-ca.new"))  # fmt: skip
        (TLS / "server-ca.new").rename(TLS / "server-ca.crt")


def certificate(name: str, subject: str, extensions: str) -> None:
    with Private(TLS), tempfile.NamedTemporaryFile("w", dir=TLS) as options:
        options.write(extensions)
        options.flush()
        request = TLS / f"{name}.csr"
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", subject, "-keyout", str(TLS / f"{name}.key"), "-out", str(request))  # fmt: skip
        openssl("x509", "-req", "-in", str(request), "-CA", str(TLS / "server-ca.crt"),
                "-CAkey", str(TLS / "server-ca.key"), "-CAcreateserial", "-days", "365",
                "-extfile", options.name, "-out", str(TLS / f"{name}.crt"))  # fmt: skip
        request.unlink()


class Private:
    """Files made meanwhile belong to their owner alone."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> None:
        self.before = os.umask(0o077)

    def __exit__(self, *_error: object) -> None:
        os.umask(self.before)


def digest_of_authority() -> str:
    return hashlib.sha256((TLS / "server-ca.crt").read_bytes()).hexdigest()


def write(file: Path, text: str, mode: int = 0o600) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as stream:
        stream.write(text)
    new.chmod(mode)
    new.rename(file)


def kubeconfig(mode: int) -> None:
    def data(name: str) -> str:
        return base64.b64encode((TLS / name).read_bytes()).decode()

    text = (
        "apiVersion: v1\nkind: Config\npreferences: {}\ncurrent-context: default\n"
        f"clusters:\n- cluster:\n    certificate-authority-data: {data('server-ca.crt')}\n"
        f"    server: https://127.0.0.1:{PORT}\n  name: default\n"
        "contexts:\n- context:\n    cluster: default\n    user: default\n  name: default\n"
        f"users:\n- name: default\n  user:\n    client-certificate-data: {data('client-admin.crt')}\n"
        f"    client-key-data: {data('client-admin.key')}\n"
    )
    write(KUBECONFIG, text, mode)


# the datastore


class Store:
    """Objects by name in SQLite, where k3s keeps its own."""

    def __init__(self) -> None:
        (SERVER / "db").mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()
        self.database = sqlite3.connect(SERVER / "db/state.db", check_same_thread=False, isolation_level=None)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("CREATE TABLE IF NOT EXISTS kine (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        self.seen: dict[str, float] = {}

    def nodes(self) -> list[Node]:
        with self.lock:
            rows = self.database.execute(
                "SELECT value FROM kine WHERE name LIKE '/registry/minions/%' ORDER BY name"
            )
            return [json.loads(value) for (value,) in rows.fetchall()]

    def change(self, name: str, change: Callable[[Node | None], Node | None]) -> Node | None:
        """Apply `change` to the node's object, None where there is none yet; None deletes it."""
        key = f"/registry/minions/{name}"
        with self.lock:
            row = self.database.execute("SELECT value FROM kine WHERE name = ?", (key,)).fetchone()
            node = change(json.loads(row[0]) if row else None)
            if node is None:
                self.database.execute("DELETE FROM kine WHERE name = ?", (key,))
            else:
                self.database.execute("INSERT OR REPLACE INTO kine VALUES (?, ?)", (key, json.dumps(node)))
            return node

    def fits(self, name: str, password: str) -> bool:
        """Whether the node's name is known with this password; the first one that comes is kept."""
        key, digest = secret_of(name), hashlib.sha256(password.encode()).hexdigest()
        with self.lock:
            self.database.execute("INSERT OR IGNORE INTO kine VALUES (?, ?)", (key, json.dumps(digest)))
            row = self.database.execute("SELECT value FROM kine WHERE name = ?", (key,)).fetchone()
        return bool(json.loads(row[0]) == digest)

    def forget(self, name: str) -> None:
        """Delete a node's password."""
        with self.lock:
            self.database.execute("DELETE FROM kine WHERE name = ?", (secret_of(name),))

    def joined(self, told: Told) -> None:
        """A node said that it is there, and what it is."""
        self.seen[told["name"]] = time.monotonic()
        labels = dict(label.split("=", 1) for label in told.get("labels", []))
        labels["kubernetes.io/hostname"] = told["name"]
        if told["role"] == "server":
            labels["node-role.kubernetes.io/control-plane"] = "true"

        def merge(node: Node | None) -> Node:
            node = node or {"apiVersion": "v1", "kind": "Node", "metadata": {"annotations": {}}, "spec": {}}
            node["metadata"].update(name=told["name"], labels=labels)
            node["status"] = {
                "addresses": [
                    {"type": "InternalIP", "address": told["address"]},
                    {"type": "Hostname", "address": told["name"]},
                ],
                "nodeInfo": {"kubeletVersion": told["release"]},
            }
            return node

        self.change(told["name"], merge)

    def ready(self, name: str) -> bool:
        return time.monotonic() - self.seen.get(name, -LOST) < LOST


def secret_of(name: str) -> str:
    return f"/registry/secrets/kube-system/{name}.node-password.k3s"


# the server


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], context: ssl.SSLContext, store: Store, passwords: dict[str, str]
    ) -> None:
        super().__init__(address, Handler)
        self.context, self.store, self.passwords = context, store, passwords

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, peer = super().get_request()
        connection.settimeout(20)
        return self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), peer

    def handle_error(self, request: Any, client_address: Any) -> None:
        print(f"k3s: {client_address[0]}: {sys.exc_info()[1]}", flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_arguments: Any) -> None:
        pass

    def answer(self, status: int, body: Any, kind: str = "application/json") -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def body(self) -> Any:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= LARGEST:
            raise ValueError("no body, or one too large")
        return json.loads(self.rfile.read(length))

    def is_admin(self) -> bool:
        return bool(self.connection.getpeercert())

    def user(self) -> str | None:
        """Who the basic credentials are of; None when they are nobody's."""
        kind, _, encoded = (self.headers.get("Authorization") or "").partition(" ")
        if kind != "Basic":
            return None
        user, _, password = base64.b64decode(encoded).decode().partition(":")
        known = self.server.passwords.get(user)
        return user if known and hmac.compare_digest(known.encode(), password.encode()) else None

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/cacerts":
            self.answer(200, (TLS / "server-ca.crt").read_text(), "text/plain")
        elif not self.is_admin():
            self.answer(401, {"kind": "Status", "status": "Failure", "reason": "Unauthorized", "code": 401})
        elif path in ("/readyz", "/livez", "/healthz"):
            self.answer(200, "ok", "text/plain")
        elif path == "/version":
            self.answer(200, {"major": "1", "minor": "35", "gitVersion": RELEASE})
        elif path == "/api/v1/nodes":
            items = [self.shown(node) for node in self.server.store.nodes()]
            self.answer(200, {"apiVersion": "v1", "kind": "NodeList", "items": items})
        else:
            self.answer(404, {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404})

    def shown(self, node: Node) -> Node:
        ready = self.server.store.ready(node["metadata"]["name"])
        condition = {"type": "Ready", "status": "True" if ready else "Unknown"}
        return {**node, "status": {**node["status"], "conditions": [condition]}}

    def do_POST(self) -> None:
        user = self.user()
        if urlsplit(self.path).path != "/v1-k3s/join" or user is None:
            self.answer(401, {"error": "token CA hash or password does not fit"})
            return
        told = self.body()
        if user == "node" and told["role"] != "agent":
            self.answer(403, {"error": "an agent's token joins agents"})
            return
        if not self.server.store.fits(told["name"], self.headers.get("K3s-Node-Password") or ""):
            self.answer(403, {"error": "unable to verify hash for node"})
            return
        if not told.get("again"):
            note({**told, "peer": self.client_address[0], "user": user})
        self.server.store.joined(told)
        self.answer(200, {"joined": told["name"]})

    def do_PATCH(self) -> None:
        name = urlsplit(self.path).path.removeprefix("/api/v1/nodes/")
        if not self.is_admin() or name not in {
            node["metadata"]["name"] for node in self.server.store.nodes()
        }:
            self.answer(404, {"error": f'nodes "{name}" not found'})
            return
        asked = self.body()

        def merge(node: Node | None) -> Node | None:
            if node is None:
                return None
            for key, value in asked.get("annotations", {}).items():
                node["metadata"]["annotations"].pop(key, None)
                if value is not None:
                    node["metadata"]["annotations"][key] = value
            if "unschedulable" in asked:
                node["spec"] = {"unschedulable": True} if asked["unschedulable"] else {}
            return node

        self.answer(200, self.server.store.change(name, merge))

    def do_DELETE(self) -> None:
        path = urlsplit(self.path).path
        if not self.is_admin():
            self.answer(401, {"error": "unauthorized"})
            return
        secret = path.removeprefix("/api/v1/namespaces/kube-system/secrets/")
        if secret == path:
            name = path.removeprefix("/api/v1/nodes/")
            self.server.store.change(name, lambda _node: None)
        self.server.store.forget(path.rpartition("/")[2].removesuffix(".node-password.k3s"))
        self.answer(200, {"deleted": path})


def note(told: Told) -> None:
    with Private(SERVER), (SERVER / "joins.jsonl").open("a") as stream:
        stream.write(json.dumps(told, sort_keys=True) + "\n")


def serve() -> None:
    config, digest = configuration()
    check(config)
    if config.get("server") is not None:
        raise RefusedError("this stand-in knows one server only")
    given = secret(config, "token-file") or secrets.token_hex(16)
    if given.startswith("K10"):
        given = secure(given)[2]
    agents = secret(config, "agent-token-file") or given
    authority()
    address, name = str(config["node-ip"]), str(config["node-name"])
    names = ["localhost", "kubernetes.default.svc", "127.0.0.1", address, name, *config.get("tls-san", [])]
    certificate("serving", "/CN=k3s", f"subjectAltName={','.join(dict.fromkeys(map(alternative, names)))}\n")
    certificate("client-admin", "/O=system:masters/CN=system:admin", "extendedKeyUsage=clientAuth\n")
    authority_digest = digest_of_authority()
    write(SERVER / "token", f"K10{authority_digest}::server:{given}\n")
    write(SERVER / "agent-token", f"K10{authority_digest}::node:{agents}\n")
    kubeconfig(int(str(config.get("write-kubeconfig-mode", "0600")), 8))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "serving.crt", TLS / "serving.key")
    context.load_verify_locations(TLS / "server-ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    server = Server(("", PORT), context, Store(), {"server": given, "node": agents})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told = introduction("server", config, digest)
    note({**told, "peer": "127.0.0.1", "user": "server"})
    server.store.fits(told["name"], password_of_node())
    server.store.joined(told)
    notify("READY=1")
    print(f"k3s {RELEASE} (stand-in) is up and running", flush=True)
    while True:
        time.sleep(BEAT)
        server.store.joined(told)


def alternative(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); nothing where nobody asked."""
    place = os.environ.get("NOTIFY_SOCKET")
    if place:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect(f"\0{place[1:]}" if place.startswith("@") else place)
            channel.sendall(state.encode())


# the agent


def introduction(role: str, config: Config, digest: str) -> Told:
    return {
        "role": role,
        "name": str(config["node-name"]),
        "address": str(config["node-ip"]),
        "labels": [str(label) for label in config.get("node-label", [])],
        "release": RELEASE,
        "config": config,
        "config_sha256": digest,
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
    }


def password_of_node() -> str:
    """This machine's own, made at its first start (k3s, pkg/agent/config/config.go, ensureNodePassword)."""
    file = ETC.parent / "node/password"
    if not file.exists():
        write(file, f"{secrets.token_hex(16)}\n")
    return file.read_text().strip()


def follow() -> None:
    config, digest = configuration()
    check(config)
    server = urlsplit(str(config["server"]))
    if server.scheme != "https":
        raise RefusedError("the server's URL must be https")
    expected, user, password = secure(secret(config, "token-file"))
    context = trusted(server, expected)
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    told = introduction("agent", config, digest)
    while True:
        connection = http.client.HTTPSConnection(
            host_of(server), server.port or 6443, timeout=20, context=context
        )
        try:
            headers = {"Authorization": f"Basic {credentials}", "K3s-Node-Password": password_of_node()}
            connection.request("POST", "/v1-k3s/join", json.dumps(told), headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 401:
                print("k3s: Failed to validate connection to cluster: the token is refused", flush=True)
            elif answer.status == 403:
                print("k3s: Waiting to retrieve agent configuration: Node password rejected", flush=True)
            elif "again" not in told:
                print(f"k3s {RELEASE} (stand-in): joined {server.hostname}", flush=True)
                told["again"] = True
        except OSError as error:
            print(f"k3s: {server.hostname}: {error}", flush=True)
        finally:
            connection.close()
        time.sleep(BEAT)


def host_of(url: SplitResult) -> str:
    if url.hostname is None:
        raise RefusedError("the server's URL names no host")
    return url.hostname


def trusted(server: SplitResult, expected: str) -> ssl.SSLContext:
    """A TLS context that trusts the server's authority, once its digest is what the token says."""
    unknown = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unknown.check_hostname = False
    unknown.verify_mode = ssl.CERT_NONE
    while True:
        try:
            connection = http.client.HTTPSConnection(
                host_of(server), server.port or 6443, timeout=20, context=unknown
            )
            connection.request("GET", "/cacerts")
            found = connection.getresponse().read(LARGEST)
            if hmac.compare_digest(hashlib.sha256(found).hexdigest(), expected):
                break
            print("k3s: token CA hash does not match the Cluster CA certificate hash", flush=True)
        except OSError as error:
            print(f"k3s: failed to get CA certs: {server.hostname}: {error}", flush=True)
        time.sleep(BEAT)
    return ssl.create_default_context(cadata=found.decode())


# asking


def api(method: str, path: str, body: object = None) -> tuple[int, str]:
    """(status, text) of this machine's server, asked with the credentials of its kubeconfig."""
    text = KUBECONFIG.read_text()

    def value(name: str) -> str:
        found = re.search(rf"{name}: (\S+)", text)
        if found is None:
            raise RefusedError(f"{KUBECONFIG}: there is no {name}")
        return found[1]

    def data(name: str) -> bytes:
        return base64.b64decode(value(name))

    context = ssl.create_default_context(cadata=data("certificate-authority-data").decode())
    with tempfile.TemporaryDirectory() as folder:
        chain = Path(folder, "client.pem")
        chain.write_bytes(data("client-certificate-data") + data("client-key-data"))
        context.load_cert_chain(chain)
    server = urlsplit(value("server"))
    connection = http.client.HTTPSConnection(host_of(server), server.port, timeout=20, context=context)
    connection.request(method, path, None if body is None else json.dumps(body))
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def kubectl(arguments: list[str]) -> None:
    if arguments[:4] == ["-n", "kube-system", "delete", "secret"]:
        for word in arguments[4:]:
            if not word.startswith("-"):
                api("DELETE", f"/api/v1/namespaces/kube-system/secrets/{word}")
        return
    words = [word for word in arguments if not word.startswith("-")]
    verb = words[0] if words else ""
    if verb == "get" and "--raw" in arguments:
        status, text = api("GET", arguments[arguments.index("--raw") + 1])
    elif verb == "get" and words[1:2] in (["nodes"], ["node"], ["no"]):
        status, text = api("GET", "/api/v1/nodes")
    elif verb in ("cordon", "uncordon", "drain"):
        name = words[1].removeprefix("node/")
        status, text = api("PATCH", f"/api/v1/nodes/{name}", {"unschedulable": verb != "uncordon"})
        text = f"node/{name} {verb}ed" if status == 200 else text
    elif verb == "annotate":
        # key=value sets one, key- removes one
        asked = {}
        for word in words[3:]:
            key, sets, value = word.partition("=")
            asked[key if sets else word.removesuffix("-")] = value if sets else None
        status, text = api("PATCH", f"/api/v1/nodes/{words[2]}", {"annotations": asked})
        text = f"node/{words[2]} annotated" if status == 200 else text
    elif verb == "delete":
        status, text = api("DELETE", f"/api/v1/nodes/{words[2]}")
        text = f'node "{words[2]}" deleted' if status == 200 else text
    else:
        raise RefusedError(f"this stand-in does not know: kubectl {' '.join(arguments)}")
    if status != 200:
        raise RefusedError(f"Error from server ({status}): {text}")
    print(text)


def snapshot(arguments: list[str]) -> None:
    """A copy of the datastore, named as k3s names snapshots."""
    prefix = arguments[arguments.index("--name") + 1] if "--name" in arguments else "on-demand"
    config, _ = configuration()
    name = f"{prefix}-{config['node-name']}-{int(time.time())}"
    target = SERVER / "db/snapshots" / name
    with Private(target.parent), sqlite3.connect(SERVER / "db/state.db") as live:
        copy = sqlite3.connect(target)
        live.backup(copy)
        copy.close()
    print(f"Snapshot {name} saved.")


def main(arguments: list[str]) -> None:
    commands = {"server": serve, "agent": follow}
    if arguments[:1] == ["--version"]:
        print(f"k3s version {RELEASE} (standin0)")
    elif arguments[:1] == ["kubectl"]:
        kubectl(arguments[1:])
    elif arguments[:2] == ["etcd-snapshot", "save"]:
        snapshot(arguments[2:])
    elif len(arguments) == 1 and arguments[0] in commands:
        commands[arguments[0]]()
    else:
        raise RefusedError(f"this stand-in does not know: k3s {' '.join(arguments)}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (RefusedError, OSError, KeyError) as error:
        print(f"k3s: {error}", file=sys.stderr)
        sys.exit(1)
