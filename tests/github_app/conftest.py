"""A GitHub App, the repositories that it is installed on, and jobs that bring no token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from github_worker.contract import Request
from tests.conftest import WRITE_TOKEN
from tests.operations.conftest import JobRunner
from tests.support.app_forge import API, AppForge
from tests.support.github_app import APP_ID, Grant, private_key
from tests.support.repositories import Repository as Origin


class AppRunner(JobRunner):
    """Runs jobs without a token one after the other."""

    def _request(self, kind: type[Request], **fields: Any) -> Request:
        return super()._request(kind, **{"access_token": None, **fields})


@pytest.fixture
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppForge]:
    """Yield a forge whose app is installed on octo/demo, and hold all that was said against GitHub's API."""
    with AppForge(tmp_path_factory.mktemp("remote"), {WRITE_TOKEN: "write"}) as forge:
        forge.app.install("octo", "demo")
        yield forge
    assert forge.app.violations == []


@pytest.fixture
def origin(forge: AppForge) -> Origin:
    """Return a repository with two files, whose workflows not everybody may change."""
    origin = forge.seed("octo", "demo", {"README.md": "# Demo\n", "src/app.py": "print('hi')\n"})
    forge.protect_workflows(origin)
    return origin


@pytest.fixture
def app_env(worker_env: dict[str, str], forge: AppForge, tmp_path: Path) -> dict[str, str]:
    """Return the environment of workers that have the app; a test may change it."""
    key = tmp_path / "app.pem"
    key.write_text(private_key())
    return worker_env | {
        "HOST": "127.0.0.1",
        "GIT_ALLOWED_HOSTS": forge.origin,
        "GITHUB_API_URL": f"{forge.origin}{API}",
        "GITHUB_APP_ID": APP_ID,
        "GITHUB_APP_PRIVATE_KEY_FILE": str(key),
        "GITHUB_APP_REPOSITORIES": "octo/*",
        "GIT_TIMEOUT": "20",
    }


@pytest.fixture
def runner(app_env: dict[str, str]) -> AppRunner:
    """Return a runner whose sessions, remote and model are this test's."""
    return AppRunner(app_env)


def made(forge: AppForge) -> list[Grant]:
    """Return the tokens that were made, in their order."""
    return list(forge.app.grants.values())
