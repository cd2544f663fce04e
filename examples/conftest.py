"""What the tests of all examples have: a lab of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.lab import Lab, lab


def pytest_configure(config: pytest.Config) -> None:
    """Let the Inngest SDK define its models as it does."""
    config.addinivalue_line("filterwarnings", "ignore:Support for class-based `config`:DeprecationWarning")


@pytest.fixture(name="lab")
def running_lab(tmp_path: Path) -> Iterator[Lab]:
    """Yield a forge, a pool of workers, a store and a model on this machine."""
    with lab(tmp_path) as running:
        yield running
        assert running.forge.github.violations == []  # noqa: S101
