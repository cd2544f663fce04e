"""Indexes and objects that a stranger wrote."""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
import subprocess
import sys
import zlib
from functools import partial
from pathlib import Path

import pytest

from github_worker.errors import JobError, UnsupportedRepository
from tests.operations.conftest import SESSION
from tests.security.conftest import Attack, commit_or_sentence
from tests.support.repositories import git
from tests.support.sessions import edit

# The index


def _index(*paths: bytes, version: int = 2, extension: bytes = b"", mode: int = 0o100644) -> bytes:
    entries = b"".join(_entry(path, mode) for path in paths)
    body = struct.pack(">4sII", b"DIRC", version, len(paths)) + entries + extension
    return body + hashlib.sha1(body).digest()  # noqa: S324 (git's own)


def _entry(path: bytes, mode: int) -> bytes:
    empty = hashlib.sha1(b"blob 0\0").digest()  # noqa: S324
    fixed = struct.pack(">10I20sH", *(0,) * 6, mode, 0, 0, 0, empty, min(len(path), 0xFFF))
    return fixed + path + bytes(8 - (len(fixed) + len(path)) % 8)


INDEXES = {
    "beyond": _index(b"../../../../outside/config"),
    "absolute": _index(b"/etc/passwd"),
    "git's own": _index(b".git/config"),
    "git's own in capitals": _index(b".GIT/config"),
    "dots within": _index(b"src/../../x"),
    "twice": _index(b"a", b"a"),
    "a file and a folder": _index(b"a", b"a/b"),
    "unsorted": _index(b"b", b"a"),
    "a null": _index(b"a\0b"),
    "a line break": _index(b"a\nb"),
    "a submodule anywhere": _index(b"src", mode=0o160000),
    "a submodule beyond": _index(b"../outside", mode=0o160000),
    "a mode that is none": _index(b"a", mode=0o777),
    "split": _index(extension=struct.pack(">4sI", b"link", 20) + b"\1" * 20),
    "sparse": _index(extension=struct.pack(">4sI", b"sdir", 0)),
    "fsmonitor": _index(extension=struct.pack(">4sI", b"FSMN", 12) + bytes(12)),
    "untracked cache": _index(extension=struct.pack(">4sI", b"UNTR", 8) + b"\xff" * 8),
    "a mandatory extension": _index(extension=struct.pack(">4sI", b"evil", 0)),
    "an extension without end": _index(extension=struct.pack(">4sI", b"TREE", 2**31)),
    "too many": struct.pack(">4sII", b"DIRC", 2, 2**32 - 1) + bytes(20),
    "a version that is none": _index(version=9),
    "empty": b"",
    "garbage": b"canary" * 100,
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
async def test_an_odd_index_is_a_commit_or_a_sentence(index: bytes, attack: Attack) -> None:
    """No path of it is looked for outside, and no tree that it makes leads there."""
    attack.change({"new.txt": "new\n", ".git/index": index})
    await commit_or_sentence(attack)
    for path in attack.origin.files(attack.branch):
        assert not path.startswith("/")
        assert not {"..", ".git"} & set(path.lower().split("/"))


@pytest.mark.parametrize("setting", ["index.version=4", "core.splitIndex=true", "core.untrackedCache=true"])
async def test_an_index_that_git_wrote_its_own_way(setting: str, attack: Attack, tmp_path: Path) -> None:
    """Git's newer forms are read, or said to be unsupported; never misread."""
    worktree = attack.sessions.get(SESSION).extract(tmp_path / "session")
    (worktree / "staged.txt").write_text("staged\n")
    git("-C", worktree, "-c", setting, "add", "-A")
    git("-C", worktree, "-c", setting, "update-index", "--force-write-index")
    found = [path for path in worktree.rglob("*") if path.is_file()]
    attack.change({str(path.relative_to(worktree)): path.read_bytes() for path in found})
    error = await commit_or_sentence(attack)
    if error is None:
        assert attack.origin.files(attack.branch) == ["README.md", "src/app.py", "staged.txt"]
    else:
        assert isinstance(error, UnsupportedRepository)


# Objects


async def test_an_object_that_lies_about_its_name(attack: Attack) -> None:
    """What does not hash to its name is not committed."""
    true = attack.origin.git("rev-parse", f"{attack.branch}:README.md").decode().strip()
    lie = b"blob 4\0lie\n"
    attack.change({"new.txt": "new\n", f".git/objects/{true[:2]}/{true[2:]}": zlib.compress(lie)})
    await commit_or_sentence(attack)
    assert attack.origin.read(attack.branch, "README.md") == b"# Demo\n"


async def test_a_commit_that_is_not_there(attack: Attack) -> None:
    """A branch without its commit is no ground for another one."""
    members = attack.sessions.get(SESSION).members()
    objects = [name for name in members if "/.git/objects/" in name and members[name].isreg()]
    attack.sessions.put(SESSION, edit(attack.sessions.get(SESSION).data, dict.fromkeys(objects)))
    assert await commit_or_sentence(attack) is not None


async def test_an_object_that_is_cut_is_corrupt(attack: Attack) -> None:
    """A blob, a tree and a commit, at whatever length; libgit2 alone would read for ever."""
    attack.change({"new.txt": "new\n"})
    await attack.commit()
    attack.change({"another.txt": "another\n"})
    command = [sys.executable, "-m", "tests.security.cut_objects"]
    env = {"PATH": os.environ["PATH"], **attack.runner.env}
    run = partial(subprocess.run, env=env, text=True, capture_output=True, timeout=120)
    jobs = await asyncio.to_thread(run, command)
    assert jobs.returncode == 0, jobs.stderr
    ends = jobs.stdout.split()
    assert len(ends) > 200
    assert set(ends) == {"session_corrupt"}


@pytest.mark.parametrize("hole", ["tree", "blob"])
async def test_an_object_that_is_not_there(hole: str, attack: Attack) -> None:
    """A commit with holes is not pushed."""
    head = attack.origin.branches()[attack.branch]
    tree = b"100644 a.txt\0" + b"\1" * 20
    stored = _loose("tree", tree) if hole == "blob" else {}
    commit = _commit(_id("tree", tree))
    tip = f"{_id('commit', commit).hex()}\n"
    attack.change({**stored, **_loose("commit", commit), f".git/refs/heads/{attack.branch}": tip})
    assert await commit_or_sentence(attack) is not None
    assert attack.origin.branches()[attack.branch] == head


@pytest.mark.parametrize("entry", [b"../outside", b"..", b".git", b"/etc", b""])
async def test_a_tree_that_leads_outside_is_not_written(entry: bytes, attack: Attack) -> None:
    """A branch of the session's whose files have such names is not switched to."""
    attack.change(_poisoned(entry))
    with pytest.raises(JobError) as caught:
        await attack.runner.branch("Something else", base_branch="poisoned")
    assert caught.value.code in {"session_corrupt", "unsupported_repository", "MERGE_CONFLICT"}
    attack.assert_nothing_leaked()


def _poisoned(entry: bytes) -> dict[str, bytes | str]:
    blob = b"evil\n"
    inner = b"100644 app.py\0" + _id("blob", blob)
    tree = b"40000 " + entry + b"\0" + _id("tree", inner)
    commit = _commit(_id("tree", tree))
    objects = (("blob", blob), ("tree", inner), ("tree", tree), ("commit", commit))
    stored = {name: data for kind, data in objects for name, data in _loose(kind, data).items()}
    return {**stored, ".git/refs/heads/poisoned": f"{_id('commit', commit).hex()}\n"}


def _commit(tree: bytes) -> bytes:
    return b"tree %b\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n" % tree.hex().encode()


def _loose(kind: str, data: bytes) -> dict[str, bytes]:
    name = _id(kind, data).hex()
    return {f".git/objects/{name[:2]}/{name[2:]}": zlib.compress(_framed(kind, data))}


def _id(kind: str, data: bytes) -> bytes:
    return hashlib.sha1(_framed(kind, data)).digest()  # noqa: S324 (git's own)


def _framed(kind: str, data: bytes) -> bytes:
    return b"%b %d\0" % (kind.encode(), len(data)) + data


@pytest.mark.parametrize("encoding", [b"evil", b"utf-8", b"\xff", b""])
async def test_a_commit_that_lies_about_its_encoding(encoding: bytes, attack: Attack) -> None:
    """Its message is shown as far as it can be, and sent as it is."""
    tree = attack.origin.git("rev-parse", f"{attack.branch}^{{tree}}").strip()
    parent = attack.origin.branches()[attack.branch].encode()
    head = b"tree %b\nparent %b\nauthor \xff <a@b> 1 +0000\ncommitter \xff <a@b> 1 +0000\n" % (tree, parent)
    commit = head + b"encoding %b\n\n\xfflocal\n" % encoding
    oid = _id("commit", commit).hex()
    attack.change({**_loose("commit", commit), f".git/refs/heads/{attack.branch}": f"{oid}\n"})
    assert (await attack.commit()).commit_hash == oid
    attack.change({"new.txt": "new\n"})
    theirs = attack.origin.commit({"theirs.txt": "1\n"}, branch=attack.branch)
    assert (await attack.commit()).pushed
    assert attack.origin.git("rev-parse", f"{attack.branch}~1").decode().strip() == theirs
