"""Storage that fails, and storage that somebody else writes to."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.conftest import WRITE_TOKEN
from tests.reliability.conftest import object_store
from tests.reliability.runner import REPOSITORY, GateRunner, Storage, extracted, head
from tests.support.faults import Answer, Cut, Fault, Hang, Meanwhile, Moment
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin
from tests.support.repositories import git
from tests.support.sessions import clone, edit, metadata, pack

ALWAYS = 1000


@pytest.fixture
async def any_runner(env: dict[str, str], every_storage: Storage, origin: Origin) -> GateRunner:
    """Return a runner with any storage, with a session in it."""
    runner = GateRunner(env | every_storage.env)
    assert (await runner.init(origin.url)).completed
    return runner


def branch_of(storage: Storage) -> str:
    """Return the branch of the stored session."""
    branch: str = storage.session().metadata["branch"]
    return branch


@pytest.mark.parametrize("fault", [Answer(503), Cut(Moment.RECEIVED), Cut(Moment.ANSWER, 500)], ids=str)
async def test_a_download_that_fails_is_tried_again(
    any_runner: GateRunner, every_storage: Storage, origin: Origin, fault: Fault
) -> None:
    """Two failures cost time and nothing else, also those in the middle of the archive."""
    every_storage.edit({"new.txt": "new\n"})
    every_storage.faults.add(fault, every_storage.download, times=2)
    assert (await any_runner.commit()).completed["pushed"]


@pytest.mark.parametrize(
    "fault", [Answer(503), Hang(Moment.RECEIVED), Hang(Moment.ANSWER, 500), Cut(Moment.ANSWER, 500)], ids=str
)
@pytest.mark.usefixtures("impatient")
async def test_a_download_that_keeps_failing_ends_the_job(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, fault: Fault
) -> None:
    """The caller may try again: nothing was done, and nothing was saved."""
    before, branches = storage.edit({"new.txt": "new\n"}), origin.branches()
    storage.faults.add(fault, storage.download, times=ALWAYS)
    failed = (await runner.commit()).failed
    assert (failed["code"], failed["retryable"]) == ("storage_unavailable", True)
    assert "data" not in failed
    assert storage.archive() == before
    assert origin.branches() == branches


async def test_garbage_is_no_session(any_runner: GateRunner, every_storage: Storage, origin: Origin) -> None:
    """What is stored stays as it is, for somebody to look at."""
    every_storage.save(b"<html>not a session</html>")
    assert (await any_runner.commit()).failed["code"] == "session_corrupt"
    assert every_storage.archive() == b"<html>not a session</html>"


@pytest.mark.parametrize(
    "fault",
    [Answer(503), Hang(Moment.RECEIVED), Cut(Moment.RECEIVED), Cut(Moment.HANDLED)],
    ids=str,
)
@pytest.mark.usefixtures("impatient")
async def test_an_upload_that_fails_is_tried_again(
    any_runner: GateRunner, every_storage: Storage, origin: Origin, fault: Fault, tmp_path: Path
) -> None:
    """Packed anew; one that was stored and whose answer was lost is recognised as our own."""
    every_storage.edit({"new.txt": "new\n"})
    every_storage.faults.add(fault, every_storage.upload)
    result = (await any_runner.commit()).completed
    worktree = extracted(every_storage.session(), tmp_path)
    assert head(worktree) == result["commitHash"] == origin.branches()[result["branch"]]
    assert len(origin.log(result["branch"])) == 2


async def test_an_upload_that_keeps_failing_tells_where_the_commit_is(
    any_runner: GateRunner, every_storage: Storage, origin: Origin
) -> None:
    """The session is the old one; asked again, the same request finds its commit on the remote."""
    branch, before = branch_of(every_storage), every_storage.edit({"new.txt": "new\n"})
    every_storage.faults.add(Answer(503), every_storage.upload, times=ALWAYS)
    failed = (await any_runner.commit(requestId="r-1")).failed
    assert (failed["code"], failed["retryable"]) == ("storage_unavailable", True)
    commit = origin.branches()[branch]
    assert failed["data"] == {"commitHash": commit, "branch": branch, "pushed": True}
    assert every_storage.archive() == before
    every_storage.faults.clear()
    assert (await any_runner.commit(requestId="r-1")).completed["commitHash"] == commit
    assert len(origin.log(branch)) == 2


async def test_an_upload_that_fails_after_a_push_that_failed_claims_nothing(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str
) -> None:
    """The commit is nowhere, so no error tells where it is; the edits are in the session as before."""
    before = storage.edit({"new.txt": "new\n"})
    origin.reject_pushes("Not now")
    storage.faults.add(Answer(503), storage.upload, times=ALWAYS)
    failed = (await runner.commit()).failed
    assert (failed["code"], "data" in failed) == ("storage_unavailable", False)
    assert storage.archive() == before


async def test_a_session_that_is_saved_meanwhile_is_taken(
    any_runner: GateRunner, every_storage: Storage, origin: Origin, git_server: GitServer, tmp_path: Path
) -> None:
    """Its branch moves to the commit, and its files are left alone."""
    newer = edit(every_storage.edit({"new.txt": "new\n"}), {f"{REPOSITORY}/new.txt": "newer\n", ".x": "kept"})
    git_server.faults.add(Meanwhile(lambda: every_storage.save(newer)), "POST")
    result = (await any_runner.commit()).completed
    session = every_storage.session()
    worktree = extracted(session, tmp_path)
    assert head(worktree) == result["commitHash"] == origin.branches()[result["branch"]]
    assert git("-C", worktree, "status", "--porcelain").decode() == " M new.txt\n"
    assert (worktree / "new.txt").read_text() == "newer\n"
    assert session.read(".x") == b"kept"


async def test_a_session_that_is_saved_meanwhile_twice_is_taken_twice(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, tmp_path: Path
) -> None:
    """The last version is the one that gets the commit."""
    versions = [edit(storage.edit({"new.txt": "new\n"}), {".save": str(number)}) for number in range(2)]
    saves = iter(versions)
    storage.faults.add(Meanwhile(lambda: storage.save(next(saves))), storage.upload, times=2)
    result = (await runner.commit()).completed
    assert head(extracted(storage.session(), tmp_path)) == result["commitHash"] == origin.branches()[branch]
    assert storage.session().read(".save") == b"1"


async def test_a_session_that_keeps_being_saved_is_a_conflict(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str
) -> None:
    """After three versions the job gives up, tells where the commit is, and leaves the newest in place."""
    newer = [edit(storage.edit({"new.txt": "new\n"}), {".save": str(number)}) for number in range(4)]
    versions = iter(newer)
    storage.faults.add(Meanwhile(lambda: storage.save(next(versions))), storage.upload, times=3)
    failed = (await runner.commit()).failed
    assert (failed["code"], failed["retryable"]) == ("session_conflict", True)
    assert failed["data"] == {"commitHash": origin.branches()[branch], "branch": branch, "pushed": True}
    assert storage.archive() == newer[2]


async def test_another_writer_that_commits_to_the_branch_is_a_conflict(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, git_server: GitServer, tmp_path: Path
) -> None:
    """Its session stays as it saved it, and the next job puts its commit on top of ours."""
    storage.edit({"new.txt": "new\n"})
    theirs = extracted(storage.session(), tmp_path)
    (theirs / "theirs.txt").write_text("1\n")
    git("-C", theirs, "add", "theirs.txt")
    git("-C", theirs, "-c", "user.name=T", "-c", "user.email=t@t", "commit", "--quiet", "--message=Theirs")
    newer = pack(storage.session().metadata, theirs)
    git_server.faults.add(Meanwhile(lambda: storage.save(newer)), "POST")
    failed = (await runner.commit()).failed
    assert (failed["code"], failed["data"]["pushed"]) == ("session_conflict", True)
    assert storage.archive() == newer
    assert (await runner.commit(message="Rest")).completed["pushed"]
    assert {"new.txt", "theirs.txt"} <= set(origin.files(branch))


async def test_a_session_that_is_deleted_meanwhile_stays_deleted(
    any_runner: GateRunner, every_storage: Storage, origin: Origin, git_server: GitServer
) -> None:
    """The error says so, and that the commit is on the remote."""
    branch = branch_of(every_storage)
    every_storage.edit({"new.txt": "new\n"})
    git_server.faults.add(Meanwhile(every_storage.delete), "POST")
    failed = (await any_runner.commit()).failed
    assert failed["code"] == "session_not_found"
    assert failed["data"] == {"commitHash": origin.branches()[branch], "branch": branch, "pushed": True}
    assert every_storage.archive() is None


async def test_a_deleted_object_may_be_said_to_be_missing(
    env: dict[str, str], origin: Origin, git_server: GitServer
) -> None:
    """AWS answers a condition on no object with 404 instead of 412: both are a session that is gone."""
    with object_store() as storage:
        runner = GateRunner(env | storage.env)
        assert (await runner.init(origin.url)).completed
        storage.edit({"new.txt": "new\n"})
        git_server.faults.add(Meanwhile(storage.delete), "POST")
        missing = b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>"
        storage.faults.add(Answer(404, missing), storage.upload, times=ALWAYS)
        assert (await runner.commit()).failed["code"] == "session_not_found"


async def test_a_session_that_holds_another_repository_meanwhile_is_left_alone(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, git_server: GitServer, tmp_path: Path
) -> None:
    """The error says what it holds now, and where the commit is."""
    storage.edit({"new.txt": "new\n"})
    other = git_server.seed("octo", "other")
    github = {"repoUrl": other.url, "clonedPath": "other", "baseBranch": "main"}
    newer = pack(
        metadata("session-abcd1234", github=github), clone(other.url, WRITE_TOKEN, tmp_path / "other")
    )
    git_server.faults.add(Meanwhile(lambda: storage.save(newer)), "POST")
    failed = (await runner.commit()).failed
    assert (failed["code"], failed["data"]["branch"]) == ("other_repository", branch)
    assert storage.archive() == newer


async def test_garbage_that_is_saved_meanwhile_is_left_alone(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, git_server: GitServer
) -> None:
    """The error tells where the commit is."""
    storage.edit({"new.txt": "new\n"})
    git_server.faults.add(Meanwhile(lambda: storage.save(b"garbage")), "POST")
    failed = (await runner.commit()).failed
    assert (failed["code"], failed["data"]["commitHash"]) == ("session_corrupt", origin.branches()[branch])
    assert storage.archive() == b"garbage"


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("operation", ["clone-repository", "init-session"])
async def test_a_session_that_is_created_meanwhile_gets_the_clone(
    runner: GateRunner, storage: Storage, origin: Origin, operation: str, times: int, tmp_path: Path
) -> None:
    """Everything the other writer put there stays."""
    saves = iter(
        [
            pack(metadata("session-abcd1234", mine=1), entries={".claude/a": "kept"}, prefix="./"),
            pack(metadata("session-abcd1234", mine=2), entries={".claude/b": "kept"}),
        ]
    )
    storage.faults.add(Meanwhile(lambda: storage.save(next(saves))), storage.upload, times=times)
    more = {"userRequest": "Add x"} if operation == "init-session" else {}
    result = (await runner.ask(operation, repoUrl=origin.url, **more)).completed
    session = storage.session()
    worktree = extracted(session, tmp_path)
    assert (head(worktree), session.metadata["mine"]) == (result["commit"], times)
    assert session.read(".claude/b" if times == 2 else ".claude/a") == b"kept"
    assert git("-C", worktree, "status", "--porcelain") == b""
    assert session.metadata["branch"] == result.get("branchName", "main")


async def test_a_session_that_is_created_with_the_repository_meanwhile_gets_the_branch(
    runner: GateRunner, storage: Storage, origin: Origin, tmp_path: Path
) -> None:
    """Two clones of one repository become one."""
    theirs = clone(origin.url, WRITE_TOKEN, tmp_path / "demo")
    (theirs / "theirs.txt").write_text("1\n")
    github = {"repoUrl": origin.url, "clonedPath": "demo", "baseBranch": "main"}
    newer = pack(metadata("session-abcd1234", github=github), theirs)
    storage.faults.add(Meanwhile(lambda: storage.save(newer)), storage.upload)
    result = (await runner.init(origin.url)).completed
    worktree = extracted(storage.session(), tmp_path / "x")
    assert git("-C", worktree, "branch", "--show-current").decode().strip() == result["branchName"]
    assert git("-C", worktree, "status", "--porcelain") == b"?? theirs.txt\n"


async def test_what_others_pushed_is_not_undone_in_a_session_that_was_saved_meanwhile(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, git_server: GitServer, tmp_path: Path
) -> None:
    """Files that nobody edited follow the rebase; those that somebody did are left alone."""
    theirs = {"README.md": "# Theirs\n", "theirs.txt": "1\n", "src/app.py": "theirs\n", "caf\udce9": "1\n"}
    origin.commit(theirs, branch=branch)
    newer = edit(storage.edit({"new.txt": "new\n"}), {f"{REPOSITORY}/src/app.py": "mine\n"})
    storage.faults.add(Meanwhile(lambda: storage.save(newer)), storage.upload)
    result = (await runner.commit()).completed
    worktree = extracted(storage.session(), tmp_path)
    assert head(worktree) == result["commitHash"]
    assert git("-C", worktree, "status", "--porcelain").decode() == " M src/app.py\n"
    assert (worktree / "README.md").read_text() == "# Theirs\n"
    assert (worktree / "src/app.py").read_text() == "mine\n"


async def test_a_link_in_a_session_that_was_saved_meanwhile_is_not_written_through(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, tmp_path: Path
) -> None:
    """Where the newer session has a link for a folder that the remote changed, the link stays."""
    origin.commit({"src/app.py": "theirs\n", "new/theirs.py": "1\n"}, branch=branch)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "app.py").write_text("print('hi')\n")
    links: dict[str, tarfile.TarInfo | bytes | str | None] = {f"{REPOSITORY}/src/app.py": None}
    for name in ("src", "new"):
        link = tarfile.TarInfo(f"{REPOSITORY}/{name}")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        links[link.name] = link
    newer = edit(storage.edit({"new.txt": "new\n"}), links)
    storage.faults.add(Meanwhile(lambda: storage.save(newer)), storage.upload)
    assert (await runner.commit()).completed["pushed"]
    assert [file.name for file in outside.iterdir()] == ["app.py"]
    assert (outside / "app.py").read_text() == "print('hi')\n"
    assert storage.session().members()[f"{REPOSITORY}/src"].issym()


@pytest.mark.parametrize("depth", [1, None])
async def test_a_shallow_session_that_is_saved_meanwhile_gets_the_commit(
    runner: GateRunner,
    storage: Storage,
    origin: Origin,
    depth: int | None,
    git_server: GitServer,
    tmp_path: Path,
) -> None:
    """So does one whose remote moved on, and whose history had to be fetched for it."""
    origin.commit({"README.md": "# 2\n"})
    more = {"depth": depth} if depth else {}
    branch = (await runner.init(origin.url, **more)).completed["branchName"]
    origin.commit({"theirs.txt": "1\n"}, branch=branch)
    newer = edit(storage.edit({"new.txt": "new\n"}), {f"{REPOSITORY}/more.txt": "1\n"})
    storage.faults.add(Meanwhile(lambda: storage.save(newer)), storage.upload)
    result = (await runner.commit()).completed
    worktree = extracted(storage.session(), tmp_path)
    assert head(worktree) == result["commitHash"] == origin.branches()[branch]
    assert git("-C", worktree, "status", "--porcelain").decode() == "?? more.txt\n"


async def test_a_request_id_of_another_operation_is_not_taken_for_our_own_outcome(
    runner: GateRunner, storage: Storage, origin: Origin, git_server: GitServer, tmp_path: Path
) -> None:
    """A caller may number each of its operations alike; the newer session still gets the commit."""
    assert (await runner.init(origin.url, requestId="r-1")).completed
    newer = edit(storage.edit({"new.txt": "new\n"}), {".x": "kept"})
    git_server.faults.add(Meanwhile(lambda: storage.save(newer)), "POST")
    result = (await runner.commit(requestId="r-1")).completed
    assert head(extracted(storage.session(), tmp_path)) == result["commitHash"]
