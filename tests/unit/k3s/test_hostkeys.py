"""What a console says is hostile: only whole lines of the right machine count, and no contradiction does."""

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zave.errors import StepFailedError
from zave.k3s.hostkeys import HostKey, KnownHosts, announced_keys

BOOT, LATER = "0" * 35 + "a", "0" * 35 + "b"


def key(kind: str = "ssh-ed25519", seed: int = 1) -> HostKey:
    raw = len(kind).to_bytes(4, "big") + kind.encode() + b"\0\0\0 " + bytes([seed] * 32)
    return HostKey(kind, base64.b64encode(raw).decode())


def line(of: HostKey, *, node: str = "lab-worker-1", boot: str = BOOT) -> bytes:
    text = f"zave-host-key {node} {boot} {of.type} {of.key}"
    return f"\r\n{text} {hashlib.sha256(text.encode()).hexdigest()[:32]}\r\n".encode()


def block(*keys: HostKey) -> bytes:
    lines = [f"{k.type} {k.key} root@lab" for k in keys]
    return "\r\n".join(
        ["", "-----BEGIN SSH HOST KEY KEYS-----", *lines, "-----END SSH HOST KEY KEYS-----", ""]
    ).encode()


def told(*parts: bytes) -> tuple[HostKey, ...]:
    return announced_keys(parts, "lab-worker-1")


def test_keys_are_found_between_other_output() -> None:
    both = key(), key("ecdsa-sha2-nistp256")
    said = b"[ 1.2] Linux\r\n" + line(both[0]) + b"lab login: " + line(both[1]) + b"\x1b[2J"
    assert set(told(said)) == set(both)


def test_a_line_may_arrive_in_any_pieces() -> None:
    said = line(key())
    assert told(*(said[i : i + 1] for i in range(len(said)))) == (key(),)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        line(key(), node="lab-worker-2"),
        line(key(), node="lab-worker-11"),
        # the kernel wrote into the line
        line(key()).replace(b"AAAA", b"AA[ 9.9] oopsAA"),
        line(key())[:-10],
        b"x" + line(key()).strip() + b"\r\n",
        line(key()).strip() + b" x\r\n",
        # one bit of the key
        line(key()).replace(base64.b64encode(bytes([1] * 9)), base64.b64encode(bytes([3] * 9)), 1),
        line(HostKey("ssh-dss", key("ssh-dss").key)),
        # a key that says itself that it is of another type
        line(HostKey("ssh-ed25519", key("ssh-rsa").key)),
        line(HostKey("ssh-ed25519", "A" * 60)),
        line(key()).replace(b"zave-host-key", b"zave-host-keys"),
        b"ssh-ed25519 " + key().key.encode() + b"\r\n",
    ],
)
def test_anything_else_is_no_key(said: bytes) -> None:
    assert told(said) == ()


def test_the_latest_boot_counts() -> None:
    assert told(line(key(seed=1)), line(key(seed=2), boot=LATER)) == (key(seed=2),)
    # told again: the first boot's lines stand in the log before those of the later one
    assert told(line(key(seed=2), boot=LATER), line(key(seed=1))) == (key(seed=1),)


def test_two_keys_of_one_type_in_one_boot_are_refused_with_both_shown() -> None:
    with pytest.raises(StepFailedError, match="tells two different SSH host keys") as caught:
        told(line(key(seed=1)), line(key(seed=2)))
    assert key(seed=1).fingerprint in str(caught.value.details)
    assert key(seed=2).fingerprint in str(caught.value.details)


def test_cloud_inits_block_counts_where_zaves_own_lines_are_missing() -> None:
    assert told(block(key(seed=3))) == (key(seed=3),)
    assert told(block(key(seed=3)), line(key(seed=4))) == (key(seed=4),)
    with pytest.raises(StepFailedError, match="two different"):
        told(block(key(seed=3)), block(key(seed=4)))


def test_a_block_that_never_ends_is_bounded() -> None:
    opened = block(key(seed=3)).replace(b"-----END SSH HOST KEY KEYS-----", b"")
    noise = b"".join(b"noise\r\n" for _ in range(100))
    late = f"{key(seed=4).type} {key(seed=4).key}\r\n".encode()
    assert told(opened + noise + late) == (key(seed=3),)


def test_memory_stays_small_whatever_is_written() -> None:
    def endless() -> Iterable[bytes]:
        for _ in range(64):
            yield b"A" * (1024 * 1024)

    assert announced_keys(endless(), "lab-worker-1") == ()
    # the end of a line that was too long is no line of its own
    assert told(b"A" * 5000, b"A" * 5000 + line(key()).strip() + b"\r\n") == ()


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_output_breaks_the_reader(chunks: list[bytes]) -> None:
    assert announced_keys(chunks, "lab-worker-1") == ()


# the file


def test_pinned_keys_are_kept_private_replaced_and_forgotten(tmp_path: Path) -> None:
    known = KnownHosts(tmp_path / "known_hosts")
    assert known.keys_of("one") == ()
    known.pin("one", [key(seed=1), key("ecdsa-sha2-nistp256")])
    known.pin("two", [key(seed=2)])
    known.pin("one", [key(seed=3)])
    assert known.keys_of("one") == (key(seed=3),)
    assert known.file.stat().st_mode & 0o777 == 0o600
    known.forget(["one", "nobody"])
    assert known.file.read_text() == f"two ssh-ed25519 {key(seed=2).key}\n"


def test_lines_that_zave_did_not_write_are_not_believed(tmp_path: Path) -> None:
    known = KnownHosts(tmp_path / "known_hosts")
    known.file.write_text(
        f"* ssh-ed25519\n@cert-authority * {key().type} {key().key}\none ssh-ed25519 AAAA\n"
    )
    known.pin("two", [key(seed=2)])
    assert known.file.read_text() == f"two ssh-ed25519 {key(seed=2).key}\n"
