"""The failure table is held to the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.documents import cells, functions_in, missing_tests, named_tests, rows

ROWS = rows("reliability.md")


@pytest.mark.parametrize("row", ROWS)
def test_every_failure_is_shown(row: str) -> None:
    """A row has a failure, what the caller sees, what is left, and the names of tests that exist."""
    *told, _ = cells(row)
    assert len(told) == 3
    assert all(told)
    assert not missing_tests(row)


def test_every_test_of_a_failure_is_in_the_table() -> None:
    """What is tested here is a failure that the page tells of."""
    named = {(file, test) for row in ROWS for file, test in named_tests(row)}
    here = {
        (f"reliability/{file.name}", test)
        for file in Path(__file__).parent.glob("test_*.py")
        for test in functions_in(f"reliability/{file.name}")
        if file != Path(__file__)
    }
    assert {(file, test) for file, test in named if file.startswith("reliability/")} == here
