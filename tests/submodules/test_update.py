"""Sessions that have the repository: their submodules are brought to what its new commit records."""

from __future__ import annotations

from pathlib import Path

from tests.submodules.conftest import Scene
from tests.support.faults import Answer


def _is_at(scene: Scene, folder: Path, commit: str) -> bool:
    is_clean = scene.git(folder, "status", "--porcelain") == ""
    return is_clean and scene.git(folder, "submodule", "status").startswith(f" {commit} lib")


async def test_a_submodule_follows(scene: Scene) -> None:
    """Its files and its HEAD are those of the new commit, as `git submodule update` leaves them."""
    _, new = await scene.begin()
    assert (await scene.runner.clone(scene.demo.url, submodules=True)).pulled
    assert scene.warnings() == []
    folder = scene.lay_out()
    assert _is_at(scene, folder, new)
    assert (folder / "lib/later.txt").is_file()
    assert not (folder / "lib/README.md").exists()
    assert scene.git(folder / "lib", "fsck", "--strict", "--no-dangling") == ""


async def test_a_submodule_stays_unless_asked_for(scene: Scene) -> None:
    """As with git, a pull alone moves what is recorded, and a later request moves the submodule."""
    _, new = await scene.begin()
    assert (await scene.runner.clone(scene.demo.url)).pulled
    assert scene.git(scene.lay_out(), "submodule", "status").startswith("+")
    await scene.runner.clone(scene.demo.url, submodules=True)
    assert _is_at(scene, scene.lay_out(), new)


async def test_a_session_without_submodules_gets_them(scene: Scene) -> None:
    """They can be asked for later, and a session that has them all is not saved again."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.branches()["main"])
    await scene.runner.clone(scene.demo.url)
    await scene.runner.clone(scene.demo.url, submodules=True)
    folder = scene.lay_out()
    assert _is_at(scene, folder, library.branches()["main"])
    before = scene.sessions.get("session-abcd1234").data
    await scene.runner.clone(scene.demo.url, submodules=True)
    assert scene.warnings() == []
    assert scene.sessions.get("session-abcd1234").data == before


async def test_edits_are_carried_along(scene: Scene) -> None:
    """What the new commit does not touch stays as the session has it."""
    _, new = await scene.begin()
    folder = scene.lay_out()
    (folder / "lib/src/lib.py").write_text("VERSION = 'mine'\n")
    scene.save(folder)
    await scene.runner.clone(scene.demo.url, submodules=True)
    folder = scene.lay_out()
    assert scene.git(folder / "lib", "rev-parse", "HEAD").strip() == new
    assert scene.git(folder / "lib", "status", "--porcelain") == " M src/lib.py\n"


async def test_edits_that_are_in_the_way(scene: Scene) -> None:
    """The submodule is left as it is, with a warning."""
    await scene.begin()
    folder = scene.lay_out()
    (folder / "lib/later.txt").write_text("mine\n")
    scene.save(folder)
    await scene.runner.clone(scene.demo.url, submodules=True)
    [warning] = scene.warnings()
    assert warning.startswith("The submodule lib was left out: Uncommitted changes are in the way")
    assert (scene.lay_out() / "lib/later.txt").read_text() == "mine\n"


async def test_commits_of_the_session_are_not_left_behind(scene: Scene) -> None:
    """A submodule with work that the recorded commit does not hold stays where it is, with a warning."""
    await scene.begin()
    folder = scene.lay_out()
    scene.git(folder / "lib", "commit", "--quiet", "--allow-empty", "--message=Mine")
    head = scene.git(folder / "lib", "rev-parse", "HEAD").strip()
    scene.save(folder)
    await scene.runner.clone(scene.demo.url, submodules=True)
    said = f"The submodule lib was left out: the session has moved it to {head[:7]}"
    assert scene.warnings() == [said]
    assert scene.git(scene.lay_out() / "lib", "rev-parse", "HEAD").strip() == head


async def test_a_remote_that_fails(scene: Scene) -> None:
    """The submodule stays as it is, with a warning, and the rest is brought up to date."""
    library, _ = await scene.begin()
    scene.server.faults.add(Answer(503), "/octo/lib.git", times=99)
    assert (await scene.runner.clone(scene.demo.url, submodules=True)).pulled
    assert [said.partition(": ")[0] for said in scene.warnings()] == ["The submodule lib was left out"]
    assert scene.git(scene.lay_out() / "lib", "rev-parse", "HEAD").strip() == library.log()[1].sha


async def test_files_in_the_place_of_a_submodule(scene: Scene) -> None:
    """What the session has there is not overwritten."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.branches()["main"])
    await scene.runner.clone(scene.demo.url)
    folder = scene.lay_out()
    (folder / "lib/mine.txt").write_text("mine\n")
    scene.save(folder)
    await scene.runner.clone(scene.demo.url, submodules=True)
    assert scene.warnings() == ["The submodule lib was left out: The session has other files in lib"]


async def test_submodules_of_submodules_follow(scene: Scene) -> None:
    """All levels are brought to what their parents record."""
    library, inner = scene.library(), scene.library("inner")
    scene.add(library, "inner", inner.branches()["main"], "../inner.git")
    scene.add(scene.demo, "lib", library.branches()["main"])
    await scene.runner.clone(scene.demo.url, submodules="recursive")
    newest = inner.commit({"later.txt": "later\n"})
    scene.move(scene.demo, "lib", scene.move(library, "inner", newest))
    await scene.runner.clone(scene.demo.url, submodules="recursive")
    assert scene.warnings() == []
    folder = scene.lay_out()
    status = scene.git(folder, "submodule", "status", "--recursive").splitlines()
    assert [line[0] for line in status] == [" ", " "]
    assert newest in status[1]
    assert scene.git(folder, "status", "--porcelain") == ""
