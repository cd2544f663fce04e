"""Submodules, and a session that another writer saves while they are cloned."""

from __future__ import annotations

import pytest

from github_worker.errors import OtherRepository
from tests.operations.conftest import SESSION
from tests.submodules.conftest import Scene
from tests.support.faults import Meanwhile
from tests.support.sessions import metadata, pack


def _save_meanwhile(scene: Scene, archive: bytes) -> None:
    """Let another writer save while the submodule is fetched."""
    scene.server.faults.add(Meanwhile(lambda: scene.sessions.put(SESSION, archive)), "POST /octo/lib.git")


async def test_a_session_that_is_created_meanwhile_gets_the_submodules(scene: Scene) -> None:
    """They are where git has them, beside what the other writer put there."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.branches()["main"])
    _save_meanwhile(scene, pack(metadata(SESSION), entries={".claude/a": "kept"}))
    await scene.runner.clone(scene.demo.url, submodules=True)
    folder = scene.lay_out()
    assert (folder.parents[2] / ".claude/a").read_text() == "kept"
    assert scene.git(folder, "status", "--porcelain") == ""
    assert scene.git(folder, "submodule", "status").startswith(f" {library.branches()['main']} lib")
    (folder / "lib/new.txt").write_text("new\n")
    scene.save(folder)
    await scene.runner.commit(message="New")
    assert scene.warnings() == ["What was changed in lib was left out: it is a submodule"]


async def test_a_session_that_gets_the_repository_meanwhile_gets_the_submodules(scene: Scene) -> None:
    """They are cloned into the clone of the other writer."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.branches()["main"])
    await scene.runner.clone(scene.demo.url)
    theirs = scene.sessions.get(SESSION).data
    scene.sessions.archive(SESSION).unlink()
    _save_meanwhile(scene, theirs)
    await scene.runner.clone(scene.demo.url, submodules=True)
    folder = scene.lay_out()
    assert scene.git(folder, "status", "--porcelain") == ""
    assert scene.git(folder, "submodule", "status").startswith(f" {library.branches()['main']} lib")


async def test_submodules_follow_in_a_session_that_is_saved_meanwhile(scene: Scene) -> None:
    """The other writer's edits stay, and the submodule is at its new commit."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.branches()["main"])
    await scene.runner.clone(scene.demo.url, submodules=True)
    folder = scene.lay_out()
    (folder / "theirs.txt").write_text("theirs\n")
    scene.save(folder)
    theirs = scene.sessions.get(SESSION).data
    (folder / "theirs.txt").unlink()
    scene.save(folder)
    new = library.commit({"later.txt": "later\n"})
    scene.move(scene.demo, "lib", new)
    _save_meanwhile(scene, theirs)
    await scene.runner.clone(scene.demo.url, submodules=True)
    folder = scene.lay_out()
    assert scene.git(folder, "status", "--porcelain") == "?? theirs.txt\n"
    assert scene.git(folder, "submodule", "status").startswith(f" {new} lib")


async def test_a_session_that_has_something_in_its_place_meanwhile(scene: Scene) -> None:
    """It is left as it is: nothing of it is mixed with the clone."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.branches()["main"])
    theirs = pack(metadata(SESSION), entries={"workspace/workspace/demo/lib/.git": "gitdir: elsewhere\n"})
    _save_meanwhile(scene, theirs)
    with pytest.raises(OtherRepository):
        await scene.runner.clone(scene.demo.url, submodules=True)
    assert scene.sessions.get(SESSION).data == theirs
