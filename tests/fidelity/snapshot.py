"""All of a repository that must come out as git leaves it, so that two of them can be laid side by side."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fidelity.arena import Git

Facts = dict[str, dict[str, str]]  # by aspect, then by what it is a fact of
_ENTRY = re.compile(
    rb"(\d{6}) ([0-9a-f]+) (\d)\t([^\0]+)\0  ctime: .*\n  mtime: .*\n  dev: .*\n  uid: .*\n"
    rb"  size: \d+\tflags: ([0-9a-f]+)\n"
)
_FLAGS = {0x8000: "assume-unchanged", 1 << 29: "intent-to-add", 1 << 30: "skip-worktree"}
_FIELDS = "%H %P%x00%an <%ae>%x00%cn <%ce>%x00%B%x01"
_UNFINISHED = (
    *("MERGE_HEAD", "MERGE_MSG", "MERGE_MODE", "CHERRY_PICK_HEAD", "REVERT_HEAD", "SQUASH_MSG"),
    *("rebase-merge", "rebase-apply", "sequencer", "index.lock", "HEAD.lock"),
)
_RULES = ("config.worktree", "info/exclude", "info/attributes", "info/sparse-checkout", "info/grafts")


def commits(*gits: Git) -> set[str]:
    """Return the ids of all commits that the refs of repositories reach."""
    return {line for git in gits for line in git.try_("rev-list", "--all").stdout.decode().splitlines()}


def tree(git: Git, revision: str = "HEAD") -> dict[str, str]:
    """Return mode and object of every file of a commit; those of none are none."""
    done = git.try_("ls-tree", "-r", "-z", "--full-tree", revision)
    entries = (entry.partition("\t") for entry in os.fsdecode(done.stdout).split("\0")[:-1])
    return {path: entry for entry, _, path in entries}


def index(git: Git) -> dict[str, str]:
    """Return mode, object, stage and flags of every entry of the index."""
    found = _ENTRY.finditer(git.try_("ls-files", "-z", "--stage", "--debug").stdout)
    return {
        f"{os.fsdecode(entry[4])} {entry[3].decode()}": " ".join(
            (entry[1].decode(), entry[2].decode(), _flags(entry[5]))
        )
        for entry in found
    }


def _flags(word: bytes) -> str:
    return " ".join(name for bit, name in _FLAGS.items() if int(word, 16) & bit)


def snapshot(git: Git, remote: Git, known: set[str]) -> Facts:
    """Describe a repository and its remote; commits beyond the `known` ones go by order, not by id."""
    worktree = files(git.folder)  # first of all: git refreshes what it looks at
    names, log = _log(git, remote, known)
    return {
        "tree": tree(git),
        "commits": log,
        "refs": _refs(git, names) | {"HEAD": os.fsdecode(git.try_("symbolic-ref", "HEAD").stdout).strip()},
        "remote": _refs(remote, names),
        "index": index(git),
        "status": _status(git, names),
        "config": _config(git),
        "files": worktree,
        "git": dict(_git_files(git.folder / ".git", names)),
        "fsck": dict.fromkeys(_fsck(git), "said"),
    }


@dataclass(frozen=True)
class Difference:
    """A fact in which the service's repository differs from git's."""

    aspect: str
    key: str
    ours: str | None
    theirs: str | None

    def __str__(self) -> str:
        return f"{self.aspect}: {self.key!a}: the service has {self.ours!a}, git has {self.theirs!a}"


def compare(ours: Facts, theirs: Facts) -> list[Difference]:
    """Return every fact in which two repositories differ."""
    return [
        Difference(aspect, key, ours[aspect].get(key), theirs[aspect].get(key))
        for aspect in theirs
        for key in sorted(ours[aspect].keys() | theirs[aspect].keys())
        if ours[aspect].get(key) != theirs[aspect].get(key)
    ]


def _log(git: Git, remote: Git, known: set[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the names of the commits that are new, and what each says, by its name."""
    texts = {}
    for side, revisions in ((git, ("HEAD", "--all")), (git, ("--all",)), (remote, ("--all",))):
        done = side.try_("log", "--topo-order", "--reverse", f"--format={_FIELDS}", *revisions)
        for text in os.fsdecode(done.stdout).split("\x01\n")[:-1]:
            commit, _, rest = text.partition(" ")
            if commit not in known:
                texts[commit] = rest
    names = {commit: f"new commit {number}" for number, commit in enumerate(texts, 1)}
    return names, {names[commit]: _renamed(text, names) for commit, text in texts.items()}


def _renamed(text: str, names: dict[str, str]) -> str:
    return re.sub(r"\b[0-9a-f]{40}\b", lambda match: names.get(match[0], match[0]), text)


def _refs(git: Git, names: dict[str, str]) -> dict[str, str]:
    lines = git.lines("for-each-ref", "--format=%(refname) %(objectname) %(symref)")
    return {name: _renamed(rest, names) for name, _, rest in (line.partition(" ") for line in lines)}


def _status(git: Git, names: dict[str, str]) -> dict[str, str]:
    done = git.try_("status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all")
    words = _renamed(os.fsdecode(done.stdout), names)
    return dict.fromkeys(filter(None, words.split("\0")), "said")


def _config(git: Git) -> dict[str, str]:
    entries = os.fsdecode(git.try_("config", "--local", "--list", "-z").stdout).split("\0")[:-1]
    values: dict[str, str] = {}
    for key, _, value in (entry.partition("\n") for entry in entries):
        values[key] = f"{values[key]}\n{value}" if key in values else value
    return values


def _fsck(git: Git) -> list[str]:
    done = git.try_("fsck", "--strict", "--no-dangling", "--no-progress")
    return os.fsdecode(done.stdout + done.stderr).splitlines()


def files(folder: Path) -> dict[str, str]:
    """Return type, mode and content of all that is in a worktree, its own .git aside."""
    return {str(path.relative_to(folder)): _file(path) for path in _walk(folder)}


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        if Path(parent) == folder and ".git" in folders:
            folders.remove(".git")
        found = (Path(parent, name) for name in (*folders, *names))
        yield from (path for path in found if path.parts[-2:] != (".git", "index"))  # which git refreshes


def _file(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"a link to {os.readlink(path)}"
    if stat.S_ISDIR(mode):
        return "a folder"
    content = path.read_bytes() if stat.S_ISREG(mode) else b""
    shown = repr(content) if len(content) < 80 else hashlib.sha256(content).hexdigest()
    return f"{mode:o} {len(content)} {shown}"


def _git_files(git: Path, names: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name in _UNFINISHED:
        if os.path.lexists(git / name):
            yield name, "there"
    for name in _RULES:
        if (git / name).is_file() and (lines := _rules(git / name)):
            yield name, lines
    if (git / "shallow").is_file():
        yield "shallow", " ".join(_sorted((git / "shallow").read_text().split(), names))


def _rules(file: Path) -> str:
    """Return a file's lines without comments, of which templates are made."""
    return "\n".join(line for line in os.fsdecode(file.read_bytes()).split("\n") if not line.startswith("#"))


def _sorted(words: Iterable[str], names: dict[str, str]) -> list[str]:
    return sorted(names.get(word, word) for word in words)


def unpack_status(git: Git) -> list[tuple[str, str]]:
    """Return the two letters and the path of all that `git status` tells, submodules aside."""
    command = ("--porcelain", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=all")
    lines = os.fsdecode(git("status", *command)).split("\0")
    return [(line[:2], line[3:]) for line in lines if line]
