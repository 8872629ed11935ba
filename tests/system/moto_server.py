"""A real moto server on loopback, as a process of its own: AWS's APIs for tests, without an account.

Run as a program it serves; imported it starts one. In front of moto stands a gate that writes down each
call, refuses those that a test wants refused, and corrects what moto is known to do unlike AWS (aws.md of
2026-11-23, section 6): builds that are over before they began and forget what they were told, and a
schedule group whose schedules stay when it goes. What moto does not know at all and zave asks is answered as
AWS would. Policies of buckets are kept and not asked.
"""

import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

Environ = dict[str, Any]
Start = Callable[..., Any]

_CONTROL = "/zave-test/"
SMALL_PAGE = 20
"""Objects in one page of a bucket's list: AWS has 1000, which takes long to fill."""

_EKS_LISTS = re.compile(r"eks:GET /clusters/[^/]+/(addons|access-entries|pod-identity-associations)")
_EKS_NAMES = {
    "addons": "addons",
    "access-entries": "accessEntries",
    "pod-identity-associations": "associations",
}
_JSON = "application/x-amz-json-1.1"


# the client's side


@dataclass(frozen=True)
class MotoServer:
    """A server that runs. `url` takes the place of all of AWS's addresses."""

    url: str

    def reset(self) -> None:
        """Empty every account, and forget calls, faults and builds."""
        self._control("reset", {})

    def calls(self) -> list[str]:
        """What was called since the reset, in order: `service:Operation`, or `service:METHOD /path`."""
        found: list[str] = self._control("calls", {})
        return found

    def forms(self, call: str) -> list[dict[str, str]]:
        """What calls of that name said, of services that are told by forms."""
        found: list[dict[str, str]] = self._control("forms", {"call": call})
        return found

    def refuse(self, call: str, *, code: str, status: int = 400, times: int = 1) -> None:
        """Let the next `times` calls that begin with `call` be refused with `code`."""
        self._control("refuse", {"call": call, "code": code, "status": status, "times": times})

    def answer(self, call: str, body: Mapping[str, Any] | str) -> None:
        """Answer calls that begin with `call` with this JSON, or XML: moto does not know them so."""
        self._control("answer", {"call": call, "body": body if isinstance(body, str) else dict(body)})

    def end_build(self, build: str, *, status: str, reason: str = "") -> None:
        """Let a build come to its end: `SUCCEEDED`, `FAILED`, ..."""
        self._control("build", {"id": build, "status": status, "reason": reason})

    def _control(self, verb: str, body: Mapping[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{self.url}{_CONTROL}{verb}", data=json.dumps(body).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


@contextmanager
def moto_server(log: Path) -> Iterator[MotoServer]:
    """Start a server on a free port; it ends with the block, and with the process that started it."""
    argv = [sys.executable, "-W", "ignore", str(Path(__file__).resolve())]
    # moto signs its own calls with these; the caller's are none of its business
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    # moto's own images and their thousand snapshots
    inherited["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    inherited["MOTO_S3_DEFAULT_MAX_KEYS"] = str(SMALL_PAGE)
    with log.open("wb") as errors:
        child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=inherited
        )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        port = child.stdout.readline().decode().strip()
        if not port.isdigit():
            raise RuntimeError(f"moto did not start: {log.read_text()[-2000:]}")
        yield MotoServer(f"http://127.0.0.1:{port}")
    finally:
        # its end is the end of its stdin
        child.stdin.close()
        child.wait(timeout=30)
        child.stdout.close()


# the server's side


@dataclass
class _Fault:
    call: str
    code: str
    status: int
    times: int


class _Gate:
    """The WSGI application in front of moto."""

    def __init__(self, moto: Callable[[Environ, Start], Iterable[bytes]]) -> None:
        self._moto = moto
        self._lock = threading.Lock()
        self._clear()

    def _unknown_to_moto(self, call: str) -> Any:
        """What AWS would say of an empty cluster, where moto knows no such call."""
        match = _EKS_LISTS.fullmatch(call)
        return None if match is None else {_EKS_NAMES[match[1]]: []}

    def _clear(self) -> None:
        self._calls: list[str] = []
        self._forms: list[tuple[str, dict[str, str]]] = []
        self._faults: list[_Fault] = []
        self._answers: dict[str, Any] = {}
        self._told: dict[str, list[dict[str, str]]] = {}
        self._ended: dict[str, dict[str, str]] = {}
        self._subscribers: dict[tuple[str, float], Any] = {}

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        body = _body(environ)
        path = environ.get("PATH_INFO", "")
        if path.startswith(_CONTROL):
            return _reply(
                start, self._control(path.removeprefix(_CONTROL), json.loads(body or b"{}"), environ)
            )
        call = _name(environ, body)
        with self._lock:
            self._calls.append(call)
            self._forms.append((call, _form(environ, body)))
            fault = next((each for each in self._faults if call.startswith(each.call) and each.times), None)
            if fault is not None:
                fault.times -= 1
            answer = next((found for name, found in self._answers.items() if call.startswith(name)), None)
            answer = self._unknown_to_moto(call) if answer is None else answer
        if fault is not None:
            return _refusal(start, fault, environ)
        if call == "budgets:CreateBudget":
            self._keep_subscribers(json.loads(body))
        if answer is None and call == "budgets:DescribeSubscribersForNotification":
            answer = self._told_by_budget(json.loads(body))
        if answer is not None:
            return _reply(start, answer)
        if call in ("codebuild:StartBuild", "codebuild:BatchGetBuilds"):
            return self._builds(call, json.loads(body), environ, start)
        return self._moto(environ, start)

    def _control(self, verb: str, body: Any, environ: Environ) -> Any:
        with self._lock:
            if verb == "calls":
                return self._calls
            if verb == "forms":
                return [form for call, form in self._forms if call == body["call"]]
            if verb == "refuse":
                self._faults.append(_Fault(**body))
            elif verb == "answer":
                self._answers[body["call"]] = body["body"]
            elif verb == "build":
                self._ended[body["id"]] = body
            elif verb == "reset":
                self._clear()
                reset = {
                    **environ,
                    "PATH_INFO": "/moto-api/reset",
                    "wsgi.input": BytesIO(b""),
                    "CONTENT_LENGTH": "0",
                }
                list(self._moto(reset, lambda *_: None))
            return {}

    def _keep_subscribers(self, asked: Any) -> None:
        """moto forgets whom a notification tells."""
        with self._lock:
            for each in asked.get("NotificationsWithSubscribers", ()):
                key = (asked["Budget"]["BudgetName"], float(each["Notification"]["Threshold"]))
                self._subscribers[key] = each["Subscribers"]

    def _told_by_budget(self, asked: Any) -> Any:
        with self._lock:
            key = (asked["BudgetName"], float(asked["Notification"]["Threshold"]))
            return {"Subscribers": self._subscribers.get(key, [])}

    def _builds(self, call: str, asked: Any, environ: Environ, start: Start) -> Iterable[bytes]:
        """Builds that remember what they were told, and run until the test ends them."""
        heard: list[Any] = []
        answer = b"".join(self._moto(environ, lambda *words: heard.extend(words)))
        if not heard[0].startswith("200"):
            start(heard[0], heard[1])
            return [answer]
        document = json.loads(answer)
        with self._lock:
            builds = [document["build"]] if call.endswith("StartBuild") else document["builds"]
            for build in builds:
                if call.endswith("StartBuild"):
                    self._told[build["id"]] = asked.get("environmentVariablesOverride", [])
                build["environment"]["environmentVariables"] = self._told.get(build["id"], [])
                _finish(build, self._ended.get(build["id"]))
        return _reply(start, document)


def _finish(build: dict[str, Any], ended: Mapping[str, str] | None) -> None:
    build["buildComplete"] = ended is not None
    build["buildStatus"] = "IN_PROGRESS" if ended is None else ended["status"]
    if ended is None:
        build.pop("endTime", None)
        return
    build["endTime"] = build.get("endTime") or build["startTime"]
    phase = {"phaseType": "BUILD", "phaseStatus": ended["status"], "contexts": [{"message": ended["reason"]}]}
    build["phases"] = [phase]


def _body(environ: Environ) -> bytes:
    """The request's body, put back for whoever reads it next."""
    if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        return b""  # of S3 alone, where nobody here needs it
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = BytesIO(body)
    return body


def _name(environ: Environ, body: bytes) -> str:
    """What is called, from the signature's scope and the protocol's ways to name an operation."""
    _, _, scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")
    words = scope.split("/")
    service = words[3] if len(words) > 3 else "unsigned"
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return f"{service}:{target.rpartition('.')[2]}"
    action = _form(environ, body).get("Action")
    if action:
        return f"{service}:{action}"
    return f"{service}:{environ['REQUEST_METHOD']} {environ.get('PATH_INFO', '')}"


def _form(environ: Environ, body: bytes) -> dict[str, str]:
    if not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return {}
    return {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}


def _reply(start: Start, document: Any) -> Iterable[bytes]:
    body = (document if isinstance(document, str) else json.dumps(document)).encode()
    kind = "text/xml" if isinstance(document, str) else _JSON
    start("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def _refusal(start: Start, fault: _Fault, environ: Environ) -> Iterable[bytes]:
    """An error in the words of the protocol that asked: JSON, or XML."""
    text = f"{fault.code}, as this test wants it"
    scope = environ.get("HTTP_AUTHORIZATION", "")
    error = f"<Error><Code>{fault.code}</Code><Message>{text}</Message></Error>"
    xml = f"<ErrorResponse>{error}</ErrorResponse>"
    if "/ec2/" in scope:
        xml = f"<Response><Errors>{error}</Errors></Response>"
    elif "/s3/" in scope:
        xml = error
    asks_json = environ.get("HTTP_X_AMZ_TARGET") or "/scheduler/" in scope or "/eks/" in scope
    body = json.dumps({"__type": fault.code, "message": text}).encode() if asks_json else xml.encode()
    kind = _JSON if asks_json else "text/xml"
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("x-amzn-errortype", fault.code)]
    start(f"{fault.status} Refused", headers)
    return [body]


def _serve() -> None:
    from moto.iam.access_control import PermissionResult
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from moto.s3.models import FakeBucket
    from werkzeug.serving import make_server

    # a bucket's policy denies what comes without TLS, and everything comes so here
    FakeBucket.get_permission = lambda *_: PermissionResult.NEUTRAL  # type: ignore[method-assign]
    moto: Any = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, _Gate(moto), threaded=True, request_handler=MotoRequestHandler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.buffer.read()  # until whoever started it is gone


if __name__ == "__main__":
    _serve()
