"""Fixtures of the tests in which git is the judge."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fidelity.arena import Arena


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    """Yield an arena with an empty remote and nothing in its session."""
    with Arena(tmp_path / "arena") as arena:
        yield arena
    shutil.rmtree(arena.root)  # thousands of files, which nobody looks at once the verdict is there
