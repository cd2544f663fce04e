"""What was found of a part of the configuration."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Verdict(Struct, frozen=True):
    """Says of a part that it works, that it fails, or what one should know of it."""

    mark: Literal["ok", "note", "failed"]
    text: str


def works(text: str) -> Verdict:
    """Say that it works."""
    return Verdict("ok", text)


def note(text: str) -> Verdict:
    """Say what one should know."""
    return Verdict("note", text)


def fails(text: str) -> Verdict:
    """Say that it does not work."""
    return Verdict("failed", text)
