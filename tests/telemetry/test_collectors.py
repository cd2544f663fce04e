"""Collectors that misbehave, or are not there: nothing changes for callers."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest

from github_worker.__main__ import _OTLP_PACKAGES, find_missing
from github_worker.sandbox import rules_for
from github_worker.settings import from_env
from tests.life.conftest import StartWorker, events, job, post
from tests.life.conftest import start as start  # noqa: PLC0414 (a fixture)
from tests.supervisor.conftest import eventually
from tests.support.collector import Behaviour, Collector
from tests.support.worker import ReservedPort, Worker

LOST = "traces or metrics are lost"


def complaints(worker: Worker) -> list[str]:
    """Return the reasons for which telemetry was lost, as the log has them."""
    return [line["reason"] for line in worker.log_lines() if line.get("message") == LOST]


@pytest.mark.parametrize("behaviour", ["hang", "refuse", "rubbish", "drip"])
@pytest.mark.parametrize("workers", ["", "1"], ids=["one job", "--workers"])
def test_a_collector_that_misbehaves_delays_no_caller(
    start: StartWorker, behaviour: Behaviour, workers: str
) -> None:
    """The stream ends as it does without one, the process two seconds later, and the log has a line."""
    with Collector(behaviour) as collector:
        worker = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.origin, WORKERS=workers)
        answer = post(worker)
        assert events(answer.text)[-1]["type"] == "completed"
        assert not complaints(worker)  # nothing is sent before the stream has ended
        ended = time.monotonic()
        if workers:
            worker.terminate()
        assert worker.wait(10) == 0
        # A job's process tells, then the acceptor: two seconds each.
        assert time.monotonic() - ended < (6 if workers else 4)
        assert collector.bodies
        assert len(complaints(worker)) == (2 if workers else 1)


def test_a_collector_that_is_down_costs_one_line(start: StartWorker) -> None:
    """Nobody listens there: whatever OpenTelemetry tries again, it says once."""
    port = ReservedPort()
    worker = start(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port.number}")
    assert events(post(worker).text)[-1]["type"] == "completed"
    assert worker.wait(10) == 0
    port.close()
    [line] = [
        line
        for line in worker.log_lines()
        if line["message"] not in {"job admitted", "job ended", "listening"}
    ]
    assert (line["message"], line["level"]) == (LOST, "warning")


def test_nothing_is_lost_on_sigterm(start: StartWorker, tmp_path: Path) -> None:
    """A job that is under way is finished, and what is to tell of it is told, as are earlier refusals."""
    with Collector() as collector:
        worker = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.origin)
        httpx.post(f"{worker.base_url}/commit-and-push", json={}, trust_env=False)
        body = job(("wait_for", str(tmp_path / "go-on")))
        with httpx.stream("POST", f"{worker.base_url}/commit-and-push", json=body, trust_env=False) as stream:
            worker.terminate()
            (tmp_path / "go-on").touch()
            assert '"completed"' in stream.read().decode()
        assert worker.wait() == 0
        assert len(collector.named("commit-and-push")) == 1
        assert collector.total("github_worker.refusals", code="invalid_request") == 1


def test_an_idle_worker_tells_whom_it_refused(start: StartWorker) -> None:
    """Told to end, it has no job, and has something to tell all the same."""
    with Collector() as collector:
        worker = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.origin)
        httpx.get(f"{worker.base_url}/nowhere", trust_env=False)
        worker.terminate()
        assert worker.wait() == 0
        assert collector.total("github_worker.refusals", code="not_found") == 1
        assert collector.spans == []


def test_who_is_told_is_told_at_intervals(start: StartWorker) -> None:
    """Under `--workers` the service tells while it lives how many wait."""
    with Collector() as collector:
        start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.origin, WORKERS="1", OTEL_METRIC_EXPORT_INTERVAL="50")
        eventually(lambda: sum(point.name == "github_worker.queue.length" for point in collector.points) > 2)


def test_a_job_given_up_in_line_is_told(start: StartWorker, tmp_path: Path) -> None:
    """Its client left before its turn: it has a code, and no duration."""
    with Collector() as collector:
        worker = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.origin, WORKERS="1")
        url = f"{worker.base_url}/commit-and-push"
        with httpx.stream(
            "POST", url, json=job(("wait_for", str(tmp_path / "go"))), trust_env=False
        ) as first:
            with httpx.stream("POST", url, json=job(), trust_env=False) as second:
                next(second.iter_lines())
            eventually(lambda: collector.total("github_worker.jobs", code="given_up") == 1)
            (tmp_path / "go").touch()
            first.read()


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
        },
    ],
    ids=["unset", "disabled", "none"],
)
@pytest.mark.parametrize("workers", ["", "1"], ids=["one job", "--workers"])
def test_switched_off_it_is_not_imported(
    worker_env: dict[str, str], tmp_path: Path, env: dict[str, str], workers: str
) -> None:
    """Neither our package nor the SDK: Anthropic's own imports the API alone."""
    env = {**worker_env, **env, "WORKERS": workers, "PYTHONPROFILEIMPORTTIME": "1"}
    with Worker(env, tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        body = {"sessionId": "missing", "githubAccessToken": "token-0123456789"}
        httpx.post(f"{worker.base_url}/commit-and-push", json=body, trust_env=False, timeout=30)
        worker.terminate()
        worker.wait()
        log = worker.log.read_text()
    assert "github_worker.operations" in log
    for module in ("github_worker.telemetry", "opentelemetry.sdk", "opentelemetry.exporter", "| requests\n"):
        assert module not in log
    assert json.dumps(LOST) not in log


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("TELEMETRY_SESSION_IDS", "some"),
    ],
)
def test_a_wrong_value_stops_the_start(
    worker_env: dict[str, str], tmp_path: Path, name: str, value: str
) -> None:
    """The variable is named."""
    with Worker({**worker_env, name: value}, tmp_path / "worker.log") as worker:
        assert worker.wait() == 2
        assert f"github-worker: {name} must be" in worker.log.read_text()


def test_a_confined_worker_may_reach_the_collector(worker_env: dict[str, str], tmp_path: Path) -> None:
    """Both places' ports are among those that it connects to, the one that a scheme stands for too."""
    urls = {"TRACES": "http://collector:4999/v1/traces", "METRICS": "http://collector/v1/metrics"}
    env = {f"OTEL_EXPORTER_OTLP_{kind}_ENDPOINT": url for kind, url in urls.items()}
    ports = rules_for(from_env({**worker_env, **env}), tmp_path).connect
    assert ports is not None
    assert {4999, 80} <= ports


def test_a_missing_package_is_found_before_a_job_needs_it() -> None:
    """The start is stopped by the name of what is not installed."""
    assert find_missing(("json", "nowhere.to_be.found", "nothing")) == "nowhere.to_be.found"
    assert find_missing(_OTLP_PACKAGES) is None
