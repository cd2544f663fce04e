"""`python -m pages.panels FILE`: draws the dashboard's panels, as a real Prometheus has them while busy."""

from __future__ import annotations

import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import httpx

from tests.monitoring.prometheus import Prometheus, find_metrics, load_dashboard
from tests.support.git_server import GitServer
from tests.support.model import Model, Say
from tests.support.sessions import SessionFolder
from tests.support.worker import Worker

_TOKEN = "picture-token-0123456789"  # noqa: S105 (of the servers that are started here)
_SECONDS, _STEP = 90, 1
_CALLERS = 5
_WIDTH, _HEIGHT, _PLOT = 480, 210, 110
_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#eeca3b", "#bab0ac")
_UNITS = {"s": " s", "Bps": " B/s", "short": "", "percentunit": ""}
Points = Sequence[tuple[float, float]]


def draw(folder: Path) -> str:
    """Let callers come and go for a while, and return what the panels show then."""
    for made in ("remote", "store", "scratch"):
        (folder / made).mkdir()
    store = SessionFolder(folder / "store")
    with GitServer(folder / "remote", {_TOKEN: "write"}) as server, Model() as model:
        url = server.seed("you", "a-repository", {"README.md": "# Read me\n" * 2000}).url
        model.script(*(Say.json(title="Dark Mode", slug=f"dark-mode-{each}") for each in range(10_000)))
        env = {
            **{"TMP_DIR": str(folder / "scratch"), "STORAGE_URL": store.url, "WORKERS": "2", "QUEUE": "2"},
            **{"GIT_ALLOWED_HOSTS": server.origin, "ANTHROPIC_BASE_URL": model.origin, "METRICS_PORT": "0"},
        }
        with Worker(env, folder / "worker.log") as service:
            service.wait_until_healthy()
            prometheus = Prometheus(folder, find_metrics(service), interval="1s", rules=False)
            try:
                began = time.time()
                _keep_busy(service.base_url, url)
                return _draw_panels(prometheus, began + 5, time.time())
            finally:
                prometheus.close()


def _keep_busy(base_url: str, repository: str) -> None:
    """Let callers begin sessions, one after the other comes and goes, and some ask for what there is not."""
    numbers, end = itertools.count(), time.monotonic() + _SECONDS

    def call(number: int) -> None:
        time.sleep(number * _SECONDS / 3 / _CALLERS)
        while time.monotonic() < end - number * _SECONDS / 4 / _CALLERS:
            job = next(numbers)
            url = repository if job % 9 else repository.replace("a-repository", "no-repository")
            body = {"sessionId": f"session-{job:08}", "repoUrl": url, "userRequest": "Add a dark mode"}
            body |= {"githubAccessToken": _TOKEN, "claudeCredentials": "sk-ant-api03-key-of-a-picture"}
            answer = httpx.post(f"{base_url}/init-session", json=body, trust_env=False, timeout=60)
            time.sleep(0.5 if answer.status_code == 429 else 0.05)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(_CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _draw_panels(prometheus: Prometheus, begin: float, end: float) -> str:
    panels = [each for each in load_dashboard()["panels"] if each["type"] == "timeseries"]
    drawn = []
    for place, panel in enumerate(panels):
        lines = _fetch(prometheus, panel, begin, end)
        x, y = place % 2 * _WIDTH, place // 2 * _HEIGHT
        drawn.append(
            f'<g transform="translate({x},{y})">{"".join(_draw_panel(panel, lines, begin, end))}</g>'
        )
    height = (len(panels) + 1) // 2 * _HEIGHT
    style = "text{font:11px sans-serif;fill:#444}.t{font-weight:bold;font-size:12px}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * _WIDTH} {height}" role="img">'
        f"<title>The dashboard's panels</title><style>{style}</style>"
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(drawn)}</svg>\n'
    )


def _fetch(prometheus: Prometheus, panel: Mapping[str, Any], begin: float, end: float) -> dict[str, Points]:
    """Return a panel's lines by their legends."""
    lines: dict[str, Points] = {}
    for target in panel["targets"]:
        asked = target["expr"].replace("$__rate_interval", "10s").replace("$job", ".*")
        span = {"start": f"{begin:.3f}", "end": f"{end:.3f}", "step": str(_STEP)}
        for found in prometheus.get("query_range", query=asked, **span)["result"]:
            legend = target["legendFormat"]
            for label, text in found["metric"].items():
                legend = legend.replace(f"{{{{{label}}}}}", text)
            lines[legend] = [
                (float(at), float(value)) for at, value in found["values"] if value not in {"NaN", "+Inf"}
            ]
    return {legend: points for legend, points in lines.items() if points}


def _draw_panel(
    panel: Mapping[str, Any], lines: Mapping[str, Points], begin: float, end: float
) -> Iterator[str]:
    if panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal":
        lines = _stack(lines)
    top = max((value for points in lines.values() for _, value in points), default=0) * 1.1 or 1
    yield f'<text class="t" x="12" y="20">{escape(panel["title"])}</text>'
    yield f'<text x="12" y="36">{top:,.3g}{_UNITS[panel["fieldConfig"]["defaults"]["unit"]]}</text>'
    yield f'<rect x="12" y="42" width="{_WIDTH - 24}" height="{_PLOT}" fill="#f6f6f6"/>'
    for (_, points), colour in zip(lines.items(), itertools.cycle(_COLOURS), strict=False):
        scaled = " ".join(
            f"{12 + (at - begin) / (end - begin) * (_WIDTH - 24):.1f},{42 + _PLOT * (1 - value / top):.1f}"
            for at, value in points
        )
        yield f'<polyline points="{scaled}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
    x, y = 12, 42 + _PLOT + 16
    for legend, colour in zip(lines, itertools.cycle(_COLOURS), strict=False):
        width = 20 + 6 * len(legend)
        if x + width > _WIDTH:
            x, y = 12, y + 14
        yield f'<rect x="{x}" y="{y - 8}" width="8" height="8" fill="{colour}"/>'
        yield f'<text x="{x + 12}" y="{y}">{escape(legend)}</text>'
        x += width


def _stack(lines: Mapping[str, Points]) -> dict[str, Points]:
    """Put each line on top of those before it."""
    below: dict[float, float] = {}
    stacked: dict[str, Points] = {}
    for legend, points in lines.items():
        stacked[legend] = [(at, below.get(at, 0.0) + value) for at, value in points]
        below |= dict(stacked[legend])
    return stacked


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="github-worker-panels-") as folder:
        Path(sys.argv[1]).write_text(draw(Path(folder)))
