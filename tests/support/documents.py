"""Tables of the documents whose rows name the tests that show them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]


def rows(document: str) -> list[str]:
    """Return the rows of a document's tables that name tests, `file::test` below `tests/`."""
    lines = (TESTS.parent / "docs" / document).read_text().splitlines()
    return [line for line in lines if line.startswith("| ") and "::" in line]


def cells(row: str) -> list[str]:
    """Return what stands in a row."""
    return [cell.strip() for cell in row.strip("|").split(" | ")]


def named_tests(row: str) -> list[tuple[str, str]]:
    """Return file and name of the tests that the last cell of a row names."""
    parts = (name.strip("`").partition("::") for name in cells(row)[-1].split(", "))
    return [(file, test) for file, _, test in parts]


@cache
def functions_in(file: str) -> frozenset[str]:
    """Return the names of the tests in a file below `tests/`; none where there is no such file."""
    path = TESTS / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text())
    named = (node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(name for name in named if name.startswith("test_"))


def missing_tests(row: str) -> list[str]:
    """Return the tests that a row names and that do not exist."""
    return [f"{file}::{test}" for file, test in named_tests(row) if test not in functions_in(file)]
