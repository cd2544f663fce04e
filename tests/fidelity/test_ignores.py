"""Rules of what is ignored: the committed set is that of `git add -A`, for every pattern."""

from __future__ import annotations

import pytest

from tests.fidelity.arena import Arena
from tests.fidelity.judge import agree

PLACES = (
    "f",
    "g.log",
    "d/f",
    "d/g.log",
    "d/e/f",
    "src/f",
    "src/d/f",
    "node_modules/m/i.js",
    "x y",
    ".hidden/f",
    "a\\b",
    "#f",
    "!f",
    "[a]",
    "a",
    "f ",
    "build/keep",
    "build/out",
    "foo/bar/baz",
    "D/F",
)
FILES = {place: f"{place}\n" for place in PLACES}

PATTERNS = {
    "every folder": "*/",
    "every folder at the top": "/*/",
    "two stars and a slash": "**/",
    "all folders but one": "/*/\n!/src/",
    "all but one folder": "/*\n!/src\n!.gitignore",
    "everything but folders": "*\n!*/",
    "everything but folders and one file": "*\n!*/\n!g.log\n!.gitignore",
    "a folder's content but one": "build/*\n!build/keep",
    "a folder but one, in vain": "build/\n!build/keep",
    "in the middle": "d/**/f",
    "at the beginning": "**/e",
    "at the end": "d/**",
    "two stars within a name": "sr**\nfoo**baz",
    "one star and a slash within": "*/f",
    "a star that crosses nothing": "foo/*/baz",
    "classes": "[a-f]\n[!a-z].log\n[[:upper:]]",
    "classes of odd kinds": "[]a]\n[\\]a]\n[a\n[^d]\n[[:foo:]]",
    "escapes": "a\\\\b\n\\#f\n\\!f\n\\[a]",
    "escaped letters": "\\f\n\\d/",
    "a backslash at the end": "f\\\nsrc\\",
    "spaces at the end": "f   \nx\\ y",
    "an escaped space at the end": "f\\ \n",
    "comments and empty lines": "# f\n\n   \n\t\n#f\n!\n/\n//\n",
    "windows line endings": "f\r\n*.log\r\n/d/\r\n",
    "a byte order mark": "\ufefff\n",
    "no newline at the end": "*.log",
    "question marks": "?\nd?e\nfoo?bar",
    "negation of a negation": "f\n!f\nf\n!/f",
    "with slashes": "/f\nd/f\n/src/d",
    "a trailing slash for a file": "f/\na/",
    "the folder itself": ".\n./f\n..",
    "case": "F\nd/\nSRC/",
    "git's own": ".git\n.gitignore",
    "a space at the beginning": " f\n x y",
    "a tab at the end": "f\t\ng.log \t",
    "double slashes": "d//f\nsrc//",
    "a star and nothing else": "*",
    "ranges": "[a-]\n[--0]*\n[a-c-e]",
    "a form feed": "f\x0c\n",
    "latin": "\xe9\n",
}  # fmt: skip


async def test_patterns_of_a_folder(arena: Arena) -> None:
    """Each in the .gitignore of a folder of its own, whose name in what differs says which pattern it was."""
    arena.start(
        {f"{name}/{tracked}": "1\n" for name in PATTERNS for tracked in ("kept", "ignored/f", "src/e/f")}
    )
    for name, pattern in PATTERNS.items():
        arena.write({f"{name}/{place}": content for place, content in FILES.items()})
        arena.write({f"{name}/.gitignore": pattern, f"{name}/kept": "2\n", f"{name}/ignored/f": "2\n"})
    await agree(arena)


@pytest.mark.parametrize(
    "pattern", ["*/", "/*/\n!/src/", "**/", "*\n!*/\n!.gitignore", "!*/\n/*/\n", "e\t\nd/**/f"]
)
async def test_patterns_at_the_top(arena: Arena, pattern: str) -> None:
    """In the repository's first .gitignore."""
    arena.start({"kept": "1\n", "ignored/tracked": "1\n"})
    arena.write({**FILES, ".gitignore": pattern, "kept": "2\n", "ignored/tracked": "2\n"})
    await agree(arena)


@pytest.mark.parametrize("pattern", ["/*/\n!/src/", "**/", "D/\n*.LOG"])
@pytest.mark.parametrize("ignorecase", ["true", "false"])
async def test_the_repositorys_own_excludes(arena: Arena, pattern: str, ignorecase: str) -> None:
    """info/exclude counts, under core.ignorecase too."""
    arena.start({"kept": "1\n"}, core_ignorecase=ignorecase)
    (arena.folder / ".git/info").mkdir(exist_ok=True)
    (arena.folder / ".git/info/exclude").write_text(pattern)
    arena.write({place: content for place, content in FILES.items() if place != "D/F"} | {"kept": "2\n"})
    await agree(arena)


async def test_tracked_files_are_never_ignored(arena: Arena) -> None:
    """A rule that comes later does not stop edits of what is tracked, nor its removal."""
    arena.start({"a.log": "1\n", "b.log": "1\n", "d/c": "1\n", "d/gone": "1\n", "k": "1\n"})
    arena.write({".gitignore": "*.log\nd/\n", "a.log": "2\n", "b.log": None, "d/c": "2\n", "d/gone": None})
    arena.write({"new.log": "new\n", "d/new": "new\n"})
    await agree(arena)


async def test_rules_in_folders(arena: Arena) -> None:
    """The nearest file decides, and none counts within an ignored folder."""
    arena.start({"k": "1\n"})
    arena.write({".gitignore": "*.log\nout/\n", "d/.gitignore": "!*.log\n/f\n", "d/e/.gitignore": "*\n!g\n"})
    arena.write(dict.fromkeys(("a.log", "d/a.log", "d/f", "d/e/f", "d/e/g", "d/e/a.log", "f"), "n\n"))
    arena.write({"out/.gitignore": "!*\n", "out/f": "f\n"})
    await agree(arena)


async def test_rules_that_are_a_link(arena: Arena) -> None:
    """Git does not follow a .gitignore that is a link, and commits it as one."""
    arena.start({"rules": "*.log\n", "d/f": "f\n"})
    (arena.folder / ".gitignore").symlink_to("rules")
    (arena.folder / "d/.gitignore").symlink_to("../rules")
    (arena.folder / "d/.gitattributes").symlink_to("../rules")
    arena.write({"a.log": "a\n", "d/b.log": "b\n"})
    await agree(arena)


@pytest.mark.parametrize("name", [".gitignore", ".gitattributes"])
async def test_rules_that_are_a_link_in_a_folder_of_any_name(arena: Arena, name: str) -> None:
    """A folder's name need not be text."""
    arena.start({"rules": "*.log\n"})
    arena.write({b"d\xff/a.log": b"a\n", b"d\xff/e\xfe/b": b"b\n"})
    for folder in (b"d\xff", b"d\xff/e\xfe"):
        (arena.folder / folder.decode(errors="surrogateescape") / name).symlink_to("/nowhere")
    await agree(arena)


async def test_rules_that_are_a_folder(arena: Arena) -> None:
    """A folder in the place of .gitignore has no rules, and its files are committed."""
    arena.start({"k": "1\n"})
    arena.write({".gitignore/f": "*\n", "d/.gitattributes/f": "* text\n", "n": "n\n"})
    await agree(arena)


async def test_an_ignored_file_that_was_forced(arena: Arena) -> None:
    """What `git add -f` staged is committed."""
    arena.start({".gitignore": "*.log\n"})
    arena.write({"a.log": "a\n", "b.log": "b\n"})
    arena.git("add", "--force", "a.log")
    arena.write({"a.log": "2\n"})
    await agree(arena)


async def test_a_link_to_a_folder_is_no_folder(arena: Arena) -> None:
    """A pattern for folders does not match a link to one."""
    arena.start({"d/f": "f\n", ".gitignore": "l/\nm\n"})
    (arena.folder / "l").symlink_to("d")
    (arena.folder / "m").symlink_to("d")
    await agree(arena)
