"""kubectl as the way to one cluster's API: one process a request, and its failures told apart.

Reads and deletions go to plain paths of the API (`--raw`). So nothing is discovered first, and a kind
that the cluster does not know is the same plain answer, 404, as an object that it does not have.
"""

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zave.errors import InterruptedRunError, PreconditionError, ToolFailedError, UnreachableError
from zave.ports import Request
from zave.text import clean
from zave.tools.child_environment import PROXIES, inherited
from zave.tools.child_output import last_words, whole_output
from zave.tools.kubectl import Kubectl

Document = Mapping[str, Any]

MANAGER = "zave"
"""The field manager of every change: Flux takes back what is changed in the name of kubectl itself."""

_LONGEST_LOG = 4000
# an API may lie outside of a company's network
_INHERITED = ("PATH", *PROXIES)

# kubectl's own sentences: StandardErrorMessage in pkg/cmd/util/helpers.go, Kubernetes 1.35.4
_REFUSED = re.compile(r"^Error from server(?: \((?P<reason>\w+)\))?: ", re.MULTILINE)
_STRANGER = re.compile(r"^error: You must be logged in to the server", re.MULTILINE)
_NO_ANSWER = re.compile(
    r"^(?:Unable to connect to the server: |The connection to the server \S+ was refused )", re.MULTILINE
)
# a server that answers and is not trusted, or credentials that cannot be had, are no silence
_NO_TRUST = re.compile(r"x509: |tls: |getting credentials: ")
# said by the API server: it runs, what it stands on (etcd) does not
_NO_ANSWER_BEHIND = frozenset({"ServiceUnavailable", "Timeout", "ServerTimeout", "TooManyRequests"})
_ETCD = "etcdserver: "
_GONE = ("Error from server (NotFound): ", "error: the server doesn't have a resource type")
_KIND_GONE = 'no matches for kind "'


@dataclass(frozen=True)
class Limits:
    """Seconds of real time: `request` for one answer of the API, `program` for kubectl as a whole."""

    request: float = 15.0
    program: float = 45.0


@dataclass(frozen=True)
class _Answer:
    """What kubectl printed, and how the API took it: `reason` is its word for a refusal."""

    done: bool
    text: str
    errors: str = ""
    reason: str | None = None


@dataclass(frozen=True)
class KubectlApi:
    """The API of the cluster that `kubeconfig` leads to; never the user's own kubeconfig.

    `environment` is for the program that a kubeconfig may name to get credentials (EKS: `AWS_*`). Each
    verb raises UnreachableError where the API does not answer, ToolFailedError where it refuses or
    kubectl fails, PreconditionError without the kubeconfig. A missing object or kind is never an error.
    """

    kubectl: Kubectl
    kubeconfig: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()

    def get(self, path: str) -> Document | None:
        """The document at `path` of the API (`/api/v1/services`), None for a 404."""
        answer = self._run("get", "--raw", path)
        if not answer.done:
            return None
        try:
            document = json.loads(answer.text)
        except (ValueError, RecursionError) as error:
            raise ToolFailedError(
                "the cluster's answer is no JSON", where=path, details=clean(answer.text[:200]) or None
            ) from error
        if not isinstance(document, dict):
            raise ToolFailedError("the cluster's answer is no object", where=path)
        return document

    def delete(self, path: str) -> bool:
        """Ask for the deletion of the object at `path`; does not wait. False when it was gone."""
        return self._run("delete", "--raw", path).done

    def remove(self, resource: str, name: str, *, namespace: str) -> bool:
        """Ask for the deletion of an object of a kind by `Kind.version.group`. False when it was gone."""
        return self._known("delete", resource, name, "--wait=false", namespace=namespace).done

    def find(self, resource: str, name: str, *, namespace: str) -> Document | None:
        """An object of a kind by `Kind.version.group`, for kinds whose path is not known."""
        answer = self._known("get", resource, name, "--output=json", namespace=namespace)
        if not answer.done:
            return None
        document: Document = json.loads(answer.text)
        return document

    def patch(self, objects: Sequence[Document], change: Document) -> None:
        """Change all `objects` by one JSON merge patch; those that are gone are left out.

        Of each object its apiVersion, kind, name and namespace are enough. The patch is an argument:
        it must hold nothing secret.
        """
        if not objects:
            return
        argv = [
            "--type=merge",
            f"--field-manager={MANAGER}",
            f"--patch={json.dumps(change)}",
            "--output=name",
        ]
        stream = json.dumps({"apiVersion": "v1", "kind": "List", "items": [_named(each) for each in objects]})
        answer = self._run("patch", "--filename=-", *argv, given=stream.encode(), tolerate=True)
        if not answer.done and any(not _says_gone(line) for line in answer.errors.splitlines()):
            self._raise("patch", answer)

    def apply(self, objects: Sequence[Document]) -> None:
        """Apply `objects` on the server's side, whoever had their fields before. On stdin: may be secret."""
        stream = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.apply_text(stream.encode())

    def apply_text(self, manifests: bytes) -> None:
        """Apply a stream of manifests, YAML or JSON, as `apply` does."""
        options = ("--server-side", "--force-conflicts", f"--field-manager={MANAGER}", "--filename=-")
        answer = self._run("apply", *options, given=manifests, tolerate=True)
        if not answer.done:
            self._raise("apply", answer)

    def logs(self, pod: str, *, namespace: str, container: str, lines: int, previous: bool = False) -> str:
        """The last `lines` of a container's log, cleaned; empty where there is none to be had."""
        words = [f"--namespace={namespace}", f"--container={container}", f"--tail={lines}"]
        words += ["--previous"] if previous else []
        answer = self._run("logs", *words, "--", pod, tolerate=True)
        return clean(answer.text[-_LONGEST_LOG:]) if answer.done else ""

    def _known(self, verb: str, resource: str, name: str, *options: str, namespace: str) -> _Answer:
        where = [f"--namespace={namespace}"] if namespace else []
        answer = self._run(verb, *where, *options, "--", resource, name, tolerate=True)
        # a kind that went with its definition is gone as well; kubectl says so in words of its own
        if not answer.done and answer.reason != "NotFound" and not _says_gone(answer.errors):
            self._raise(verb, answer)
        return answer

    def _run(self, verb: str, *argv: str, given: bytes | None = None, tolerate: bool = False) -> _Answer:
        """One kubectl. Without `tolerate` every failure but a 404 is raised; no answer always is."""
        answer = self._start(verb, *argv, given=given)
        if answer.done:
            return answer
        silent = _is_silent(answer)
        if silent is None:
            # an unknown sentence: whether anybody answers at all decides
            second = self._start("get", "--raw", "/version")
            silent = not second.done and bool(_is_silent(second))
        if silent:
            raise UnreachableError(
                "the cluster's API does not answer",
                where=f"kubectl {verb}, {self.kubeconfig}",
                details=answer.errors or None,
                resolution="see whether the cluster's machines run and can be reached, then run it again",
            )
        if answer.reason != "NotFound" and not tolerate:
            self._raise(verb, answer)
        return answer

    def _raise(self, verb: str, answer: _Answer) -> None:
        raise ToolFailedError(
            f"kubectl {verb} failed" + (f" ({answer.reason})" if answer.reason else ""),
            where=str(self.kubeconfig),
            details=answer.errors or None,
            resolution="what the cluster says is above; correct it, then run the same command again",
        )

    def _start(self, verb: str, *argv: str, given: bytes | None = None) -> _Answer:
        if not self.kubeconfig.is_file():
            raise PreconditionError(
                "there is no kubeconfig", where=str(self.kubeconfig), resolution="`zave up` makes it"
            )
        with tempfile.TemporaryDirectory(prefix="zave-kubectl-") as name:
            scratch = Path(name)
            output, errors = scratch / "output", scratch / "errors"
            surroundings = inherited(_INHERITED, environ=os.environ)
            outcome = self.kubectl.runner.run(
                Request(
                    argv=(
                        *(str(self.kubectl.path), verb, f"--kubeconfig={self.kubeconfig}"),
                        *(f"--cache-dir={scratch}/cache", f"--request-timeout={self.limits.request:g}s"),
                        *argv,
                    ),
                    cwd=scratch,
                    log=output,
                    errors=errors,
                    environment={"HOME": name, **surroundings, **self.environment},
                    timeout=self.limits.program,
                    interrupt_grace=2.0,
                    input=given,
                )
            )
            if outcome.interrupted:
                raise InterruptedRunError(
                    f"kubectl {verb} was interrupted", resolution="run the same command again: it goes on"
                )
            said = last_words(errors)
            if outcome.timed_out:
                return _Answer(False, "", said or "no answer in time", "Timeout")
            text = whole_output(output, name=f"kubectl {verb}").decode("utf-8", "replace")
        match = _REFUSED.search(said)
        return _Answer(outcome.exit_code == 0, text, said, match["reason"] if match else None)


def _is_silent(answer: _Answer) -> bool | None:
    """Whether nobody answered; None where kubectl's words do not tell."""
    if answer.reason in _NO_ANSWER_BEHIND or _ETCD in answer.errors:
        return True
    if _REFUSED.search(answer.errors) or _STRANGER.search(answer.errors) or _NO_TRUST.search(answer.errors):
        return False
    return True if _NO_ANSWER.search(answer.errors) else None


def _says_gone(line: str) -> bool:
    return line.startswith(_GONE) or _KIND_GONE in line


def _named(each: Document) -> Document:
    metadata = {key: each["metadata"][key] for key in ("name", "namespace") if key in each["metadata"]}
    return {"apiVersion": each["apiVersion"], "kind": each["kind"], "metadata": metadata}
