"""A collector, a storage worker, and workers that tell the one and keep sessions in the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.collector import Collector
from tests.support.storage_worker import StorageWorker


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Yield a collector that takes what comes."""
    with Collector() as collector:
        yield collector


@pytest.fixture
def storage() -> Iterator[StorageWorker]:
    """Yield a storage worker."""
    with StorageWorker(etags=True) as storage:
        yield storage


@pytest.fixture
def told_env(worker_env: dict[str, str], collector: Collector, storage: StorageWorker) -> dict[str, str]:
    """Return the environment of workers that are confined, and tell the collector."""
    env = {
        **worker_env,
        "STORAGE_WORKER_URL": storage.origin,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.origin,
    }
    del env["STORAGE_URL"]
    return env
