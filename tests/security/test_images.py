"""The images that are built from and run are those that somebody looked at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = "github-worker:latest"
PINNED = r"[a-z/]+:[\w.-]+@sha256:[0-9a-f]{64}"


@pytest.mark.parametrize("file", ["compose.yml", "swarm.yml"])
def test_an_image_that_is_run_is_pinned_by_its_digest(file: str) -> None:
    """A tag that is moved changes nothing: every image but ours has tag and digest."""
    images = re.findall(r"^ +image: (?:\$\{\w+:-)?([^}\s]+)", (ROOT / file).read_text(), re.MULTILINE)
    assert OURS in images
    assert [image for image in images if image != OURS and not re.fullmatch(PINNED, image)] == []


def test_the_base_image_is_pinned_by_its_digest() -> None:
    """Every stage is built from one base, which has tag and digest."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    bases = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", dockerfile, re.MULTILINE)
    assert bases == [("${BASE}", "build"), ("${BASE}", "")]
    assert re.search(rf"^ARG BASE={PINNED}$", dockerfile, re.MULTILINE)
    assert set(re.findall(r"--from=(\S+)", dockerfile)) == {"build"}
