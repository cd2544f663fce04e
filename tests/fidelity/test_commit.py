"""Commits of what an agent leaves: each is the one that git makes."""

from __future__ import annotations

import os

import pytest

from tests.fidelity.arena import Arena
from tests.fidelity.judge import agree
from tests.support.repositories import git as plain_git

ODD_NAMES = [
    b"with space",
    b" leading",
    b"trailing ",
    b"new\nline",
    b"tab\there",
    b'quo"te',
    b"back\\slash",
    b"-dash",
    b"--",
    b"#hash",
    b"!bang",
    b"*.star",
    b"[x]",
    b":(top)",
    b"a:b",
    b"con.txt",
    "cafe\u0301".encode(),
    "café".encode(),
    "日本語/ファイル".encode(),
    b"\xff\xfe",
    b"\xe9t\xe9/\x80",
    b"d\xff/e\xfe/f",
    b"x" * 255,
    b"/".join([b"d" * 60] * 5),
    b"d" * 99 + b"/f",
    b".gitkeep",
    b"..a",
    b".git-not",
    b"gitmodules",
]


async def test_edits(arena: Arena) -> None:
    """An edit, a new file and a removed one."""
    arena.start()
    arena.write({"README.md": "# Demo\n\nMore\n", "new.txt": "new\n", "src/app.py": None})
    verdict = await agree(arena)
    assert verdict.result.pushed


async def test_nothing_at_all(arena: Arena) -> None:
    """Nothing is committed, and nothing moves."""
    arena.start()
    verdict = await agree(arena)
    assert verdict.result.skipped


async def test_unpushed_commits(arena: Arena) -> None:
    """Commits that the agent made are pushed, and its edits on top of them."""
    arena.start()
    arena.write({"one.txt": "1\n"})
    arena.git("add", "--all")
    arena.git("commit", "--quiet", "--message=One")
    arena.write({"two.txt": "2\n"})
    await agree(arena)


async def test_odd_names(arena: Arena) -> None:
    """A name of any bytes is that name in the commit."""
    arena.start(dict.fromkeys(ODD_NAMES[::2], b"1\n"))
    arena.write(dict.fromkeys(ODD_NAMES, b"2\n"))
    await agree(arena)


async def test_odd_names_go(arena: Arena) -> None:
    """Files of odd names can be removed and renamed."""
    arena.start({name: b"1\n" + name for name in ODD_NAMES} | {"keep": "1\n"})
    for name in ODD_NAMES[::2]:
        (arena.folder / os.fsdecode(name)).unlink()
    (arena.folder / os.fsdecode(ODD_NAMES[1])).rename(arena.folder / os.fsdecode(b"\xfe moved"))
    await agree(arena)


@pytest.mark.parametrize("format", ["gnu", "posix"])
async def test_long_paths(arena: Arena, format: str) -> None:
    """A path of any length, cut anywhere at a slash, is the file that it was; an empty one too."""
    lengths = (90, 98, 99, 100, 101, 155, 156, 200, 255, 256, 257, 300)
    cuts = (50, 73, 74, 75, 76, 98, 99, 100, 101)  # a name begins with 25 bytes of folders
    names = [
        (f"{cut},{length},".ljust(cut, "d") + "/" + "e" * 254)[:length]
        for length in lengths
        for cut in cuts
        if cut < length - 1
    ]
    arena.start(dict.fromkeys(names, "") | {"other": "1\n"})
    arena.write({"other": "2\n"})
    await agree(arena, arena.pack(f"--format={format}"))


async def test_modes(arena: Arena) -> None:
    """The executable bit is committed, all else of a mode is not."""
    arena.start({"a": "a\n", "b": "b\n", "c": "c\n", "d": "d\n"})
    for name, mode in {"a": 0o755, "b": 0o600, "c": 0o664, "d": 0o100}.items():
        (arena.folder / name).chmod(mode)
    await agree(arena)


async def test_a_mode_that_was_staged_alone(arena: Arena) -> None:
    """`git update-index --chmod` is undone by a file that does not have the mode."""
    arena.start()
    arena.git("update-index", "--chmod=+x", "README.md")
    arena.write({"n": "n\n"})
    await agree(arena)


async def test_modes_that_do_not_count(arena: Arena) -> None:
    """With core.fileMode=false the executable bits are the index's."""
    arena.start({"a": "a\n", "b": "b\n"}, core_fileMode="false")
    arena.git("update-index", "--chmod=+x", "b")
    arena.git("commit", "--quiet", "--message=Mode")
    arena.write({"a": "2\n", "b": "2\n", "new": "new\n"}, mode=0o755)
    (arena.folder / "b").chmod(0o644)
    await agree(arena)


async def test_links(arena: Arena) -> None:
    """Links are committed as links: new, changed, dangling, absolute, to a folder."""
    arena.start({"a": "a\n", "d/e": "e\n"})
    (arena.folder / "l").symlink_to("a")
    (arena.folder / "m").symlink_to("d")
    arena.git("add", "--all")
    arena.git("commit", "--quiet", "--message=Links")
    (arena.folder / "l").unlink()
    (arena.folder / "l").symlink_to("nowhere")
    (arena.folder / "n").symlink_to("/etc/hostname")
    (arena.folder / "o").symlink_to("d")
    await agree(arena)


async def test_links_that_are_files_here(arena: Arena) -> None:
    """With core.symlinks=false a file in a link's place stays a link in the commit."""
    arena.start({"a": "a\n"})
    (arena.folder / "l").symlink_to("a")
    arena.git("add", "--all")
    arena.git("commit", "--quiet", "--message=Link")
    arena.git("config", "core.symlinks", "false")
    (arena.folder / "l").unlink()
    arena.write({"l": "b"})
    await agree(arena)


async def test_a_file_becomes_a_folder_and_a_folder_a_file(arena: Arena) -> None:
    """Whatever stands in a place is what is committed there."""
    arena.start({"a": "a\n", "d/e": "e\n", "d/f/g": "g\n", "k": "k\n", "m/n": "n\n"})
    arena.write({"a": None, "d/e": None, "d/f/g": None, "k": None, "m/n": None})
    (arena.folder / "d/f").rmdir()
    (arena.folder / "d").rmdir()
    arena.write({"a/b/c": "c\n", "d": "d\n"})
    (arena.folder / "k").symlink_to("a")
    (arena.folder / "m").rmdir()
    (arena.folder / "m").symlink_to("a")
    await agree(arena)


async def test_a_link_becomes_a_folder(arena: Arena) -> None:
    """A link to a folder is replaced by a folder of the same files."""
    arena.start({"d/e": "e\n"})
    (arena.folder / "l").symlink_to("d")
    arena.git("add", "--all")
    arena.git("commit", "--quiet", "--message=Link")
    (arena.folder / "l").unlink()
    arena.write({"l/e": "e\n"})
    await agree(arena)


async def test_a_folder_is_moved_beyond_a_link(arena: Arena) -> None:
    """Files that are there only through a link are gone."""
    arena.start({"d/e": "e\n", "d/f": "f\n", "k": "k\n"})
    (arena.folder / "d").rename(arena.folder / "x")
    (arena.folder / "d").symlink_to("x")
    await agree(arena)


async def test_empty_files_and_folders(arena: Arena) -> None:
    """An empty file counts, an empty folder does not."""
    arena.start({"a": "a\n", "b": "", "d/e": "e\n"})
    arena.write({"a": "", "c": "", "b": "b\n", "d/e": None})
    (arena.folder / "empty/inside").mkdir(parents=True)
    await agree(arena)


async def test_everything_goes(arena: Arena) -> None:
    """The last file may go."""
    arena.start({"a": "a\n", "b": "b\n"})
    arena.write({"a": None, "b": None})
    await agree(arena)


async def test_the_first_commit_of_all(arena: Arena) -> None:
    """An empty repository gets its first commit."""
    arena.clone()
    arena.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    arena.write({"a": "a\n"})
    await agree(arena)


async def test_intent_to_add(arena: Arena) -> None:
    """`git add -N` leaves nothing behind, with an empty file either."""
    arena.start()
    arena.write({"empty": "", "full": "full\n", "gone": "gone\n"})
    arena.git("add", "--intent-to-add", ".")
    arena.write({"gone": None})
    await agree(arena)


async def test_intent_to_add_alone(arena: Arena) -> None:
    """An empty file that was only meant to be added is committed, and stays."""
    arena.start()
    arena.write({"empty": ""})
    arena.git("add", "-N", "empty")
    await agree(arena)


async def test_removed_from_the_index_alone(arena: Arena) -> None:
    """`git rm --cached` is undone by the file that is still there, unless it is ignored."""
    arena.start({"a": "a\n", "b.log": "b\n"})
    arena.git("rm", "--quiet", "--cached", "a", "b.log")
    arena.write({".gitignore": "*.log\n"})
    await agree(arena)


async def test_staged_and_then_changed(arena: Arena) -> None:
    """What the files say is committed, not what was staged."""
    arena.start({"a": "a\n", "b": "b\n", "c": "c\n"})
    arena.write({"a": "staged\n", "b": "staged\n", "n": "staged\n"})
    arena.git("add", "--all")
    arena.git("rm", "--quiet", "--cached", "c")
    arena.write({"a": "then\n", "b": "b\n", "n": None})
    await agree(arena)


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
async def test_flags_that_say_to_look_away(arena: Arena, flag: str) -> None:
    """A file that git was told not to look at is not looked at, changed or gone."""
    arena.start({"a": "a\n", "b": "b\n", "c": "c\n", "d": "d\n"})
    arena.git("update-index", flag, "a", "b")
    arena.write({"a": "changed\n", "b": None, "c": "changed\n", "d": None})
    await agree(arena)


@pytest.mark.parametrize("version", ["2", "3", "4"])
async def test_versions_of_the_index(arena: Arena, version: str) -> None:
    """Every version of the index is read, with flags in it."""
    arena.start({"a": "a\n", "a.b": "b\n", "dir/c": "c\n", "dir/d": "d\n"})
    arena.write({"x": "", "y": "y\n"})
    arena.git("add", "-N", "y")
    arena.git("update-index", "--index-version", version)
    arena.write({"a.b": "2\n", "dir/d": None})
    await agree(arena)


@pytest.mark.parametrize("option", ["--force-untracked-cache", "--fsmonitor"])
async def test_extensions_of_the_index(arena: Arena, option: str) -> None:
    """Caches that an index holds are not believed after an unpack."""
    arena.start({"a": "a\n", "d/b": "b\n"})
    arena.git("-c", "core.fsmonitor=true", "update-index", option)
    arena.git("status")
    arena.write({"a": "2\n", "d/new": "new\n", "e/new": "new\n"})
    await agree(arena)


async def test_a_split_index(arena: Arena) -> None:
    """It is refused, or it is the commit that git makes."""
    arena.start({"a": "a\n"})
    arena.git("update-index", "--split-index")
    arena.write({"a": "2\n"})
    await agree(arena, allowed="unsupported_repository: ")


async def test_unmerged_files_that_were_resolved(arena: Arena) -> None:
    """A merge that the agent resolved is concluded, with both parents."""
    arena.start({"a": "1\n", "b": "1\n", "c": "1\n"})
    _fork(
        arena,
        ours={"a": "ours\n", "b": None, "n": "ours\n"},
        theirs={"a": "theirs\n", "b": "2\n", "n": "x\n"},
    )
    arena.git.try_("merge", "other")
    arena.write({"a": "both\n", "n": "both\n"})
    (arena.folder / "b").unlink(missing_ok=True)
    await agree(arena)


async def test_conflict_markers_are_left(arena: Arena) -> None:
    """What a merge left in the files is committed as it stands."""
    arena.start({"a": "1\n", "d/e": "1\n"})
    _fork(arena, ours={"a": "ours\n", "d/e": None}, theirs={"a": "theirs\n", "d/e": "2\n"})
    arena.git.try_("merge", "other")
    await agree(arena)


async def test_a_merge_without_a_change(arena: Arena) -> None:
    """A merge that takes nothing of the other side is concluded all the same."""
    arena.start({"a": "1\n"})
    _fork(arena, ours={"b": "ours\n"}, theirs={"a": "theirs\n"})
    arena.git("merge", "--no-commit", "--strategy=ours", "other")
    await agree(arena)


@pytest.mark.parametrize("command", ["cherry-pick", "revert"])
async def test_a_pick_in_progress(arena: Arena, command: str) -> None:
    """A cherry-pick or revert that stopped and was resolved is concluded."""
    arena.start({"a": "1\n"})
    _fork(arena, ours={"a": "ours\n"}, theirs={"a": "theirs\n"})
    arena.git.try_(command, "other")
    arena.write({"a": "both\n"})
    await agree(arena)


async def test_a_squash(arena: Arena) -> None:
    """`git merge --squash` leaves a commit with one parent to be made."""
    arena.start({"a": "1\n"})
    _fork(arena, ours={"b": "ours\n"}, theirs={"c": "theirs\n"})
    arena.git("merge", "--squash", "other")
    await agree(arena)


async def test_a_stash(arena: Arena) -> None:
    """What was stashed stays stashed."""
    arena.start({"a": "1\n"})
    arena.write({"a": "stashed\n", "n": "stashed\n"})
    arena.git("stash", "--quiet", "--include-untracked")
    arena.write({"b": "b\n"})
    await agree(arena)


async def test_a_branch_without_an_upstream(arena: Arena) -> None:
    """It gets one, as `git push -u` gives it."""
    arena.start()
    arena.git("checkout", "--quiet", "-b", "topic/one")
    arena.write({"n": "n\n"})
    await agree(arena)


async def test_a_branch_that_follows_another_name(arena: Arena) -> None:
    """Its upstream stays what the agent made it."""
    arena.start()
    arena.git("checkout", "--quiet", "-b", "topic", "--track", "origin/main")
    arena.write({"n": "n\n"})
    await agree(arena)


@pytest.mark.parametrize("options", [["--depth=1"], ["--depth=2", "--no-single-branch"], ["--single-branch"]])
async def test_a_clone_that_is_not_whole(arena: Arena, options: list[str]) -> None:
    """A shallow clone stays as shallow, and its commit has one parent."""
    for number in range(4):
        arena.push_theirs({"a": f"{number}\n", f"f{number}": "f\n"})
    arena.remote.branch("other", "main~1")
    arena.clone(*options)
    arena.write({"a": "mine\n"})
    await agree(arena)


async def test_submodules(arena: Arena) -> None:
    """A submodule that moved is left out with a warning; all else is committed."""
    arena.start()
    plain_git("clone", "--quiet", arena.remote.path, arena.root / "library")
    arena.git("submodule", "--quiet", "add", f"{arena.root}/library", "lib")
    arena.git("commit", "--quiet", "--message=Add it")
    (arena.folder / "lib/new").write_text("new\n")
    arena.git("-C", "lib", "add", "--all")
    arena.git("-C", "lib", "commit", "--quiet", "--message=In it")
    arena.write({"n": "n\n"})
    await agree(arena)


async def test_a_submodule_that_is_not_there(arena: Arena) -> None:
    """A submodule that was never fetched, or has an empty folder, stays in the commit."""
    arena.start()
    head = arena.git("rev-parse", "HEAD").decode().strip()
    for name in ("lib", "vendor/lib"):
        arena.git("update-index", "--add", "--cacheinfo", f"160000,{head},{name}")
    arena.git("commit", "--quiet", "--message=Submodules")
    (arena.folder / "lib").mkdir(exist_ok=True)
    arena.write({"n": "n\n"})
    await agree(arena)


async def test_a_submodule_becomes_a_folder_or_a_file(arena: Arena) -> None:
    """What stands in the place of a submodule is committed."""
    arena.start()
    head = arena.git("rev-parse", "HEAD").decode().strip()
    for name in ("lib", "file", "link"):
        arena.git("update-index", "--add", "--cacheinfo", f"160000,{head},{name}")
    arena.git("commit", "--quiet", "--message=Submodules")
    arena.write({"lib/a": "a\n", "file": "f\n"})
    (arena.folder / "link").symlink_to("file")
    await agree(arena)


@pytest.mark.parametrize("name", [b"vendor/nested", b"v\xff/nested", b"\xfe"])
async def test_nested_repositories(arena: Arena, name: bytes) -> None:
    """A repository of its own is left out with a warning, whatever its name; all else is committed."""
    arena.start()
    folder = arena.folder / os.fsdecode(name)
    folder.mkdir(parents=True)
    arena.git("init", "--quiet", folder)
    (folder / "f").write_text("f\n")
    arena.git("-C", folder, "add", "--all")
    arena.git("-C", folder, "commit", "--quiet", "--message=Nested")
    arena.write({"n": "n\n"})
    await agree(arena)


async def test_a_nested_repository_without_a_commit(arena: Arena) -> None:
    """Git refuses it; it is left out with a warning."""
    arena.start()
    arena.git("init", "--quiet", "nested")
    arena.write({"n": "n\n", "nested/f": "f\n"})
    await agree(arena)


async def test_an_ignored_nested_repository(arena: Arena) -> None:
    """It is as if it were not there."""
    arena.start()
    arena.git("init", "--quiet", "nested")
    arena.write({"n": "n\n", ".gitignore": "nested/\n"})
    await agree(arena)


@pytest.mark.parametrize("name", ["x/.GIT/f", ".Git/f", "git~1", "x/.git./f", ".git /f", "x/.GiT"])
async def test_names_that_git_takes_for_its_own(arena: Arena, name: str) -> None:
    """They are left out with a warning, or refused."""
    arena.start()
    arena.write({name: "f\n", "n": "n\n"})
    await agree(arena)


@pytest.mark.parametrize(
    "name", [".g\u200cit/f", ".gitmodules", "x/.gitmodules", "a/..b/c", "...", "lpt1", "a."]
)
async def test_names_that_only_look_like_it(arena: Arena, name: str) -> None:
    """What git takes is committed."""
    arena.start()
    arena.write({name: "", "n": "n\n"})
    await agree(arena)


async def test_an_unknown_extension(arena: Arena) -> None:
    """Git refuses a repository whose format it does not know, and so does the service."""
    arena.start()
    arena.git("config", "core.repositoryFormatVersion", "1")
    arena.git("config", "extensions.foo", "bar")
    arena.write({"n": "n\n"})
    verdict = await agree(arena)
    assert verdict.error is not None
    assert verdict.error.code == "unsupported_repository"


async def test_a_worktree_config(arena: Arena) -> None:
    """What config.worktree says counts."""
    arena.start({"a": "a\n"})
    arena.git("config", "extensions.worktreeConfig", "true")
    arena.git("config", "--worktree", "core.fileMode", "false")
    arena.git("config", "--worktree", "core.autocrlf", "input")
    arena.write({"a": "a\r\nb\r\n", "n": "n\r\n"}, mode=0o755)
    await agree(arena)


@pytest.mark.parametrize("ignorecase", ["true", "false"])
async def test_names_that_change_in_case_alone(arena: Arena, ignorecase: str) -> None:
    """A rename of case alone is what git makes of it, and so is a file beside its namesake."""
    arena.start({"a.txt": "a\n", "Dir/f": "f\n", "b": "b\n"}, core_ignorecase=ignorecase)
    (arena.folder / "a.txt").rename(arena.folder / "A.txt")
    (arena.folder / "Dir").rename(arena.folder / "dir")
    arena.write({"B": "B\n"})
    await agree(arena)


async def test_a_config_that_refuses_line_endings(arena: Arena) -> None:
    """Where core.safecrlf=true lets git refuse, the service does not commit."""
    arena.start({"a": "a\n"}, core_autocrlf="input", core_safecrlf="true")
    arena.write({"a": "a\r\n", "b": "b\r\n"})
    await agree(arena)


async def test_another_file_of_ignores(arena: Arena) -> None:
    """core.excludesFile and core.attributesFile count where they are in the session, or it is refused."""
    arena.start({"a": "a\n"})
    arena.git("config", "core.excludesFile", ".git/info/mine")
    arena.git("config", "core.attributesFile", ".git/info/attrs")
    (arena.folder / ".git/info").mkdir(exist_ok=True)
    (arena.folder / ".git/info/mine").write_text("*.log\n")
    (arena.folder / ".git/info/attrs").write_text("* text=auto\n")
    arena.write({"b.log": "b\n", "c": "c\r\n"})
    await agree(arena, allowed="unsupported_repository: The config sets core.excludesFile")


async def test_a_replaced_object(arena: Arena) -> None:
    """refs/replace is not followed into the commit."""
    arena.start({"a": "a\n"})
    arena.write({"a": "b\n"})
    arena.git("commit", "--quiet", "--all", "--message=Two")
    arena.git("replace", "HEAD~1", "HEAD")
    arena.write({"n": "n\n"})
    await agree(arena)


async def test_packed_and_pruned(arena: Arena) -> None:
    """A repository whose objects and refs are packed, with a graph and bitmaps, is the same repository."""
    arena.start({"a": "a\n", "d/b": "b\n"})
    arena.git("tag", "--annotate", "--message=v1", "v1")
    arena.git("gc", "--quiet", "--prune=now")
    arena.git("repack", "-q", "-a", "-d", "--write-bitmap-index")
    arena.git("commit-graph", "write", "--reachable")
    arena.git("multi-pack-index", "write")
    arena.write({"d/b": "2\n"})
    await agree(arena)


def _fork(arena: Arena, ours: dict[str, str | None], theirs: dict[str, str | None]) -> None:
    """Commit `theirs` on the branch `other` and `ours` on main."""
    for branch, files in (("other", theirs), ("main", ours)):
        if branch == "other":
            arena.git("checkout", "--quiet", "-b", branch)
        else:
            arena.git("checkout", "--quiet", branch)
        arena.write(files)
        arena.git("add", "--all")
        arena.git("commit", "--quiet", f"--message=On {branch}")
