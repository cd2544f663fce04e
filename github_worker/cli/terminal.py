"""A job as a terminal shows it: the stages that are done, and below them the one that goes on."""

from __future__ import annotations

import time

from rich.console import Console, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from github_worker.cli.display import (
    Clock,
    Step,
    Timeline,
    describe_failure,
    describe_lack,
    list_advice,
    read_rows,
)
from github_worker.cli.summary import Row
from github_worker.cli.text import clean, clean_lines, seconds
from github_worker.contract import AnyEvent, Completed, Failed, Result, Transferred, Warned

_WIDEST = 100  # columns
_ECHO = 3  # columns that are left for ^C, which would begin a line that is not taken away
_BAR = 24
_LEAST = 0.005  # seconds: a stage that took less tells a fact


class Terminal:
    """Shows a job in a terminal; without `live` only what is done, as a picture of it needs it."""

    def __init__(
        self,
        console: Console,
        kind: type[Result],
        *,
        live: bool = True,
        clock: Clock = lambda _: time.monotonic(),
    ) -> None:
        self._console = console
        self._kind = kind
        self._timeline = Timeline(clock)
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(
            console=console, get_renderable=self._draw_current, refresh_per_second=10, transient=True
        )
        if live:
            self._live.start()

    def show(self, event: AnyEvent) -> None:
        """Show an event."""
        ended = self._timeline.follow(event)
        if isinstance(event, Failed):
            self._end(ended, event)
        elif ended is not None:
            self._print(self._draw_done(Text("✓", "green"), ended))
        if isinstance(event, Warned):
            self._print(Text(f"! {clean(event.message)} ({clean(event.code)})", "yellow"))
        elif isinstance(event, Completed):
            self._complete(event)

    def close(self) -> None:
        """Take away what goes on, so that the cursor is below what is done."""
        self._live.stop()

    def draw(self) -> None:
        """Draw the stage that goes on, if one does, for good."""
        if self._timeline.step is not None:
            self._print(self._draw_current())

    def _complete(self, event: Completed) -> None:
        self.close()
        rows = read_rows(event, self._kind)
        lack = describe_lack(rows)
        headline = f"Done in {seconds(self._timeline.elapsed)}{lack}"
        self._print(Text(headline, "bold yellow" if lack else "bold green"))
        self._print(_draw_rows(rows))

    def _end(self, ended: Step | None, event: Failed) -> None:
        if ended is not None:
            self._print(self._draw_done(Text("✗", "red"), ended))
        self.close()
        self._print(Text(f"Failed: {describe_failure(event)}", "bold red"))
        self._print(Padding(Text("\n".join(clean_lines(event.error))), (0, 0, 0, 2)))
        self._print(_draw_rows(list_advice(event)))

    def _print(self, what: RenderableType) -> None:
        self._console.print(what, width=self._width, highlight=False)

    @property
    def _width(self) -> int:
        return min(self._console.width - _ECHO, _WIDEST)

    def _draw_done(self, mark: Text, step: Step) -> Table:
        return _draw_line(mark, step, self._timeline.now - step.began)

    def _draw_current(self) -> RenderableType:
        step = self._timeline.step
        if step is None:
            return Text()
        bar = _draw_bar(step.transfer) if step.transfer else Text()
        now = time.monotonic() if self._live.is_started else self._timeline.now
        line = _draw_line(self._spinner, step, now - step.began, bar)
        return Constrain(line, self._width)


def _draw_line(mark: RenderableType, step: Step, spent: float, *between: RenderableType) -> Table:
    """Draw a stage: its mark, its words, how many bytes it moved, and how long it took or takes."""
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(width=1)
    line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for _ in between:
        line.add_column(no_wrap=True)
    line.add_column(justify="right", style="cyan", no_wrap=True)
    line.add_column(justify="right", style="dim", no_wrap=True, min_width=7)
    took = seconds(spent) if spent >= _LEAST else ""
    line.add_row(mark, Text(clean(step.message)), *between, step.describe_bytes(), took)
    return line


def _draw_bar(transfer: Transferred) -> RenderableType:
    """Draw how far a transfer is; one whose end is not known pulses."""
    percent = transfer.percent
    bar = ProgressBar(total=100, completed=percent or 0, width=_BAR, pulse=percent is None)
    if percent is None:
        return bar
    drawn = Table.grid(padding=(0, 1))
    drawn.add_row(bar, Text(f"{percent} %", "cyan"))
    return drawn


def _draw_rows(rows: list[Row]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in rows:
        table.add_row(Text(f"  {label}"), Text(text))
    return table
