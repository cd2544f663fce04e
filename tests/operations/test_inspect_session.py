"""inspect-session, with git as the judge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from github_worker.errors import NoRepository, SessionNotFound, SessionTooLarge
from github_worker.redaction import Secret
from tests.fidelity.arena import Arena, Git
from tests.fidelity.branch_judge import judge_inspection
from tests.operations.conftest import SESSION
from tests.support.sessions import edit, metadata, pack


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    """Yield an arena whose session has edits of every kind, a commit that is not pushed, and no remote."""
    with Arena(tmp_path / "arena") as arena:
        arena.start({"a": "a\n", "b": "b\n", "c": "c\n", "bin": b"\0\1"})
        arena.write({"a": "a\ncommitted\n"})
        arena.git("commit", "--quiet", "--all", "--message=Not pushed\n\nReally.")
        arena.write(
            {
                "a": "edited\n",
                "b": None,
                "bin": b"\0\2",
                "staged": "1\n2\n",
                "d/new": "new\n",
                "caf\u00e9": "x",
            }
        )
        arena.git("add", "staged")
        arena.write({"staged": "1\n2\n3\n"})
        arena.git("rm", "--quiet", "--cached", "c")
        arena.server.close()
        yield arena


async def test_all_that_is_not_pushed_is_told(arena: Arena) -> None:
    """Letters, counts and commits are git's; nothing is asked of the remote, and nothing saved."""
    arena.put(arena.pack())
    verdict = await judge_inspection(arena)
    assert not verdict.differences, verdict
    result = verdict.result
    assert (result.branch, result.upstream, result.ahead, result.behind) == ("main", "origin/main", 1, 0)
    assert result.cloned_path == "demo"
    changes = {(one.status, one.path): (one.insertions, one.deletions, one.binary) for one in result.changes}
    assert changes["AM", "staged"] == (3, 0, False)
    assert changes[" M", "a"] == (1, 2, False)
    assert changes[" M", "bin"] == (0, 0, True)
    assert {("D ", "c"), ("??", "c"), ("??", "d/new"), (" D", "b")} <= changes.keys()
    [commit] = result.unpushed
    assert (commit.subject, commit.author, result.unpushed_commits) == ("Not pushed", "An Agent", 1)
    assert commit.date.endswith("Z")
    assert arena.runner.stages == ["downloading_session", "analyzing", "inspected"]


async def test_the_patch_makes_the_tree_that_a_commit_would(arena: Arena, tmp_path: Path) -> None:
    """Git applies it to HEAD."""
    arena.write({"bin": b"\0\1"})
    arena.put(arena.pack())
    result = await arena.runner.inspect(patch_bytes=100_000)
    assert not result.patch_truncated
    arena.git("worktree", "add", "--quiet", tmp_path / "other", "HEAD")
    other = Git(tmp_path / "other")
    other("apply", "--index", stdin=result.patch.encode())
    arena.git("add", "--all")
    assert other("write-tree") == arena.git("write-tree")


async def test_a_patch_ends_where_it_is_too_large(arena: Arena) -> None:
    """It says so."""
    arena.put(arena.pack())
    result = await arena.runner.inspect(patch_bytes=30)
    assert result.patch_truncated
    assert len(result.patch.encode()) <= 30
    assert (await arena.runner.inspect()).patch is None


async def test_a_secret_of_the_service_is_masked_in_the_patch(arena: Arena) -> None:
    """A token of the request, say, as in whatever leaves the service."""
    token = "ghp_" + "a1B2" * 9
    arena.write({"key": f"{token}\n"})
    arena.put(arena.pack())
    result = await arena.runner.inspect(patch_bytes=100_000, access_token=Secret(token))
    assert "b/key" in result.patch
    assert token not in result.patch


async def test_many_files_are_counted_and_the_first_told(arena: Arena) -> None:
    """A job's last event stays small."""
    arena.write({f"many/{number:04}": "x\n" for number in range(1200)})
    arena.put(arena.pack())
    result = await arena.runner.inspect()
    assert len(result.changes) == 1000
    assert result.files_changed > 1200
    assert result.insertions > 1200


async def test_a_file_that_no_commit_could_have_is_told(arena: Arena) -> None:
    """One with a filter, say: what would stop a commit does not stop a look."""
    arena.write({".gitattributes": "*.lfs filter=lfs\n", "large.lfs": "content\n"})
    arena.put(arena.pack())
    result = await arena.runner.inspect()
    assert ("??", "large.lfs") in {(one.status, one.path) for one in result.changes}


async def test_a_detached_head(arena: Arena) -> None:
    """It is on no branch, and follows nothing."""
    arena.git("checkout", "--quiet", "--detach")
    arena.put(arena.pack())
    result = await arena.runner.inspect()
    assert (result.branch, result.upstream, result.ahead) == (None, None, None)


async def test_a_branch_without_a_commit(arena: Arena) -> None:
    """All that is there is new."""
    arena.git("checkout", "--quiet", "--orphan", "empty")
    arena.put(arena.pack())
    result = await arena.runner.inspect()
    assert (result.branch, result.commit, result.unpushed) == ("empty", None, ())
    assert {one.status[0] for one in result.changes} <= {"A", "?"}


async def test_what_is_not_in_the_workspace_is_passed_over(arena: Arena) -> None:
    """Not even what could not be unpacked is in the way."""
    arena.put(edit(arena.pack(), {f"{'deep/' * 300}file": "x"}))
    with pytest.raises(SessionTooLarge):
        await arena.runner.switch(branch="main")
    assert (await arena.runner.inspect()).branch == "main"


async def test_a_file_that_is_linked_to_one_outside_is_read(arena: Arena) -> None:
    """Then the whole archive is unpacked."""
    outside = arena.session_tree / "a-outside"
    outside.write_text("outside\n")
    (arena.folder / "linked").hardlink_to(outside)
    arena.put(arena.pack())
    result = await arena.runner.inspect()
    assert ("??", "linked") in {(one.status, one.path) for one in result.changes}


async def test_there_is_no_such_session(arena: Arena) -> None:
    """Nor is one made."""
    with pytest.raises(SessionNotFound):
        await arena.runner.inspect()


async def test_a_session_without_a_repository(arena: Arena) -> None:
    """It says so."""
    arena.put(pack(metadata(SESSION)))
    with pytest.raises(NoRepository):
        await arena.runner.inspect()
