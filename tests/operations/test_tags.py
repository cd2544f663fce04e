"""Tags on request: git tells what they are, and nothing is pushed where one is in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from github_worker.contract import CommitAndPush, NewTag, decode_request
from github_worker.errors import SecretDetected, SessionCorrupt, TagExists
from tests.operations.conftest import SESSION, JobRunner
from tests.support.faults import Answer, Cut, Fault, Hang, Meanwhile, Moment
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin
from tests.support.repositories import git
from tests.support.sessions import SessionFolder
from tests.support.signing import read

PUSH = "POST /octo/demo.git/git-receive-pack"


def tags(origin: Origin) -> dict[str, str]:
    """Return the remote's tags, and the commits that they are on."""
    format = "--format=%(refname:lstrip=2) %(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)"
    lines = origin.git("for-each-ref", format, "refs/tags").decode().splitlines()
    return dict(line.split(" ") for line in lines)


async def test_a_lightweight_tag(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, tmp_path: Path
) -> None:
    """It is on the new commit, on the remote and in the session."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    result = await runner.commit(tag=NewTag("releases/v1.2"))
    assert result.pushed
    assert (result.tag.name, result.tag.target, result.tag.pushed) == (
        "releases/v1.2",
        result.commit_hash,
        True,
    )
    assert tags(origin) == {"releases/v1.2": result.commit_hash}
    assert origin.git("cat-file", "-t", "releases/v1.2") == b"commit\n"
    assert runner.stages[-3:] == ["pushed", "tagging", "uploading"]
    worktree = sessions.get(SESSION).extract(tmp_path)
    assert git("-C", worktree, "rev-parse", "releases/v1.2").decode().strip() == result.commit_hash


async def test_an_annotated_tag_is_gits_own(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """Git makes the same object of the same words."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    message = "Version 1.2\n\n# With words, as they are."
    result = await runner.commit(tag=NewTag("v1.2", message))
    made = read(origin.path, "v1.2")
    when = made.partition(b"tagger ")[2].partition(b"> ")[2].partition(b"\n")[0].decode()
    who = {"GIT_COMMITTER_NAME": "GitHub Worker", "GIT_COMMITTER_EMAIL": "worker@github-worker.local"}
    command = ("tag", "--annotate", "--cleanup=verbatim", "--file=-", "--force", "v1.2", result.commit_hash)
    env = {"PATH": "/usr/bin:/bin", "GIT_COMMITTER_DATE": when, **who}
    git("--git-dir", origin.path, *command, stdin=f"{message}\n".encode(), env=env)
    assert read(origin.path, "v1.2") == made
    origin.git("fsck", "--strict")


async def test_a_tag_is_on_the_commit_that_was_rebased(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """Not on the one that was made at first."""
    origin.commit({"theirs.txt": "1\n"}, branch=branch)
    sessions.edit(SESSION, {"new.txt": "new\n"})
    result = await runner.commit(tag=NewTag("v1"))
    assert "rebasing" in runner.stages
    assert tags(origin) == {"v1": result.commit_hash} == {"v1": origin.branches()[branch]}


async def test_a_tag_of_what_is_pushed_already(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """Nothing is to be committed, and the branch's tip is tagged; asked again, nothing is to be done."""
    result = await runner.commit(tag=NewTag("v1"))
    assert (result.skipped, result.pushed, result.tag.pushed) == (False, True, True)
    assert tags(origin) == {"v1": origin.branches()[branch]}
    again = await runner.commit(tag=NewTag("v1"))
    assert again.skipped
    assert again.tag is None


@pytest.mark.parametrize("annotated", [True, False])
async def test_a_tag_that_the_remote_has_elsewhere(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, annotated: bool
) -> None:
    """It is refused before anything is pushed, and the session is as it was."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    before = sessions.get(SESSION).data, origin.branches()
    if annotated:
        who = ("-c", "user.name=A", "-c", "user.email=a@b.c")
        origin.git(*who, "tag", "--annotate", "--message=Theirs", "v1", "main")
    else:
        origin.tag("v1")
    with pytest.raises(TagExists, match="The remote has a tag v1 already, which is on"):
        await runner.commit(tag=NewTag("v1", "Ours"))
    assert (sessions.get(SESSION).data, origin.branches()) == before


async def test_a_tag_that_the_session_has_elsewhere(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """An agent made it, and it is not moved."""
    sessions.edit(SESSION, {"new.txt": "new\n", ".git/refs/tags/v1": origin.branches()["main"] + "\n"})
    with pytest.raises(TagExists, match="The session has a tag v1 already"):
        await runner.commit(tag=NewTag("v1"))
    assert tags(origin) == {}


@pytest.mark.parametrize(
    "words", [b"garbage\n", b"ref: refs/heads/none\n", b"0" * 40 + b"\n", b"1" * 40 + b"\n"]
)
async def test_a_tag_of_the_session_that_leads_nowhere(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, words: bytes
) -> None:
    """There is one, or none that anybody could read: in no case does the job break, or move it elsewhere."""
    sessions.edit(SESSION, {"new.txt": "new\n", ".git/refs/tags/v1": words})
    try:
        result = await runner.commit(tag=NewTag("v1"))
    except (TagExists, SessionCorrupt):
        assert tags(origin) == {}
    else:
        assert tags(origin) == {"v1": result.commit_hash}


@pytest.mark.parametrize("message", [None, "One"])
async def test_a_tag_of_a_try_whose_session_was_not_saved(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, message: str | None
) -> None:
    """The same edits are asked to be committed and tagged again: there is one commit, and one tag on it."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    before = sessions.get(SESSION).data
    first = await runner.commit(tag=NewTag("v1", message))
    kept = read(origin.path, "v1")
    sessions.put(SESSION, before)
    again = await runner.commit(tag=NewTag("v1", message), message="Other words")
    assert again.commit_hash == first.commit_hash == again.tag.target
    assert again.tag.pushed
    assert read(origin.path, "v1") == kept
    assert tags(origin) == {"v1": first.commit_hash}


async def test_a_tag_on_what_somebody_pushed_to_the_branch(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """It is no earlier try of ours: nothing is pushed."""
    theirs = origin.commit({"theirs.txt": "1\n"}, branch=branch)
    origin.tag("v1", branch)
    sessions.edit(SESSION, {"new.txt": "new\n"})
    with pytest.raises(TagExists, match="The remote has a tag v1 already"):
        await runner.commit(tag=NewTag("v1"))
    assert origin.branches()[branch] == theirs


async def test_a_tag_that_the_remote_does_not_take(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """The branch is pushed, the answer says why the tag is not, and the session does not keep it."""
    hook = origin.path / "hooks/update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ncase $1 in refs/tags/*) echo "tags are ours" >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    sessions.edit(SESSION, {"new.txt": "new\n"})
    result = await runner.commit(tag=NewTag("v1", "One"))
    assert (result.pushed, result.push_error, result.tag.pushed) == (True, None, False)
    assert "tags are ours" in result.tag.push_error.message
    assert origin.branches()[branch] == result.commit_hash
    assert not [name for name in sessions.get(SESSION).members() if "refs/tags/v1" in name]
    origin.accept_pushes()
    again = await runner.commit(tag=NewTag("v1", "One"))
    assert again.tag.pushed
    assert tags(origin) == {"v1": result.commit_hash}


async def test_a_branch_that_is_not_pushed_has_no_tag(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """A conflict keeps the commit in the session, and the tag for the next time."""
    origin.commit({"README.md": "# Theirs\n"}, branch=branch)
    sessions.edit(SESSION, {"README.md": "# Ours\n"})
    result = await runner.commit(tag=NewTag("v1"))
    assert (result.pushed, result.tag) == (False, None)
    assert tags(origin) == {}


async def test_a_tag_that_somebody_makes_meanwhile(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, git_server: GitServer
) -> None:
    """Theirs stays, and the answer says so."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    git_server.faults.add(Meanwhile(lambda: origin.tag("v1")), PUSH)
    result = await runner.commit(tag=NewTag("v1"))
    assert (result.pushed, result.tag.pushed) == (True, False)
    assert result.tag.push_error.code == "tag_exists"
    assert tags(origin) == {"v1": origin.branches()["main"]}


async def test_a_server_that_falters_at_the_tag_is_asked_again(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, git_server: GitServer
) -> None:
    """As for a branch."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    git_server.faults.add(Meanwhile(lambda: None), PUSH)  # the branch's
    git_server.faults.add(Answer(503), PUSH)
    result = await runner.commit(tag=NewTag("v1"))
    assert result.tag.pushed


@pytest.mark.parametrize("message", [None, "One"])
@pytest.mark.parametrize("fault", [Hang(Moment.HANDLED), Cut(Moment.HANDLED)], ids=str)
async def test_a_tag_whose_answer_is_lost(
    runner: JobRunner,
    origin: Origin,
    sessions: SessionFolder,
    branch: str,
    git_server: GitServer,
    fault: Fault,
    message: str | None,
) -> None:
    """What the remote took is no failure."""
    runner.env["GIT_TIMEOUT"] = "1"
    sessions.edit(SESSION, {"new.txt": "new\n"})
    git_server.faults.add(Meanwhile(lambda: None), PUSH)  # the branch's
    git_server.faults.add(fault, PUSH)
    result = await runner.commit(tag=NewTag("v1", message))
    assert result.tag.pushed
    assert tags(origin) == {"v1": result.commit_hash}


@pytest.mark.parametrize("tag", [NewTag("v-{}"), NewTag("v1", "Made with {}")])
async def test_a_tag_is_screened(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, tag: NewTag
) -> None:
    """A credential in its name or message is not pushed, and nothing else is."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    leaky = NewTag(tag.name.format(runner.token), tag.message and tag.message.format(runner.token))
    before = origin.branches()
    with pytest.raises(SecretDetected, match="the tag"):
        await runner.commit(tag=leaky)
    assert (origin.branches(), tags(origin)) == (before, {})


@pytest.mark.parametrize(
    "name", ["", "-x", "a..b", "a b", "a.lock", "refs/tags/v1", "HEAD", "a\\n", "v1:x", "@"]
)
def test_a_name_that_git_does_not_take_is_refused(name: str) -> None:
    """Before a job starts, in words of its own."""
    body = f'{{"sessionId": "s", "githubAccessToken": "t", "tag": {{"name": "{name}"}}}}'
    with pytest.raises(ValueError, match=r"`tag.name` must be a name that git takes for a tag"):
        decode_request(CommitAndPush, body.encode())
