"""The threat model is held to what the tests show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.documents import cells, missing_tests, rows

ROWS = rows("security.md")


@pytest.mark.parametrize("row", ROWS)
def test_every_threat_is_shown_to_be_stopped(row: str) -> None:
    """A row has an attack, a defence, and the names of tests that exist."""
    through, stopped, _ = cells(row)
    assert through
    assert stopped
    assert not missing_tests(row)


def test_every_security_test_is_in_the_document() -> None:
    """What is tested here is a threat that the page tells of."""
    text = "\n".join(ROWS)
    for file in Path(__file__).parent.glob("test_*.py"):
        assert file == Path(__file__) or f"security/{file.name}::" in text
