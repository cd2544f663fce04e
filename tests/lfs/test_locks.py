"""A file that somebody else has locked is not pushed."""

from __future__ import annotations

import pytest

from tests.lfs.conftest import LargeRunner, StoredSession
from tests.support.faults import Answer
from tests.support.git_server import GitServer
from tests.support.lfs import LargeFileServer
from tests.support.repositories import Repository as Origin


async def test_a_locked_file_is_not_pushed(
    runner: LargeRunner, origin: Origin, session: StoredSession, large_files: LargeFileServer
) -> None:
    """The path and the owner are told, nothing is sent, and once it is unlocked all is pushed."""
    await runner.init(origin.url)
    before, oids = origin.branches(), large_files.oids
    large_files.locks = {"a.bin": "Grace", "other.bin": "Ada"}
    session.write({"a.bin": b"changed", "README.md": "changed\n"})
    result = await runner.commit(message="Change it")
    assert not result.pushed
    assert (result.push_error.code, result.push_error.message) == ("file_locked", "a.bin is locked by Grace")
    assert (origin.branches(), large_files.oids) == (before, oids)
    large_files.locks = {"other.bin": "Ada"}
    assert (await runner.commit()).pushed


@pytest.mark.parametrize("change", [{"README.md": "changed\n"}, {"README.md": None}])
async def test_any_file_may_be_locked(
    runner: LargeRunner,
    origin: Origin,
    session: StoredSession,
    large_files: LargeFileServer,
    change: dict[str, str | None],
) -> None:
    """One that is no large file, and one that is deleted."""
    await runner.init(origin.url)
    large_files.locks = {"README.md": "Grace"}
    session.write(change)
    result = await runner.commit(message="Change it")
    assert result.push_error.message == "README.md is locked by Grace"


async def test_a_long_list_of_locks(
    runner: LargeRunner, origin: Origin, session: StoredSession, large_files: LargeFileServer
) -> None:
    """It comes in pages, and the last one counts too."""
    await runner.init(origin.url)
    large_files.locks = {f"{number:03}.bin": "Ada" for number in range(250)} | {"z.bin": "Grace"}
    session.write({"z.bin": b"changed"})
    result = await runner.commit(message="Change it")
    assert result.push_error.message == "z.bin is locked by Grace"


@pytest.mark.parametrize(("status", "warnings"), [(404, 0), (501, 0), (403, 1), (500, 1)])
async def test_a_server_without_locks(
    runner: LargeRunner,
    origin: Origin,
    session: StoredSession,
    large_files: LargeFileServer,
    status: int,
    warnings: int,
) -> None:
    """As with git-lfs, the push goes on; a server that only does not tell is warned of."""
    await runner.init(origin.url)
    large_files.locking = status
    session.write({"a.bin": b"changed"})
    assert (await runner.commit(message="Change it")).pushed
    assert [code for code, _ in runner.warnings] == ["lfs_locks_unknown"] * warnings


async def test_locks_that_are_none(
    runner: LargeRunner, origin: Origin, session: StoredSession, git_server: GitServer
) -> None:
    """An answer that cannot be read is one that does not tell."""
    await runner.init(origin.url)
    git_server.faults.add(Answer(200, b'{"theirs":[{"path":1}]}'), "locks/verify")
    session.write({"a.bin": b"changed"})
    assert (await runner.commit(message="Change it")).pushed
    assert [code for code, _ in runner.warnings] == ["lfs_locks_unknown"]
