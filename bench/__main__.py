"""`scripts/bench`: measures everything side by side and prints one table.

Each row's peer is run by this script, with standard tools, on the same data. Ours and the peer's repetitions
take turns. Ratios say more than seconds, which are this machine's.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import table
from bench.lab import Lab
from bench.measure import Result, Skipped
from bench.rows import ROWS

_OUT = Path(__file__).parent / "out"


def main() -> int:
    """Run the rows that were asked for; return the exit status."""
    arguments = _arguments()
    _need("git", "curl", "tar", "gzip")
    rows: list[Result | Skipped] = []
    _OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="github-worker-bench-", dir=arguments.work) as work:
        options = {"repeat": arguments.repeat, "quick": arguments.quick, "given": arguments.repo}
        with Lab.opened(Path(work), _OUT / "repositories", **options) as lab:
            for name in arguments.rows:
                began = time.monotonic()
                rows += ROWS[name](lab)
                print(f"{name}: measured in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
                machine = _write(rows)
    print(table.text(rows))
    print(f"\n{', '.join(f'{name}: {value}' for name, value in machine.items())}")
    print(f"as Markdown in {_OUT / 'bench.md'}, as JSON in {_OUT / 'bench.json'}")
    return 0


def _write(rows: Sequence[Result | Skipped]) -> dict[str, str]:
    """Write what is measured by now, and return what machine it is of."""
    machine = {
        "measured": time.strftime("%Y-%m-%d"),
        "processors": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "git": subprocess.run(
            ["git", "--version"], capture_output=True, text=True, check=True
        ).stdout.split()[2],
    }
    (_OUT / "bench.json").write_bytes(table.json(rows, machine))
    (_OUT / "bench.md").write_text(table.markdown(rows) + "\n")
    return machine


def _need(*tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "--yes", "--quiet", *missing], check=True, stdout=sys.stderr)
    elif missing:
        sys.exit(f"scripts/bench: the peers need {', '.join(missing)}: install them, or run this as root")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "--rows", type=lambda text: text.split(","), default=list(ROWS), help=f"of {','.join(ROWS)}"
    )
    parser.add_argument("--quick", action="store_true", help="smaller repositories, fewer repetitions")
    parser.add_argument("--repeat", type=int, metavar="N", help="how often (5; the large ones at most 3)")
    parser.add_argument(
        "--repo", type=Path, metavar="BARE", help="a bare repository in the large one's place"
    )
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="where the scratch space is")
    arguments = parser.parse_args()
    arguments.repeat = arguments.repeat or (2 if arguments.quick else 5)
    if unknown := set(arguments.rows) - set(ROWS):
        parser.error(f"no such rows: {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
