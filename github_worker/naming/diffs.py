"""Diffs, cut to what a prompt has room for."""

from __future__ import annotations

from collections.abc import Iterable

from github_worker.credentials import mask
from github_worker.naming.changes import is_generated, printable
from github_worker.redaction import scrub

PER_FILE = 3_000
TOTAL = 16_000
_LONGEST_LINE = 300


def excerpt(patches: Iterable[tuple[str, str]], per_file: int = PER_FILE, total: int = TOTAL) -> str:
    """Join the patches of files that people write, secrets masked; the budgets are in characters.

    No more patches are taken from the iterable than there is room for.
    """
    parts: list[str] = []
    for path, patch in patches:
        if is_generated(path) or not patch:
            continue
        parts.append(cut(f"=== {printable(path)}\n{patch}", min(per_file, total)))
        total -= len(parts[-1]) + 1
        if total < _LONGEST_LINE:
            break
    return "\n".join(parts)


def cut(patch: str, limit: int) -> str:
    """Keep the lines of a patch that fit into `limit` characters, secrets masked."""
    # Masked before it is cut, as half a secret is not known for one; of a huge patch only the beginning.
    whole_lines = patch if len(patch) <= 4 * limit else patch[: 4 * limit].rpartition("\n")[0]
    kept, left = [], limit - len("\n…")
    for line in mask(scrub(whole_lines)).splitlines():
        shown = line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"
        left -= len(shown) + 1
        if left < 0:
            kept.append("…")
            break
        kept.append(shown)
    return "\n".join(kept)
