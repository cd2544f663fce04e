"""Checkouts in a session with submodules: what is in one is not lost, whatever comes in its place."""

from __future__ import annotations

import pytest

from tests.submodules.conftest import Scene
from tests.support.repositories import Repository


async def _begin_with_edits(scene: Scene) -> Repository:
    """Begin with a session that has a file of its own in its submodule."""
    library, _ = await scene.begin()
    folder = scene.lay_out()
    (folder / "lib/mine.txt").write_text("mine\n")
    scene.save(folder)
    return library


def _replace(scene: Scene, change: str, branch: str = "main") -> None:
    """Commit without the submodule, with a change in its place."""
    scene.demo.fast_import(
        f"commit refs/heads/{branch}\ncommitter A <a@example.com> 1 +0000\ndata 1\nx\n"
        f"from refs/heads/{branch}^0\nD lib\nD .gitmodules\n{change}".encode()
    )


async def test_a_submodule_that_is_gone(scene: Scene) -> None:
    """Its files stay in the session, as git leaves them."""
    await _begin_with_edits(scene)
    _replace(scene, "")
    assert (await scene.runner.clone(scene.demo.url, submodules=True)).pulled
    folder = scene.lay_out()
    assert (folder / "lib/mine.txt").read_text() == "mine\n"
    assert scene.git(folder, "status", "--porcelain") == "?? lib/\n"
    assert scene.git(folder / "lib", "status", "--porcelain") == "?? mine.txt\n"


REPLACED = {
    "a file": "M 100644 inline lib\ndata 2\nx\n\n",
    "a folder": "M 100644 inline lib/version.txt\ndata 2\nx\n\n",
}


@pytest.mark.parametrize("change", REPLACED.values(), ids=REPLACED.keys())
async def test_a_submodule_that_something_else_replaces(scene: Scene, change: str) -> None:
    """The session stays as it is, and its files with it."""
    await _begin_with_edits(scene)
    _replace(scene, change)
    assert not (await scene.runner.clone(scene.demo.url, submodules=True)).pulled
    folder = scene.lay_out()
    assert (folder / "lib/mine.txt").read_text() == "mine\n"
    assert scene.git(folder, "submodule", "status").startswith(" ")


@pytest.mark.parametrize("base", ["without it", "with another commit of it"])
async def test_a_branch_that_starts_elsewhere(scene: Scene, base: str) -> None:
    """The submodule's files stay, as with `git switch`."""
    library = await _begin_with_edits(scene)
    scene.demo.branch("base", "main~3" if base == "without it" else "main")
    if base != "without it":
        head = scene.demo.branches()["main"]
        scene.move(scene.demo, "lib", library.log()[2].sha)
        scene.demo.branch("base")
        scene.demo.git("update-ref", "refs/heads/main", head)
    await scene.runner.branch(base_branch="base")
    folder = scene.lay_out()
    assert (folder / "lib/mine.txt").read_text() == "mine\n"
    assert scene.git(folder / "lib", "status", "--porcelain") == "?? mine.txt\n"
    assert scene.git(folder, "rev-parse", "HEAD").strip() == scene.demo.branches()["base"]
    expected = "?? lib/\n" if base == "without it" else " M lib\n"
    assert scene.git(folder, "status", "--porcelain") == expected


async def test_a_submodule_that_is_staged_at_another_commit(scene: Scene) -> None:
    """It is in the way of a pull, as with git."""
    library, _ = await scene.begin()
    folder = scene.lay_out()
    scene.git(folder / "lib", "checkout", "--quiet", "HEAD~1")
    scene.git(folder, "add", "lib")
    scene.save(folder)
    assert not (await scene.runner.clone(scene.demo.url, submodules=True)).pulled
    assert scene.git(scene.lay_out() / "lib", "rev-parse", "HEAD").strip() == library.log()[2].sha
