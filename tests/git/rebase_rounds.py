"""Random histories of a session and its remote, rebased by git and by the service."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from github_worker.contract import RepositoryUrl
from github_worker.errors import PushConflict
from github_worker.git.rebase import replay
from github_worker.git.repository import Repository
from tests.git.conftest import COMMITTER
from tests.support.repositories import GIT_ENV, git

File = tuple[str, bytes]  # mode and content, for a submodule its commit
Tree = dict[str, File]

_FOLDERS = ("", "a/", "b/", "b/c/", "b/c/d/", "e/", "f-g/", "f/")
_NAMES = ("one.py", "two.py", "three.txt", "Makefile", "a", "b-c", "é x.md", "caf\udce9.txt")
_PARENT = re.compile(rb"^parent .*\n", re.MULTILINE)
_TIME = re.compile(rb"^(committer .*>) \d+ \+0000$", re.MULTILINE)
_WHO = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": COMMITTER.name,
    "GIT_COMMITTER_EMAIL": COMMITTER.email,
    "TZ": "UTC",
}


@dataclass
class Commit:
    """A commit of a history, its parents by their marks."""

    tree: Tree
    parents: list[int]
    message: bytes
    encoding: bytes


@dataclass
class History:
    """Commits in the order in which they are made, and where the branches are (marks begin at 1)."""

    commits: list[Commit] = field(default_factory=list)

    def add(self, tree: Tree, *parents: int, message: bytes = b"", encoding: bytes = b"") -> int:
        """Add a commit and return its mark."""
        mark = len(self.commits) + 1
        self.commits.append(Commit(dict(tree), list(parents), message or b"Commit %d\n" % mark, encoding))
        return mark

    def stream(self, **branches: int) -> bytes:
        """Return what makes the history, with these branches, for `git fast-import`."""
        parts = [line for mark, commit in enumerate(self.commits, 1) for line in _written(mark, commit)]
        parts += [b"reset refs/heads/%s\nfrom :%d\n\n" % (name.encode(), at) for name, at in branches.items()]
        return b"".join(parts)


def _written(mark: int, commit: Commit) -> Iterator[bytes]:
    when = 1_700_000_000 + 60 * mark
    yield b"commit refs/import/%d\nmark :%d\n" % (mark, mark)
    for role in (b"author", b"committer"):
        yield b"%s Eve <eve@example.com> %d +0130\n" % (role, when)
    if commit.encoding:
        yield b"encoding %s\n" % commit.encoding
    yield b"data %d\n%s\n" % (len(commit.message), commit.message)
    for word, parent in zip([b"from", *[b"merge"] * 9], commit.parents, strict=False):
        yield b"%s :%d\n" % (word, parent)
    yield b"deleteall\n"
    for path, (mode, content) in commit.tree.items():
        name = b'"' + b"".join(b"\\%03o" % byte for byte in os.fsencode(path)) + b'"'
        if mode == "160000":
            yield b"M 160000 %s %s\n" % (content, name)
        else:
            yield b"M %s inline %s\ndata %d\n%s\n" % (mode.encode(), name, len(content), content)


@dataclass(frozen=True)
class Round:
    """What became of a history: the commits of each rebase, newest first, or None for a conflict."""

    git: list[bytes] | None
    service: list[bytes] | None
    why: str

    @property
    def outcome(self) -> str:
        """Tell in a word or two how they compare."""
        if self.service is None:
            return "both conflict" if self.git is None else "only the service conflicts"
        if self.git is None:
            return "only git conflicts"
        return "same" if self.git == self.service else "different"


def judge(folder: Path, history: History, base: int, local: int, remote: int) -> Round:
    """Rebase `local` on `remote`, where `base` was when the session was cloned, by git and by the service."""
    origin, theirs, ours = folder / "origin", folder / "git", folder / "service"
    git("init", "--quiet", "--bare", "--template=", "--initial-branch=main", origin)
    git(
        "--git-dir",
        origin,
        "fast-import",
        "--quiet",
        stdin=history.stream(main=base, local=local, remote=remote),
    )
    git("init", "--quiet", "--template=", "--initial-branch=main", theirs)
    git("-C", theirs, "remote", "add", "origin", origin)
    git("-C", theirs, "fetch", "--quiet", "origin", "main", "local:refs/heads/main", "--update-head-ok")
    git("-C", theirs, "reset", "--quiet", "--hard")
    git("-C", theirs, "branch", "--quiet", "--set-upstream-to=origin/main")
    shutil.copytree(theirs, ours, symlinks=True)
    git("--git-dir", origin, "update-ref", "refs/heads/main", "refs/heads/remote")
    done = subprocess.run(
        ["git", "-C", theirs, "pull", "--quiet", "--rebase"],
        env=GIT_ENV | _WHO,
        capture_output=True,
        check=False,
    )
    git("-C", ours, "fetch", "--quiet", "origin")
    repository = Repository(ours, RepositoryUrl.parse("https://example.com/o/r"), None, COMMITTER)
    onto = repository.remote_tip("main")
    assert onto
    why = done.stderr.decode(errors="replace")
    try:
        replay(repository, "main", onto)
    except PushConflict as error:
        return Round(None if done.returncode else _made(theirs), None, str(error))
    return Round(None if done.returncode else _made(theirs), _made(ours), why)


def _made(folder: Path) -> list[bytes]:
    """Return the new commits, newest first, byte for byte but for parents and the time of the rebase."""
    commits = git("-C", folder, "rev-list", "--topo-order", "origin/main..main").split()
    objects = [git("-C", folder, "cat-file", "commit", commit.decode()) for commit in commits]
    return [_TIME.sub(rb"\1", _PARENT.sub(b"", commit, count=1), count=1) for commit in objects]


class Maker:
    """Makes histories from a seed, with moves and the like or, if `plain`, without."""

    def __init__(self, seed: int, *, plain: bool = False) -> None:
        self.random = random.Random(seed)  # noqa: S311 — a test's
        self.plain = plain
        self._word = 0

    def round(self) -> tuple[History, int, int, int]:
        """Return a history, and where base, session and remote are in it."""
        history = History()
        tree = {path: self._file() for path in self._paths(self.random.randint(4, 12))}
        first = history.add(_valid(tree))
        base = history.add(self._changed(tree), first) if self._once_in(8) else first
        tree = dict(history.commits[base - 1].tree)
        shared = self._changed(tree) if self._once_in(6) else None
        remote = self._line(history, first if self._once_in(20) else base, shared)
        local = self._line(history, base, shared)
        if self._once_in(8):
            local = self._merged(history, local, self._line(history, base, None))
            local = self._line(history, local, None) if self._once_in(2) else local
        return history, base, local, remote

    def _once_in(self, times: int) -> bool:
        return self.random.randrange(times) == 0

    def _line(self, history: History, start: int, shared: Tree | None) -> int:
        tip = start
        for _ in range(self.random.randint(1, 3)):
            tree = history.commits[tip - 1].tree
            if shared is not None and self._once_in(2):
                before = history.commits[start - 1].tree
                tree, shared = _overlay(tree, before, shared), None
            else:
                tree = dict(tree) if self._once_in(15) else self._changed(tree)
            tip = history.add(tree, tip, message=self._message())
        return tip

    def _merged(self, history: History, one: int, other: int) -> int:
        base, tree = history.commits[0].tree, history.commits[one - 1].tree
        return history.add(_overlay(tree, base, history.commits[other - 1].tree), one, other)

    def _message(self) -> bytes:
        texts = (
            b"",
            b"Say it\n",
            b"No newline",
            b"\n \nLate\n\nbody  \n\n\n",
            b"caf\xe9 \xff\n",
            b"# x\n\n\n#y\n",
        )
        return self.random.choice(texts)

    def _paths(self, count: int) -> list[str]:
        every = [folder + name for folder in _FOLDERS for name in _NAMES]
        return self.random.sample(every, count)

    def _lines(self, count: int) -> list[bytes]:
        self._word += count
        lines = [b"line %d of this\n" % (self._word - number) for number in range(count)]
        return [b"}\n" if self._once_in(12) else line for line in lines]

    def _file(self) -> File:
        chance = self.random.random()
        if chance < 0.04:
            return "100644", b""
        if chance < 0.08:
            return "120000", b"target %d" % self.random.randrange(3)
        if chance < 0.11:
            return "160000", b"%040x" % self.random.randrange(1, 9)
        if chance < 0.14:
            return "100644", b"the same everywhere\n" * 3
        if chance < 0.17:
            return "100644", b"\0binary %d\n" % self.random.randrange(9) + b"".join(self._lines(4))
        content = b"".join(self._lines(self.random.randint(2, 16)))
        content = content.replace(b"\n", b"\r\n") if self._once_in(15) else content
        return ("100755" if self._once_in(6) else "100644"), content[: -1 if self._once_in(8) else None]

    def _changed(self, before: Tree) -> Tree:
        tree = dict(before)
        steps = [self._edit, self._edit, self._edit, self._add, self._delete, self._retype, self._permit]
        if not self.plain:
            steps += [self._move, self._move, self._move_folder, self._copy, self._to_folder]
        for _ in range(self.random.randint(1, 4)):
            self.random.choice(steps)(tree)
        return _valid(tree)

    def _pick(self, tree: Tree) -> str:
        return self.random.choice(sorted(tree))

    def _edit(self, tree: Tree) -> None:
        if tree:
            path = self._pick(tree)
            tree[path] = self._edited(tree[path])

    def _edited(self, file: File) -> File:
        mode, content = file
        if mode in {"120000", "160000"}:
            return mode, (b"elsewhere" if mode == "120000" else b"%040x" % self.random.randrange(1, 9))
        lines = content.splitlines(keepends=True)
        for _ in range(self.random.choice((1, 1, 2, 5))):
            at = self.random.randint(0, len(lines))
            lines[at : at + self.random.randrange(3)] = self._lines(self.random.randrange(3))
        return mode, b"".join(lines)

    def _add(self, tree: Tree) -> None:
        tree[self._paths(1)[0]] = self._file()

    def _delete(self, tree: Tree) -> None:
        if len(tree) > 1:
            del tree[self._pick(tree)]

    def _retype(self, tree: Tree) -> None:
        if tree and self._once_in(2):
            tree[self._pick(tree)] = self.random.choice([("120000", b"there"), self._file()])

    def _permit(self, tree: Tree) -> None:
        regular = {path for path in sorted(tree) if tree[path][0].startswith("100")}
        if regular:
            path = self.random.choice(sorted(regular))
            tree[path] = ("100644" if tree[path][0] == "100755" else "100755"), tree[path][1]

    def _move(self, tree: Tree) -> None:
        if tree:
            old = self._pick(tree)
            folder, _, name = old.rpartition("/")
            new = self.random.choice(
                (self._paths(1)[0], f"{self.random.choice(_FOLDERS)}{name}", f"{folder}/new")
            )
            file = tree.pop(old)
            tree[new.lstrip("/")] = self._edited(file) if self._once_in(2) else file

    def _move_folder(self, tree: Tree) -> None:
        old = self.random.choice(_FOLDERS[1:])
        new = self.random.choice((*_FOLDERS, "moved/", "b/moved/"))
        for path in [path for path in tree if path.startswith(old)]:
            if not self._once_in(8):
                file = tree.pop(path)
                tree[new + path.removeprefix(old)] = self._edited(file) if self._once_in(4) else file

    def _copy(self, tree: Tree) -> None:
        if tree:
            tree[self._paths(1)[0]] = self._edited(tree[self._pick(tree)])

    def _to_folder(self, tree: Tree) -> None:
        if tree:
            path = self._pick(tree)
            file = tree.pop(path)
            tree[f"{path}/{self.random.choice(_NAMES)}"] = file if self._once_in(2) else self._file()


def _overlay(tree: Tree, before: Tree, after: Tree) -> Tree:
    """Do to a tree what was done from `before` to `after`."""
    changed = {path for path in before | after if before.get(path) != after.get(path)}
    kept = {path: file for path, file in tree.items() if path not in changed}
    return _valid(kept | {path: after[path] for path in changed if path in after})


def _valid(tree: Tree) -> Tree:
    """Drop the files that are where another one's folder is, and leave at least one."""
    folders = {path[:at] for path in tree for at, letter in enumerate(path) if letter == "/"}
    return {path: file for path, file in tree.items() if path not in folders} or {"last": ("100644", b"x\n")}
