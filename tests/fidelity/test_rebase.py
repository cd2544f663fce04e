"""A remote that moved on: the tree of `git pull --rebase`, or a conflict, never a different tree."""

from __future__ import annotations

from tests.fidelity.arena import Arena
from tests.fidelity.judge import agree

LINES = "".join(f"line {number}\n" for number in range(20))


async def test_both_sides_edit_a_file(arena: Arena) -> None:
    """Edits of different lines come together."""
    arena.start({"a": LINES, "b": "b\n"})
    arena.push_theirs({"a": LINES.replace("line 2\n", "theirs\n")})
    arena.write({"a": LINES.replace("line 17\n", "ours\n")})
    verdict = await agree(arena)
    assert verdict.result.pushed


async def test_both_sides_edit_a_line(arena: Arena) -> None:
    """It is a conflict, and our commit is kept."""
    arena.start({"a": LINES})
    arena.push_theirs({"a": LINES.replace("line 2\n", "theirs\n")})
    arena.write({"a": LINES.replace("line 2\n", "ours\n")})
    verdict = await agree(arena)
    assert verdict.result.push_error.code == "push_conflict"


async def test_they_rename_what_we_edit(arena: Arena) -> None:
    """Our edit goes to the new name."""
    arena.start({"a": LINES, "k": "k\n"})
    arena.push_theirs({"a": None, "z/b": LINES})
    arena.write({"a": LINES.replace("line 2\n", "ours\n")})
    await agree(arena)


async def test_they_rename_a_folder_that_we_add_to(arena: Arena) -> None:
    """Git moves our new file along; we do, or it is a conflict."""
    arena.start({f"old/{number}": LINES + f"{number}\n" for number in range(4)} | {"k": "k\n"})
    moved = {f"old/{number}": None for number in range(4)}
    arena.push_theirs(moved | {f"new/{number}": LINES + f"{number}\n" for number in range(4)})
    arena.write({"old/ours": "ours\n"})
    await agree(arena)


async def test_we_rename_a_folder_that_they_add_to(arena: Arena) -> None:
    """Their new file moves along, or it is a conflict."""
    arena.start({f"old/{number}": LINES + f"{number}\n" for number in range(4)} | {"k": "k\n"})
    arena.push_theirs({"old/theirs": "theirs\n"})
    (arena.folder / "old").rename(arena.folder / "new")
    await agree(arena)


async def test_a_file_became_a_link_and_was_renamed(arena: Arena) -> None:
    """The same tree, or a conflict."""
    arena.start({"a": LINES, "k": "k\n"})
    arena.remote.commit({"a": "k"}, "A link", modes={"a": "120000"})
    (arena.folder / "a").rename(arena.folder / "b")
    await agree(arena)


async def test_both_sides_made_the_same_change(arena: Arena) -> None:
    """Ours is not made again."""
    arena.start({"a": LINES, "k": "k\n"})
    arena.push_theirs({"a": "both\n"})
    arena.write({"a": "both\n"})
    await agree(arena)


async def test_a_file_against_a_folder(arena: Arena) -> None:
    """The same tree, or a conflict."""
    arena.start({"a": LINES, "k": "k\n"})
    arena.push_theirs({"n": "theirs\n"})
    arena.write({"n/m": "ours\n"})
    await agree(arena)


async def test_modes_and_contents(arena: Arena) -> None:
    """A mode of one side and a content of the other come together."""
    arena.start({"a": LINES, "b": LINES + "b\n"})
    arena.remote.commit({"a": LINES}, "Mode", modes={"a": "100755"})
    arena.write({"a": "ours\n" + LINES, "b": LINES})
    (arena.folder / "b").chmod(0o755)
    await agree(arena)


async def test_several_commits_of_ours(arena: Arena) -> None:
    """Each is put on top, and none is lost."""
    arena.start({"a": LINES, "b": "b\n"})
    for number in range(3):
        arena.write({f"n{number}": "n\n", "b": f"{number}\n"})
        arena.git("add", "--all")
        arena.git("commit", "--quiet", f"--message=Commit {number}")
    arena.push_theirs({"a": "theirs\n" + LINES})
    arena.write({"last": "last\n"})
    await agree(arena)


async def test_line_endings_of_a_rebase(arena: Arena) -> None:
    """Files that come with a rebase have git's bytes."""
    arena.start({".gitattributes": "* text=auto eol=crlf\n", "a": "a\n"})
    arena.push_theirs({"#new": "n\n", "a": "a\nb\n"})
    arena.write({"ours": "o\n"})
    await agree(arena)


async def test_an_untracked_file_is_in_the_way(arena: Arena) -> None:
    """An ignored file that they add is what git makes of it."""
    arena.start({".gitignore": "*.log\n", "a": "a\n"})
    arena.push_theirs({"a.log": "theirs\n"})
    arena.write({"a.log": "ours\n", "n": "n\n"})
    await agree(arena)
