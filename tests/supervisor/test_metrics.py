"""What the supervisor says of its jobs, to whom, and that no job can falsify it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from github_worker.channel import Kind
from github_worker.measurements import CODES, STAGES, Account, Ledger, decode
from tests.conftest import WRITE_TOKEN
from tests.life.conftest import ROOT, TOKEN, events, post, scripted
from tests.supervisor.conftest import Start, calling, children, eventually, until
from tests.support.git_server import GitServer
from tests.support.model import Model, Say
from tests.support.sessions import SessionFolder
from tests.support.worker import ReservedPort, Worker

Value = Callable[..., float]
OPERATION = "commit-and-push"
# Stands before the real one: says that it was asked for, and is not there.
ABSENT = """
from pathlib import Path
Path({mark!r}).touch()
raise ModuleNotFoundError("No module named 'prometheus_client'", name="prometheus_client")
"""


def read(service: Worker, port: int | None = None) -> Value:
    """Ask for the metrics, and return a function that looks one up by its name and labels."""
    url = f"http://127.0.0.1:{port or service.port}/metrics"
    answer = httpx.get(url, trust_env=False)
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    samples = {
        (each.name, *sorted(each.labels.items())): each.value for one in families for each in one.samples
    }

    def value(name: str, **labels: str) -> float:
        return samples[f"github_worker_{name}", *sorted(labels.items())]

    return value


def jobs(service: Worker, code: str) -> float:
    """Return how many jobs have ended with a code."""
    return read(service)("jobs_total", operation=OPERATION, code=code)


def test_jobs_count_when_their_processes_are_gone(start: Start) -> None:
    """Each one once, by what it came to, with its time; and its stages in seconds."""
    service = start(2)
    for _ in range(3):
        post(service)
    post(service, ("fail", ["storage_unavailable", "", {}]))
    post(service, ("crash", "boom"))
    value = read(service)
    found = {code: value("jobs_total", operation=OPERATION, code=code) for code in (*CODES, "killed")}
    expected = {"completed": 3, "storage_unavailable": 1, "internal": 1}
    assert found == dict.fromkeys((*CODES, "killed"), 0) | expected
    assert value("job_duration_seconds_count", operation=OPERATION, code="completed") == 3
    assert value("stage_duration_seconds_count", operation=OPERATION, stage="analyzing") == 5
    assert 0 < value("job_duration_seconds_sum", operation=OPERATION, code="completed") < 5
    assert value("queue_wait_seconds_count", operation=OPERATION) == 5
    assert value("queue_wait_seconds_bucket", operation=OPERATION, le="+Inf") == 5


def test_what_is_at_work_and_in_line_is_told(start: Start, tmp_path: Path) -> None:
    """How many there are, how many there may be, and how long the oldest has taken of its time."""
    service = start(1, QUEUE="7", JOB_TIMEOUT="50")
    with calling(service, ("wait_for", str(tmp_path / "go-on"))) as first:
        until(first, "analyzing")
        with calling(service) as second:
            until(second, "queued")
            value = read(service)
            (tmp_path / "go-on").touch()
            until(second, "completed")
    told = [value(f"workers_{name}") for name in ("busy", "limit")]
    assert [*told, value("queue_length"), value("queue_limit")] == [1, 1, 1, 7]
    assert 0 < value("oldest_job_seconds") < value("job_timeout_seconds") == 50
    assert read(service)("workers_busy") == read(service)("oldest_job_seconds") == 0


def test_a_job_that_is_killed_counts_as_killed(start: Start, tmp_path: Path) -> None:
    """Its process can say nothing any more, so the supervisor does."""
    service = start(1)
    pid = tmp_path / "pid"
    with calling(service, ("write_down", str(pid)), ("refuse_to_end", 20)) as stream:
        until(stream, "warning")
        os.kill(int(pid.read_text()), signal.SIGKILL)
        with pytest.raises(httpx.RemoteProtocolError):
            until(stream, "completed")
    eventually(lambda: jobs(service, "killed") == 1)
    assert jobs(service, "completed") == 0


def test_a_job_that_is_given_up_in_line_counts_as_given_up(start: Start, tmp_path: Path) -> None:
    """It did not fail, and it did not complete."""
    service = start(1)
    with calling(service, ("wait_for", str(tmp_path / "go-on"))) as first:
        until(first, "analyzing")
        with calling(service) as second:
            until(second, "queued")
        eventually(lambda: jobs(service, "given_up") == 1)
        (tmp_path / "go-on").touch()
        until(first, "completed")
    assert read(service)("queue_wait_seconds_count", operation=OPERATION) == 1


def test_what_was_counted_outlives_the_acceptor(start: Start) -> None:
    """Jobs do, as the supervisor keeps them, and refusals that it had been told."""
    service = start(1)
    post(service)
    httpx.get(f"{service.base_url}/nowhere", trust_env=False)
    assert read(service)("refusals_total", code="not_found") == 1
    acceptor = min(children(service.pid))
    os.kill(acceptor, signal.SIGKILL)
    eventually(lambda: acceptor not in children(service.pid))
    service.wait_until_healthy()
    assert jobs(service, "completed") == 1
    assert read(service)("refusals_total", code="not_found") == 1


def test_refusals_count_by_their_code(start: Start) -> None:
    """Once each, however often the metrics are asked for."""
    service = start(1, GITHUB_WORKER_TOKEN=TOKEN, METRICS_PORT="0")
    assert post(service).status_code == 401
    port = metrics_port(service)
    for _ in range(2):
        assert read(service, port)("refusals_total", code="unauthorized") == 1
    assert read(service, port)("refusals_total", code="busy") == 0


def metrics_port(service: Worker) -> int:
    """Return the port that the service says it tells metrics on."""
    [line] = [line for line in service.log_lines() if line.get("message") == "listening"]
    return int(line["metrics"].rpartition(":")[2])


def test_the_main_port_asks_for_the_token(start: Start) -> None:
    """Where there is one; on a port of their own the metrics are for everybody, and nothing else is there."""
    service = start(1, GITHUB_WORKER_TOKEN=TOKEN, METRICS_PORT="0")
    with httpx.Client(trust_env=False) as client:
        url = f"{service.base_url}/metrics"
        assert client.get(url).status_code == 401
        assert client.get(url, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        own = f"http://127.0.0.1:{metrics_port(service)}"
        assert client.get(f"{own}/metrics").status_code == 200
        for path in ("/", "/health", "/status", "/openapi.json"):
            assert client.get(own + path).status_code == 404
        bearing = {"Authorization": f"Bearer {TOKEN}"}
        assert client.post(f"{own}/commit-and-push", headers=bearing, json={}).status_code == 404


def test_no_job_can_listen_on_the_port_of_the_metrics(start: Start, tmp_path: Path) -> None:
    """Its process has neither port open, as it could answer in the service's place."""
    service = start(1, METRICS_PORT="0")
    [process] = [
        event["message"]
        for event in events(post(service, ("write_down", str(tmp_path / "pids"))).text)
        if event["type"] == "warning"
    ]
    assert process.endswith(" []")


def test_openmetrics_is_told_to_who_asks_for_it(start: Start) -> None:
    """Prometheus does; a browser gets the older text."""
    service = start(1)
    url, accept = f"{service.base_url}/metrics", {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = httpx.get(url, headers=accept, trust_env=False)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert httpx.get(url, trust_env=False).headers["Content-Type"].startswith("text/plain")


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """By the variable that is to be changed."""
    taken = ReservedPort()
    with (
        scripted(tmp_path / "first.log", {}, {"WORKERS": "1", "METRICS_PORT": str(taken.number)}),
        Worker(
            {"TMP_DIR": str(tmp_path), "WORKERS": "1", "METRICS_PORT": str(taken.number)}, tmp_path / "log"
        ) as second,
    ):
        assert second.wait() == 1
        assert second.log_lines()[-1]["message"].startswith(f"METRICS_PORT {taken.number} is taken")
    taken.close()


def test_nothing_is_imported_before_somebody_asks(tmp_path: Path) -> None:
    """Neither for a job nor for `/health`; and where the package is missing, the answer says so in words."""
    mark, shadow = tmp_path / "mark", tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "prometheus_client.py").write_text(ABSENT.format(mark=str(mark)))
    env = {"PYTHONPATH": f"{shadow}:{ROOT}"}
    with scripted(tmp_path / "one.log", {}, env) as alone:
        assert httpx.get(f"{alone.base_url}/metrics", trust_env=False).status_code == 404
        post(alone)
        assert alone.wait() == 0
    with scripted(tmp_path / "many.log", {}, {**env, "WORKERS": "1"}) as service:
        assert events(post(service).text)[-1]["type"] == "completed"
        assert not mark.exists()
        answer = httpx.get(f"{service.base_url}/metrics", trust_env=False)
        assert answer.status_code == 501
        assert "pip install 'github-worker[metrics]'" in answer.text
        assert mark.exists()


@pytest.fixture
def ledger() -> Ledger:
    """Return an empty ledger."""
    return Ledger()


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        (Kind.STAGE, (len(STAGES), 1, 0)),
        (Kind.AMOUNT, (4, 1, 0)),
        (Kind.CODE, (len(CODES), 0, 0)),
    ],
)
def test_a_number_that_stands_for_nothing_is_refused(
    ledger: Ledger, kind: Kind, numbers: tuple[int, int, int]
) -> None:
    """The supervisor ends a process that says one, and the ledger is as it was."""
    account, before = Account(ledger, 0), ledger.encode()
    with pytest.raises(ValueError, match="it says number"):
        account.take(kind, numbers)
    assert ledger.encode() == before


@pytest.mark.parametrize("kind", [Kind.STAGE, Kind.AMOUNT, Kind.CODE])
def test_nothing_is_told_twice(ledger: Ledger, kind: Kind) -> None:
    """So a job cannot count for many."""
    account = Account(ledger, 0)
    account.take(kind, (0, 1, 0))
    before = ledger.encode()
    with pytest.raises(ValueError, match="twice"):
        account.take(kind, (0, 1, 0))
    assert ledger.encode() == before


def test_an_operation_that_there_is_not_is_refused(ledger: Ledger) -> None:
    """As any other number."""
    with pytest.raises(ValueError, match="it says number"):
        Account(ledger, 99)


def test_large_amounts_come_whole(ledger: Ledger) -> None:
    """A session may be of more bytes than a number of a message can say."""
    Account(ledger, 0).take(Kind.AMOUNT, (0, 5, 3))
    [received, _] = decode(ledger.encode())["github_worker_transferred_bytes_total"]
    assert (received.labels, received.value) == (("received",), 5 + 3 * 2**32)


@pytest.mark.parametrize(("milliseconds", "bucket"), [(50, 3), (51, 4), (900_000, 14), (900_001, 15)])
def test_a_value_comes_into_its_bucket(ledger: Ledger, milliseconds: int, bucket: int) -> None:
    """A bound is in the bucket below it, as Prometheus wants."""
    Account(ledger, 0).take(Kind.STAGE, (0, milliseconds, 0))
    [sample] = decode(ledger.encode())["github_worker_stage_duration_seconds"]
    assert (sample.counts.index(1), sum(sample.counts), sample.value) == (bucket, 1, milliseconds / 1000)


def test_a_real_job_says_what_it_moved_and_asked(
    worker_env: dict[str, str], git_server: GitServer, model: Model, sessions: SessionFolder, tmp_path: Path
) -> None:
    """The bytes of clone and session, and the model's tokens as its answer says them."""
    origin = git_server.seed("octo", "demo", {"README.md": "# Demo\n"})
    model.script(Say.json(title="Dark Mode", slug="dark-mode"))
    body = {"sessionId": "session-abcd1234", "repoUrl": origin.url, "userRequest": "Add a dark mode"}
    secrets = {"githubAccessToken": WRITE_TOKEN, "claudeCredentials": "sk-ant-api03-key-of-a-test"}
    with Worker(worker_env | {"WORKERS": "1"}, tmp_path / "worker.log") as service:
        service.wait_until_healthy()
        url = f"{service.base_url}/init-session"
        answer = httpx.post(url, json=body | secrets, trust_env=False, timeout=30)
        assert events(answer.text)[-1]["type"] == "completed"
        value = read(service)
    sent = sessions.archive("session-abcd1234").stat().st_size
    assert value("transferred_bytes_total", direction="sent") == sent
    assert value("transferred_bytes_total", direction="received") > 0
    tokens = [value("model_tokens_total", direction=direction) for direction in ("input", "output")]
    assert tokens == [10, 5]
    assert value("stage_duration_seconds_count", operation="init-session", stage="cloning") == 1
