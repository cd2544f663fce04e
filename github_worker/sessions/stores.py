"""Which store the settings ask for."""

from __future__ import annotations

from github_worker.sessions.store import Store
from github_worker.settings import Settings

# What is imported inside costs tens of milliseconds, and a worker imports it after its port is open.


def store_for(settings: Settings) -> Store:
    """Open the store that is configured, or a private folder under TMP_DIR; raise ConfigurationError."""
    if settings.storage_worker_url is not None:
        from github_worker.sessions.storage_worker import StorageWorkerStore  # noqa: PLC0415

        return StorageWorkerStore(settings.storage_worker_url, settings.storage_timeout)
    from github_worker.sessions.object_store import ObjectStore  # noqa: PLC0415

    if settings.storage_url is not None:
        return ObjectStore.at(settings.storage_url, settings.storage_options, settings.storage_timeout)
    return ObjectStore.in_folder(settings.tmp_dir / "github-worker-sessions")
