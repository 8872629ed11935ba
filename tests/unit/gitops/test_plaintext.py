"""Secrets in plain text are found with file and line, and never shown."""

import base64
from pathlib import Path

import pytest

from zave.gitops.plaintext import plain_secrets

# put together, so that this file holds none itself
PEM = "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n"
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n"


def lines(text: str, path: str = "a.yaml") -> list[str]:
    return [str(each) for each in plain_secrets({path: text.encode()})]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x\n" + PEM, "2: a private key"),
        ("AGE-SECRET" + "-KEY-1" + "Q" * 58, "1: an age key"),
        ("t: ghp" + "_" + "a" * 36, "1: a GitHub token"),
        ("t: github" + "_pat_" + "a" * 60, "1: a GitHub token"),
        ("t: glpat" + "-" + "a" * 20, "1: a GitLab token"),
        ("t: AKIA" + "A" * 16, "1: an AWS access key"),
        ("t: xoxb" + "-1234567890-abc", "1: a Slack token"),
        ("t: eyJhIjoi" + "a" * 80, "1: a Cloudflare tunnel token"),
        ("t: K10" + "a" * 64 + "::server:x", "1: a k3s token"),
        (SECRET + "data:\n  a: YQ==\n", "5: Secret x: a is not encrypted"),
        (SECRET + "stringData: {a: hello}\n", "4: Secret x: a is not encrypted"),
        (
            "kind: ConfigMap\n---\n" + SECRET + "stringData:\n  b: |\n    c\n",
            "7: Secret x: b is not encrypted",
        ),
        (
            "kind: List\nitems:\n- kind: Secret\n  metadata: {name: y}\n  data: {k: dg==}\n",
            "5: Secret y: k is not encrypted",
        ),
        ('{"kind": "Secret", "stringData": {"a": "b"}}', "1: Secret without a name: a is not encrypted"),
    ],
)
def test_each_is_found(text: str, found: str) -> None:
    assert lines(text) == [f"a.yaml:{found}"]


@pytest.mark.parametrize(
    "text",
    [
        SECRET + "stringData:\n  a: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\n",
        SECRET + "stringData: {a: ''}\n",
        SECRET,
        "kind: HelmRelease\nspec: {valuesFrom: [{kind: Secret, name: x}]}\ndata: {a: b}\n",
        "-----BEGIN PUBLIC KEY-----\n",
    ],
)
def test_what_is_none_is_let_through(text: str) -> None:
    assert lines(text) == []


def test_a_secret_that_is_not_yaml_is_refused_and_not_passed_over() -> None:
    assert lines(SECRET + "data: {a: [}\n") == ["a.yaml:4: a Secret in a file that is not YAML"]


def test_no_finding_holds_the_value() -> None:
    value = base64.b64encode(b"canary").decode()
    found = plain_secrets({"a.yaml": (SECRET + f"data: {{a: {value}}}\n").encode()})
    assert found
    assert value not in str([vars(each) for each in found])


def test_the_shipped_tree_has_none() -> None:
    root = Path(__file__).parents[3] / "templates/gitops"
    files = {file.name: file.read_bytes() for file in root.rglob("*") if file.is_file()}
    assert files
    assert plain_secrets(files) == []
