"""The page that `GET /` answers a person with: what this is, what it does now, and where to read on.

It needs no script and no other host, and its headers forbid both.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape

from github_worker.contract import REQUESTS, Health, Status, Workers

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { margin: 2rem auto; max-width: 44rem; padding: 0 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; margin: 0 }
h2 { font-size: 1rem; margin: 2rem 0 0.5rem }
.state { border-left: 0.3rem solid #2da44e; font-size: 1.25rem; padding-left: 0.7rem }
.busy, .draining { border-color: #bf8700 }
.failing { border-color: #cf222e }
.warning { border-left: 0.3rem solid #bf8700; padding-left: 0.7rem }
dl { display: grid; gap: 0.25rem 1rem; grid-template-columns: max-content 1fr; margin: 0 }
dd { margin: 0 }
@media (max-width: 36rem) { dl { display: block } dd { margin: 0 0 0.5rem 1rem } }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Vary": "Accept",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>GitHub Worker: {state}</title>
<style>{style}</style>
</head>
<body>
<h1>GitHub Worker</h1>
<p>Does the git work of AI coding sessions: clones, branches, commits and pull requests, each told as it
happens.</p>
<p class="state {state}">{sentence}</p>
{warning}
<h2>What it can be asked</h2>
<dl>
{endpoints}
</dl>
<h2>About this one</h2>
<dl>
{facts}
</dl>
<p>The documentation is in <code>README.md</code> and <code>docs/</code> of its source;
<a href="/openapi.json">openapi.json</a> describes every field.</p>
</body>
</html>
"""
_GETS = {
    "/health": "Whether it is alive, and what it is, as JSON.",
    "/status": "What it does at the moment, as JSON.",
    "/openapi.json": "The description of all of this, for programs.",
}


def is_asked_for(accept: str) -> bool:
    """Tell whether an `Accept` header is a browser's: whoever else asks for `/` asks for no page."""
    return any(kind.partition(";")[0].strip().lower() == "text/html" for kind in accept.split(","))


def render(health: Health, status: Status) -> str:
    """Return the page, every value in it escaped."""
    state = "failing" if health.status == "failing" else health.worker_status
    posts = {f"POST /{name}": _format(kind.__doc__ or "") for name, kind in REQUESTS.items()}
    gets = {f'GET <a href="{path}">{path}</a>': sentence for path, sentence in _GETS.items()}
    build = (health.build.commit_sha, health.build.timestamp, health.build.image_tag)
    facts = {
        "Version": health.version,
        "Build": ", ".join(part for part in build if part != "unknown") or "not of an image",
        "Container": health.container_id,
        "Sandbox": health.sandbox,
        "Time": health.timestamp,
    }
    return _PAGE.format(
        style=_STYLE,
        state=state,
        sentence=escape(_describe(state, status)),
        warning=f'<p class="warning">{escape(health.warning)}</p>' if health.warning else "",
        endpoints=_list({f"<code>{name}</code>": text for name, text in (posts | gets).items()}),
        facts=_list({name: escape(fact) for name, fact in facts.items()}),
    )


def _describe(state: str, status: Status) -> str:
    """Say what the worker does."""
    if state == "failing":
        return "failing: no process can be started that would do a job"
    if isinstance(workers := status.workers, Workers):
        return f"{state}: {workers.busy} of {workers.limit} at work, {workers.queued} waiting"
    if state == "draining":
        return "draining: it was told to stop, and takes no more jobs"
    return f"busy with {status.active_operation}" if status.active_operation else "idle: it waits for its job"


def _format(sentence: str) -> str:
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(sentence))


def _list(entries: dict[str, str]) -> str:
    return "\n".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in entries.items())
