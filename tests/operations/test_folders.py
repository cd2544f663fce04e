"""Repositories that lie deeper in the workspace than in one of its folders."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from github_worker.errors import OtherRepository, SessionCorrupt
from tests.conftest import WRITE_TOKEN
from tests.operations.conftest import SESSION, JobRunner
from tests.support.repositories import Repository as Origin
from tests.support.repositories import git
from tests.support.sessions import METADATA, SessionFolder, clone, metadata, pack

_FOLDER = "workspace/workspace/apps/web"


def of_metadata(origin: Origin, path: str = "apps/web") -> dict[str, Any]:
    """Return a session's metadata whose repository is at a path."""
    return metadata(SESSION, github={"repoUrl": origin.url, "baseBranch": "main", "clonedPath": path})


async def test_a_session_lives_in_a_folder_of_a_folder(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, tmp_path: Path
) -> None:
    """It is cloned, branched, edited, committed and pushed as any other, and git is content with it."""
    made = await runner.init(origin.url, directory="apps/web")
    assert made.cloned_path == sessions.get(SESSION).cloned_path == "apps/web"
    for number in range(2):
        sessions.edit(SESSION, {"new.txt": f"{number}\n"})
        result = await runner.commit()
        assert (result.pushed, result.files_changed) == (True, 1)
    assert origin.read(made.branch_name, "new.txt") == b"1\n"
    again = await runner.clone(origin.url)
    assert (again.cloned_path, again.was_cloned) == ("apps/web", False)
    worktree = sessions.get(SESSION).extract(tmp_path)
    assert worktree == tmp_path / _FOLDER
    assert git("-C", worktree, "fsck", "--strict") == b""
    assert git("-C", worktree, "status", "--porcelain", "--ignored") == b""
    assert git("-C", worktree, "config", "remote.origin.url") == f"{origin.url}\n".encode()


async def test_what_a_coding_worker_packed_goes_back_as_it_came(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, tmp_path: Path
) -> None:
    """Modes, times, config, hooks, and names of one file beside the other."""
    worktree = clone(origin.url, WRITE_TOKEN, tmp_path / _FOLDER)
    git("-C", worktree, "config", "user.name", "Ann")
    (worktree / ".git/hooks/pre-push").write_text("#!/bin/sh\nexit 1\n")
    (worktree / ".git/hooks/pre-push").chmod(0o755)
    (worktree / ".git/logs/linked").hardlink_to(worktree / ".git/HEAD")
    (worktree / "README.md").write_text("# Another\n")
    os.utime(worktree, (1_700_000_000, 1_700_000_000))
    (tmp_path / METADATA).write_text(json.dumps(of_metadata(origin)))
    sessions.put(SESSION, tar(tmp_path, "workspace"))
    before = sessions.get(SESSION).members()
    result = await runner.commit(message="Change it")
    assert (result.pushed, result.files_changed) == (True, 1)
    after = sessions.get(SESSION).members()
    assert before.keys() <= after.keys()
    for name, member in before.items():
        if "/.git/hooks/" in name or name.endswith(("/src/app.py", "/.git/config", "/web")):
            assert (after[name].mode, int(after[name].mtime)) == (member.mode, int(member.mtime)), name
    extracted = sessions.get(SESSION).extract(tmp_path / "again")
    assert git("-C", extracted, "config", "user.name") == b"Ann\n"
    assert git("-C", extracted, "fsck", "--strict") == b""
    assert git("-C", extracted, "status", "--porcelain") == b""


def tar(folder: Path, name: str) -> bytes:
    """Pack one of a folder's entries as GNU tar does."""
    return subprocess.run(["tar", "cz", "-C", folder, name], check=True, capture_output=True).stdout


@pytest.mark.parametrize("link", ["apps", "apps/web"])
async def test_a_link_on_the_way_is_not_followed(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, tmp_path: Path, link: str
) -> None:
    """Neither to a repository of the session, nor to where a new one would be made."""
    entry = tarfile.TarInfo(f"workspace/workspace/{link}")
    entry.type, entry.linkname = tarfile.SYMTYPE, str(tmp_path)
    sessions.put(SESSION, pack(of_metadata(origin), entries={entry.name: entry}))
    with pytest.raises(OtherRepository):
        await runner.commit()
    sessions.put(SESSION, pack(metadata(SESSION), entries={entry.name: entry}))
    with pytest.raises(OtherRepository):
        await runner.clone(origin.url, directory="apps/web")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("file", "directory"),
    [
        ("apps", "apps/web"),
        ("apps/web", "apps/web"),
        ("apps/web", "apps/web/ui"),
        ("apps/web/mine", "apps/web"),
        ("apps/web/src/mine", "apps/web"),
        ("demo", "demo"),
        ("demo/mine", "demo"),
    ],
)
async def test_a_file_on_the_way_is_not_replaced(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, file: str, directory: str
) -> None:
    """The session keeps it, whether it stands in the place of a folder or in the one to clone into."""
    before = pack(metadata(SESSION), entries={f"workspace/workspace/{file}": b"mine"})
    sessions.put(SESSION, before)
    with pytest.raises(OtherRepository):
        await runner.clone(origin.url, directory=directory)
    assert sessions.get(SESSION).data == before


async def test_a_cut_object_is_found_there_too(
    runner: JobRunner, origin: Origin, sessions: SessionFolder
) -> None:
    """Which libgit2 would inflate for ever."""
    await runner.clone(origin.url, directory="apps/web")
    name = ".git/objects/12/" + "3" * 38
    sessions.edit(SESSION, {name: b"x\x9c"})
    with pytest.raises(SessionCorrupt):
        await runner.commit()
