"""Which secrets a platform wants, how they stand, and what is said before anything is made."""

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from zave.errors import PreconditionError, UsageError
from zave.gitops.secrets import KNOWN, SecretStore, place_of, require, wanted_by
from zave.project import Project
from zave.spec.aws import AwsSpec
from zave.spec.libvirt import LibvirtSpec
from zave.spec.load import load_spec
from zave.tools.sops import decrypt

NOW = datetime(2026, 11, 23, tzinfo=UTC)
TOKEN = {"token": "canary"}
BUCKET = {"velero_bucket": "backups", "velero_region": "us-east-1"}


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    return SecretStore(tmp_path / "secrets")


def lab(**gitops: object) -> LibvirtSpec:
    text = {"platform": "libvirt-k3s", "gitops": gitops}
    if gitops.pop("tunnel", False):
        text["ingress"] = {"domain": "lab.example.org", "tunnel": "cloudflare"}
    return LibvirtSpec.model_validate(text)


def demo(**gitops: object) -> AwsSpec:
    repository = {"repository": "https://git.example.org/me/platform.git"}
    return AwsSpec.model_validate(
        {
            "platform": "aws-eks",
            "owner": "me@example.org",
            "notify": {"email": "me@example.org"},
            "eks": {"public_cidrs": ["203.0.113.7/32"]},
            "gitops": repository | gitops,
        }
    )


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (lab(), []),
        (lab(tunnel=True), ["tunnel-token"]),
        (lab(tunnel=True, profile="none"), []),
        (lab(tunnel=True, profile="bigbang"), ["tunnel-token", "bigbang-credentials"]),
        (lab(extras=["velero"], variables=BUCKET), ["velero"]),
        # a role of AWS's opens the bucket
        (demo(extras=["velero"], variables=BUCKET), []),
    ],
)
def test_what_is_wanted_follows_from_the_spec(spec: LibvirtSpec | AwsSpec, names: list[str]) -> None:
    assert [each.name for each in wanted_by(spec)] == names


def test_the_shipped_home_lab_is_refused_before_anything_is_made(store: SecretStore) -> None:
    spec = load_spec(Project().environment_file("homelab"))
    with pytest.raises(PreconditionError) as caught:
        require(store, spec, instance="homelab")
    assert int(caught.value.exit_code) == 5
    assert "tunnel-token: missing" in str(caught.value.details)
    assert "zave secrets set homelab tunnel-token token=FILE" in str(caught.value.resolution)
    assert "ingress.tunnel: none" in str(caught.value.resolution)
    store.put("tunnel-token", TOKEN, now=NOW)
    require(store, spec, instance="homelab")


def test_a_secret_goes_where_its_pieces_layer_is(store: SecretStore) -> None:
    store.put("tunnel-token", TOKEN, now=NOW)
    layer = "clusters/lab/platform/kustomization.yaml"
    found = store.added_to({layer: b"resources:\n  - a\n", "apps/one.yaml": b"x"}, "lab")
    assert found[layer] == b'resources:\n  - a\n  - "secrets/tunnel-token.yaml"\n'
    assert set(found) - {layer, "apps/one.yaml"} == {
        place_of("lab", "tunnel-token"),
        "clusters/lab/.sops.yaml",
    }
    assert b"canary" not in b"".join(found.values())


def test_a_tree_without_secrets_is_left_as_it_is(store: SecretStore) -> None:
    assert store.added_to({"apps/one.yaml": b"x"}, "lab") == {"apps/one.yaml": b"x"}


@pytest.mark.parametrize("name", KNOWN)
def test_each_known_secret_is_named_by_a_piece_of_the_tree(name: str) -> None:
    pieces = Project().assets / "templates/gitops"
    texts = [file.read_text() for file in pieces.rglob("*.yaml") if "networkpolic" not in file.name]
    assert [text for text in texts if f"name: {name}" in text or f"existingSecret: {name}" in text]


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("other", TOKEN, "no piece of the tree wants"),
        ("tunnel-token", {"tokem": "x"}, "wants token, and nothing else"),
        ("tunnel-token", {"token": " "}, "is empty"),
        ("velero", {}, "wants cloud"),
    ],
)
def test_what_nobody_wants_is_refused(
    store: SecretStore, name: str, values: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        store.put(name, values, now=NOW)
    assert not store.folder.exists()


def test_a_rotation_encrypts_everything_for_the_new_key(store: SecretStore) -> None:
    store.put("tunnel-token", TOKEN, now=NOW)
    store.put("velero", {"cloud": "[default]\n"}, now=NOW)
    digest, old = store.digest(), store.keys.recipient()
    new = store.rotate(now=NOW)
    assert new != old
    assert store.digest() != digest
    for name in store.names():
        assert decrypt(store.file(name).read_bytes(), keys=store.keys).recipients == (new,)
        assert store.condition(KNOWN[name]).state == "ready"
    # until the new files are published, Flux still needs the old one
    assert store.keys.recipients() == (new, old)


def test_a_rotation_that_cannot_decrypt_changes_nothing(store: SecretStore) -> None:
    store.put("tunnel-token", TOKEN, now=NOW)
    store.file("velero").write_text("a: b\n")
    before = store.digest()
    with pytest.raises(PreconditionError, match="velero cannot be decrypted"):
        store.rotate(now=NOW)
    assert store.digest() == before


def test_a_rotation_that_was_cut_off_is_seen_and_repeated(store: SecretStore) -> None:
    store.put("tunnel-token", TOKEN, now=NOW)
    store.keys.rotate()
    assert store.condition(KNOWN["tunnel-token"]).state == "old-key"
    store.rotate(now=NOW)
    assert store.condition(KNOWN["tunnel-token"]).state == "ready"


@pytest.mark.parametrize(
    ("content", "state"),
    [
        ("kind: Secret\nstringData: {token: canary}\n", "not-encrypted"),
        ("a: [", "broken"),
        ("kind: Secret\nsops: {age: []}\n", "other-key"),
    ],
)
def test_how_a_secret_stands(store: SecretStore, content: str, state: str) -> None:
    store.keys.make()
    store.file("tunnel-token").write_text(content)
    condition = store.condition(KNOWN["tunnel-token"])
    assert condition.state == state
    assert "canary" not in condition.reason


def test_the_cluster_gets_every_key(store: SecretStore) -> None:
    (made,) = store.for_cluster()
    store.rotate(now=NOW)
    (rotated,) = store.for_cluster()
    first, second = (base64.b64decode(each["data"]["age.agekey"]).decode() for each in (made, rotated))
    (key,) = [line for line in first.splitlines() if line.startswith("AGE-SECRET")]
    assert key in second
    assert second.count("AGE-SECRET-KEY-") == 2


def test_a_rotation_that_was_cut_off_twice_loses_nothing(store: SecretStore) -> None:
    store.put("tunnel-token", TOKEN, now=NOW)
    for _ in range(2):
        store.keys.rotate()
    store.rotate(now=NOW)
    assert store.condition(KNOWN["tunnel-token"]).state == "ready"
    assert decrypt(store.file("tunnel-token").read_bytes(), keys=store.keys).content["stringData"] == TOKEN
    # and no key is kept for longer than it is needed
    assert len(store.keys.recipients()) == 2
