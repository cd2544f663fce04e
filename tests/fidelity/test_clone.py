"""Clones: files, index, refs and config are those of `git clone`."""

from __future__ import annotations

import os

import pytest

from tests.fidelity.arena import Arena
from tests.fidelity.judge import agree, agree_on_clone
from tests.fidelity.test_commit import ODD_NAMES

VARIANTS = {
    "plain": {},
    "a branch": {"branch": "other"},
    "all branches": {"all_branches": True},
    "all branches, on another": {"all_branches": True, "branch": "other"},
    "depth": {"depth": 1},
    "depth of two, on another": {"depth": 2, "branch": "other"},
    "depth and all branches": {"depth": 1, "all_branches": True},
    "no such branch": {"branch": "none"},
}


@pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS.keys())
async def test_variants(arena: Arena, fields: dict[str, object]) -> None:
    """Whichever branches and however deep."""
    _history(arena)
    await agree_on_clone(arena, **fields)


@pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS.keys())
async def test_a_clone_can_be_worked_in(arena: Arena, fields: dict[str, object]) -> None:
    """A commit in what the service cloned is git's, and so is the next."""
    _history(arena)
    await agree_on_clone(arena, **fields)
    for content in ("1\n", "2\n"):
        arena.lay_out()
        arena.write({"new.txt": content})
        await agree(arena)


@pytest.mark.parametrize("fields", [{}, {"branch": "trunk"}, {"all_branches": True}])
@pytest.mark.parametrize("default", ["main", "trunk"])
async def test_an_empty_repository(arena: Arena, default: str, fields: dict[str, object]) -> None:
    """It clones, on the branch that the server means."""
    arena.remote.git("symbolic-ref", "HEAD", f"refs/heads/{default}")
    if fields.get("branch", default) == default:
        await agree_on_clone(arena, **fields)
    else:  # git would refuse the branch, the contract starts on it
        await arena.runner.clone(arena.remote.url, **fields)
        arena.lay_out()
        assert arena.git("symbolic-ref", "HEAD").strip() == f"refs/heads/{fields['branch']}".encode()


async def test_modes_and_links(arena: Arena) -> None:
    """Executable files, links of every kind, a mode of old, empty files."""
    files = {
        "x": "x\n",
        "old": "o\n",
        "group": "g\n",
        "l": "x",
        "m": "nowhere/at/all",
        "n": "/etc/hostname",
        "empty": "",
    }
    links = dict.fromkeys("lmn", "120000")
    arena.remote.commit(files, modes={"x": "100755", **links})
    _rewrite_modes(arena, {"old": "100600", "group": "100664"})
    await agree_on_clone(arena)


async def test_odd_names(arena: Arena) -> None:
    """A name of any bytes is that name on the disk."""
    arena.remote.commit({"README.md": "# Demo\n"})
    arena.clone()
    arena.write(dict.fromkeys(ODD_NAMES, b"1\n"))
    arena.git("add", "--all")
    arena.git("commit", "--quiet", "--message=Odd")
    arena.git("push", "--quiet")
    await agree_on_clone(arena)


async def test_a_submodule(arena: Arena) -> None:
    """It is an empty folder, as without --recurse-submodules."""
    arena.remote.commit({".gitmodules": '[submodule "lib"]\n\tpath = lib\n\turl = https://example.com/lib\n'})
    head = arena.remote.branches()["main"]
    arena.remote.commit({"README.md": "# Demo\n"})
    _add_entry(arena, f"160000 commit {head}\tlib")
    await agree_on_clone(arena)


async def test_names_that_differ_in_case_alone(arena: Arena) -> None:
    """Both are there."""
    arena.remote.commit({"a": "a\n", "A": "A\n", "Dir/f": "f\n", "dir/f": "g\n"})
    await agree_on_clone(arena)


@pytest.mark.parametrize("name", [".git", ".GIT", "..", "git~1"])
async def test_names_that_git_takes_for_its_own(arena: Arena, name: str) -> None:
    """A tree with a name that git would not write is not cloned without a word."""
    arena.remote.commit({"README.md": "# Demo\n"})
    blob = arena.remote.git("hash-object", "-w", "--stdin", stdin=b"x\n").decode().strip()
    _add_entry(arena, f"100644 blob {blob}\t{name}")
    await agree_on_clone(arena)


async def test_rules_that_are_links(arena: Arena) -> None:
    """A .gitattributes that is a link has no say."""
    files = {
        "rules": "* text eol=crlf\n",
        ".gitattributes": "rules",
        "a.txt": "a\n",
        "d/.gitattributes": "../rules",
    }
    arena.remote.commit(files, modes={".gitattributes": "120000", "d/.gitattributes": "120000"})
    await agree_on_clone(arena)


def _history(arena: Arena) -> None:
    for number in range(4):
        arena.remote.commit({"a.txt": f"{number}\n", f"d/{number}": "d\n"}, f"Commit {number}")
        arena.remote.tag(f"v{number}")
    arena.remote.branch("other", "main~1")
    arena.remote.branch("feature/x", "main~2")
    arena.remote.commit({"other.txt": "o\n"}, branch="other")
    arena.remote.tag("on-other", "other")
    aside = arena.remote.commit({"aside": "a\n"}, branch="aside")
    arena.remote.git("update-ref", "-d", "refs/heads/aside")
    arena.remote.tag("of-no-branch", aside)
    tagger = ("-c", "user.name=T", "-c", "user.email=t@example.com")
    arena.remote.git(*tagger, "tag", "--annotate", "--message=One", "annotated", "main~1")
    arena.remote.git("update-ref", "refs/pull/1/head", "main")
    arena.remote.git("update-ref", "refs/notes/commits", "main~3")


def _rewrite_modes(arena: Arena, modes: dict[str, str]) -> None:
    lines = []
    for entry in arena.remote.git("ls-tree", "-z", "main").decode().split("\0")[:-1]:
        head, _, path = entry.partition("\t")
        lines.append(
            f"{modes.get(path, head.split()[0]).lstrip('0')} {path}\0".encode()
            + bytes.fromhex(head.split()[2])
        )
    _commit_tree(arena, b"".join(lines))


def _add_entry(arena: Arena, entry: str) -> None:
    entries = [*os.fsdecode(arena.remote.git("ls-tree", "-z", "main")).split("\0")[:-1], entry]
    parts = sorted((line.partition("\t")[2], line.partition("\t")[0].split()) for line in entries)
    raw = (f"{mode} {path}\0".encode() + bytes.fromhex(oid) for path, (mode, _, oid) in parts)
    _commit_tree(arena, b"".join(raw))


def _commit_tree(arena: Arena, raw: bytes) -> None:
    tree = (
        arena.remote.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=raw)
        .decode()
        .strip()
    )
    person = "T <t@example.com> 1700000000 +0000"
    text = (
        f"tree {tree}\nparent {arena.remote.branches()['main']}\nauthor {person}\ncommitter {person}\n\nOdd\n"
    )
    commit = (
        arena.remote.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=text.encode()).decode().strip()
    )
    arena.remote.branch("main", commit)
