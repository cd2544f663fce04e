"""Commits of some paths: what `git add --all -- PATHS` and `git commit --only -- PATHS` leave."""

from __future__ import annotations

import random

import pytest

from tests.fidelity.arena import Arena
from tests.fidelity.judge import agree

FILES = {
    "README.md": "# Demo\n",
    "src/app.py": "1\n",
    "src/lib/a.py": "1\n",
    "src/lib/b.py": "1\n",
    "z": "1\n",
}


async def test_one_file_of_many(arena: Arena) -> None:
    """The other edits stay as they are, uncommitted."""
    arena.start(FILES)
    arena.write({"README.md": "# More\n", "src/app.py": "2\n", "new.txt": "new\n", "z": None})
    verdict = await agree(arena, paths=("src/app.py",))
    assert verdict.result.files_changed == 1
    assert verdict.result.pushed


async def test_a_folder_and_a_file(arena: Arena) -> None:
    """With what is new, changed and gone below it."""
    arena.start(FILES)
    arena.write({"src/lib/a.py": "2\n", "src/lib/b.py": None, "src/lib/c/d.py": "new\n", "src/app.py": "2\n"})
    arena.write({"z": "2\n", "src/library": "new\n"})
    verdict = await agree(arena, paths=("src/lib", "z"))
    assert verdict.result.files_changed == 4


async def test_what_is_staged_already_stays_staged(arena: Arena) -> None:
    """And is in no commit that it was not named for."""
    arena.start(FILES)
    arena.write({"README.md": "# Staged\n", "new.txt": "new\n", "src/app.py": "2\n"})
    arena.git("add", "README.md", "new.txt")
    arena.git("rm", "--quiet", "--cached", "z")
    arena.write({"README.md": "# Later\n"})
    verdict = await agree(arena, paths=("src/app.py",))
    assert verdict.result.files_changed == 1


async def test_a_staged_file_is_committed_as_it_is_in_the_worktree(arena: Arena) -> None:
    """`--only` looks at the files, not at what was staged of them."""
    arena.start(FILES)
    arena.write({"README.md": "# Staged\n"})
    arena.git("add", "README.md")
    arena.write({"README.md": "# Later\n"})
    await agree(arena, paths=("README.md",))


async def test_a_file_that_is_gone(arena: Arena) -> None:
    """Its removal is committed, staged or not."""
    arena.start(FILES)
    arena.write({"z": None, "src/app.py": None})
    arena.git("rm", "--quiet", "src/app.py")
    assert (await agree(arena, paths=("z", "src/app.py"))).result.files_changed == 2


async def test_a_removal_that_was_staged_of_a_file_that_is_there(arena: Arena) -> None:
    """The file is what counts."""
    arena.start(FILES)
    arena.git("rm", "--quiet", "--cached", "z")
    assert (await agree(arena, paths=("z",))).result.skipped


async def test_an_unchanged_path(arena: Arena) -> None:
    """There is nothing to commit, whatever else has changed."""
    arena.start(FILES)
    arena.write({"README.md": "# More\n"})
    assert (await agree(arena, paths=("src",))).result.skipped


@pytest.mark.parametrize(
    "paths",
    [
        ("none",),
        ("src/app.py", "none"),
        ("src/app.py/x",),
        ("ignored.log",),
        ("logs",),
        ("empty",),
        ("*.md",),
        (":/README.md",),
        ("readme.md",),
    ],
    ids=str,
)
async def test_what_git_does_not_know(arena: Arena, paths: tuple[str, ...]) -> None:
    """It is named, and nothing is committed: no file, an ignored one, a pattern, another case."""
    arena.start(FILES | {".gitignore": "*.log\nlogs\n"})
    arena.write({"src/app.py": "2\n", "ignored.log": "x\n", "logs/a": "x\n"})
    (arena.folder / "empty").mkdir()
    verdict = await agree(arena, paths=paths)
    assert verdict.error is not None
    assert verdict.error.code == "path_not_found"
    assert paths[-1] in str(verdict.error)


async def test_a_path_with_the_signs_of_a_pattern(arena: Arena) -> None:
    """It is a name like any other."""
    arena.start(FILES | {"*.md": "1\n", "[x]/a": "1\n"})
    arena.write({"*.md": "2\n", "README.md": "2\n", "[x]/a": "2\n", ":(top)": "new\n"})
    assert (await agree(arena, paths=("*.md", "[x]", ":(top)"))).result.files_changed == 3


async def test_a_folder_in_which_some_are_ignored(arena: Arena) -> None:
    """Those stay out."""
    arena.start(FILES | {".gitignore": "*.log\n"})
    arena.write({"src/a.log": "x\n", "src/new.py": "x\n", "b.log": "x\n"})
    assert (await agree(arena, paths=("src",))).result.files_changed == 1


async def test_a_file_becomes_a_folder(arena: Arena) -> None:
    """What is named of the folder is committed, and the file in its place goes."""
    arena.start(FILES)
    arena.write({"z": None})
    arena.write({"z/a": "1\n", "z/b": "1\n"})
    await agree(arena, paths=("z/a",))


async def test_a_folder_becomes_a_file(arena: Arena) -> None:
    """It is committed, and all that was below goes."""
    arena.start(FILES)
    arena.write({"src/lib/a.py": None, "src/lib/b.py": None})
    (arena.folder / "src/lib").rmdir()
    arena.write({"src/lib": "a file\n", "README.md": "2\n"})
    await agree(arena, paths=("src/lib",))


async def test_a_folder_becomes_a_link(arena: Arena) -> None:
    """What is beyond it has no name."""
    arena.start(FILES)
    (arena.folder / "src/lib/a.py").rename(arena.folder / "moved.py")
    (arena.folder / "src/lib/b.py").unlink()
    (arena.folder / "src/lib").rmdir()
    (arena.folder / "src/lib").symlink_to("..")
    await agree(arena, paths=("src/lib",))


async def test_a_path_beyond_a_link(arena: Arena) -> None:
    """Git refuses it."""
    arena.start(FILES)
    (arena.folder / "link").symlink_to("src")
    arena.write({"src/app.py": "2\n"})
    verdict = await agree(arena, paths=("link/app.py",))
    assert verdict.error is not None


@pytest.mark.parametrize("paths", [("text",), ("text", ".gitattributes"), (".gitattributes",)], ids=str)
async def test_attributes_that_are_deleted_or_not(arena: Arena, paths: tuple[str, ...]) -> None:
    """They count for as long as the index has them."""
    arena.start({".gitattributes": "text eol=crlf\n", "text": "1\r\n", "a": "1\n"})
    arena.write({".gitattributes": None, "text": "2\r\n", "a": "2\n"})
    await agree(arena, paths=paths)


@pytest.mark.parametrize("paths", [("d/z",), ("d/.gitattributes", "d/z"), ("d",)], ids=str)
async def test_attributes_of_a_folder_that_are_deleted(arena: Arena, paths: tuple[str, ...]) -> None:
    """Whether git has read them before it drops them depends on what is named."""
    arena.start({"d/.a": "1\n", "d/.gitattributes": "z eol=crlf\n", "d/z": "1\r\n"})
    arena.write({"d/.a": "2\n", "d/.gitattributes": None, "d/z": "2\r\n"})
    await agree(arena, paths=paths)


async def test_a_file_too_large_elsewhere(arena: Arena) -> None:
    """Nobody reads what is not asked for."""
    arena.start(FILES | {".gitattributes": "*.bin filter=lfs\n"})
    arena.write({"src/app.py": "2\n", "x.bin": "new\n"})
    assert (await agree(arena, paths=("src",))).result.pushed


async def test_intent_to_add_elsewhere(arena: Arena) -> None:
    """It stays one."""
    arena.start(FILES)
    arena.write({"src/app.py": "2\n", "meant.txt": "x\n"})
    arena.git("add", "--intent-to-add", "meant.txt")
    await agree(arena, paths=("src",))


async def test_a_merge_in_progress(arena: Arena) -> None:
    """Git commits no part of one."""
    arena.start(FILES)
    arena.git("checkout", "--quiet", "-b", "other")
    arena.write({"z": "other\n"})
    arena.git("commit", "--quiet", "--all", "--message=Other")
    arena.git("checkout", "--quiet", "main")
    arena.write({"README.md": "ours\n"})
    arena.git("commit", "--quiet", "--all", "--message=Ours")
    arena.git("merge", "--quiet", "--no-commit", "other")
    verdict = await agree(arena, paths=("z",))
    assert verdict.error is not None
    assert verdict.error.code == "unsupported_repository"


async def test_a_revert_in_progress(arena: Arena) -> None:
    """Git does commit a part of one, and it is over then."""
    arena.start(FILES)
    arena.write({"z": "2\n", "README.md": "2\n"})
    arena.git("commit", "--quiet", "--all", "--message=Two")
    arena.git("revert", "--no-commit", "HEAD")
    await agree(arena, paths=("z",))


async def test_a_nested_repository(arena: Arena) -> None:
    """It is left out with a warning, as ever, and below it there is no path."""
    arena.start(FILES)
    arena.write({"src/app.py": "2\n", "src/nested/f": "x\n", "other/f": "x\n"})
    for name in ("src/nested", "other"):
        arena.git("init", "--quiet", "--template=", name)
        arena.git("-C", name, "add", "f")
        arena.git("-C", name, "commit", "--quiet", "--message=One")
    verdict = await agree(arena, paths=("src",))
    assert verdict.result.pushed
    assert any("src/nested" in warning for warning in verdict.warnings)
    assert not any("other" in warning for warning in verdict.warnings)


async def test_a_branch_without_a_commit(arena: Arena) -> None:
    """Its first one has what is named alone."""
    arena.start(FILES)
    arena.git("checkout", "--quiet", "--orphan", "fresh")
    arena.write({"new.txt": "new\n"})
    await agree(arena, paths=("new.txt", "src"))


async def test_outside_of_a_sparse_checkout(arena: Arena) -> None:
    """New files there are left out with a warning, as ever; what is inside is committed."""
    arena.start(FILES)
    arena.git("sparse-checkout", "set", "--cone", "src")
    arena.write({"outside/new.txt": "new\n", "src/app.py": "2\n"})
    verdict = await agree(arena, paths=("src",))
    assert verdict.result.files_changed == 1
    assert not verdict.warnings


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
@pytest.mark.parametrize("staged", [True, False])
@pytest.mark.parametrize("paths", [("src",), ("src/app.py",)], ids=str)
async def test_flags_that_say_to_look_away(
    arena: Arena, flag: str, staged: bool, paths: tuple[str, ...]
) -> None:
    """They are heeded as far as git does when a file is named."""
    arena.start(FILES)
    if staged:
        arena.write({"src/app.py": "staged\n"})
        arena.git("add", "src/app.py")
    arena.git("update-index", flag, "src/app.py")
    arena.write({"src/app.py": "edited\n", "src/lib/a.py": "2\n"})
    await agree(arena, paths=paths)


@pytest.mark.parametrize("seed", range(12))
async def test_random_edits_and_paths(arena: Arena, seed: int) -> None:
    """Whatever is edited, staged and named."""
    dice = random.Random(seed)  # noqa: S311
    names = ["a", "b", "d/a", "d/b", "d/e/a", "d/e/b", "f/a"]
    arena.start(dict.fromkeys(dice.sample(names, 4), "1\n"))
    for name in dice.sample(names, 5):
        file = arena.folder / name
        if file.exists() and dice.random() < 0.4:
            file.unlink()
        else:
            arena.write({name: f"{dice.random()}\n"})
        if dice.random() < 0.3:
            arena.git.try_("add", "--all", "--", name)
    paths = tuple(dice.sample([*names, "d", "d/e", "f", "none"], dice.randint(1, 3)))
    await agree(arena, paths=paths)
