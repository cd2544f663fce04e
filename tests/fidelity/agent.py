"""An agent that does this and that in a repository, at random and as its seed says."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.fidelity.arena import Git

NAMES = (
    *(b"a", b"b.txt", b"c.py", b"README.md", b"main.rs", b"x.log", b"y.bin", b"Makefile", b"index.html"),
    *(b"a b", b" a", b"a ", b"\xff\xfe", b"caf\xc3\xa9", b"cafe\xcc\x81", b"#x", b"!y", b"-z", b"*.q"),
    *(b"A", b"B.TXT", b"q\"q", b"n\nl", b"t\tt", b"b\\s", b"(group)", b"[a]", b"a:b", b"..c"),
    b"l" * 180,
)  # fmt: skip
FOLDERS = (b"", b"", b"d/", b"d/e/", b"src/", b"lib/sub/", b"\xfe/", b"(g)/", b"D/", b"a/", b"k" * 70 + b"/")
LINES = (
    b"alpha\n",
    b"beta\n",
    b"gamma\n",
    b"delta\r\n",
    b"\n",
    b"eps",
    b"$Id$\n",
    b"$Id: x $ $Id$\n",
    b"\tt\n",
)
ODD = (b"\0", b"\r", b"\x0b", b"\x1a", b"\xff", b"\xc3\xa9", b"\x0c\x08", b"\x7f")
IGNORES = (
    *(
        "*.log",
        "*/",
        "/*/",
        "**/",
        "!/src/",
        "!*.log",
        "d/",
        "/d",
        "d/*",
        "!d/e",
        "src/**",
        "**/e",
        "a*",
        "[a-c]*",
    ),
    *(
        "*.log ",
        "\\#x",
        "#x",
        "\\!y",
        "a\\ ",
        "B.txt",
        "/lib/sub/",
        "*",
        "!*/",
        "!.gitignore",
        "?",
        "[!a]",
        "e\t",
    ),
)
ATTRIBUTES = (
    *(
        "text",
        "text=auto",
        "-text",
        "eol=crlf",
        "eol=lf",
        "binary",
        "ident",
        "-ident",
        "text eol=crlf",
        "!text",
    ),
    *("working-tree-encoding=UTF-16", "working-tree-encoding=UTF-8", "crlf", "-crlf", "merge=union", "-diff"),
)
PATTERNS = (
    "*",
    "*.txt",
    "*.py",
    "/a*",
    "d/*",
    "d/**",
    "README.md",
    ".gitattributes",
    "src/",
    "*.html",
    "[a-c]*",
)
CONFIG = {
    "core.autocrlf": ("true", "input", "false"),
    "core.eol": ("crlf", "lf"),
    "core.fileMode": ("false", "true"),
    "core.ignorecase": ("true", "false"),
    "core.symlinks": ("true",),
    "core.checkStat": ("minimal", "default"),
    "core.trustctime": ("false",),
    "core.untrackedCache": ("true", "keep"),
    "core.quotePath": ("false",),
    "index.version": ("2", "4"),
    "merge.conflictStyle": ("diff3",),
    "status.showUntrackedFiles": ("no",),
}


class Agent:
    """Edits a worktree with a few steps of its choice."""

    def __init__(self, random: Random, git: Git) -> None:
        self.random = random
        self.git = git
        self.folder = git.folder
        self.said: list[str] = []

    def work(self, steps: int) -> None:
        """Take steps, most of them edits."""
        kinds: dict[Callable[[], object], int] = {
            self.edit: 10, self.remove: 3, self.rename: 4, self.change_mode: 2, self.link: 2, self.swap: 2,
            self.edit_unseen: 2, self.ignore: 2, self.attribute: 2, self.configure: 1, self.command: 6,
        }  # fmt: skip
        self.take(kinds, steps)

    def edit_files(self, steps: int) -> None:
        """Take steps that need no git: edits, renames, modes, links."""
        kinds: dict[Callable[[], object], int] = {
            self.edit: 6, self.remove: 2, self.rename: 3, self.rename_folder: 1, self.change_mode: 1,
            self.link: 1,
        }  # fmt: skip
        self.take(kinds, steps)

    def take(self, kinds: dict[Callable[[], object], int], steps: int) -> None:
        """Take steps of some kinds, by their weights."""
        for step in self.random.choices([*kinds], [*kinds.values()], k=steps):
            self.said.append(step.__name__)
            step()

    # Edits

    def edit(self) -> None:
        """Write a new file, or change one."""
        known = self.files()
        path = self.random.choice(known) if known and self.random.random() < 0.5 else self.place()
        old = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        self.write(path, self.content(old))

    def edit_unseen(self) -> None:
        """Change a file and leave its size and time."""
        files = [path for path in self.files() if not path.is_symlink() and path.stat().st_size]
        if files:
            path = self.random.choice(files)
            status = path.stat()
            data = bytearray(path.read_bytes())
            data[self.random.randrange(len(data))] ^= 1
            path.write_bytes(data)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def remove(self) -> None:
        """Remove a file, or a folder."""
        if files := self.files():
            path = self.random.choice(files)
            if self.random.random() < 0.2 and path.parent != self.folder:
                shutil.rmtree(path.parent)
            else:
                path.unlink()

    def rename(self) -> None:
        """Rename a file."""
        if files := self.files():
            path, to = self.random.choice(files), self.place()
            if self.clear(to):
                to.parent.mkdir(parents=True, exist_ok=True)
                if os.path.lexists(path):
                    path.rename(to)

    def rename_folder(self) -> None:
        """Rename a folder with all that is in it."""
        folders = [path for path in self.folder.iterdir() if path.is_dir() and not path.is_symlink()]
        folders = sorted(path for path in folders if path.name != ".git")
        to = self.folder / os.fsdecode(self.random.choice((b"moved", b"d", b"lib", b"src")))
        if folders and not os.path.lexists(to):
            self.random.choice(folders).rename(to)

    def change_mode(self) -> None:
        """Change a file's mode."""
        if files := [path for path in self.files() if not path.is_symlink()]:
            self.random.choice(files).chmod(self.random.choice((0o644, 0o755, 0o600, 0o664, 0o700)))

    def link(self) -> None:
        """Make a link, or let one lead elsewhere."""
        path = self.place()
        if self.clear(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(
                os.fsdecode(self.random.choice((b"a", b"d", b"../a", b"/nowhere", b"\xff", b"src/a")))
            )

    def swap(self) -> None:
        """Let a folder stand where a file was, or a file where a folder was."""
        if files := self.files():
            path = self.random.choice(files)
            if self.random.random() < 0.5 and path.parent != self.folder:
                path = path.parent
                shutil.rmtree(path)
                self.write(path, self.content(b""))
            else:
                path.unlink()
                self.write(path / "inner", self.content(b""))

    def ignore(self) -> None:
        """Write rules of what is ignored."""
        names = (".gitignore", ".gitignore", "d/.gitignore", "src/.gitignore", ".git/info/exclude")
        rules = self.random.choices(IGNORES, k=self.random.randint(1, 3))
        self.write(self.folder / self.random.choice(names), "\n".join([*rules, ""]).encode())

    def attribute(self) -> None:
        """Write attributes."""
        names = (".gitattributes", ".gitattributes", "d/.gitattributes", ".git/info/attributes")
        rules = (f"{self.random.choice(PATTERNS)} {self.random.choice(ATTRIBUTES)}\n" for _ in range(3))
        self.write(self.folder / self.random.choice(names), "".join(rules).encode())

    def configure(self) -> None:
        """Change the repository's config."""
        key = self.random.choice([*CONFIG])
        self.git("config", key, self.random.choice(CONFIG[key]))

    # Commands

    def command(self) -> None:
        """Run a command of git, which may fail."""
        files = [str(path.relative_to(self.folder)) for path in self.files()] or ["a"]
        file, other = self.random.choice(files), self.random.choice(files)
        branch = self.random.choice(("topic", "feature/x", "main"))
        arguments = self.random.choice(self.commands(file, other, branch))
        self.said[-1] = " ".join(arguments)
        self.git.try_(*arguments)

    @staticmethod
    def commands(file: str, other: str, branch: str) -> tuple[tuple[str, ...], ...]:
        """Return what an agent might ask git to do."""
        return (
            ("add", "--all"), ("add", "--", file), ("add", "-N", "."), ("add", "-N", "--", file),
            ("add", "--force", "--", file), ("rm", "--cached", "--quiet", "--", file),
            ("rm", "-f", "--", file), ("mv", "--", file, "moved"), ("mv", "-f", "--", file, other),
            ("stash", "--quiet"), ("stash", "pop", "--quiet"),
            ("commit", "--quiet", "--all", "--message=By the agent"),
            ("commit", "--quiet", "--message=What is staged"), ("checkout", "--quiet", "-B", branch),
            ("checkout", "--quiet", branch), ("merge", "--quiet", "--no-edit", branch),
            ("merge", branch), ("reset", "--quiet"), ("reset", "--quiet", "--soft", "HEAD~1"),
            ("reset", "--quiet", "--", file), ("cherry-pick", "--no-commit", branch),
            ("revert", "--no-edit", "HEAD"), ("restore", "--staged", "--", file),
            ("checkout", "HEAD", "--", file), ("gc", "--quiet"),
            ("update-index", "--assume-unchanged", "--", file),
            ("update-index", "--skip-worktree", "--", file),
            ("update-index", "--no-assume-unchanged", "--", file),
            ("update-index", "--chmod=+x", "--", file), ("update-index", "--force-untracked-cache"),
            ("update-index", "--index-version", "4"), ("update-index", "--refresh"),
            ("sparse-checkout", "set", "d"), ("sparse-checkout", "disable"),
            ("sparse-checkout", "set", "--no-cone", "/*", "!/src/"), ("sparse-checkout", "reapply"),
            ("tag", "--force", "v1"), ("add", "--renormalize", "."), ("status",), ("clean", "-fdq"),
            ("init", "--quiet", "nested"), ("checkout", "--quiet", "--detach"), ("read-tree", "HEAD"),
        )  # fmt: skip

    # What the steps are made of

    def files(self) -> list[Path]:
        """Return the files of the worktree, in an order of their own."""
        found = []
        for parent, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if name != ".git" and not Path(parent, name).is_symlink()]
            found += [Path(parent, name) for name in names if name != ".git"]
        return sorted(found, key=os.fsencode)

    def place(self) -> Path:
        """Return where a file could be."""
        return self.folder / os.fsdecode(self.random.choice(FOLDERS) + self.random.choice(NAMES))

    def clear(self, path: Path) -> bool:
        """Make room for a file, and tell whether no file is in its way further up."""
        if any(parent.is_symlink() or parent.is_file() for parent in self._above(path)):
            return False
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        return True

    def _above(self, path: Path) -> list[Path]:
        return [parent for parent in path.parents if parent != self.folder and self.folder in parent.parents]

    def write(self, path: Path, content: bytes) -> None:
        """Write a file, unless a file or a link is in its way further up."""
        mode = stat.S_IMODE(path.stat().st_mode) if path.is_file() and not path.is_symlink() else 0o644
        if self.clear(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode)

    def content(self, old: bytes) -> bytes:
        """Return other content, much like the old more often than not."""
        kind = self.random.random()
        if kind < 0.1:
            return b""
        if kind < 0.2:
            text = "".join(self.random.choices("abcé\n", k=9))
            return text.encode(self.random.choice(("utf-16", "utf-16-le", "utf-8-sig", "latin-1")))
        lines = old.splitlines(keepends=True) or self.random.choices(LINES, k=self.random.randint(1, 12))
        at = self.random.randrange(len(lines) + 1)
        lines[at : at + self.random.randint(0, 1)] = self.random.choices(LINES, k=self.random.randint(1, 2))
        if kind < 0.3:
            lines.insert(at, self.random.choice(ODD))
        if kind < 0.4:
            return b"".join(lines).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return b"".join(lines) + (b"one more %d\n" % self.random.randrange(9) if kind < 0.6 else b"")
