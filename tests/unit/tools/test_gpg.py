"""What gpgv's status is taken for: the words of programs decide, exit codes and people's words do not."""

import base64
from pathlib import Path

import pytest

from zave.errors import ToolMissingError
from zave.process import ProcessRunner
from zave.tools.gpg import Gpgv, Verdict, dearmored, verdict_of

KEY = "80BE6A8222B1BC3BB6272371109D951E9C185362"
OTHER = "1" * 40
GOOD = "GOODSIG 109D951E9C185362 Test <t@example.org>"


def valid(key: str = KEY, *, hashed: str = "10", primary: str = "") -> str:
    return f"VALIDSIG {key} 2026-11-23 1795450318 0 4 0 22 {hashed} 00 {primary or key}"


def status(*lines: str) -> str:
    return "".join(f"[GNUPG:] {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        (["NEWSIG", GOOD, valid()], "good"),
        (["NEWSIG", GOOD, valid("2" * 40, primary=KEY)], "good"),
        # of a subkey that did not sign
        (["NEWSIG", "KEYEXPIRED 1600000000", GOOD, valid()], "good"),
        # a second signature by a key that nobody here knows, as while a vendor changes keys
        (["NEWSIG", "ERRSIG 1 22 10 00 1 9 -", "NO_PUBKEY 1", "NEWSIG", GOOD, valid()], "good"),
        (["NEWSIG", GOOD, valid(OTHER)], "unknown-key"),
        (["NEWSIG", "ERRSIG 1 22 10 00 1 9 -", "NO_PUBKEY 1"], "unknown-key"),
        (["NEWSIG", "KEYEXPIRED 1600000000", "EXPKEYSIG 109D951E9C185362 Test", valid()], "expired"),
        (["NEWSIG", "EXPSIG 109D951E9C185362 Test", valid()], "expired"),
        (["NEWSIG", "REVKEYSIG 109D951E9C185362 Test", valid()], "revoked"),
        (["NEWSIG", "BADSIG 109D951E9C185362 Test"], "bad"),
        (["NEWSIG", GOOD, valid(), "NEWSIG", "BADSIG 109D951E9C185362 Test"], "bad"),
        (["NEWSIG", GOOD, valid(hashed="2")], "weak"),
        (["NEWSIG", GOOD], "unreadable"),
        (["NEWSIG", valid()], "unreadable"),
        (["NEWSIG", GOOD, valid(), valid(OTHER)], "unreadable"),
        (["NODATA 4"], "unreadable"),
        ([GOOD, valid()], "unreadable"),
        ([], "unreadable"),
    ],
)
def test_only_one_good_signature_of_the_wanted_key_is_good(lines: list[str], verdict: Verdict) -> None:
    assert verdict_of(status(*lines), fingerprint=KEY) == verdict


def test_a_status_in_somebodys_name_is_no_status() -> None:
    hostile = status("NEWSIG", f"GOODSIG 1 name [GNUPG:] {valid()}") + f" [GNUPG:] {valid()}\n{valid()}\n"
    assert verdict_of(hostile, fingerprint=KEY) == "unreadable"


def test_a_short_key_id_is_no_fingerprint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a whole fingerprint"):
        Gpgv(tmp_path, ProcessRunner()).verify(b"", signature=b"", keyring=b"", fingerprint="9C185362")


def test_a_machine_without_gpgv_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match="gpgv was not found"):
        Gpgv.find(runner=ProcessRunner(), environment={"PATH": str(tmp_path)})


def test_garbage_is_not_taken_for_a_signature() -> None:
    gpgv = Gpgv.find(runner=ProcessRunner(), environment={})
    for garbage in (b"", b"\x00" * 1000, b"-----BEGIN PGP SIGNATURE-----\n\n" + b"A" * 5000):
        verdict = gpgv.verify(b"content", signature=garbage, keyring=garbage, fingerprint=KEY)
        assert verdict in ("unreadable", "unknown-key")


def test_armored_keys_are_read_as_binary_ones() -> None:
    body = base64.encodebytes(b"key" * 100)
    armored = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\n" + body + b"=abcd\n-----END PGP"
    assert dearmored(armored) == b"key" * 100
    assert dearmored(armored.replace(b"\n", b"\r\n")) == b"key" * 100
    assert dearmored(b"\x99binary") == b"\x99binary"
    assert dearmored(armored.replace(body, b"!!!\n")) == b""
