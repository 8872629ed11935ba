from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from zave.state.run_id import next_run_id

START = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)


def test_id_tells_the_second_in_which_the_run_began() -> None:
    assert next_run_id(START, last=None).startswith("20261123T101500-")


def test_ids_of_lost_records_are_not_given_out_again() -> None:
    assert len({next_run_id(START, last=None) for _ in range(50)}) == 50


@given(st.lists(st.integers(min_value=-5, max_value=5), min_size=1, max_size=200))
def test_ids_sort_by_start_whatever_the_clock_does(steps: list[int]) -> None:
    moment, last = START, next_run_id(START, last=None)
    for seconds in steps:
        moment += timedelta(seconds=seconds)
        following = next_run_id(moment, last=last)
        assert following > last
        assert len(following) == len(last)
        last = following


def test_id_goes_on_in_the_next_second_when_one_is_full() -> None:
    last = "20261231T235959-ffffff"
    assert next_run_id(START, last=last).startswith("20270101T000000-")
