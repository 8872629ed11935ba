"""The switch's state machine on the real adapters: after each step bucket, schedules and runs are the same.

Every difference between the account in memory, the rehearsed one and the one in moto ends the run.
"""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from tests.integration.aws_live.twins import DifferenceError, TwinAccount, TwinSwitchboard
from tests.rehearsal.switch_machine import SwitchMachine
from tests.system.moto_server import MotoServer
from zave.aws.arming import Term, arm
from zave.aws.bundle import Bundle

_seen: list[int] = []


class TwinMachine(SwitchMachine):
    """The same rules; one more thing that always holds."""

    @invariant()
    def all_accounts_are_the_same(self) -> None:
        assert isinstance(self.account, TwinAccount)
        _seen.append(len(self.account.stored.objects))
        assert self.account.differences() == []


@pytest.mark.parametrize("steps", [6, 20])
def test_the_real_adapters_do_what_the_simulated_ones_do(
    steps: int, server: MotoServer, tmp_path: Path
) -> None:
    bundles: dict[bytes, Bundle] = {}

    def another() -> TwinAccount:
        account = TwinAccount(tmp_path, bundles=bundles, server=server)
        account.switchboard.launch = account.prove
        return account

    _seen.clear()
    run_state_machine_as_test(
        type("Machine", (TwinMachine,), {"open_account": staticmethod(another)}),
        settings=settings(
            max_examples=6,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    # it was really looked at, and there was something to see
    assert len(_seen) > steps
    assert max(_seen) > 3


@pytest.mark.parametrize("which", ["live", "rehearsed"])
def test_a_difference_is_noticed(which: str, server: MotoServer, tmp_path: Path) -> None:
    account = TwinAccount(tmp_path, server=server)
    account.switchboard.launch = account.prove
    armed = arm(account, account.clock, instance="demo", term=Term(3600), bundle=account.packed("demo"))
    assert account.differences() == []
    board = account.switchboard
    assert isinstance(board, TwinSwitchboard)
    other = board.live if which == "live" else board.rehearsed.switchboard
    later = replace(armed.schedule, first_fire_at=armed.expires_at + timedelta(hours=1))
    other.set_schedule(later)
    assert account.differences() == ["demo"]
    with pytest.raises(DifferenceError, match="schedule of demo"):
        board.schedule("demo")
