"""An account in memory for every test."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.aws.memory import Account
from tests.unit.aws.things import TTL, instance_facts, item, state_of
from zave.aws.arming import Term, arm
from zave.aws.bundle import InstanceFacts
from zave.ports import Item


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """An account that is set up and whose checks are real."""
    made = Account(tmp_path)
    made.switchboard.launch = made.prove
    return made


@pytest.fixture
def armed(account: Account) -> Account:
    """The instance `demo` with its switch, its things and a state that knows those of Terraform's."""
    arm(account, account.clock, instance="demo", term=Term(TTL), bundle=account.packed("demo"))
    account.make("demo")
    return account


@pytest.fixture
def expired(armed: Account) -> Account:
    """The same, at the moment of its expiry."""
    armed.clock.sleep(TTL)
    return armed


@pytest.fixture(name="item")
def make_item() -> Callable[..., Item]:
    """Makes things."""
    return item


@pytest.fixture(name="facts")
def make_facts() -> Callable[..., InstanceFacts]:
    """Makes the facts of an instance."""
    return instance_facts


@pytest.fixture(name="state")
def make_state() -> Callable[..., bytes]:
    """Makes Terraform states."""
    return state_of
