"""Fixtures of the tests of archives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sessions import archives


@pytest.fixture(params=[False, True], ids=["spooled", "on disk"])
def either_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Unpack archives in both ways: with plain files in a spool, and with all of them on the disk."""
    token = archives.ON_DISK.set(request.param)
    yield
    archives.ON_DISK.reset(token)
