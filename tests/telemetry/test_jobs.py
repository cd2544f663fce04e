"""A job as a collector sees it: its trace from the caller to storage, its metrics, and no secret."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider

from github_worker_client import GitHubWorker
from tests.conftest import WRITE_TOKEN
from tests.support.collector import Collector, Span
from tests.support.git_server import GitServer
from tests.support.github import TOKEN, GitHub
from tests.support.model import Model, Say
from tests.support.storage_worker import StorageWorker
from tests.support.worker import Worker

KEY = "sk-ant-model-key-0123456789"
HEADER = "collector-header-0123456789"
PROMPT = "Paint the zebra crossing"
SESSION = "s-12345678"
SERVER, CLIENT, ERROR = 2, 3, 2  # as OTLP numbers them
LIVES = pytest.mark.parametrize("workers", ["", "1"], ids=["one job", "--workers"])


def answer_of(worker: Worker, operation: str, headers: dict[str, str] | None = None, **fields: Any) -> str:
    """Do a job, and return its stream."""
    body = {"sessionId": SESSION, "githubAccessToken": WRITE_TOKEN, **fields}
    url = f"{worker.base_url}/{operation}"
    return httpx.post(url, json=body, headers=headers, trust_env=False, timeout=30).text


@LIVES
async def test_a_collector_sees_the_whole_of_a_job(
    collector: Collector,
    storage: StorageWorker,
    git_server: GitServer,
    model: Model,
    told_env: dict[str, str],
    tmp_path: Path,
    workers: str,
) -> None:
    """From the client's span through the worker's stages to the storage worker's request, in one trace."""
    origin = git_server.seed("octo", "demo")
    model.script(Say.json(title="Zebra Crossing Paint", slug="zebra-crossing-paint"))
    env = {
        **told_env,
        "WORKERS": workers,
        "ANTHROPIC_API_KEY": KEY,
        "GITHUB_WORKER_TOKEN": "caller-0123456789",
    }
    env["OTEL_EXPORTER_OTLP_HEADERS"] = f"api-key={HEADER}"
    env["OTEL_RESOURCE_ATTRIBUTES"] = "deployment.environment.name=test"
    with Worker(env, tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        tracer = TracerProvider(shutdown_on_exit=False).get_tracer("caller")
        async with GitHubWorker(worker.base_url, token="caller-0123456789") as client:
            with tracer.start_as_current_span("caller") as caller:
                await client.init_session(
                    session_id=SESSION, repo_url=origin.url, user_request=PROMPT, access_token=WRITE_TOKEN
                )
        collector.wait_for(1)
        worker.terminate()
        assert worker.wait() == 0
        lines = [line for line in worker.log_lines() if "traceId" in line]

    spans = {span.span_id: span for span in collector.spans}
    [job] = collector.named("init-session")
    context = caller.get_span_context()
    assert {span.trace_id for span in spans.values()} == {f"{context.trace_id:032x}"}
    assert (job.parent, job.kind, job.status) == (f"{context.span_id:016x}", SERVER, 0)
    assert {(line["traceId"], line["spanId"]) for line in lines} == {(job.trace_id, job.span_id)}
    assert job.attributes["vcs.owner.name"] == "octo"
    assert job.attributes["vcs.repository.name"] == "demo"
    assert job.attributes["vcs.ref.head.name"] == "webedt/zebra-crossing-paint-12345678"
    assert job.attributes["session.id"] == SESSION
    assert job.resource["service.name"] == "github-worker"
    assert job.resource["deployment.environment.name"] == "test"

    stages = {span.name for span in spans.values() if span.parent == job.span_id}
    assert {"downloading_session", "cloning", "generating_name", "pushing", "uploading"} <= stages
    for request in storage.requests:
        _, trace_id, parent, _ = request.headers["traceparent"].split("-")
        assert (trace_id, spans[parent].attributes["peer.service"]) == (job.trace_id, "storage")
        assert root_of(spans[parent], spans) is job
    [asked] = collector.named("chat claude-haiku-4-5")
    assert asked.kind == CLIENT
    assert asked.attributes["gen_ai.usage.input_tokens"] == 10
    assert asked.attributes["http.response.status_code"] == 200
    assert not [request for request in model.requests if "traceparent" in request.headers]
    assert all(headers["api-key"] == HEADER for headers in collector.headers)
    assert_no_secret(collector, "caller-0123456789", HEADER)


def root_of(span: Span, spans: dict[str, Span]) -> Span:
    """Return the outermost of the worker's spans that a span is a part of."""
    while span.parent in spans:
        span = spans[span.parent]
    return span


def assert_no_secret(collector: Collector, *more: str) -> None:
    """Hold that nothing that was ever sent has a token, a prompt, or a session in a URL."""
    assert collector.bodies
    for body in collector.bodies:
        for secret in (WRITE_TOKEN, TOKEN, KEY, PROMPT, "zebra crossing", f"sessions/{SESSION}", *more):
            assert secret.encode() not in body


@LIVES
def test_the_sums_of_many_jobs_are_right(
    collector: Collector, git_server: GitServer, told_env: dict[str, str], tmp_path: Path, workers: str
) -> None:
    """Each process adds what it did: jobs by outcome, refusals, stages, bytes, waiting."""
    origin = git_server.seed("octo", "demo")
    env = {**told_env, "WORKERS": workers}
    clone = {"repoUrl": origin.url, "accessToken": WRITE_TOKEN}
    bodies = [{"sessionId": f"s-{number}", **clone} for number in range(2)]
    todo = [("clone-repository", bodies[0]), ("clone-repository", bodies[1])]
    todo.append(("commit-and-push", {"sessionId": "missing", "githubAccessToken": WRITE_TOKEN}))
    for jobs in [todo] if workers else [[each] for each in todo]:
        with Worker(env, tmp_path / f"{jobs[0][1]['sessionId']}.log") as worker:
            worker.wait_until_healthy()
            answer_of(worker, "commit-and-push", nonsense=1)
            for operation, body in jobs:
                httpx.post(f"{worker.base_url}/{operation}", json=body, trust_env=False, timeout=30)
            worker.terminate()
            assert worker.wait() == 0
    for code, count in (("completed", 2), ("session_not_found", 1)):
        assert collector.total("github_worker.jobs", code=code) == count
    assert collector.total("github_worker.refusals", code="invalid_request") == (1 if workers else 3)
    assert collector.total("github_worker.transferred", direction="sent") > 0
    counts = {
        name: sum(point.count for point in collector.points if point.name == name)
        for name in ("github_worker.job.duration", "github_worker.queue.wait")
    }
    assert counts == dict.fromkeys(counts, 3)
    assert all(point.is_delta for point in collector.points if "duration" in point.name)
    assert bool([p for p in collector.points if p.name == "github_worker.queue.length"]) == bool(workers)


def test_a_failed_job_says_its_code(collector: Collector, told_env: dict[str, str], tmp_path: Path) -> None:
    """The span is an error with the code of the stream, and so is the metric's point."""
    with Worker(told_env, tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        answer_of(worker, "commit-and-push")
        worker.wait()
    [job] = collector.named("commit-and-push")
    assert (job.status, job.parent) == (ERROR, "")
    assert job.attributes["error.type"] == "session_not_found"
    [asked] = [span for span in collector.spans if span.attributes.get("peer.service") == "storage"]
    assert (asked.attributes["http.response.status_code"], asked.attributes["url.full"][-9:]) == (
        404,
        "/download",
    )


def test_warnings_are_events_and_requests_to_github_are_spans(
    collector: Collector, told_env: dict[str, str], tmp_path: Path
) -> None:
    """GitHub is not told of the trace."""
    with GitHub() as github:
        github.repository.commit("topic", "Add dark mode toggle", {"src/theme.ts": "dark"})
        env = {**told_env, "GITHUB_API_URL": github.origin}
        with Worker(env, tmp_path / "worker.log") as worker:
            worker.wait_until_healthy()
            body: dict[str, Any] = {
                "owner": "octocat",
                "repo": "hello-world",
                "head": "topic",
                "base": "main",
            }
            body |= {"githubAccessToken": TOKEN, "title": "Add", "body": "b", "reviewers": ["nobody-here"]}
            answer = httpx.post(
                f"{worker.base_url}/create-pull-request", json=body, trust_env=False, timeout=30
            ).text
            worker.wait()
        asked = [span for span in collector.spans if span.attributes.get("peer.service") == "github"]
        assert asked, answer
        assert all(span.attributes["server.address"] == "127.0.0.1" for span in asked)
        assert not [request for request in github.asked if "traceparent" in request.headers]
    [job] = collector.named("create-pull-request")
    assert [name for name, _ in job.events] == ["warning"], answer
    assert_no_secret(collector)


@pytest.mark.parametrize(
    ("way", "said"),
    [("plain", SESSION), ("hashed", hashlib.sha256(SESSION.encode()).hexdigest()[:16]), ("none", None)],
)
def test_a_session_is_named_as_the_operator_chose(
    collector: Collector, told_env: dict[str, str], tmp_path: Path, way: str, said: str | None
) -> None:
    """As it is, as a hash that still tells one from another, or not at all."""
    with Worker({**told_env, "TELEMETRY_SESSION_IDS": way}, tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        answer_of(worker, "commit-and-push")
        worker.wait()
    [job] = collector.named("commit-and-push")
    assert job.attributes.get("session.id") == said
    if way != "plain":
        assert not [body for body in collector.bodies if SESSION.encode() in body]


def test_a_callers_choice_not_to_sample_is_kept(
    collector: Collector, storage: StorageWorker, told_env: dict[str, str], tmp_path: Path
) -> None:
    """No span is sent, metrics are, and storage is told the same."""
    headers = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-00"}
    with Worker(told_env, tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        answer_of(worker, "commit-and-push", headers)
        worker.wait()
    assert collector.spans == []
    assert collector.total("github_worker.jobs") == 1
    assert storage.requests[0].headers["traceparent"].endswith("-00")
