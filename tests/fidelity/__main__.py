"""Replays the files that random rounds left: `python -m tests.fidelity FILE…`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.fidelity.rounds import replay


def main(files: list[str]) -> int:
    """Replay each file, say what git does not agree with, and return how many there are."""
    failed = 0
    for file in files:
        with tempfile.TemporaryDirectory() as folder:
            verdict = asyncio.run(replay(Path(file), Path(folder)))
        failed += bool(verdict.differences)
        sys.stdout.write(f"{file}: {verdict if verdict.differences else 'git agrees'}\n")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
