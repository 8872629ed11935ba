"""A Terraform state in the bucket: watched over as a local one is."""

from pathlib import Path

import pytest

from tests.unit.aws.memory import Account
from tests.unit.aws.things import state_of
from zave.aws.keys import state_key
from zave.aws.state_guard import BucketGuard
from zave.errors import PreconditionError, TerraformStateError
from zave.ports.cloud import Caller


class Signed(Account):
    """An account whose credentials may have ended."""

    expired = False

    def caller(self) -> Caller:
        if self.expired:
            raise PreconditionError("the AWS credentials have expired")
        return super().caller()


@pytest.fixture
def account(tmp_path: Path) -> Signed:
    return Signed(tmp_path)


@pytest.fixture
def guard(account: Signed, tmp_path: Path) -> BucketGuard:
    working = tmp_path / "terraform"
    working.mkdir()
    return BucketGuard(
        tmp_path / "terraform-state",
        tmp_path / "copies",
        cloud=account,
        instance="demo",
        working=working,
    )


def put(account: Signed, content: bytes) -> None:
    account.bucket.put(state_key("demo"), content)


def state(serial: int, resources: int = 2) -> bytes:
    return state_of([f"id-{number}" for number in range(resources)], serial=serial)


def test_the_bucket_s_state_is_sealed_and_its_resources_are_told(account: Signed, guard: BucketGuard) -> None:
    assert guard.resources() == ()
    put(account, state(3))
    assert (guard.seal().serial, len(guard.resources())) == (3, 2)
    put(account, state(4, resources=1))
    assert guard.inspect(None).serial == 4
    assert len(guard.resources()) == 1


@pytest.mark.parametrize("found", [b"", b"{", None], ids=["empty", "damaged", "gone"])
def test_a_state_that_does_not_follow_the_seal_is_refused(
    found: bytes | None, account: Signed, guard: BucketGuard
) -> None:
    put(account, state(3))
    seal = guard.seal()
    account.bucket.delete(state_key("demo"))
    if found is not None:
        put(account, found)
    with pytest.raises(TerraformStateError):
        guard.require(seal, interrupted=False)
    assert account.bucket.get(state_key("demo")) == found


def test_a_recovery_puts_the_verified_copy_back_into_the_bucket(account: Signed, guard: BucketGuard) -> None:
    put(account, state(3))
    seal = guard.seal()
    put(account, b"")
    recovery = guard.recover(seal)
    assert recovery.serial == 3
    assert account.bucket.get(state_key("demo")) == state(3)


def test_what_terraform_could_not_upload_is_taken_over_after_a_crash(
    account: Signed, guard: BucketGuard
) -> None:
    put(account, state(3))
    seal = guard.seal()
    (guard.working / "errored.tfstate").write_bytes(state(4))
    recovery = guard.require(seal, interrupted=True)
    assert recovery is not None
    assert account.bucket.get(state_key("demo")) == state(4)


def test_without_credentials_no_state_is_taken_for_gone(account: Signed, guard: BucketGuard) -> None:
    put(account, state(3))
    seal = guard.seal()
    account.expired = True
    with pytest.raises(PreconditionError):
        guard.require(seal, interrupted=True)
    with pytest.raises(TerraformStateError, match="cannot be read back"):
        guard.seal()
