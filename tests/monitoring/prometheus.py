"""A real Prometheus, with the files of deploy/monitoring."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.worker import ReservedPort, Worker

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
ALERTS = MONITORING / "alerts.yml"


def load(name: str) -> Any:
    """Read a file of deploy/monitoring."""
    return yaml.safe_load((MONITORING / name).read_text())


def load_dashboard() -> Any:
    """Read what Grafana shows."""
    return json.loads((MONITORING / "grafana" / "dashboards" / "github-worker.json").read_text())


def find_metrics(service: Worker) -> str:
    """Return the address at which a service tells its metrics."""
    [line] = [line for line in service.log_lines() if line.get("message") == "listening"]
    address: str = line["metrics"]
    return address.removeprefix("http://")


class Prometheus:
    """A Prometheus that asks one service, as the file of deploy/monitoring says, only sooner."""

    def __init__(self, folder: Path, target: str, *, interval: str = "250ms", rules: bool = True) -> None:
        self._port = ReservedPort()
        self.url = f"http://127.0.0.1:{self._port.number}"
        config = load("prometheus.yml")
        config["global"] = {"scrape_interval": interval, "evaluation_interval": interval}
        config["rule_files"] = [str(ALERTS)] if rules else []
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        self._log = (folder / "prometheus.log").open("wb")
        self._process = subprocess.Popen(
            [
                *("prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'tsdb'}"),
                f"--web.listen-address=127.0.0.1:{self._port.number}",
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._log.close()
        self._port.close()

    def get(self, path: str, **query: str) -> Any:
        """Ask its API; None while it does not answer yet."""
        try:
            answer = httpx.get(f"{self.url}/api/v1/{path}", params=query, trust_env=False)
        except httpx.TransportError:
            return None
        assert answer.status_code in {200, 503}, answer.text
        return answer.json()["data"] if answer.status_code == 200 else None

    def ask(self, expression: str) -> dict[str, float]:
        """Return the values of an expression, by their labels."""
        found = self.get("query", query=expression) or {"result": []}
        return {json.dumps(each["metric"]): float(each["value"][1]) for each in found["result"]}

    def ask_one(self, expression: str) -> float | None:
        """Return the one value of an expression, None where there is none."""
        return next(iter(self.ask(expression).values()), None)
