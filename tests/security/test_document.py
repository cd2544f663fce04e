"""The threat model is held to what the tests show."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LINES = (TESTS.parent / "docs/security.md").read_text().splitlines()
ROWS = [line for line in LINES if line.startswith("|") and not re.match(r"\| (?:through|---)", line)]


@pytest.mark.parametrize("row", ROWS)
def test_every_threat_is_shown_to_be_stopped(row: str) -> None:
    """A row has an attack, a defence, and the names of tests that exist."""
    through, stopped, shown = (cell.strip() for cell in row.strip("|").split(" | "))
    assert through
    assert stopped
    names = [name.strip("`").partition("::") for name in shown.split(", ")]
    for file, _, test in names:
        tree = ast.parse((TESTS / file).read_text())
        functions = {
            node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert test in functions


def test_every_security_test_is_in_the_document() -> None:
    """What is tested here is a threat that the page tells of."""
    text = "\n".join(LINES)
    for file in Path(__file__).parent.glob("test_*.py"):
        assert file == Path(__file__) or f"security/{file.name}::" in text
