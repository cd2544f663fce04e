"""Whom a commit is by, and when: co-authors, a sign-off, an author's time zone."""

from __future__ import annotations

import re

import pytest

from github_worker.contract import Author, CoAuthor, CommitAndPush, PrivateKey, decode_request
from github_worker.errors import SecretDetected
from tests.operations.conftest import SESSION, JobRunner
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin
from tests.support.sessions import SessionFolder
from tests.support.signing import Key, needs_ssh_keygen, read

GRACE = CoAuthor("Grace Hopper", "grace@example.com")
BODY = '{"sessionId": "s", "githubAccessToken": "t", %s}'


async def test_people_are_trailers_of_the_message(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """After the user who asks; the worker commits, so the worker signs off."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    people = (GRACE, CoAuthor("Ada", "ada@example.com"), GRACE)
    result = await runner.commit(message="Add it", user_id="u-7", sign_off=True, co_authors=people)
    assert result.commit_message.splitlines() == [
        "Add it",
        "",
        "Committed-by: u-7",
        "Signed-off-by: GitHub Worker <worker@github-worker.local>",
        "Co-authored-by: Grace Hopper <grace@example.com>",
        "Co-authored-by: Ada <ada@example.com>",
    ]
    told = origin.git("log", "-1", "--format=%(trailers:key=Co-authored-by,valueonly)", branch).decode()
    assert told.splitlines()[:2] == ["Grace Hopper <grace@example.com>", "Ada <ada@example.com>"]


async def test_a_message_of_the_workers_own_has_them_too(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """Whoever writes it."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    result = await runner.commit(sign_off=True)
    assert result.commit_message.endswith("\n\nSigned-off-by: GitHub Worker <worker@github-worker.local>")


async def test_a_sign_off_is_of_the_name_that_git_keeps(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """As the committer's line has it: without what git takes from a name's ends."""
    runner.env["GIT_COMMITTER_NAME"] = " The Bot, Inc."
    sessions.edit(SESSION, {"new.txt": "new\n"})
    result = await runner.commit(message="Add it", sign_off=True)
    committer = re.search(rb"^committer (.+>) ", read(origin.path, result.commit_hash), re.MULTILINE)
    assert committer is not None
    assert result.commit_message == f"Add it\n\nSigned-off-by: {committer[1].decode()}"


@needs_ssh_keygen
async def test_who_signs_with_a_key_of_theirs_signs_off(
    runner: JobRunner, sessions: SessionFolder, branch: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """They are the committer."""
    key = PrivateKey(Key.make(tmp_path_factory.mktemp("key")).text)
    sessions.edit(SESSION, {"new.txt": "new\n"})
    author = Author("Ada", "ada@example.com")
    result = await runner.commit(message="Add it", sign_off=True, author=author, signing_key=key)
    assert result.commit_message == "Add it\n\nSigned-off-by: Ada <ada@example.com>"


@pytest.mark.parametrize(
    ("zone", "written"),
    [
        (None, "+0000"),
        ("+02:00", "+0200"),
        ("-03:30", "-0330"),
        ("+00:00", "+0000"),
        ("-00:30", "-0030"),
        ("+14:00", "+1400"),
    ],
)
async def test_an_authors_date_is_in_their_time_zone(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, zone: str | None, written: str
) -> None:
    """The moment is the same; the worker that commits is in UTC."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    result = await runner.commit(author=Author("Ada", "ada@example.com", zone))
    lines = dict(line.split(b" ", 1) for line in read(origin.path, result.commit_hash).splitlines()[:4])
    author, committer = (lines[who].decode().split()[-2:] for who in (b"author", b"committer"))
    assert (author[1], committer[1]) == (written, "+0000")
    assert abs(int(author[0]) - int(committer[0])) <= 1
    origin.git("fsck", "--strict")


async def test_a_rebase_keeps_an_authors_time_zone(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """As it keeps the author."""
    origin.commit({"theirs.txt": "1\n"}, branch=branch)
    sessions.edit(SESSION, {"new.txt": "new\n"})
    result = await runner.commit(author=Author("Ada", "ada@example.com", "+05:30"))
    assert b" +0530\ncommitter GitHub Worker" in read(origin.path, result.commit_hash)


async def test_co_authors_are_screened(
    runner: JobRunner, sessions: SessionFolder, branch: str, git_server: GitServer
) -> None:
    """A credential in a name would be pushed."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    with pytest.raises(SecretDetected, match="the commit's message"):
        await runner.commit(co_authors=(CoAuthor(runner.token, "a@example.com"),))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ('"coAuthors": [{"name": "A <x>", "email": "a@b"}]', "coAuthors.*name` must be one line"),
        ('"coAuthors": [{"name": "A", "email": "a@b>\\nX: y"}]', "coAuthors.*email` must be one line"),
        ('"coAuthors": [{"name": "A\\nB", "email": "a@b"}]', "coAuthors.*name` must be one line"),
        ('"coAuthors": [{"name": " ; ", "email": "a@b"}]', "coAuthors.*name` must be one line"),
        ('"coAuthors": [{"name": "A"}]', "coAuthors.*email` is missing"),
        ('"coAuthors": {"name": "A", "email": "a@b"}', "`coAuthors` must be a list"),
        ('"author": {"name": "A", "email": "a@b", "timeZone": "CET"}', "`author.timeZone` must be how far"),
        ('"author": {"name": "A", "email": "a@b", "timeZone": "+0200"}', "`author.timeZone` must be how far"),
        (
            '"author": {"name": "A", "email": "a@b", "timeZone": "+15:00"}',
            "`author.timeZone` must be how far",
        ),
        (
            '"author": {"name": "A", "email": "a@b", "timeZone": "+02:00\\n"}',
            "`author.timeZone` must be how far",
        ),
        ('"signOff": "yes"', "`signOff` must be true or false"),
    ],
)
def test_what_git_would_not_take_of_a_person_is_refused(fields: str, words: str) -> None:
    """Before a job starts, naming the field."""
    with pytest.raises(ValueError, match=words):
        decode_request(CommitAndPush, (BODY % fields).encode())
