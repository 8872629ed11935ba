"""The tree goes into a real repository behind a real server; nothing of anybody's is lost on the way."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration.bootstrap.conftest import TOKEN, VALUE, Platform
from tests.integration.bootstrap.servers import HttpsGit, SshGit, make_key
from zave.errors import PreconditionError, StepFailedError, ZaveError
from zave.tools.git import Limits

LIST = "clusters/lab/.zave.json"
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def refusal(platform: Platform, kind: type[ZaveError] = PreconditionError, **given: object) -> ZaveError:
    """What `publish` says; the server's branch must be as it was before."""
    before = platform.served.tip()
    with pytest.raises(kind) as caught:
        platform.publish(**given)  # type: ignore[arg-type]
    assert platform.served.tip() == before
    assert caught.value.resolution
    return caught.value


def test_a_first_publication_is_a_commit_on_top_of_what_is_there(platform: Platform) -> None:
    theirs = platform.served.tip()
    source = platform.publish("zave up")
    assert platform.served.log("%H") == [source.revision, theirs]
    assert platform.served.files() == [
        "README.md",
        "apps/one.yaml",
        LIST,
        "clusters/lab/kustomization.yaml",
    ]
    assert (source.url, source.branch, source.path) == (platform.url, "main", "clusters/lab")


def test_a_commit_tells_why_and_what(platform: Platform) -> None:
    platform.publish()
    platform.write(clusters__lab__kustomization="resources: []\n", apps__two="kind: Two\n")
    platform.publish("another version of zave")
    message = platform.served.log("%B")
    assert message[0] == "lab: another version of zave"
    assert {"added apps/two.yaml", "removed apps/one.yaml"} == set(message[2:4])
    assert "apps/one.yaml" not in platform.served.files()


def test_a_rerun_commits_nothing_and_starts_two_processes(platform: Platform) -> None:
    first = platform.publish()
    platform.runner.requests.clear()
    assert platform.publish() == first
    assert platform.served.tip() == first.revision
    assert len(platform.runner.requests) == 2


def test_a_rerun_without_its_notes_commits_nothing_either(platform: Platform) -> None:
    first = platform.publish()
    shutil.rmtree(platform.state / "instances/lab/repository")
    assert platform.publish() == first


def test_the_first_commit_of_an_empty_repository_makes_the_branch(platform: Platform) -> None:
    shutil.rmtree(platform.served.path / "refs/heads")
    (platform.served.path / "refs/heads").mkdir()
    (platform.served.path / "packed-refs").unlink(missing_ok=True)
    source = platform.publish()
    assert platform.served.log("%H") == [source.revision]


def test_a_repository_with_other_branches_only_is_refused(platform: Platform) -> None:
    (platform.served.path / "refs/heads/main").rename(platform.served.path / "refs/heads/trunk")
    with pytest.raises(PreconditionError, match="has no branch main") as caught:
        platform.publish()
    assert caught.value.details == "it has trunk"


def test_what_others_push_meanwhile_stays(platform: Platform) -> None:
    platform.publish()
    theirs = platform.served.edit(apps__theirs_dot_yaml="kind: Theirs\n")
    platform.write(clusters__lab__kustomization="resources: []\n", apps__one="kind: Two\n")
    source = platform.publish()
    assert platform.served.log("%H")[:2] == [source.revision, theirs]
    assert platform.served.read("apps/theirs.yaml") == "kind: Theirs\n"


def test_who_is_faster_between_fetch_and_push_is_not_overwritten(platform: Platform) -> None:
    if not isinstance(platform.server, HttpsGit):
        pytest.skip("only the https server of these tests can be stopped in between")
    platform.publish()
    platform.write(clusters__lab__kustomization="resources: []\n", apps__one="kind: Two\n")
    platform.server.before["/git-receive-pack"] = lambda: platform.served.edit("faster")
    source = platform.publish()
    log = platform.served.log("%s")
    assert log[:2] == ["lab: zave up", "faster"]
    assert platform.served.tip() == source.revision


def test_a_rewritten_branch_is_refused_and_never_forced(platform: Platform) -> None:
    platform.publish()
    platform.served.rewrite()
    said = refusal(platform)
    assert "has diverged" in said.brief
    # the way that it names
    assert "published.json" in str(said.resolution)
    (platform.state / "instances/lab/repository/published.json").unlink()
    platform.publish()
    assert platform.served.log("%s") == ["lab: zave up", "begun anew"]


def test_a_branch_that_is_gone_is_refused(platform: Platform) -> None:
    platform.publish()
    (platform.served.path / "refs/heads/main").unlink()
    with pytest.raises(PreconditionError, match="is gone"):
        platform.publish()


def test_a_file_that_its_owner_changed_stays_while_zave_has_nothing_new(platform: Platform) -> None:
    platform.publish()
    platform.served.edit(apps__one_dot_yaml="kind: Mine\n")
    platform.write(clusters__lab__kustomization="resources: [a]\n", apps__one="kind: One\n")
    platform.publish()
    assert platform.served.read("apps/one.yaml") == "kind: Mine\n"
    assert platform.served.read("clusters/lab/kustomization.yaml") == "resources: [a]\n"


@pytest.mark.parametrize(("theirs", "word"), [("kind: Mine\n", "changed"), (None, "removed")])
def test_a_file_that_both_changed_is_refused_by_name(
    platform: Platform, theirs: str | None, word: str
) -> None:
    platform.publish()
    platform.served.edit(apps__one_dot_yaml=theirs)
    platform.write(clusters__lab__kustomization="resources: [b]\n", apps__one="kind: Two\n")
    assert refusal(platform).details == f"apps/one.yaml: {word}"
    platform.served.edit(_dot_zavekeep="# mine\n/apps/one.yaml\n")
    platform.publish()
    assert platform.served.read("clusters/lab/kustomization.yaml") == "resources: [b]\n"
    if theirs:
        assert platform.served.read("apps/one.yaml") == theirs


def test_a_file_that_was_there_before_zave_is_refused(platform: Platform) -> None:
    platform.served.edit(apps__one_dot_yaml="kind: Mine\n")
    assert refusal(platform).details == "apps/one.yaml: not zave's"


def test_wrong_credentials_are_refused(platform: Platform, tmp_path: Path) -> None:
    if platform.credentials.token:
        wrong = replace(platform.credentials, token="canary-of-another")
    else:
        wrong = replace(platform.credentials, key=make_key(tmp_path / "another_key"))
    said = refusal(platform, credentials=wrong)
    assert "refuses the credentials" in said.brief
    assert "canary" not in str(said.to_document())


def test_a_server_that_is_not_known_is_not_spoken_to(platform: Platform, tmp_path: Path) -> None:
    if isinstance(platform.server, SshGit):
        wrong = replace(platform.credentials, known_hosts=tmp_path / "nothing_known")
        words = "host key is not known"
    else:
        wrong, words = replace(platform.credentials, ca_file=None), "certificate"
    assert words in refusal(platform, credentials=wrong).brief
    assert not (tmp_path / "nothing_known").exists()
    if isinstance(platform.server, HttpsGit):
        assert platform.server.requests == []


def test_a_host_key_that_has_changed_is_refused(platform: Platform, tmp_path: Path) -> None:
    if not isinstance(platform.server, SshGit):
        pytest.skip("https has no host keys")
    platform.server.pin(make_key(tmp_path / "another_host"))
    assert "host key is not known, or has changed" in refusal(platform).brief


def test_a_token_is_not_taken_to_another_server(platform: Platform, tmp_path: Path) -> None:
    if not isinstance(platform.server, HttpsGit):
        pytest.skip("ssh does not redirect")
    other = HttpsGit(tmp_path / "other", TOKEN)
    other.folder.mkdir()
    other.start()
    try:
        platform.server.redirect = other.url("")[:-1]
        assert "sends zave elsewhere" in refusal(platform).brief
        assert other.requests == []
    finally:
        other.stop()


def test_a_repository_that_goes_half_way_is_named_and_the_same_command_goes_on(platform: Platform) -> None:
    first = platform.publish()
    away = platform.served.path.with_name("away.git")
    platform.write(clusters__lab__kustomization="resources: []\n", apps__one="kind: Two\n")
    if isinstance(platform.server, HttpsGit):
        # after the fetch, before the push
        platform.server.before["service=git-receive-pack"] = lambda: platform.served.path.rename(away)
    else:
        platform.served.path.rename(away)
    with pytest.raises(PreconditionError, match="it is not there"):
        platform.publish()
    away.rename(platform.served.path)
    source = platform.publish()
    assert platform.served.log("%H")[:2] == [source.revision, first.revision]


def test_a_push_whose_answer_was_lost_is_not_made_twice(platform: Platform) -> None:
    if not isinstance(platform.server, HttpsGit):
        pytest.skip("only the https server of these tests can lose an answer")
    platform.server.after["/git-receive-pack"] = lambda: None
    with pytest.raises(StepFailedError, match="does not answer"):
        platform.publish()
    pushed = platform.served.tip()
    assert platform.served.log("%s")[0] == "lab: zave up"
    assert platform.publish().revision == pushed


def test_a_server_that_hangs_is_left(platform: Platform) -> None:
    if not isinstance(platform.server, HttpsGit):
        pytest.skip("only the https server of these tests can hang")
    import threading

    leave = threading.Event()
    platform.server.before["git-upload-pack"] = lambda: leave.wait(60)
    platform.limits = Limits(remote=1.0)
    try:
        with pytest.raises(StepFailedError, match="did not answer in time"):
            platform.publish()
    finally:
        leave.set()


def test_a_secret_in_plain_text_is_never_committed(platform: Platform) -> None:
    platform.write(
        clusters__lab__kustomization="resources: []\n",
        apps__one=f"apiVersion: v1\nkind: Secret\nmetadata: {{name: x}}\nstringData:\n  token: {VALUE}\n",
    )
    said = refusal(platform)
    assert said.details == "apps/one.yaml:5: Secret x: token is not encrypted"
    assert VALUE not in str(said.to_document())
    assert VALUE not in platform.served.everything()


def test_encrypted_secrets_are_published_with_the_layer_that_they_belong_to(platform: Platform) -> None:
    platform.store.put("tunnel-token", {"token": VALUE}, now=NOW)
    platform.write(clusters__lab__platform__kustomization="resources:\n  - a.yaml\n")
    platform.publish()
    layer = platform.served.read("clusters/lab/platform/kustomization.yaml")
    assert layer == 'resources:\n  - a.yaml\n  - "secrets/tunnel-token.yaml"\n'
    encrypted = platform.served.read("clusters/lab/platform/secrets/tunnel-token.yaml")
    assert "ENC[AES256_GCM," in encrypted
    recipient = platform.store.keys.recipient()
    assert recipient is not None
    assert recipient in platform.served.read("clusters/lab/.sops.yaml")


def test_the_users_own_configuration_of_git_does_not_apply(
    platform: Platform, nobodys_environment: Path
) -> None:
    ran = nobodys_environment / "ran"
    hook = nobodys_environment / "hooks/pre-push"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
    hook.chmod(0o755)
    (nobodys_environment / ".gitconfig").write_text(
        f"[core]\n\thooksPath = {hook.parent}\n"
        f'[url "https://elsewhere.invalid/"]\n\tinsteadOf = {platform.url}\n'
        f'[credential]\n\thelper = "!touch {ran}; true"\n'
    )
    platform.publish()
    assert not ran.exists()
