"""A picture of a job as a terminal shows it, drawn from the events that `run --json` printed."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from github_worker.cli.display import read_moment
from github_worker.cli.terminal import Terminal
from github_worker.contract import Result, decode_event

_WIDTH = 92  # columns


def draw_run(command: str, events: Iterable[str], kind: type[Result], *, width: int = _WIDTH) -> str:
    """Return an SVG of a terminal in which `command` was run, and sent `events`, one JSON object each.

    `kind` is the result of the job's endpoint. The same events make the same picture.
    """
    console = Console(
        record=True, file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor"
    )
    console.print(Text(f"$ {command}"))
    display = Terminal(console, kind, live=False, clock=read_moment)
    for event in events:
        display.show(decode_event(event))
    display.draw()
    svg = console.export_svg(title="github-worker", theme=MONOKAI, unique_id="github-worker-run")
    # Whoever looks at the picture shall fetch nothing from elsewhere for it.
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
