"""Worktrees and metadata that a stranger wrote: where their files and links lead."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable

import pytest

from github_worker.contract import Warned
from github_worker.errors import (
    NoRepository,
    OtherRepository,
    SessionCorrupt,
    SessionTooLarge,
    UnsupportedRepository,
)
from tests.operations.conftest import SESSION
from tests.security.conftest import REPOSITORY, Attack, link
from tests.support.sessions import METADATA, edit, pack


async def test_a_folder_that_became_a_link_is_not_read_through(attack: Attack) -> None:
    """Its files are gone and the link is there, as for git; what the link leads to is not looked at."""
    attack.change({"src/app.py": None})
    attack.change({"src": link("src", f"{attack.outside}/src")})
    result = await attack.commit()
    assert result.pushed
    assert attack.origin.files(attack.branch) == ["README.md", "src"]
    assert attack.origin.read(attack.branch, "src") == f"{attack.outside}/src".encode()


async def test_a_link_above_a_folder_is_not_read_through(attack: Attack) -> None:
    """However deep the file lies."""
    attack.change({"a/src/app.py": "1\n"})
    await attack.commit()
    attack.change({"a/src/app.py": None, "a/src": None, "a": link("a", attack.outside)})
    result = await attack.commit()
    assert result.pushed
    assert attack.origin.files(attack.branch) == ["README.md", "a", "src/app.py"]


async def test_no_merge_writes_through_a_link(attack: Attack) -> None:
    """The remote's change of a file does not reach what a link stands for in its folder's place."""
    attack.origin.commit({"src/app.py": "print('theirs')\n"}, branch=attack.branch)
    attack.change({"src/app.py": None})
    attack.change({"src": link("src", f"{attack.outside}/src")})
    result = await attack.commit()
    assert (result.pushed, result.push_error.code) == (False, "push_conflict")


@pytest.mark.parametrize("folder", ["src", "new"])
async def test_no_update_writes_through_a_link(folder: str, attack: Attack) -> None:
    """A session that has a link where the remote has a folder is not fast-forwarded."""
    attack.origin.commit({f"{folder}/app.py": "print('theirs')\n"}, branch=attack.branch)
    attack.change({"src/app.py": None} if folder == "src" else {})
    attack.change({folder: link(folder, f"{attack.outside}/src")})
    result = await attack.runner.clone(attack.origin.url)
    assert not result.pulled
    attack.assert_nothing_leaked()


async def test_a_remote_that_swaps_a_link_for_a_folder(attack: Attack) -> None:
    """What the remote itself says is no more trusted: nothing is written beyond the session."""
    modes = {"src": "120000"}
    attack.origin.commit({"src/app.py": None, "src": str(attack.outside)}, branch=attack.branch, modes=modes)
    assert (await attack.runner.clone(attack.origin.url)).pulled
    attack.origin.commit({"src": None}, branch=attack.branch)
    attack.origin.commit({"src/app.py": "print('theirs')\n"}, branch=attack.branch)
    assert (await attack.runner.clone(attack.origin.url)).pulled
    assert attack.sessions.get(SESSION).read(f"{REPOSITORY}/src/app.py") == b"print('theirs')\n"
    attack.assert_nothing_leaked()


@pytest.mark.parametrize("name", [".gitignore", "src/.gitignore", ".gitattributes"])
async def test_a_file_of_rules_that_is_a_link_is_not_read(name: str, attack: Attack) -> None:
    """It is committed as a link; whether a file is committed says nothing about what it leads to."""
    rules = attack.outside.folder.parent / "rules"
    rules.write_text("canary.txt\ncanary.txt filter=x\n")
    attack.change({name: link(name, rules), "canary.txt": "1\n", "src/canary.txt": "1\n"})
    result = await attack.commit()
    assert (result.pushed, result.files_changed) == (True, 3)
    assert attack.origin.git("ls-tree", attack.branch, name).startswith(b"120000")
    assert attack.sessions.get(SESSION).members()[f"{REPOSITORY}/{name}"].linkname == str(rules)


async def test_a_file_of_rules_that_is_a_link_is_no_change(attack: Attack) -> None:
    """A repository that has one is clean, and is fast-forwarded."""
    modes = {".gitignore": "120000"}
    attack.origin.commit({".gitignore": "../elsewhere"}, branch=attack.branch, modes=modes)
    assert (await attack.runner.clone(attack.origin.url)).pulled
    attack.origin.commit({"theirs.txt": "1\n"}, branch=attack.branch)
    assert (await attack.runner.clone(attack.origin.url)).pulled
    assert (await attack.runner.commit()).skipped


async def test_a_device_in_the_worktree_is_left_alone(attack: Attack) -> None:
    """It is no file to git, and comes back as it was."""
    pipe = tarfile.TarInfo(f"{REPOSITORY}/pipe")
    pipe.type = tarfile.FIFOTYPE
    attack.change({"pipe": pipe, "new.txt": "new\n"})
    assert (await attack.commit()).files_changed == 1
    assert attack.sessions.get(SESSION).members()[f"{REPOSITORY}/pipe"].isfifo()


async def test_a_submodule_is_left_as_it_is(attack: Attack) -> None:
    """Its commit stays the one that is recorded, a warning says so, and the rest is committed."""
    attack.origin.fast_import(
        f"commit refs/heads/{attack.branch}\ncommitter A <a@example.com> 1 +0000\ndata 1\nx\n"
        f"from refs/heads/{attack.branch}^0\nM 160000 {'1' * 40} vendor/lib\n".encode()
    )
    await attack.runner.clone(attack.origin.url)
    attack.change(
        {"vendor/lib/.git": "gitdir: ../../.git/modules/lib\n", "vendor/lib/x.c": "1\n", "a.txt": "1\n"}
    )
    assert (await attack.commit()).files_changed == 1
    (warning,) = (event for event in attack.runner.events if isinstance(event, Warned))
    assert warning.message.startswith("vendor/lib was left out: it is a submodule, and the repository that")
    assert attack.origin.git("ls-tree", attack.branch, "vendor/lib").startswith(b"160000")


# Where the repository is


@pytest.mark.parametrize(
    "git_file", [lambda out: f"gitdir: {out}\n", lambda out: link(".git", out)], ids=["file", "link"]
)
async def test_a_repository_elsewhere_is_none(git_file: Callable[[object], object], attack: Attack) -> None:
    """A `.git` that is a file or a link leads nowhere."""
    stored = attack.sessions.get(SESSION)
    members = [name for name in stored.members() if name.startswith(f"{REPOSITORY}/.git")]
    changed = edit(stored.data, dict.fromkeys(members))
    attack.sessions.put(SESSION, edit(changed, {f"{REPOSITORY}/.git": git_file(attack.outside)}))  # type: ignore[dict-item]
    with pytest.raises(NoRepository):
        await attack.commit()


@pytest.mark.parametrize(
    "path", ["..", ".", "", "/", "../..", "/etc", "demo/../../..", ".git", "demo/.git", "a\0b", "x" * 300, 7]
)
async def test_a_cloned_path_is_one_folder_of_the_session(path: object, attack: Attack) -> None:
    """Metadata that says anything else is corrupt."""
    _say(attack, clonedPath=path)
    with pytest.raises(SessionCorrupt):
        await attack.commit()


async def test_metadata_that_would_fill_the_memory_is_too_large(attack: Attack) -> None:
    """It is not read."""
    stored = attack.sessions.get(SESSION)
    attack.sessions.put(SESSION, edit(stored.data, {METADATA: " " * (16 * 2**20) + "{}"}))
    with pytest.raises(SessionTooLarge):
        await attack.commit()


async def test_a_config_that_would_fill_the_memory_is_unsupported(attack: Attack) -> None:
    """It is not read."""
    attack.change({}, config="#" * 2**20)
    with pytest.raises(UnsupportedRepository):
        await attack.commit()


async def test_a_cloned_path_that_is_a_link_holds_no_repository(attack: Attack) -> None:
    """Nothing is looked for beyond it."""
    stored = attack.sessions.get(SESSION)
    entry = tarfile.TarInfo("workspace/workspace/elsewhere")
    entry.type, entry.linkname = tarfile.SYMTYPE, str(attack.outside)
    attack.sessions.put(SESSION, edit(stored.data, {entry.name: entry}))
    _say(attack, clonedPath="elsewhere")
    with pytest.raises(NoRepository):
        await attack.commit()


@pytest.mark.parametrize("at", ["workspace", "workspace/workspace", "workspace/workspace/demo"])
async def test_a_clone_does_not_write_through_a_link(at: str, attack: Attack) -> None:
    """A session that has a link where the repository goes gets none there."""
    entry = tarfile.TarInfo(at)
    entry.type, entry.linkname = tarfile.SYMTYPE, str(attack.outside)
    attack.sessions.put(SESSION, pack(None, entries={at: entry}))
    with pytest.raises(OtherRepository):
        await attack.runner.clone(attack.origin.url)
    attack.assert_nothing_leaked()


def _say(attack: Attack, **words: object) -> None:
    stored = attack.sessions.get(SESSION)
    fields = stored.metadata
    fields["github"] |= words
    attack.sessions.put(SESSION, edit(stored.data, {METADATA: json.dumps(fields)}))
