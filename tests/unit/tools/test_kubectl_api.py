"""kubectl against one cluster: what it is started with, and how its failures are told apart."""

import json
import os
from pathlib import Path

import pytest

from zave.errors import PreconditionError, ToolFailedError, UnreachableError
from zave.process import ProcessRunner
from zave.tools.kubectl import Kubectl
from zave.tools.kubectl_api import KubectlApi, Limits

REFUSED = "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?"


def scripted(folder: Path, text: str, *, limits: Limits | None = None) -> KubectlApi:
    """A kubectl of the test's own: `$words` are its arguments."""
    program = folder / "kubectl"
    program.write_text(f'#!/bin/sh\nwords="$*"\nprintf "%s\\n" "$words" >>{folder}/called\n{text}\n')
    program.chmod(0o755)
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text("{}")
    return KubectlApi(
        Kubectl(program, ProcessRunner()), kubeconfig, {"AWS_PROFILE": "demo"}, limits or Limits()
    )


def failing(folder: Path, words: str) -> KubectlApi:
    return scripted(folder, f"cat >&2 <<'END'\n{words}\nEND\nexit 1")


def called(folder: Path) -> list[str]:
    return (folder / "called").read_text().splitlines()


def test_only_the_instances_kubeconfig_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/the/users/own")
    monkeypatch.setenv("SECRET_OF_THE_USER", "canary")
    api = scripted(tmp_path, 'printf \'{"env": "%s"}\' "$(env | tr "\\n" " " | tr -d "\\"\\\\")"')
    document = api.get("/version") or {}
    assert "/the/users/own" not in document["env"]
    assert "canary" not in document["env"]
    assert "AWS_PROFILE=demo" in document["env"]
    assert f"HOME={os.environ['HOME']} " not in document["env"]
    assert f"--kubeconfig={tmp_path}/kubeconfig" in called(tmp_path)[0]
    assert "--request-timeout=15s" in called(tmp_path)[0]


def test_what_is_applied_is_read_from_stdin_and_is_no_argument(tmp_path: Path) -> None:
    api = scripted(tmp_path, f"cat >{tmp_path}/given")
    api.apply([{"kind": "Secret", "stringData": {"key": "canary"}}])
    assert "canary" in (tmp_path / "given").read_text()
    assert "canary" not in called(tmp_path)[0]
    assert "--server-side" in called(tmp_path)[0]
    assert "--field-manager=zave" in called(tmp_path)[0]


@pytest.mark.parametrize(
    "words",
    [
        REFUSED,
        "Unable to connect to the server: dial tcp: lookup x.eks.amazonaws.com: no such host",
        "Unable to connect to the server: net/http: TLS handshake timeout",
        "Unable to connect to the server: EOF",
        "Error from server (ServiceUnavailable): apiserver not ready",
        "Error from server (Timeout): the server was unable to return a response",
        "Error from server: etcdserver: request timed out",
        f'E1123 12:00:00 memcache.go:265] "Unhandled Error" err="couldn\'t get current server"\n{REFUSED}',
    ],
)
def test_no_answer_is_told_from_a_refusal(tmp_path: Path, words: str) -> None:
    api = failing(tmp_path, words)
    for ask in (lambda: api.get("/apis"), lambda: api.delete("/x"), lambda: api.apply([{}])):
        with pytest.raises(UnreachableError, match="does not answer") as caught:
            ask()
        assert caught.value.details == words


@pytest.mark.parametrize(
    ("words", "brief"),
    [
        ("Error from server (Forbidden): services is forbidden", r"\(Forbidden\)"),
        ("error: You must be logged in to the server (Unauthorized)", "kubectl get failed"),
        ("Unable to connect to the server: tls: failed to verify certificate: x509: unknown", "get failed"),
        ("Unable to connect to the server: getting credentials: exec: aws not found", "get failed"),
    ],
)
def test_who_answers_and_refuses_is_not_gone(tmp_path: Path, words: str, brief: str) -> None:
    with pytest.raises(ToolFailedError, match=brief) as caught:
        failing(tmp_path, words).get("/api/v1/services")
    assert caught.value.details == words
    assert len(called(tmp_path)) == 1


@pytest.mark.parametrize(
    ("version", "error"),
    [("echo '{}'", ToolFailedError), (f'echo "{REFUSED}" >&2; exit 1', UnreachableError)],
)
def test_behind_an_unknown_failure_somebody_is_asked_whether_he_is_there(
    tmp_path: Path, version: str, error: type[Exception]
) -> None:
    api = scripted(
        tmp_path,
        f'case "$words" in *"/version") {version} ;; *) echo "error: unexpected EOF" >&2; exit 1 ;; esac',
    )
    with pytest.raises(error):
        api.get("/apis")
    assert len(called(tmp_path)) == 2


def test_an_answer_that_takes_too_long_is_none(tmp_path: Path) -> None:
    api = scripted(tmp_path, "exec sleep 60", limits=Limits(request=1, program=0.2))
    with pytest.raises(UnreachableError):
        api.get("/apis")


def test_what_is_not_there_is_no_failure(tmp_path: Path) -> None:
    api = failing(tmp_path, "Error from server (NotFound): the server could not find the requested resource")
    assert api.get("/apis/karpenter.sh/v1/nodepools") is None
    assert api.delete("/api/v1/namespaces/a/services/b") is False
    assert api.remove("StatefulSet.v1.apps", "s", namespace="a") is False
    assert api.find("StatefulSet.v1.apps", "s", namespace="a") is None
    assert api.logs("p", namespace="a", container="c", lines=3) == ""


def test_a_kind_that_is_gone_is_no_failure(tmp_path: Path) -> None:
    api = failing(tmp_path, 'error: the server doesn\'t have a resource type "Prometheus"')
    assert api.remove("Prometheus.v1.monitoring.coreos.com", "p", namespace="a") is False


def test_a_patch_leaves_out_what_is_gone_and_tells_of_the_rest(tmp_path: Path) -> None:
    gone = 'Error from server (NotFound): kustomizations "a" not found'
    objects = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "uid": "1"}, "data": {}}]
    failing(tmp_path, gone).patch(objects, {"spec": {"suspend": True}})
    with pytest.raises(ToolFailedError, match="kubectl patch failed"):
        failing(tmp_path, f"{gone}\nError from server (Forbidden): no").patch(objects, {})


def test_a_patch_names_objects_and_nothing_else_of_them(tmp_path: Path) -> None:
    api = scripted(tmp_path, f"cat >{tmp_path}/given")
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "1"}}
    api.patch([{**item, "data": {"large": "x"}}], {"data": None})
    given = json.loads((tmp_path / "given").read_text())
    assert given["items"] == [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}]


def test_nothing_to_patch_starts_nothing(tmp_path: Path) -> None:
    scripted(tmp_path, "exit 1").patch([], {})
    assert not (tmp_path / "called").exists()


def test_without_a_kubeconfig_nothing_is_started(tmp_path: Path) -> None:
    api = scripted(tmp_path, "exit 0")
    api.kubeconfig.unlink()
    with pytest.raises(PreconditionError, match="no kubeconfig"):
        api.get("/apis")
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize("text", ["printf 'not json'", "printf '[1]'"])
def test_an_answer_that_is_no_object_is_a_failure(tmp_path: Path, text: str) -> None:
    with pytest.raises(ToolFailedError, match="cluster's answer"):
        scripted(tmp_path, text).get("/apis")


def test_a_log_is_harmless(tmp_path: Path) -> None:
    api = scripted(tmp_path, r"printf '\033]0;owned\007bad\n'")
    assert api.logs("p", namespace="a", container="c", lines=3, previous=True) == "bad\n"
    assert called(tmp_path)[0].endswith("--namespace=a --container=c --tail=3 --previous -- p")
