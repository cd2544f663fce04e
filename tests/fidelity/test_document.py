"""The table of what is git's is held to the tests."""

from __future__ import annotations

import pytest

from tests.support.documents import cells, missing_tests, rows


@pytest.mark.parametrize("row", rows("fidelity.md"))
def test_every_row_is_shown(row: str) -> None:
    """A row has a case, what becomes of it, and the names of tests that exist."""
    case, outcome, _ = cells(row)
    assert case
    assert outcome
    assert not missing_tests(row)
