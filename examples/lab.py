"""All that an example needs, on this machine: a forge with a repository, a pool of workers, a store, a model.

The forge is a real git server with GitHub's REST beside it on one origin, as GitHub Enterprise has them. The
pool is `github-worker serve --workers`. The model is scripted; nothing here reaches another host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from tests.support.git_server import GitServer
from tests.support.github import GitHub
from tests.support.github_state import Commit, PullRequest
from tests.support.http import Handler
from tests.support.model import Fail, Model
from tests.support.repositories import Repository
from tests.support.worker import Worker

TOKEN = "lab-token-0123456789"  # noqa: S105 (of the forge here)
WORKER_TOKEN = "lab-worker-token-0123456789"  # noqa: S105
FILES = {
    "README.md": "# Hello\n\nA page that greets.\n",
    "hello/page.py": 'def page(name: str) -> str:\n    return f"Hello, {name}!"\n',
    "tests/test_page.py": 'from hello.page import page\n\n\ndef test_page():\n    assert page("Ada")\n',
}


class Forge(GitServer):
    """A git server that answers GitHub's REST too, about the branches that its one repository has."""

    def __init__(self, root: Path, *, host: str = "127.0.0.1") -> None:
        self.github = GitHub(token=TOKEN)
        super().__init__(root, {TOKEN: "write"}, host=host)
        hosted = self.github.repository
        hosted.commits.clear()
        self.repository = self.seed(hosted.owner, hosted.name, FILES)

    def close(self) -> None:
        """End both servers."""
        super().close()
        self.github.close()

    def answer_beside(self, request: Handler, body: IO[bytes]) -> tuple[int, bytes]:
        """Let GitHub's stand-in answer, once it knows which commits the repository has."""
        self._refresh()
        answer = httpx.request(
            request.command,
            f"{self.github.origin}{request.path}",
            content=body.read(),
            headers={
                name: request.headers[name] for name in ("Authorization", "Accept") if name in request.headers
            },
            trust_env=False,
        )
        return answer.status_code, answer.content

    def _refresh(self) -> None:
        hosted = self.github.repository
        with hosted.lock:
            for branch, sha in self.repository.branches().items():
                hosted.branches[branch] = sha
                for commit in self.repository.log(branch):
                    if commit.sha not in hosted.commits:
                        hosted.commits[commit.sha] = self._commit(commit.sha, commit.message, commit.parents)

    def _commit(self, sha: str, message: str, parents: tuple[str, ...]) -> Commit:
        names = self.repository.git("ls-tree", "-r", "-z", "--format=%(objectname) %(path)", sha).decode()
        tree = (line.partition(" ") for line in names.split("\0") if line)
        return Commit(sha, message, {path: blob for blob, _, path in tree}, parents)


@dataclass(frozen=True)
class Lab:
    """Where everything is: `worker_url` and `worker_token` of the pool, `store_url` of its sessions.

    `repo_url` is a repository that `token` may push to.
    """

    folder: Path
    forge: Forge
    model: Model
    worker: Worker
    store_url: str
    token: str = TOKEN
    worker_token: str = WORKER_TOKEN

    @property
    def worker_url(self) -> str:
        """The pool's URL."""
        return self.worker.base_url

    @property
    def repository(self) -> Repository:
        """The one repository, to look at what was pushed."""
        return self.forge.repository

    @property
    def repo_url(self) -> str:
        """The URL that it is cloned from."""
        return self.repository.url

    def session(self, session_id: str) -> bytes:
        """Return a session's archive as it is stored."""
        return (self.folder / "sessions" / session_id / "session.tar.gz").read_bytes()

    @property
    def pull_requests(self) -> list[PullRequest]:
        """The pull requests of the repository, the oldest first."""
        return list(self.forge.github.repository.pulls.values())


@contextmanager
def lab(folder: Path, *, workers: int = 3, env: Mapping[str, str] = {}) -> Iterator[Lab]:
    """Yield a lab whose files are in `folder`; `env` is added to the pool's environment."""
    scratch, store = folder / "scratch", folder / "sessions"
    for made in (scratch, store):
        made.mkdir(mode=0o700)
    with ExitStack() as running:
        forge = running.enter_context(Forge(folder / "forge"))
        model = running.enter_context(Model(Fail(529, "this lab has no model")))
        settings = {
            "WORKERS": str(workers),
            "GITHUB_WORKER_TOKEN": WORKER_TOKEN,
            "STORAGE_URL": store.as_uri(),
            "TMP_DIR": str(scratch),
            "GIT_ALLOWED_HOSTS": forge.origin,
            "GITHUB_API_URL": forge.origin,
        }
        worker = running.enter_context(Worker(settings | dict(env), folder / "worker.log"))
        worker.wait_until_healthy()
        yield Lab(folder, forge, model, worker, store.as_uri())
