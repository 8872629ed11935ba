import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from zave.clock import SystemClock
from zave.state.directory import StateDirectory
from zave.state.records import InstanceRecord
from zave.state.store import StateStore

Zave = Callable[..., Any]
AT = datetime(2026, 11, 23, tzinfo=UTC)
OWN = """\
clusters: [{name: zave-homelab, cluster: {server: "https://10.17.3.11:6443"}}]
users: [{name: zave-homelab, user: {token: t}}]
"""
THEIRS = "apiVersion: v1\nclusters:\n- cluster: {}\n  name: a # mine\ncurrent-context: a\nkind: Config\n"


@pytest.fixture
def config(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own kubeconfig, beside a recorded home lab that has one."""
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(state)}, rehearsal=False)
    store = StateStore.open(directory, clock=SystemClock())
    store.save_instance(InstanceRecord("homelab", "homelab", "libvirt-k3s", "ready", AT))
    store.close()
    folder = directory.instance("homelab")
    folder.prepare()
    folder.kubeconfig.write_text(OWN)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = tmp_path / "home" / ".kube" / "config"
    path.parent.mkdir(parents=True)
    path.write_text(THEIRS)
    return path


def contexts(path: Path) -> list[str]:
    return [context["name"] for context in yaml.safe_load(path.read_text()).get("contexts") or []]


def test_merge_adds_a_context_and_keeps_the_old_file_once(zave: Zave, config: Path) -> None:
    done = zave("kubeconfig", "homelab", "--merge", "--json")
    assert done.document["context"] == "zave-homelab"
    assert (done.document["path"], done.document["merged"]) == (str(config), True)
    assert contexts(config) == ["zave-homelab"]
    assert "name: a # mine" in config.read_text()
    assert yaml.safe_load(config.read_text())["current-context"] == "a"
    backup = config.with_name("config.before-zave")
    assert backup.read_text() == THEIRS
    assert [stat.S_IMODE(path.stat().st_mode) for path in (config, backup)] == [0o600, 0o600]
    zave("kubeconfig", "homelab", "--merge", "--use")
    assert yaml.safe_load(config.read_text())["current-context"] == "zave-homelab"
    assert backup.read_text() == THEIRS
    assert sorted(path.name for path in config.parent.iterdir()) == ["config", "config.before-zave"]


def test_unmerge_takes_it_out_also_when_the_lab_is_gone(zave: Zave, config: Path, state: Path) -> None:
    zave("kubeconfig", "homelab", "--merge")
    (state / "instances" / "homelab" / "kubeconfig").unlink()
    assert zave("kubeconfig", "homelab", "--unmerge").status == 0
    assert contexts(config) == []


def test_the_first_file_of_kubeconfig_is_the_users(
    zave: Zave, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", f":{tmp_path / 'other'}:{config}")
    assert zave("kubeconfig", "homelab", "--merge").status == 0
    assert contexts(tmp_path / "other") == ["zave-homelab"]
    assert config.read_text() == THEIRS


def test_a_link_stays_a_link(zave: Zave, config: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles"
    config.rename(real)
    config.symlink_to(real)
    assert zave("kubeconfig", "homelab", "--merge").status == 0
    assert config.is_symlink()
    assert contexts(real) == ["zave-homelab"]


def test_nothing_is_written_while_kubectl_writes(zave: Zave, config: Path) -> None:
    config.with_name("config.lock").touch()
    refused = zave("kubeconfig", "homelab", "--merge")
    assert refused.status == 4
    assert "config.lock" in refused.err
    assert config.read_text() == THEIRS


def test_what_cannot_be_edited_stays_as_it_is(zave: Zave, config: Path) -> None:
    config.write_text('{"kind": "Config"}')
    refused = zave("kubeconfig", "homelab", "--merge")
    assert refused.status == 2
    assert "safely" in refused.err
    assert config.read_text() == '{"kind": "Config"}'
    assert [path.name for path in config.parent.iterdir()] == ["config"]


def test_a_rehearsal_leaves_the_users_file_alone(zave: Zave, config: Path, state: Path) -> None:
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(state)}, rehearsal=True)
    store = StateStore.open(directory, clock=SystemClock())
    store.save_instance(InstanceRecord("homelab", "homelab", "libvirt-k3s", "ready", AT))
    store.close()
    directory.instance("homelab").prepare()
    directory.instance("homelab").kubeconfig.write_text(OWN)
    done = zave("kubeconfig", "homelab", "--merge", "--rehearse")
    assert done.status == 0
    assert "left alone" in done.err
    assert config.read_text() == THEIRS
