"""The failure table is held to the tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LINES = (TESTS.parent / "docs/reliability.md").read_text().splitlines()
ROWS = [line for line in LINES if "::" in line and line.startswith("| ")]


def functions(file: Path) -> set[str]:
    """Return the names of a file's tests."""
    tree = ast.parse(file.read_text())
    named = (node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {name for name in named if name.startswith("test_")}


@pytest.mark.parametrize("row", ROWS)
def test_every_failure_is_shown(row: str) -> None:
    """A row has a failure, what the caller sees, what is left, and the names of tests that exist."""
    *told, shown = (cell.strip() for cell in row.strip("|").split(" | "))
    assert len(told) == 3
    assert all(told)
    for name in shown.split(", "):
        file, _, test = name.strip("`").partition("::")
        assert test in functions(TESTS / file)


def test_every_test_of_a_failure_is_in_the_table() -> None:
    """What is tested here is a failure that the page tells of."""
    named = set(re.findall(r"`reliability/(\S+)`", "\n".join(ROWS)))
    here = {
        f"{file.name}::{test}"
        for file in Path(__file__).parent.glob("test_*.py")
        for test in functions(file)
        if file != Path(__file__)
    }
    assert named == here
