"""The stand-ins behave as what they stand in for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import anthropic
import pygit2
import pytest

from tests.conftest import READ_TOKEN, WRITE_TOKEN
from tests.support.faults import Answer, Cut, Hang, Meanwhile, Moment, Redirect
from tests.support.git_server import GitServer
from tests.support.model import Fail, Model, Say
from tests.support.repositories import GIT_ENV, Repository, with_token
from tests.support.sessions import SessionFolder, metadata, pack
from tests.support.sessions import clone as clone_worktree
from tests.support.worker import RestartLoop

TOKEN = WRITE_TOKEN


@pytest.fixture
def origin(git_server: GitServer) -> Repository:
    """Return a repository with one commit."""
    return git_server.seed("acme", "shop", {"src/größe.py": "x = 1\n"})


def run(*arguments: str | Path, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """Run the git CLI as a client that knows `token`."""
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.com", *arguments]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=with_token(token), timeout=30
    )


def clone(origin: Repository, to: Path, **options: str) -> subprocess.CompletedProcess[str]:
    """Clone `origin` with the git CLI."""
    return run("clone", origin.url, to, **options)


def test_git_clones_and_pushes(origin: Repository, tmp_path: Path) -> None:
    """What the git CLI pushes is in the bare repository."""
    assert clone(origin, tmp_path / "w").returncode == 0
    (tmp_path / "w/big.bin").write_bytes(os.urandom(3_000_000))  # more than http.postBuffer: sent in chunks
    run("-C", tmp_path / "w", "add", "-A")
    run("-C", tmp_path / "w", "commit", "-m", "Add a file")
    pushed = run("-C", tmp_path / "w", "push", "origin", "HEAD:refs/heads/topic")
    assert pushed.returncode == 0, pushed.stderr
    assert origin.files("topic") == ["README.md", "big.bin", "src/größe.py"]
    assert [commit.subject for commit in origin.log("topic")] == ["Add a file", "Begin"]


def test_a_wrong_token_is_401(git_server: GitServer, origin: Repository, tmp_path: Path) -> None:
    """A token that nobody gave out opens nothing."""
    assert "Authentication failed" in clone(origin, tmp_path / "w", token="wrong").stderr
    assert git_server.requests[-1].token == "wrong"


def test_a_reading_token_cannot_push(origin: Repository, tmp_path: Path) -> None:
    """A token with the right to read clones, and is refused a push with 403."""
    assert clone(origin, tmp_path / "w", token=READ_TOKEN).returncode == 0
    pushed = run("-C", tmp_path / "w", "push", "origin", "HEAD:refs/heads/t", token=READ_TOKEN)
    assert "403" in pushed.stderr


def test_a_public_repository_needs_no_token(git_server: GitServer, tmp_path: Path) -> None:
    """Anyone may read it; the request carries no credentials."""
    public = git_server.create("acme", "open", public=True)
    public.commit({"a": "1"})
    assert clone(public, tmp_path / "w").returncode == 0
    assert all(request.authorization is None for request in git_server.requests)


def test_a_hook_refuses_in_its_own_words(origin: Repository, tmp_path: Path) -> None:
    """A pre-receive hook's message reaches the client, and the ref stays."""
    origin.reject_pushes("No pushes on a Friday")
    clone(origin, tmp_path / "w")
    pushed = run("-C", tmp_path / "w", "push", "origin", "HEAD:refs/heads/topic")
    assert "No pushes on a Friday" in pushed.stderr
    assert set(origin.branches()) == {"main"}


def test_a_protected_branch_refuses_alone(origin: Repository, tmp_path: Path) -> None:
    """The update hook refuses one branch and takes another."""
    origin.protect("main")
    clone(origin, tmp_path / "w")
    run("-C", tmp_path / "w", "commit", "--allow-empty", "-m", "Empty")
    assert "hook declined" in run("-C", tmp_path / "w", "push", "origin", "HEAD:main").stderr
    assert run("-C", tmp_path / "w", "push", "origin", "HEAD:other").returncode == 0


def test_libgit2_clones_and_pushes(origin: Repository, tmp_path: Path) -> None:
    """pygit2 reads and writes the same repositories."""
    callbacks = pygit2.RemoteCallbacks(credentials=pygit2.UserPass("x-access-token", TOKEN))
    cloned = pygit2.clone_repository(origin.url, str(tmp_path / "w"), callbacks=callbacks)
    cloned.remotes["origin"].push(["refs/heads/main:refs/heads/topic"], callbacks=callbacks)
    assert origin.branches()["topic"] == origin.branches()["main"]


@pytest.mark.parametrize("fault", [Answer(503), Cut(Moment.ANSWER), Cut(Moment.ANSWER, 40), Cut(Moment.END)])
def test_a_fault_fails_one_request(
    git_server: GitServer, origin: Repository, tmp_path: Path, fault: Answer | Cut
) -> None:
    """The request that a fault is scripted for fails, the next one does not."""
    git_server.faults.add(fault, matching="POST /acme/shop.git/git-upload-pack")
    assert clone(origin, tmp_path / "a").returncode != 0
    assert clone(origin, tmp_path / "b").returncode == 0


def test_a_hang_ends_with_the_server(git_server: GitServer, origin: Repository, tmp_path: Path) -> None:
    """A client waits in the middle of a pack until the hang is released."""
    git_server.faults.add(Hang(Moment.ANSWER, after=100), matching="POST")
    with subprocess.Popen(
        ["git", "clone", origin.url.replace("//", f"//x:{TOKEN}@"), tmp_path / "w"],
        env=GIT_ENV,
        stderr=subprocess.DEVNULL,
    ) as client:
        git_server.faults.wait_until_struck()
        assert client.poll() is None
        git_server.faults.release()
        assert client.wait(10) != 0


def test_the_remote_moves_on_meanwhile(git_server: GitServer, origin: Repository, tmp_path: Path) -> None:
    """A commit made between a push's two requests makes the push fail."""
    clone(origin, tmp_path / "w")
    run("-C", tmp_path / "w", "commit", "--allow-empty", "-m", "Ours")
    git_server.faults.add(
        Meanwhile(lambda: origin.commit({"b": "2"}, "Theirs")), "POST /acme/shop.git/git-rec"
    )
    assert run("-C", tmp_path / "w", "push", "origin", "HEAD:main").returncode != 0
    assert origin.log()[0].subject == "Theirs"


def test_an_answer_lost_after_the_push(git_server: GitServer, origin: Repository, tmp_path: Path) -> None:
    """The ref is updated though the client never hears of it."""
    clone(origin, tmp_path / "w")
    git_server.faults.add(Cut(Moment.HANDLED), "POST /acme/shop.git/git-receive-pack")
    assert run("-C", tmp_path / "w", "push", "origin", "HEAD:refs/heads/topic").returncode != 0
    assert "topic" in origin.branches()


def test_a_redirect_is_followed(git_server: GitServer, origin: Repository, tmp_path: Path) -> None:
    """The first request is sent on to where the repository is now."""
    gone = git_server.origin + "/acme/old.git"
    git_server.faults.add(Redirect(origin.url), matching="/acme/old.git")
    assert run("clone", gone, tmp_path / "w").returncode == 0


def test_the_sdk_talks_to_the_model(model: Model) -> None:
    """The real SDK gets the scripted answers in their order, and the last one again."""
    model.script(Fail(529), Say.json(title="Dark mode"))
    client = anthropic.Anthropic(api_key="sk-test", base_url=model.origin, max_retries=0)
    with client, pytest.raises(anthropic.APIStatusError) as caught:
        ask(client)
    assert caught.value.status_code == 529
    with anthropic.Anthropic(api_key="sk-test", base_url=model.origin) as client:
        assert [ask(client), ask(client)] == ['{"title": "Dark mode"}'] * 2
    assert model.requests[0].headers["authorization"] == "Bearer sk-test"
    assert "Name this" in model.requests[0].prompt


def ask(client: anthropic.Anthropic) -> str:
    """Send one message and return the answer's text."""
    messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": "Name this"}]
    answer = client.messages.create(model="claude-haiku-4-5", max_tokens=10, messages=messages)
    return "".join(block.text for block in answer.content if block.type == "text")


def test_a_session_is_made_edited_and_read(
    origin: Repository, sessions: SessionFolder, tmp_path: Path
) -> None:
    """What is packed comes back: the repository, whole and clean, and entries that nobody knows."""
    worktree = clone_worktree(origin.url, TOKEN, tmp_path / "shop")
    fields = metadata("s-1", github={"repoUrl": origin.url, "baseBranch": "main", "clonedPath": "shop"})
    sessions.put("s-1", pack(fields, worktree, {".claude/notes": "n"}, prefix="./"))
    sessions.edit("s-1", {"new.py": "y = 2\n", "README.md": None})
    session = sessions.get("s-1")
    assert session.metadata["sessionId"] == "s-1"
    assert session.read(".claude/notes") == b"n"
    status = run("-C", session.extract(tmp_path / "out"), "status", "--porcelain").stdout
    assert status.split("\n") == [" D README.md", "?? new.py", ""]


def test_a_worker_is_kept_alive(restart_loop: RestartLoop) -> None:
    """When a worker ends another one answers on its port, and what it did is on record."""
    first = restart_loop.worker
    first.terminate()
    assert first.wait() == 0
    restart_loop.wait_until_ended(1)
    assert restart_loop.wait_until_healthy()["workerStatus"] == "idle"
    assert [(ended.exit_status, ended.jobs) for ended in restart_loop.ended] == [(0, 0)]
