"""Commits in a session with submodules: which commit of theirs is recorded, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import READ_TOKEN, WRITE_TOKEN
from tests.submodules.conftest import Scene
from tests.support.faults import Answer
from tests.support.git_server import GitServer


async def _begin(scene: Scene, submodules: Any = True) -> Path:
    """Clone a repository with a submodule that is behind its remote, and lay the session out."""
    library = scene.library()
    old = library.branches()["main"]
    library.commit({"later.txt": "later\n"})
    scene.add(scene.demo, "lib", old)
    await scene.runner.clone(scene.demo.url, submodules=submodules)
    return scene.lay_out()


async def _commit(scene: Scene, folder: Path) -> list[str]:
    """Commit what was done in a folder, and return what is warned of."""
    (folder / "new.txt").write_text("new\n")
    scene.save(folder)
    assert (await scene.runner.commit(message="New")).pushed
    assert "new.txt" in scene.demo.files()
    assert scene.git(scene.lay_out(), "fsck", "--strict", "--no-dangling") == ""
    return scene.warnings()


def _recorded(scene: Scene) -> str:
    return scene.demo.git("rev-parse", "main:lib").decode().strip()


async def test_a_submodule_as_it_was(scene: Scene) -> None:
    """Nothing is said of it, nothing asked, and all of it comes back."""
    folder = await _begin(scene)
    before = _recorded(scene), sorted((folder / ".git/modules").rglob("*")).__len__()
    asked = len(scene.server.requests)
    assert await _commit(scene, folder) == []
    assert not any("/lib.git" in request.path for request in scene.server.requests[asked:])
    after = scene.lay_out()
    assert before == (_recorded(scene), sorted((after / ".git/modules").rglob("*")).__len__())
    assert scene.git(after, "status", "--porcelain") == ""
    assert scene.git(after, "submodule", "status").startswith(" ")


@pytest.mark.parametrize("server", ["gives commits by id", "gives branches"])
@pytest.mark.parametrize("at", ["origin/main", "origin/main~1", "origin/main~2", "work"])
async def test_a_submodule_that_was_moved(scene: Scene, at: str, server: str) -> None:
    """The commit that it is at is recorded, where its remote has it, as git records it."""
    folder = await _begin(scene)
    lib = folder / "lib"
    if server == "gives commits by id":
        scene.server.find("octo", "lib").configure("uploadpack.allowAnySHA1InWant", "true")  # type: ignore[union-attr]
    if at == "work":
        scene.git(lib, "checkout", "--quiet", "-b", "work")
        (lib / "mine.txt").write_text("mine\n")
        scene.git(lib, "add", "--all")
        scene.git(lib, "commit", "--quiet", "--message=Mine")
        scene.git(lib, "push", "--quiet", "origin", "work")
    else:
        scene.git(lib, "checkout", "--quiet", at)
    head = scene.git(lib, "rev-parse", "HEAD").strip()
    assert await _commit(scene, folder) == []
    assert _recorded(scene) == head
    after = scene.lay_out()
    assert scene.git(after, "status", "--porcelain") == ""
    assert scene.git(after, "submodule", "status").startswith(f" {head} lib")


@pytest.mark.parametrize("is_staged", [False, True])
async def test_a_commit_that_is_not_pushed(scene: Scene, is_staged: bool) -> None:
    """It is left out, staged or not, and stays in the session."""
    folder = await _begin(scene)
    before = _recorded(scene)
    (folder / "lib/mine.txt").write_text("mine\n")
    scene.git(folder / "lib", "add", "--all")
    scene.git(folder / "lib", "commit", "--quiet", "--message=Mine")
    head = scene.git(folder / "lib", "rev-parse", "HEAD").strip()
    # what the session says of the remote is not believed
    scene.git(folder / "lib", "update-ref", "refs/remotes/origin/main", head)
    if is_staged:
        scene.git(folder, "add", "lib")
    [warning] = await _commit(scene, folder)
    lacks = f"its remote lacks the commit {head[:7]}: push it there first"
    assert warning == f"lib was left out: it is a submodule, and {lacks}"
    assert _recorded(scene) == before
    assert scene.git(scene.lay_out() / "lib", "rev-parse", "HEAD").strip() == head
    scene.git(scene.lay_out() / "lib", "push", "--quiet", "origin", "HEAD:refs/heads/mine")
    assert await _commit(scene, scene.lay_out()) == []
    assert _recorded(scene) == head


EDITS = {
    "an edit": {"src/lib.py": "VERSION = 9\n"},
    "a new file": {"new.txt": "new\n"},
    "a file that is gone": {"README.md": None},
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
async def test_a_change_in_a_submodule(scene: Scene, edit: dict[str, str | None]) -> None:
    """It is not committed, which a warning says, and stays in the session."""
    folder = await _begin(scene)
    for name, content in edit.items():
        (folder / "lib" / name).unlink() if content is None else (folder / "lib" / name).write_text(content)
    before = _recorded(scene)
    assert await _commit(scene, folder) == ["What was changed in lib was left out: it is a submodule"]
    assert _recorded(scene) == before
    assert scene.git(scene.lay_out() / "lib", "status", "--porcelain") != ""


async def test_a_file_that_the_submodule_ignores(scene: Scene) -> None:
    """It is no change."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.commit({".gitignore": "*.o\n"}))
    await scene.runner.clone(scene.demo.url, submodules=True)
    folder = scene.lay_out()
    (folder / "lib/a.o").write_text("object\n")
    assert await _commit(scene, folder) == []


async def test_a_change_in_a_submodules_submodule(scene: Scene) -> None:
    """It is seen there too, an edit as well as another commit."""
    library, inner = scene.library(), scene.library("inner")
    scene.add(library, "inner", inner.branches()["main"], "../inner.git")
    scene.add(scene.demo, "lib", library.branches()["main"])
    await scene.runner.clone(scene.demo.url, submodules="recursive")
    folder = scene.lay_out()
    assert await _commit(scene, folder) == []
    said = ["What was changed in lib was left out: it is a submodule"]
    folder = scene.lay_out()
    (folder / "lib/inner/new.txt").write_text("new\n")
    (folder / "again.txt").write_text("again\n")
    assert await _commit(scene, folder) == said
    folder = scene.lay_out()
    scene.git(folder / "lib/inner", "clean", "--quiet", "--force")
    scene.git(folder / "lib/inner", "checkout", "--quiet", "HEAD~1")
    (folder / "once-more.txt").write_text("again\n")
    assert await _commit(scene, folder) == said


async def test_a_submodule_that_the_agent_added(scene: Scene) -> None:
    """It is committed as git staged it, and the next commit finds nothing to say."""
    scene.library()
    await scene.runner.clone(scene.demo.url)
    folder = scene.lay_out()
    url = scene.server.find("octo", "lib").url  # type: ignore[union-attr]
    scene.git(folder, "submodule", "--quiet", "add", url, "lib")
    assert await _commit(scene, folder) == []
    assert scene.demo.git("ls-tree", "main", "lib").startswith(b"160000")
    assert scene.git(scene.lay_out(), "status", "--porcelain") == ""


async def test_a_submodule_with_a_repository_of_its_own(scene: Scene) -> None:
    """One whose `.git` is a folder, as git once made them, is looked at and recorded as well."""
    folder = await _begin(scene, False)
    url = scene.server.find("octo", "lib").url  # type: ignore[union-attr]
    scene.git(folder, "clone", "--quiet", url, "lib")
    head = scene.git(folder / "lib", "rev-parse", "HEAD").strip()
    assert await _commit(scene, folder) == []
    assert _recorded(scene) == head
    after = scene.lay_out()
    assert (after / "lib/.git/HEAD").is_file()
    assert scene.git(after, "status", "--porcelain") == ""


async def test_a_remote_that_cannot_be_asked(scene: Scene) -> None:
    """What cannot be known is left out."""
    folder = await _begin(scene)
    scene.git(folder / "lib", "checkout", "--quiet", "origin/main")
    scene.server.faults.add(Answer(404), "/octo/lib.git", times=9)
    [warning] = await _commit(scene, folder)
    assert warning.startswith("lib was left out: it is a submodule, and ")


async def test_a_remote_of_the_sessions_own(scene: Scene, tmp_path: Path) -> None:
    """Who is asked is who .gitmodules names, on hosts that are allowed, whatever a config says."""
    folder = await _begin(scene)
    with GitServer(tmp_path / "evil", {WRITE_TOKEN: "write", READ_TOKEN: "read"}) as evil:
        fake = evil.seed("octo", "lib")
        scene.git(folder / "lib", "checkout", "--quiet", "-b", "mine")
        scene.git(folder / "lib", "commit", "--quiet", "--allow-empty", "--message=Mine")
        scene.git(folder / "lib", "push", "--quiet", fake.url, "mine")
        evil.requests.clear()
        scene.git(folder, "config", "submodule.lib.url", fake.url)
        scene.git(folder / "lib", "remote", "set-url", "origin", fake.url)
        scene.git(folder, "config", f"url.{evil.origin}/.insteadOf", f"{scene.server.origin}/")
        scene.git(folder / "lib", "config", f"url.{evil.origin}/.insteadOf", f"{scene.server.origin}/")
        assert "its remote lacks the commit" in (await _commit(scene, folder))[0]
        folder = scene.lay_out()
        (folder / "again.txt").write_text("again\n")
        scene.git(folder, "config", "--file", ".gitmodules", "submodule.lib.url", fake.url)
        assert f"it is on {evil.origin}, which is not allowed" in (await _commit(scene, folder))[0]
        assert evil.requests == []
