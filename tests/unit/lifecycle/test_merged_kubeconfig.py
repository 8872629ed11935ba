import difflib
from typing import Any

import pytest
import yaml

from zave.errors import PreconditionError, UsageError
from zave.lifecycle.merged_kubeconfig import Entries, has, merged, unmerged

OWN = Entries("zave-homelab", {"server": "https://10.17.3.11:6443"}, {"client-key-data": "QUJD"})
KUBECTL = """\
apiVersion: v1
clusters:
- cluster:
    server: https://a   # the old one
  name: a
# between
contexts:
- context:
    cluster: a
    user: a
  name: a
current-context: a
kind: Config
preferences: {}
users:
- name: a
  user:
    exec:
      args: [x, "y: z"]
    note: |
      - name: zave-homelab
      two lines
"""
INDENTED = """\
kind: Config
users:
    -
      name: b
      user: {token: "#1"}
    - {name: c, user: {}}
clusters:
    - name: b
      cluster: {server: https://b}
contexts: []"""
NOTHING = 'apiVersion: v1\nclusters: null\ncontexts: []\ncurrent-context: ""\nkind: Config\nusers:\n'
FILES = pytest.mark.parametrize("text", [KUBECTL, INDENTED, NOTHING, "", "\n"], ids=range(5))


def lines_left(text: str, result: str) -> list[str]:
    """The lines of `text` that are not in `result`, or not where they were among the others."""
    return [line[2:] for line in difflib.ndiff(text.splitlines(), result.splitlines()) if line[0] == "-"]


def read(text: str) -> Any:
    return yaml.safe_load(text)


@FILES
def test_entries_come_in_and_all_else_stays(text: str) -> None:
    result = merged(text, OWN, use=False)
    found, before = read(result), read(text) or {}
    assert has(result, "zave-homelab")
    assert found["clusters"][0] == {"name": "zave-homelab", "cluster": {"server": "https://10.17.3.11:6443"}}
    assert found["users"][0] == {"name": "zave-homelab", "user": {"client-key-data": "QUJD"}}
    for section in ("clusters", "contexts", "users"):
        assert found[section][1:] == (before.get(section) or [])
    assert found.get("current-context") == before.get("current-context")
    gone = lines_left(text, result)
    assert all(line.partition(":")[0] in ("", "clusters", "contexts", "users") for line in gone)


@pytest.mark.parametrize("text", [KUBECTL])
def test_what_comes_in_goes_out_without_a_trace(text: str) -> None:
    assert unmerged(merged(text, OWN, use=False), "zave-homelab") == text


@FILES
def test_a_second_merge_changes_nothing_and_new_credentials_replace_old_ones(text: str) -> None:
    once = merged(text, OWN, use=False)
    assert merged(once, OWN, use=False) == once
    newer = Entries(OWN.name, {"server": "https://10.17.3.12:6443"}, {"token": "t"})
    again = read(merged(once, newer, use=False))
    assert again["clusters"][0]["cluster"] == {"server": "https://10.17.3.12:6443"}
    assert [user["name"] for user in again["users"]].count("zave-homelab") == 1


@FILES
def test_the_current_context_changes_only_on_request(text: str) -> None:
    result = merged(text, OWN, use=True)
    assert read(result)["current-context"] == "zave-homelab"
    gone = read(unmerged(result, "zave-homelab"))
    # none rather than one that is not there
    assert gone["current-context"] == ""


@FILES
def test_taking_out_what_is_not_there_changes_nothing(text: str) -> None:
    assert unmerged(text, "zave-homelab") == text


def test_an_entry_in_the_middle_or_at_the_end_is_cut_out_alone() -> None:
    text = merged(merged(KUBECTL, OWN, use=False), Entries("zave-lab2", {}, {}), use=False)
    left = unmerged(text, "zave-homelab")
    assert left == merged(KUBECTL, Entries("zave-lab2", {}, {}), use=False)
    assert unmerged(left, "a").count("name: a\n") == 0
    assert "# between" in unmerged(left, "a")


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "Config", "clusters": []}',
        "clusters: [{name: a, cluster: {}}]\n",
        "clusters: &x\n- name: a\n  cluster: {}\nusers: *x\n",
        "clusters: {a: b}\n",
        "clusters:\n- just text\n",
        "clusters:\n- name: a\nclusters:\n- name: b\n",
        "- a list\n",
        "a: b: c\n",
        "clusters: [\n",
        "\x00",
    ],
)
def test_what_cannot_be_edited_safely_is_refused_with_a_way_out(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        merged(text, OWN, use=True)
    assert "KUBECONFIG" in str(caught.value.resolution)


@pytest.mark.parametrize("text", ["apiVersion: v1\n", "", "[", "clusters: []\nusers: []\n", "clusters: 3\n"])
def test_a_damaged_kubeconfig_of_our_own_is_told(text: str) -> None:
    with pytest.raises(PreconditionError, match="damaged"):
        Entries.of("zave-homelab", text)
