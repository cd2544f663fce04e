"""One job, from a request's options to the outcome that is shown."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, closing
from urllib.parse import urlsplit

from msgspec import Struct

from github_worker.cli.command import (
    DONE,
    FAILED,
    INTERRUPTED,
    NOBODY,
    WRONG_USE,
    Call,
    CommandFailed,
)
from github_worker.cli.display import STARTING, Display, JsonLines, PlainLines
from github_worker.cli.local import start_worker
from github_worker.cli.options import list_options, name_options, read_fields
from github_worker.cli.summary import is_pushed
from github_worker.cli.text import clean
from github_worker.cli.tokens import find_credentials, find_worker_token
from github_worker.contract import Completed, Failed, Progress, Request, Warned, convert
from github_worker_client import GitHubWorker, wire
from github_worker_client.errors import (
    GitHubWorkerError,
    InvalidRequest,
    NoWorker,
    StreamBroken,
    UnexpectedAnswer,
)

_HINTS = {
    "busy": "Every worker has a job: try again later, or wait longer with --wait.",
    "unavailable": "Check --url or GITHUB_WORKER_URL; without either, a worker is started here.",
    "unauthorized": "Set GITHUB_WORKER_TOKEN to the token that the worker wants of its callers.",
    "unexpected_answer": "Check --url or GITHUB_WORKER_URL: what answers there is no GitHub Worker.",
}


class Job(Struct):
    """A job as it stands: what is asked, how to ask again, where it is done, and what came of it."""

    request: Request
    again: str
    place: str = ""
    is_taken: bool = False
    outcome: Completed | Failed | None = None


def run_job(call: Call, kind: type[Request]) -> int:
    """Run a job and show it; return the exit status."""
    job = _make_job(call, kind)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with closing(_choose_display(call, kind)) as display:
        try:
            asyncio.run(_follow(call, job, display))
        except KeyboardInterrupt:
            display.close()
            _tell(_describe_interruption(job))
            return INTERRUPTED
        except CommandFailed as error:
            if call.options.json:
                display.show(Failed(error=str(error), code=GitHubWorkerError.code))
            raise
        except GitHubWorkerError as error:
            return _fail(error, job, display, is_json=call.options.json)
    return _rate(job)


def _make_job(call: Call, kind: type[Request]) -> Job:
    """Make the request of what was given; raise CommandFailed, naming the option that is wrong."""
    fields = read_fields(call.options, kind)
    request_id = fields.setdefault("request_id", uuid.uuid4().hex)
    secrets = find_credentials(kind, call.env, fields, gh=call.options.gh, is_local=not _find_url(call))
    try:
        request = wire.build(kind, **fields, **secrets)
    except InvalidRequest as error:
        raise CommandFailed(name_options(str(error), list_options(kind))) from None
    words = ["github-worker", *call.arguments]
    if "request_id" not in call.options:
        words += ["--request-id", request_id]
    return Job(request, shlex.join(words))


def _choose_display(call: Call, kind: type[Request]) -> Display:
    if call.options.json:
        return JsonLines(sys.stdout)
    if not sys.stdout.isatty() or call.env.get("NO_COLOR") or call.env.get("TERM") == "dumb":
        return PlainLines(sys.stdout, kind.result)
    from rich.console import Console  # noqa: PLC0415 (an extra)

    from github_worker.cli.terminal import Terminal  # noqa: PLC0415 (it imports that)

    return Terminal(Console(), kind.result)


async def _follow(call: Call, job: Job, display: Display) -> None:
    """Show the job's events, and keep its outcome."""
    async with _open_client(call, job, display) as client, aclosing(client.stream(job.request)) as events:
        async for event in events:
            job.is_taken = True
            display.show(event)
            if isinstance(event, Completed | Failed):
                job.outcome = event


@asynccontextmanager
async def _open_client(call: Call, job: Job, display: Display) -> AsyncIterator[GitHubWorker]:
    """Open a client of the worker that is named, or of one that is started for this job."""
    if url := _find_url(call):
        display.show(_begin(f"Asking {_check_url(url)}"))
        async with GitHubWorker(url, find_worker_token(call.env), busy_timeout=call.options.wait) as client:
            yield client
        return
    display.show(_begin("Starting a worker here"))
    async with start_worker(call.env) as worker:
        job.place = f" that was started here for it (process {worker.pid}) and ends with it"
        if worker.warning:
            display.show(Warned(code="settings", message=worker.warning))
        # There is no other worker to turn to.
        async with GitHubWorker(worker.url, worker.token, busy_timeout=0, stream_attempts=1) as client:
            yield client


def _find_url(call: Call) -> str | None:
    """Return the address of the worker that is named, if one is."""
    url: str | None = call.options.url or call.env.get("GITHUB_WORKER_URL")
    return url


def _begin(message: str) -> Progress:
    return Progress(stage=STARTING, message=message)


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CommandFailed("--url must be an http or https URL, such as http://127.0.0.1:5002")
    return url


def _describe_interruption(job: Job) -> str:
    if not job.is_taken:
        return "Interrupted before a worker took the job: nothing was done."
    return (
        f"Interrupted. The job goes on in the worker{job.place}. This asks for its outcome, and does nothing "
        f"twice:\n\n  {job.again}\n"
    )


def _fail(error: GitHubWorkerError, job: Job, display: Display, *, is_json: bool) -> int:
    """Tell of a job that has no outcome; return the exit status."""
    if is_json:
        display.show(Failed(error=str(error), code=error.code, retryable=error.retryable))
    display.close()
    _tell(f"github-worker: {clean(str(error))}")
    if hint := _HINTS.get(error.code):
        _tell(hint)
    if isinstance(error, StreamBroken):
        _tell(
            "What became of the job is not known. This asks for it, and does nothing twice:"
            f"\n\n  {job.again}\n"
        )
    return NOBODY if isinstance(error, NoWorker | StreamBroken | UnexpectedAnswer) else WRONG_USE


def _rate(job: Job) -> int:
    """Return the exit status of a job's outcome: a push that failed is a failure too."""
    if not isinstance(job.outcome, Completed):
        return FAILED
    try:
        result = convert(job.outcome.data, job.request.result)
    except ValueError:  # a newer worker's
        return DONE
    return DONE if is_pushed(result) else FAILED


def _tell(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 (this is the command line)
