"""The page for a person, where many jobs share the machine."""

from __future__ import annotations

from pathlib import Path

from tests.life.test_page import open_page
from tests.supervisor.conftest import Start, calling, until


def test_the_page_says_how_many_work_and_wait(start: Start, tmp_path: Path) -> None:
    """At any load, and whether one more would wait."""
    service = start(1)
    assert "idle: 0 of 1 at work, 0 waiting" in open_page(service).words
    with calling(service, ("wait_for", str(tmp_path / "go-on"))) as first:
        until(first, "analyzing")
        with calling(service) as second:
            until(second, "queued")
            assert "busy: 1 of 1 at work, 1 waiting" in open_page(service).words
            (tmp_path / "go-on").touch()
            until(second, "completed")
