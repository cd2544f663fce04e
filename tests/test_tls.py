"""Whom the worker trusts: who is certified by the authorities of `SSL_CERT_FILE`, and nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest
import trustme

from github_worker_client import GitHubWorker, JobFailed, SessionInitialised
from tests.conftest import WRITE_TOKEN
from tests.support.balancer import Balancer
from tests.support.git_server import GitServer
from tests.support.model import Model, Say
from tests.support.storage_worker import StorageWorker
from tests.support.worker import Worker

VARIABLES = ("STORAGE_WORKER_URL", "GIT_ALLOWED_HOSTS", "ANTHROPIC_BASE_URL")


@dataclass(frozen=True)
class Servers:
    """Three servers by the variables that name them, each in clear and behind TLS, and who certified them."""

    clear: dict[str, str]
    tls: dict[str, str]
    repository: str
    folder: Path

    async def init_session(
        self, *, behind_tls: Collection[str] = VARIABLES, trusting: bool
    ) -> SessionInitialised:
        """Do one job in a worker that trusts who certified the servers, or not."""
        env = {name: (self.tls if name in behind_tls else self.clear)[name] for name in VARIABLES}
        trust = {"SSL_CERT_FILE": str(self.folder / "authority.pem")} if trusting else {}
        settings = {**env, **trust, "TMP_DIR": str(self.folder), "ANTHROPIC_API_KEY": "sk-ant-0123456789"}
        with Worker(settings, self.folder / "worker.log") as worker:
            worker.wait_until_healthy()
            async with GitHubWorker(worker.base_url) as client:
                return await client.init_session(
                    session_id="session-1",
                    repo_url=env["GIT_ALLOWED_HOSTS"] + self.repository,
                    user_request="Add a dark mode toggle",
                    access_token=WRITE_TOKEN,
                )


@pytest.fixture
async def servers(git_server: GitServer, model: Model, tmp_path: Path) -> AsyncIterator[Servers]:
    """Yield a git server with a repository, a storage worker, and a model that names a branch."""
    repository = git_server.seed("owner", "repo").url.removeprefix(git_server.origin)
    model.script(Say.json(title="Offer A Night Mode", slug="offer-night-mode"))
    authority, certified = trustme.CA(), SSLContext(PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(certified)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    with StorageWorker(etags=True) as storage:
        async with AsyncExitStack() as stack:
            clear = dict(zip(VARIABLES, (storage.origin, git_server.origin, model.origin), strict=True))
            fronts = {
                name: await stack.enter_async_context(Balancer(int(url.rpartition(":")[2]), tls=certified))
                for name, url in clear.items()
            }
            tls = {name: front.base_url for name, front in fronts.items()}
            yield Servers(clear, tls, repository, tmp_path)


async def test_storage_git_server_and_model_may_be_certified_by_an_authority_of_ones_own(
    servers: Servers,
) -> None:
    """With the authority in SSL_CERT_FILE the job completes, its branch named by the model."""
    result = await servers.init_session(trusting=True)

    assert "night-mode" in result.branch_name


@pytest.mark.parametrize(
    ("name", "code"),
    [("STORAGE_WORKER_URL", "storage_unavailable"), ("GIT_ALLOWED_HOSTS", "remote_unavailable")],
)
async def test_a_server_that_nobody_vouches_for_fails_the_job(
    servers: Servers, git_server: GitServer, name: str, code: str
) -> None:
    """Without the authority the job ends before a token has left the worker."""
    with pytest.raises(JobFailed) as failure:
        await servers.init_session(behind_tls=(name,), trusting=False)

    assert failure.value.code == code
    assert git_server.requests == []


async def test_a_model_that_nobody_vouches_for_is_done_without(servers: Servers, model: Model) -> None:
    """The branch is named from the request, and the model has seen no prompt."""
    result = await servers.init_session(behind_tls=("ANTHROPIC_BASE_URL",), trusting=False)

    assert "dark-mode" in result.branch_name
    assert model.requests == []
