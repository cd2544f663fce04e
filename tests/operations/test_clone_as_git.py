"""A clone, and what a push leaves, held against git's own of the same repository."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import pytest

from tests.conftest import WRITE_TOKEN
from tests.operations.conftest import SESSION, JobRunner
from tests.support.faults import Meanwhile
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin
from tests.support.repositories import git, with_token
from tests.support.sessions import SessionFolder

IDENTITY = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
QUESTIONS = (
    "for-each-ref",
    "symbolic-ref HEAD",
    "symbolic-ref refs/remotes/origin/HEAD",
    "config --list --local",
    "rev-parse --is-shallow-repository",
    "status --short --branch",
    "branch --all --verbose --verbose",
    "log --oneline --all",
    "reflog",
    "fsck --strict",
)


def answers(worktree: Path) -> dict[str, str]:
    """Ask git what there is to know of a repository; what it refuses to answer counts as well."""
    return {question: answer(worktree, question) for question in QUESTIONS}


def answer(worktree: Path, question: str) -> str:
    """Return git's answer."""
    try:
        return git("-C", worktree, *question.split()).decode()
    except CalledProcessError as error:
        return f"refused: {error.stderr.decode()}"


@pytest.fixture
def origin(git_server: GitServer) -> Origin:
    """Return a repository with two branches, and tags on them and beside them."""
    origin = git_server.seed("octo", "demo")
    for number in range(4):
        origin.commit({"README.md": f"{number}\n"}, f"Change {number}")
    older = origin.log()[2].sha
    origin.branch("dev", older)
    origin.commit({"dev.txt": "1\n"}, "Develop", branch="dev")
    origin.branch("lost", older)
    origin.commit({"lost.txt": "1\n"}, "Lose", branch="lost")
    for name, target in {"v1": older, "tip": "main", "dev-tag": "dev", "lost": "lost"}.items():
        origin.tag(name, f"refs/heads/{target}" if target in {"main", "dev", "lost"} else target)
        origin.git(*IDENTITY, "tag", "--annotate", "--message=x", f"{name}-annotated", f"refs/tags/{name}")
    origin.git("update-ref", "refs/pull/1/head", "main")
    origin.git("update-ref", "-d", "refs/heads/lost")
    return origin


async def compare(
    runner: JobRunner,
    url: str,
    sessions: SessionFolder,
    folder: Path,
    fields: Mapping[str, Any],
    *arguments: str,
) -> None:
    """Clone with both, and see that git sees no difference."""
    await runner.clone(url, **fields)
    ours = answers(sessions.get(SESSION).extract(folder / "ours"))
    git("clone", "--quiet", *arguments, url, folder / "git", env=with_token(WRITE_TOKEN))
    assert ours == answers(folder / "git")
    assert not list(folder.glob("**/.git/*_HEAD"))


@pytest.mark.parametrize(
    ("fields", "arguments"),
    [
        ({}, "--single-branch"),
        ({"branch": "main"}, "--single-branch --branch main"),
        ({"branch": "dev"}, "--single-branch --branch dev"),
        ({"all_branches": True}, ""),
        ({"all_branches": True, "branch": "dev"}, "--branch dev"),
        ({"depth": 1}, "--depth 1"),
        ({"depth": 2, "branch": "dev"}, "--depth 2 --branch dev"),
        ({"depth": 100}, "--depth 100"),
        ({"depth": 2, "all_branches": True}, "--depth 2 --no-single-branch"),
    ],
    ids=str,
)
async def test_a_clone_is_gits(
    runner: JobRunner,
    origin: Origin,
    sessions: SessionFolder,
    tmp_path: Path,
    fields: Mapping[str, Any],
    arguments: str,
) -> None:
    """Refs, tags, HEAD, the remote's HEAD, config, history and reflog are what `git clone` leaves."""
    await compare(runner, origin.url, sessions, tmp_path, fields, *arguments.split())


async def test_a_remote_whose_head_is_detached(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, tmp_path: Path
) -> None:
    """The default is the branch that is where HEAD is."""
    origin.git("update-ref", "--no-deref", "HEAD", origin.branches()["dev"])
    await compare(runner, origin.url, sessions, tmp_path, {"all_branches": True})


@pytest.mark.parametrize("fields", [{}, {"branch": "trunk"}], ids=str)
async def test_an_empty_repository_starts_on_its_own_default(
    runner: JobRunner,
    git_server: GitServer,
    sessions: SessionFolder,
    tmp_path: Path,
    fields: Mapping[str, Any],
) -> None:
    """Asked for or not, it is the branch that the server's HEAD names."""
    empty = git_server.create("octo", "empty", default="trunk")
    await compare(runner, empty.url, sessions, tmp_path, {**fields, "all_branches": True})
    assert (await runner.clone(empty.url)).branch == "trunk"


async def test_an_empty_repository_starts_on_the_branch_asked_for(
    runner: JobRunner, git_server: GitServer, sessions: SessionFolder
) -> None:
    """Whatever the server's default; without one that is told, it is main."""
    empty = git_server.create("octo", "empty", default="trunk")
    assert (await runner.clone(empty.url, branch="dev")).branch == "dev"
    sessions.archive(SESSION).unlink()
    empty.configure("lsrefs.unborn", "ignore")
    assert (await runner.clone(empty.url)).branch == "main"


async def test_a_repository_of_tags_alone(
    runner: JobRunner, git_server: GitServer, sessions: SessionFolder, tmp_path: Path
) -> None:
    """With all branches, of which there are none, the tags are there."""
    origin = git_server.seed("octo", "tags")
    origin.tag("v1")
    origin.git("update-ref", "-d", "refs/heads/main")
    await compare(runner, origin.url, sessions, tmp_path, {"all_branches": True})


async def test_the_first_branch_of_an_empty_repository(
    runner: JobRunner, git_server: GitServer, sessions: SessionFolder
) -> None:
    """init-session and create-branch start it at the unborn default, and the first commit is pushed on it."""
    empty = git_server.create("octo", "empty", default="trunk")
    started = await runner.init(empty.url)
    assert (started.branch, started.base_branch, started.commit, started.pushed) == (
        "trunk",
        "trunk",
        None,
        False,
    )
    sessions.archive(SESSION).unlink()
    await runner.clone(empty.url)
    branch = (await runner.branch(base_branch="trunk")).branch_name
    sessions.edit(SESSION, {"new.txt": "1\n"})
    result = await runner.commit()
    assert (result.branch, result.pushed) == (branch, True)
    assert empty.branches() == {branch: result.commit_hash}


async def test_the_remotes_head_may_name_nothing(
    runner: JobRunner, origin: Origin, sessions: SessionFolder
) -> None:
    """Its branch was renamed and pruned here: what is not pushed is pushed nonetheless."""
    await runner.clone(origin.url, all_branches=True)
    sessions.edit(
        SESSION, {".git/refs/remotes/origin/HEAD": "ref: refs/remotes/origin/gone\n", "new.txt": "1\n"}
    )
    result = await runner.commit()
    assert result.pushed
    assert origin.branches()["main"] == result.commit_hash
    assert (await runner.commit()).skipped
    assert not (await runner.clone(origin.url)).was_cloned
    assert (await runner.branch()).pushed


async def on_new_branch(runner: JobRunner, origin: Origin, sessions: SessionFolder, config: str = "") -> None:
    """Clone, switch to a branch that the remote has not, and change a file, as an agent does."""
    await runner.clone(origin.url, all_branches=True)
    changes = {
        ".git/HEAD": "ref: refs/heads/topic\n",
        ".git/refs/heads/topic": f"{origin.branches()['main']}\n",
    }
    own = sessions.get(SESSION).read("workspace/workspace/demo/.git/config").decode()
    sessions.edit(SESSION, changes | {"new.txt": "1\n", ".git/config": own + config})


async def test_a_pushed_branch_gets_an_upstream(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, tmp_path: Path
) -> None:
    """It is `git push -u` that is done."""
    await on_new_branch(runner, origin, sessions)
    before = sessions.get(SESSION).extract(tmp_path / "git")
    await runner.commit()
    ours = sessions.get(SESSION).extract(tmp_path / "ours")
    git("-C", before, *IDENTITY, "commit", "--quiet", "--allow-empty", "--message=x")
    git("-C", before, "push", "--quiet", "--force", "-u", "origin", "topic", env=with_token(WRITE_TOKEN))
    assert (ours / ".git/config").read_bytes() == (before / ".git/config").read_bytes()
    assert answer(ours, "status --short --branch") == "## topic...origin/topic\n"


async def test_a_session_that_was_saved_meanwhile_gets_the_upstream_too(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, git_server: GitServer, tmp_path: Path
) -> None:
    """Its config has it, and all else that the other writer put there."""
    await on_new_branch(runner, origin, sessions)
    own = sessions.get(SESSION).read("workspace/workspace/demo/.git/config").decode()
    theirs = own + "[user]\n\tname = Bob\n"
    meanwhile = Meanwhile(lambda: sessions.edit(SESSION, {".git/config": theirs}))
    git_server.faults.add(meanwhile, "POST /octo/demo.git/git-receive-pack")
    await runner.commit()
    worktree = sessions.get(SESSION).extract(tmp_path)
    assert (worktree / ".git/config").read_text().startswith(theirs)
    assert answer(worktree, "status --short --branch") == "## topic...origin/topic\n"


@pytest.mark.parametrize(
    "config",
    [
        '[branch "topic"]\n\tremote = origin\n\tmerge = refs/heads/main\n',
        '[branch "topic"]\n\tremote = .\n\tmerge = refs/heads/main\n',
        '[branch "topic"]\n\tremote = fork\n',
        '[remote "origin"]\n\turl = https://github.com/octo/fork.git\n',
    ],
)
async def test_an_upstream_of_somebodys_own_stays(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, config: str
) -> None:
    """The config comes back byte for byte, also where origin is another repository by now."""
    await on_new_branch(runner, origin, sessions, config)
    before = sessions.get(SESSION).read("workspace/workspace/demo/.git/config")
    assert (await runner.commit()).pushed
    assert sessions.get(SESSION).read("workspace/workspace/demo/.git/config") == before


async def test_a_branch_that_was_not_pushed_gets_no_upstream(
    runner: JobRunner, origin: Origin, sessions: SessionFolder
) -> None:
    """There is nothing to follow yet."""
    await on_new_branch(runner, origin, sessions)
    before = sessions.get(SESSION).read("workspace/workspace/demo/.git/config")
    origin.reject_pushes("no")
    assert not (await runner.commit()).pushed
    assert sessions.get(SESSION).read("workspace/workspace/demo/.git/config") == before
