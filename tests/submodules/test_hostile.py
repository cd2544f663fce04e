"""Strangers' submodules: of repositories that are cloned, and of sessions that come back changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from github_worker.errors import UnsupportedRepository
from tests.security.conftest import CANARY, Outside
from tests.submodules.conftest import Scene

NAMES = {
    "above": "../../../../pwned",
    "above, in between": "a/../../b",
    "hooks": "../hooks",
    "absolute": "/tmp/pwned",
    "nothing": "a//b",
    "here": "./a",
    "a .git": "a/.git",
    "a .git of Windows": "git~1",
    "an option": "-c core.x=1",
    "backslashes": "a\\\\..\\\\..\\\\b",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
async def test_a_name_that_leads_elsewhere(scene: Scene, name: str) -> None:
    """It is left out: a name is a folder in .git/modules (CVE-2018-11235)."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.branches()["main"], name=name)
    await scene.runner.clone(scene.demo.url, submodules="recursive")
    [warning] = scene.warnings()
    assert warning.startswith("The submodule lib was left out: ")
    assert not (scene.lay_out() / ".git/modules").exists()


@pytest.mark.parametrize("other", ["LIB", "lib/modules/inner", "lib/hooks", "Lib/objects"])
async def test_names_that_lie_in_one_another(scene: Scene, other: str) -> None:
    """Neither is written into the other's repository, whatever the case of names counts for."""
    library = scene.library()
    at = library.branches()["main"]
    scene.add(scene.demo, "one", at, name="lib")
    scene.add(scene.demo, "two", at, name=other)
    await scene.runner.clone(scene.demo.url, submodules=True)
    assert any("two was left out: its name lies in another submodule's" in said for said in scene.warnings())
    folder = scene.lay_out()
    names = {os.fsdecode(path.relative_to(folder / ".git/modules")) for path in folder.glob(".git/modules/*")}
    assert names <= {"lib"}


@pytest.mark.parametrize(("entry", "path"), [("A", "a/modules/x"), ("Lib", "lib"), ("x/.GIT2", "x/.git2/y")])
async def test_a_path_that_is_a_link_but_for_its_case(scene: Scene, entry: str, path: str) -> None:
    """It is left out: its files would be written through the link elsewhere (CVE-2024-32002)."""
    library = scene.library()
    scene.demo.commit({entry: ".git"}, modes={entry: "120000"})
    scene.add(scene.demo, path, library.branches()["main"])
    await scene.runner.clone(scene.demo.url, submodules=True)
    said = f"The submodule {path} was left out: {entry} differs from its path in case alone"
    assert scene.warnings() == [said]
    assert list((scene.lay_out() / path).iterdir()) == []


async def test_hooks_of_the_machine_are_not_in_a_submodule(scene: Scene) -> None:
    """Its folder has no hooks, as that of the repository has none."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.branches()["main"])
    await scene.runner.clone(scene.demo.url, submodules=True)
    assert not (scene.lay_out() / ".git/modules/lib/hooks").exists()


async def test_gitmodules_that_is_a_link(scene: Scene) -> None:
    """A repository that has it so is not cloned, as git checks none out; in a session it says nothing."""
    folder = await _begin(scene)
    (folder / ".gitmodules").rename(folder / "words")
    (folder / ".gitmodules").symlink_to("words")
    scene.git(folder / "lib", "checkout", "--quiet", "HEAD~1")
    scene.save(folder)
    await scene.runner.commit(message="Link")
    assert "lib was left out: it is a submodule, and .gitmodules does not name it" in scene.warnings()
    scene.demo.commit({"words": "", ".gitmodules": "words"}, modes={".gitmodules": "120000"}, branch="link")
    with pytest.raises(UnsupportedRepository, match="gitmodules"):
        await scene.runner.clone(scene.demo.url, branch="link", submodules=True, session_id="another")


# Sessions


async def _begin(scene: Scene) -> Path:
    """Clone a submodule, let its remote's main go on, and lay the session out."""
    await scene.begin()
    return scene.lay_out()


async def _work(scene: Scene, folder: Path) -> None:
    """Let every operation on submodules have its way with a session."""
    scene.save(folder)
    await scene.runner.clone(scene.demo.url, submodules="recursive")
    again = scene.lay_out()
    (again / "new.txt").write_text("new\n")
    scene.save(again)
    await scene.runner.commit(message="New")


async def test_a_config_and_hooks_come_back_and_are_not_obeyed(scene: Scene, tmp_path: Path) -> None:
    """A submodule's own config, hooks and alternates are the session's: kept as they are, and unused."""
    folder, outside, pwned = await _begin(scene), Outside(tmp_path / "outside"), tmp_path / "pwned"
    git = folder / ".git/modules/lib"
    command = f"touch {pwned}"
    (git / "hooks").mkdir()
    for hook in ("post-checkout", "reference-transaction", "pre-commit", "post-index-change"):
        (git / "hooks" / hook).write_text(f"#!/bin/sh\n{command}\n")
        (git / "hooks" / hook).chmod(0o755)
    evil = (
        f'[core]\n\tfsmonitor = "{command}"\n\tsshCommand = "{command}"\n\tworktree = {outside}\n'
        f'\thooksPath = {git}/hooks\n[filter "x"]\n\tsmudge = "{command}"\n\tclean = "{command}"\n'
        f'[url "ext::sh -c {pwned} "]\n\tinsteadOf = http\n[include]\n\tpath = {outside}/config\n'
        f'[credential]\n\thelper = "!{command}"\n[http]\n\tproxy = http://127.0.0.1:1\n'
    )
    (git / "config").write_text((git / "config").read_text() + evil)
    (git / "commondir").write_text(f"{outside}\n")
    (git / "objects/info").mkdir(exist_ok=True)
    (git / "objects/info/alternates").write_text(f"{outside}\n")
    (git / "info/attributes").write_text("* filter=x\n")
    before = {name: (git / name).read_bytes() for name in ("config", "commondir", "hooks/post-checkout")}
    await _work(scene, folder)
    after = scene.lay_out() / ".git/modules/lib"
    assert {name: (after / name).read_bytes() for name in before} == before
    assert not pwned.exists()
    outside.assert_untouched()


_FOLDERS = ("", "/refs", "/refs/heads", "/objects", "/objects/pack", "/logs", "/info")
_FILES = ("/HEAD", "/config", "/index", "/packed-refs", "/FETCH_HEAD", "/shallow", "/refs/heads/main")
LINKS = {
    "lib/.git": "HEAD",
    "lib": "src",
    ".git/modules": "src",
    **{f".git/modules/lib{name}": "src" for name in _FOLDERS},
    **{f".git/modules/lib{name}": "HEAD" for name in _FILES},
}


@pytest.mark.parametrize(("name", "target"), LINKS.items(), ids=LINKS.keys())
async def test_a_link_in_a_submodule(scene: Scene, tmp_path: Path, name: str, target: str) -> None:
    """Nothing is read or written through it."""
    folder, outside = await _begin(scene), Outside(tmp_path / "outside")
    place = folder / name
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(outside.folder / target)
    await _work(scene, folder)
    outside.assert_untouched()
    assert CANARY.encode() not in scene.demo.git("cat-file", "--batch-all-objects", "--batch", "--buffer")


@pytest.mark.parametrize(
    "gitdir",
    ["/etc", "../../../../..", "../.git", "../.git/hooks", "../.git/modules/../hooks", "../../x/.git", ""],
)
async def test_a_git_file_that_leads_elsewhere(scene: Scene, gitdir: str) -> None:
    """It leads nowhere, and what it names stays as it is."""
    folder = await _begin(scene)
    (folder / "lib/.git").write_text(f"gitdir: {gitdir}\n")
    await _work(scene, folder)
    [warning] = scene.warnings()
    assert warning.startswith("lib was left out: it is a submodule, and its .git leads to no repository")
    after = scene.lay_out()
    assert (after / "lib/.git").read_text() == f"gitdir: {gitdir}\n"
    assert (after / ".git/modules/lib/HEAD").is_file()


@pytest.mark.parametrize("name", ["FETCH_HEAD", "index", "HEAD", "packed-refs", "shallow"])
async def test_a_folder_where_git_has_a_file(scene: Scene, name: str) -> None:
    """The job goes on without the submodule, or in spite of it."""
    folder = await _begin(scene)
    place = folder / ".git/modules/lib" / name
    place.unlink(missing_ok=True)
    (place / "below").mkdir(parents=True)
    await _work(scene, folder)
    assert "new.txt" in scene.demo.files()


async def test_a_pack_that_would_be_read_beyond_its_end(scene: Scene) -> None:
    """It is found before libgit2 sees it."""
    folder = await _begin(scene)
    [index] = (folder / ".git/modules/lib/objects/pack").glob("*.idx")
    data = bytearray(index.read_bytes())
    data[-48:-40] = b"\x7f" * 8
    index.chmod(0o644)
    index.write_bytes(data)
    await _work(scene, folder)
    assert "a pack that git cannot read" in scene.warnings()[0]


async def test_two_submodules_in_one_repository(scene: Scene) -> None:
    """Each is lent and put back; nothing is lost of what they share."""
    library = scene.library()
    at = library.branches()["main"]
    scene.add(scene.demo, "lib", at)
    scene.add(scene.demo, "other", at)
    await scene.runner.clone(scene.demo.url, submodules=True)
    folder = scene.lay_out()
    (folder / "other/.git").write_text("gitdir: ../.git/modules/lib\n")
    await _work(scene, folder)
    assert scene.git(scene.lay_out() / "lib", "rev-parse", "HEAD").strip() == at
    assert scene.git(scene.lay_out() / "lib", "fsck", "--strict", "--no-dangling") == ""


async def test_names_of_a_session_do_not_replace_a_repository(scene: Scene) -> None:
    """What a session has in .git/modules already is not written over."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.branches()["main"])
    await scene.runner.clone(scene.demo.url)
    folder = scene.lay_out()
    scene.git(folder, "init", "--quiet", "--bare", ".git/modules/lib")
    scene.save(folder)
    await scene.runner.clone(scene.demo.url, submodules=True)
    said = "The submodule lib was left out: the session has a repository of its name in .git/modules"
    assert scene.warnings() == [said]
