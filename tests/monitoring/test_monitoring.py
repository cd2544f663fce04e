"""The files of deploy/monitoring, judged by a real Prometheus that asks a real service."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from github_worker.measurements import METRICS
from github_worker.settings import from_env
from tests.life.conftest import TOKEN, job, scripted
from tests.monitoring.prometheus import ALERTS, MONITORING, Prometheus, find_metrics, load, load_dashboard
from tests.supervisor.conftest import eventually
from tests.support.worker import Worker

ROOT = Path(__file__).parents[2]
TESTS = Path(__file__).parent / "alerts.yml"
# What a service that keeps serving does not say: it has a counter of its own for tokens.
OF_THE_COLLECTOR = {"gen_ai_client_token_usage_sum"}
NEVER_THERE = "there is no Prometheus here: `scripts/test` could not unpack Debian's package"
needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")), reason=NEVER_THERE
)


def rules() -> list[dict[str, Any]]:
    """Return the alerts."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    """Return what the dashboard asks, as it does where a minute is the shortest time to look back."""
    panels = load_dashboard()["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    return [
        text.replace("$__rate_interval", "1m").replace("$__range", "1m").replace("$job", ".*")
        for text in asked
    ]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool where the tests of the alerts are."""
    return subprocess.run(
        ["promtool", *arguments], cwd=TESTS.parent, capture_output=True, text=True, timeout=60, check=False
    )


@needs_prometheus
def test_the_alerts_and_the_configuration_are_right() -> None:
    """As Prometheus itself reads them."""
    configurations = [("config", str(file)) for file in MONITORING.glob("prometheus*.yml")]
    for arguments in (("rules", str(ALERTS)), *configurations):
        checked = promtool("check", *arguments)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_prometheus
def test_each_alert_fires_when_it_should_and_not_before() -> None:
    """Over hours that are made up."""
    tested = promtool("test", "rules", TESTS.name)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_there_is_a_time_in_which_each_alert_fires() -> None:
    """And one in which it does not, as all is well."""
    tests = yaml.safe_load(TESTS.read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    names = {rule["alert"] for rule in rules()}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in tests[0]["alert_rule_test"] if "exp_alerts" not in case} == names


@pytest.mark.parametrize("text", [*(rule["expr"] for rule in rules()), *expressions()])
def test_what_is_asked_for_is_measured(text: str) -> None:
    """A name that is spelled wrong would be a panel without a line, and an alert that never fires."""
    known = {metric.name for metric in METRICS} | OF_THE_COLLECTOR | {"up"}
    for metric in METRICS:
        if metric.kind == "histogram":
            known |= {f"{metric.name}_{part}" for part in ("bucket", "count", "sum")}
    names = set(re.findall(r"\b([a-z_:][a-z0-9_:]*)\{|\b(github_worker_\w+)", text))
    found = {first or second for first, second in names}
    assert found
    assert found <= known


def test_every_panel_says_which_question_it_answers() -> None:
    """The page on observability has the same panels, with the same questions."""
    page = (ROOT / "docs" / "observability.md").read_text()
    for panel in load_dashboard()["panels"]:
        assert f"| {panel['title']} | {panel['description']} |" in page
    for rule in rules():
        assert f"`{rule['alert']}`" in page


def test_prometheus_asks_the_port_that_compose_opens() -> None:
    """And sends nothing else there; the variable is one that is read where there are workers."""
    overlay = load("compose.yml")
    [scrape] = load("prometheus.yml")["scrape_configs"]
    env = overlay["services"]["worker"]["environment"]
    assert scrape["static_configs"] == [{"targets": [f"worker:{env['METRICS_PORT']}"]}]
    assert from_env({**env, "WORKERS": "2"}).metrics_port == int(env["METRICS_PORT"])
    assert "ports" not in overlay["services"]["worker"]


def test_what_is_mounted_is_there() -> None:
    """From the root of the repository, which is where the first file is."""
    volumes = [each for one in load("compose.yml")["services"].values() for each in one.get("volumes", ())]
    paths = [each.split(":")[0] for each in volumes if each.startswith("./")]
    paths += [each["file"] for each in load("swarm.yml")["configs"].values()]
    assert len(paths) > 8
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_collector_adds_up_what_processes_tell_and_shows_it_to_prometheus() -> None:
    """All parts of its pipelines are there, and every difference comes later than the last."""
    collector, [scrape] = load("collector.yml"), load("prometheus-collector.yml")["scrape_configs"]
    for pipeline in collector["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= collector[kind].keys()
    metrics = collector["service"]["pipelines"]["metrics"]
    assert metrics["processors"] == ["resource", "batch", "transform", "deltatocumulative"]
    port = collector["exporters"]["prometheus"]["endpoint"].rpartition(":")[2]
    assert scrape["static_configs"] == [{"targets": [f"collector:{port}"]}]
    endpoint = load("swarm.yml")["services"]["worker"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert endpoint.rpartition(":")[2] == collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"][8:]


@pytest.mark.skipif(not shutil.which("docker"), reason="there is no docker command here to read a stack")
def test_swarm_reads_both_files_as_one_stack() -> None:
    """Its own command, which asks no engine for that."""
    files = ("-c", "swarm.yml", "-c", "deploy/monitoring/swarm.yml")
    env = {"PATH": os.environ["PATH"], "STORAGE_URL": "s3://b/s", "GRAFANA_PASSWORD": "x"}
    read = subprocess.run(
        ["docker", "stack", "config", *files], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert read.returncode == 0, read.stderr
    stack = yaml.safe_load(read.stdout)
    assert stack["services"].keys() == {"worker", "collector", "prometheus", "grafana"}
    assert stack["services"]["worker"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert stack["services"]["worker"]["environment"]["STORAGE_URL"] == "s3://b/s"


@contextmanager
def watching(folder: Path, service: Worker) -> Iterator[Prometheus]:
    """Let a Prometheus ask a service by the port of its metrics."""
    prometheus = Prometheus(folder, find_metrics(service))
    try:
        eventually(lambda: prometheus.ask_one("up") == 1, 30)
        yield prometheus
    finally:
        prometheus.close()


def do_jobs(service: Worker) -> None:
    """Let five jobs complete and two fail, and have one caller refused."""
    steps: list[tuple[tuple[str, Any], ...]] = [()] * 5 + [(("fail", ["storage_unavailable", "", {}]),)] * 2
    for each in steps:
        bearing = {"Authorization": f"Bearer {TOKEN}"}
        url = f"{service.base_url}/commit-and-push"
        httpx.post(url, json=job(*each), headers=bearing, trust_env=False, timeout=30)
    assert httpx.post(f"{service.base_url}/commit-and-push", json={}, trust_env=False).status_code == 401


@needs_prometheus
def test_a_real_prometheus_reads_a_pool(tmp_path: Path) -> None:
    """It has what was done, every panel has something to show, and the alert that should come does."""
    env = {"WORKERS": "2", "METRICS_PORT": "0", "GITHUB_WORKER_TOKEN": TOKEN}
    with scripted(tmp_path / "worker.log", {}, env) as service, watching(tmp_path, service) as prometheus:
        do_jobs(service)
        ended = 'sum(github_worker_jobs_total{job="github-worker"})'
        eventually(lambda: prometheus.ask_one(ended) == 7, 20)
        refused = 'github_worker_refusals_total{code="unauthorized"}'
        eventually(lambda: prometheus.ask_one(refused) == 1, 20)
        assert prometheus.ask_one('sum(github_worker_jobs_total{code="storage_unavailable"})') == 2
        assert prometheus.ask_one("sum(github_worker_job_duration_seconds_count)") == 7
        targets = prometheus.get("targets")["activeTargets"]
        assert [(target["health"], target["lastError"]) for target in targets] == [("up", "")]
        time.sleep(1)  # two scrapes more, from which there is a rate
        silent = [text for text in expressions() if not prometheus.ask(text)]
        assert [text for text in silent if not any(name in text for name in OF_THE_COLLECTOR)] == []
        pending = {alert["labels"]["alertname"] for alert in prometheus.get("alerts")["alerts"]}
        assert pending == {"GitHubWorkerStorageDown"}
