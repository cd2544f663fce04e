"""The waits, apart from any clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_worker_client import Backoff

BACKOFF = Backoff(at_once=2, first=0.5, longest=4.0)


def test_the_first_tries_are_made_at_once() -> None:
    """The next replica is probably idle."""
    assert [BACKOFF.pause(failures, 1.0) for failures in (1, 2)] == [0.0, 0.0]


def test_later_waits_double_up_to_the_longest() -> None:
    """With full jitter the waits are the ceilings themselves."""
    assert [BACKOFF.pause(failures, 1.0) for failures in (3, 4, 5, 6, 7)] == [0.5, 1.0, 2.0, 4.0, 4.0]


def test_jitter_spreads_callers_over_half_the_wait() -> None:
    """No two callers knock in step, and none knocks at once."""
    assert [BACKOFF.pause(5, jitter) for jitter in (0.0, 0.5, 1.0)] == [1.0, 1.5, 2.0]


@pytest.mark.parametrize(("hint", "wait"), [(0.0, 0.0), (1.0, 1.0), (100.0, 4.0)])
def test_a_hint_shortens_a_wait_and_never_lengthens_it(hint: float, wait: float) -> None:
    """Another replica may be free long before the one that gave the hint."""
    assert BACKOFF.pause(9, 1.0, hint) == wait


def test_who_has_waited_long_asks_often() -> None:
    """The longest wait halves with every half-life, down to the first."""
    backoff = Backoff(first=0.5, longest=4.0, half_life=10.0)
    assert [backoff.pause(9, waited=waited) for waited in (0, 10, 20, 30, 1e6)] == [4.0, 2.0, 1.0, 0.5, 0.5]
    assert backoff.pause(1, waited=1e6) == 0.5


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_a_wait_is_never_longer_than_the_longest(failures: int, jitter: float) -> None:
    """However long it goes on."""
    assert 0.0 <= BACKOFF.pause(failures, jitter) <= 4.0
