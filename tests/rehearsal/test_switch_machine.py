"""Switch and destroyer against everything at once, in any order, on an account in memory."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.rehearsal.switch_machine import SwitchMachine
from tests.unit.aws.memory import Account
from zave.aws.bundle import Bundle


@pytest.mark.parametrize("steps", [8, 30])
def test_whatever_happens_the_instance_ends_on_time(steps: int, tmp_path: Path) -> None:
    bundles: dict[bytes, Bundle] = {}

    def another() -> Account:
        account = Account(tmp_path, bundles=bundles)
        account.switchboard.launch = account.prove
        return account

    machine = type("Machine", (SwitchMachine,), {"open_account": staticmethod(another)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=100,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
