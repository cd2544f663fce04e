"""Cloning from a real git server."""

from __future__ import annotations

import random

import pytest

from github_worker.errors import AuthenticationFailed, RepositoryNotFound
from github_worker.git.clone import choose
from github_worker.git.remote import RemoteHeads
from tests.conftest import WRITE_TOKEN
from tests.git.conftest import Clone
from tests.support.faults import Answer
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin


def test_a_clone_has_the_files_the_branch_and_its_history(clone: Clone, origin: Origin) -> None:
    """Files, branch, HEAD and what the remote was at are as `git clone` leaves them."""
    repository = clone()
    assert (repository.folder / "src/app.py").read_text() == "print('hi')\n"
    assert repository.branch == "main"
    assert repository.head == repository.remote_tip("main") == origin.branches()["main"]


def test_one_branch_is_cloned_alone(clone: Clone, origin: Origin) -> None:
    """Other branches stay on the remote unless all are asked for."""
    origin.branch("other")
    assert clone().remote_tip("other") is None
    assert clone("all", all_branches=True).remote_tip("other") == origin.branches()["other"]


def test_depth_cuts_the_history(clone: Clone, origin: Origin) -> None:
    """A clone of depth 1 has one commit, and a later fetch can get the rest."""
    origin.commit({"a": "1"}, "Second")
    repository = clone(depth=1)
    assert len(repository.recent_subjects(10)) == 1
    repository.remote.unshallow("main")
    assert len(repository.recent_subjects(10)) == 2


def test_the_bytes_of_a_clone_are_counted(clone: Clone, origin: Origin) -> None:
    """They are those of the pack that the server sent, whatever its objects unpack to."""
    content = random.Random(1).randbytes(100_000)  # noqa: S311 (that does not compress)
    origin.commit({"large": content, "long": "a" * 100_000})
    assert 100_000 < clone().remote.transfer.bytes < 110_000


def test_an_empty_repository_is_cloned(clone: Clone, git_server: GitServer) -> None:
    """HEAD names a branch that has no commit yet."""
    repository = clone(url=git_server.create("octo", "empty").url)
    assert repository.branch == "main"
    assert repository.head is None


def test_a_public_repository_needs_no_token(clone: Clone, git_server: GitServer) -> None:
    """Nobody asks for credentials, and none are sent."""
    public = git_server.create("octo", "public", public=True)
    public.commit({"a": "1"})
    assert clone(url=public.url, token=None).head == public.branches()["main"]
    assert {request.authorization for request in git_server.requests} == {None}


def test_a_wrong_token_is_refused_once(clone: Clone, git_server: GitServer) -> None:
    """libgit2 asks again and again: the second time is the end."""
    with pytest.raises(AuthenticationFailed):
        clone(token="wrong-token-0123")
    assert len([request for request in git_server.requests if request.token]) <= 2


@pytest.mark.parametrize("scheme", ["Negotiate", "NTLM", "Digest realm=x", "Bearer", ""])
def test_a_server_that_takes_no_tokens(clone: Clone, git_server: GitServer, scheme: str) -> None:
    """It is asked no further, and the token is not sent in a way that is not a token's."""
    git_server.faults.add(Answer(401, b"", {"WWW-Authenticate": scheme}), times=9)
    with pytest.raises(AuthenticationFailed):
        clone()
    assert len(git_server.requests) <= 2
    assert not [request for request in git_server.requests if request.token]


def test_a_repository_that_is_not_there(clone: Clone, git_server: GitServer) -> None:
    """A 404 says so."""
    with pytest.raises(
        RepositoryNotFound, match=r"^The repository does not exist, or .* \(HTTP status 404\)$"
    ):
        clone(url=f"{git_server.origin}/octo/nothing.git", token=WRITE_TOKEN)


@pytest.mark.parametrize(
    ("asked", "branch", "missing"),
    [("dev", "dev", None), (None, "main", None), ("gone", "main", "gone")],
)
def test_the_branch_is_the_one_asked_for_or_the_default(
    asked: str | None, branch: str, missing: str | None
) -> None:
    """A missing branch is replaced by the default, and named."""
    choice = choose(RemoteHeads({"main": "1" * 40, "dev": "2" * 40}, "main"), asked)
    assert (choice.branch, choice.missing) == (branch, missing)
