"""Sessions whose repository is broken, and what a killed git left behind."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.reliability.runner import REPOSITORY, GateRunner, Storage, extracted, head
from tests.support.repositories import Repository as Origin
from tests.support.repositories import git
from tests.support.sessions import edit

LOCKS = ["index.lock", "HEAD.lock", "config.lock", "packed-refs.lock", "shallow.lock", "refs/heads/main.lock"]


def objects(storage: Storage) -> list[str]:
    """Return the names of the stored repository's objects and packs."""
    names = storage.session().members()
    return [name for name in names if "/.git/objects/" in name and names[name].isreg()]


async def test_locks_that_a_killed_git_left_are_not_in_the_way(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str
) -> None:
    """They come back as they were, for whoever made them."""
    locks = {f".git/{lock}": "" for lock in [*LOCKS, f"refs/heads/{branch}.lock"]}
    storage.edit({"new.txt": "new\n", **locks})
    assert (await runner.commit()).completed["pushed"]
    for lock in locks:
        assert storage.session().read(f"{REPOSITORY}/{lock}") == b""


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"\x78\x9c\x00"], ids=str)
async def test_objects_that_are_missing_or_broken_end_the_job(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, content: bytes | None
) -> None:
    """The error says that the session is damaged, and the session is left for somebody to look at."""
    storage.edit({"new.txt": "new\n"})
    before = edit(storage.session().data, dict.fromkeys(objects(storage), content))
    storage.save(before)
    failed = (await runner.commit()).failed
    assert (failed["code"], failed["retryable"]) == ("session_corrupt", False)
    assert storage.archive() == before


@pytest.mark.parametrize("nothing_of", ["tree:0", "blob:none"])
async def test_a_partial_clone_ends_with_a_clear_error_or_a_commit(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, nothing_of: str, tmp_path: Path
) -> None:
    """Objects that were never fetched are never taken for changes."""
    origin.configure("uploadpack.allowFilter", "true")
    partial = tmp_path / "demo"
    git("clone", "--quiet", "--bare", f"--filter={nothing_of}", f"file://{origin.path}", partial)
    files = (partial / "objects/pack").glob("pack-*")
    packs = {f".git/objects/pack/{file.name}": file.read_bytes() for file in files}
    gone = {name.removeprefix(f"{REPOSITORY}/"): None for name in objects(storage)}
    before = storage.edit({"new.txt": "new\n", **gone, **packs})
    ended = await runner.commit()
    if ended.events[-1]["type"] == "error":
        assert ended.failed["code"] == "session_corrupt"
        assert storage.archive() == before
    else:
        assert set(origin.files(branch)) == {"README.md", "new.txt", "src/app.py"}


@pytest.mark.parametrize(
    "files",
    [
        {".git/HEAD": "garbage"},
        {".git/HEAD": "ref: refs/heads/../../x\n"},
        {".git/index": "garbage"},
        {".git/packed-refs": "garbage\n"},
        {".git/shallow": "garbage\n"},
        {".git/refs/heads/odd": "garbage"},
    ],
    ids=str,
)
async def test_a_broken_git_folder_ends_the_job_or_is_no_matter(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, files: dict[str, str]
) -> None:
    """Never with `internal`, and never with half a commit."""
    before = storage.edit({"new.txt": "new\n", **files})
    ended = await runner.commit()
    if ended.events[-1]["type"] == "error":
        assert ended.failed["code"] in {"session_corrupt", "unsupported_repository", "no_repository"}
        assert storage.archive() == before
    else:
        assert origin.branches()[branch] == ended.completed["commitHash"]
        assert set(origin.files(branch)) == {"README.md", "new.txt", "src/app.py"}


def test_three_threads_are_enough(
    runner: GateRunner, storage: Storage, origin: Origin, tmp_path: Path
) -> None:
    """What blocks in a thread, such as an upload that waits for the work, never waits for one more."""

    async def work() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(3))
        branch = (await runner.init(origin.url)).completed["branchName"]
        origin.commit({"theirs.txt": "1\n"}, branch=branch)
        storage.edit({"new.txt": "new\n"})
        result = (await runner.commit()).completed
        assert result["commitHash"] == head(extracted(storage.session(), tmp_path))

    asyncio.run(asyncio.wait_for(work(), 20))
