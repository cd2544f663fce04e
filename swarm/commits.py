"""Jobs whose doing can be counted: sessions that were edited, each to be committed on a branch of its own."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from swarm.conftest import GIT_TOKEN
from swarm.load import Call
from swarm.stack import wait_until
from tests.support.git_server import GitServer
from tests.support.repositories import Repository, git
from tests.support.s3 import S3Server
from tests.support.sessions import Session, clone, metadata, pack


class Commits(Struct):
    """Edited sessions in a bucket, whose branches do not exist on the remote yet."""

    remote: Repository
    store: S3Server
    bucket: str

    @classmethod
    def make(cls, git_server: GitServer, store: S3Server, bucket: str) -> Commits:
        """Make a remote, and no session yet."""
        return cls(git_server.seed("owner", "commits"), store, bucket)

    def add(self, name: str, count: int, folder: Path) -> None:
        """Put sessions into the bucket, `name` and a number each; `folder` is to work in."""
        worktree = clone(self.remote.url, GIT_TOKEN, folder / "commits")
        for session in (f"{name}-{number}" for number in range(count)):
            git("-C", worktree, "checkout", "--quiet", "-b", session)
            new = worktree / f"{session}.txt"
            new.write_text(f"{session}\n")
            github = {"repoUrl": self.remote.url, "baseBranch": "main", "clonedPath": worktree.name}
            archive = pack(metadata(session, branch=session, github=github), worktree)
            self.store.write(self.bucket, _key(session), archive)
            new.unlink()

    def wait_until_done(self, name: str, count: int, patience: float) -> None:
        """Block until so many of the sessions have a branch on the remote."""
        what = f"{count} commits of {name}"
        wait_until(
            lambda: sum(each.startswith(f"{name}-") for each in self.remote.branches()) >= count,
            what,
            patience,
        )

    def assert_once(self, calls: list[Call], folder: Path) -> None:
        """Each has one commit of its file, on the remote and in the store, which is the caller's."""
        assert [call.error for call in calls] == [None] * len(calls)
        for call in calls:
            commits = self.remote.log(call.session)[:-1]
            assert [commit.sha for commit in commits] == [call.commit], call.session
            assert self.remote.files(call.session) == ["README.md", f"{call.session}.txt"]
            archive = self.store.read(self.bucket, _key(call.session))
            assert archive is not None
            worktree = Session(archive).extract(folder / call.session)
            assert git("-C", worktree, "rev-parse", "HEAD").decode().strip() == call.commit
            assert git("-C", worktree, "status", "--porcelain") == b""


def _key(session: str) -> str:
    return f"{session}/session.tar.gz"
