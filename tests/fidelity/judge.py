"""The judge: git's command line does the same work in a copy of the same session, and the two are compared.

The rule. What git does without complaint the service does too, to the last bit of `snapshot`, but for two
things that it may do and must say. It may refuse: an error of `ALLOWED`, or one that the case allows, after
which session and remote are as they were; `internal` is never one. And it may leave paths out: each is named
in a warning, and the commit is the one that git makes with the index's old entries of those paths. Where git
itself refuses, or refuses paths, the service refuses with any error but `internal`, or it leaves those paths
out in the same way. A rebase may end as a conflict where git's does not, never in another tree.
"""

from __future__ import annotations

import os
import re
import shutil
import traceback
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from github_worker.contract import Author
from github_worker.errors import Internal, JobError
from tests.fidelity.arena import AUTHOR, COMMITTER, NAME, WORKTREE, Arena, Git, unpack
from tests.fidelity.snapshot import Difference, commits, compare, files, index, snapshot, tree

MESSAGE = "Change what there is\n\nAs the agent left it."
# What the service does not do, by its code and its words, in whatever session it is met.
ALLOWED = (
    r"unsupported_repository: HEAD is detached",
    r"unsupported_repository: A rebase or bisect is in progress",
    r"unsupported_repository: .*(split index|sparse index|extension)",
    r"unsupported_repository: .* has the attribute filter=",
    r"unsupported_repository: .* begins with a vertical tab",
)


@dataclass
class Verdict:
    """What came of it: no `differences` means that git agrees, `refused` is what git would not do."""

    differences: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    result: Any = None
    error: JobError | None = None
    refused: str = ""

    def __str__(self) -> str:
        lines = [f"git refused: {self.refused}"] if self.refused else []
        lines += [f"the service warned: {warning!a}" for warning in self.warnings]
        return "\n".join(("git does not agree", *self.differences, *lines))


class Sides:
    """The service's outcome and git's, each in a folder with a remote of its own."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.root = arena.root / "judge"
        shutil.rmtree(self.root, ignore_errors=True)
        self.archive = arena.get()
        self.before = self.root / "before.git"
        shutil.copytree(arena.remote.path, self.before, symlinks=True)
        self.known: set[str] = commits(Git(self.before))

    def git(self) -> Git:
        """Lay the session out for git, with a remote of its own."""
        remote = self.root / "remote.git"
        shutil.rmtree(remote, ignore_errors=True)
        shutil.copytree(self.before, remote, symlinks=True)
        if self.archive is not None:
            folder = unpack(self.archive, self.root / "git")
        else:
            folder = self.root / "git" / WORKTREE
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        git = Git(folder, COMMITTER, {f"url.file://{remote}.insteadOf": self.arena.remote.url})
        if self.archive is not None:
            self.known |= commits(git)
        return git

    def service(self) -> Git:
        """Lay out what the service saved."""
        archive = self.arena.get()
        assert archive is not None, "the service saved no session"
        return Git(unpack(archive, self.root / "service"), COMMITTER)

    def compare(self, git: Git) -> list[Difference]:
        """Return in what the two differ, both of them copies, where no file is clean by its inode alone."""
        folder = self.root / "copy" / NAME
        shutil.rmtree(folder.parent, ignore_errors=True)
        shutil.copytree(git.folder, folder, symlinks=True)
        git = Git(folder, COMMITTER)
        ours = snapshot(self.service(), Git(self.arena.remote.path), self.known)
        return compare(ours, snapshot(git, Git(self.root / "remote.git"), self.known))

    def touched(self) -> list[str]:
        """Return what a job that was refused changed all the same."""
        lines = [] if self.arena.get() == self.archive else ["the session was saved in spite of the error"]
        before, after = (Git(path).lines("for-each-ref") for path in (self.before, self.arena.remote.path))
        return lines + ([] if before == after else [f"the remote moved in spite of the error: {after}"])


async def judge_commit(arena: Arena, allowed: str = "", paths: tuple[str, ...] | None = None) -> Verdict:
    """Commit and push the session on both sides, or `paths` alone; `allowed` is the pattern of a refusal."""
    sides = Sides(arena)
    verdict = await _serve(arena, arena.runner.commit(message=MESSAGE, author=Author(*AUTHOR), paths=paths))
    git = sides.git()
    staged = index(git)
    verdict.refused = commit(git) if paths is None else commit_paths(git, paths)
    if silence := _silence(verdict):
        verdict.differences = silence
        return verdict
    if verdict.error is not None:
        verdict.differences = _refusal(verdict, allowed) + sides.touched()
        return verdict
    left_out = _left_out(verdict, sides.service(), git)
    if left_out:
        git, old = sides.git(), dict.fromkeys(left_out, staged)
        _ = commit(git, old) if paths is None else commit_paths(git, paths, old)
    pulled = _push(git, pull=not _is_conflict(verdict))
    found = sides.compare(git)
    if pulled:
        written = unpack(sides.archive or b"", sides.root / "written")
        found = [difference for difference in found if not _is_as_written(difference, files(written))]
    if (
        verdict.result.skipped
    ):  # nothing was to be committed, and nothing is saved: what was staged stays staged
        found = [difference for difference in found if difference.aspect not in {"index", "status"}]
    verdict.differences = [*map(str, found)]
    return verdict


def _is_as_written(difference: Difference, written: dict[str, str]) -> bool:
    """Tell whether a file is as the session had it, where git's rebase wrote the same content anew."""
    return difference.aspect == "files" and difference.ours == written.get(difference.key) is not None


async def judge_clone(arena: Arena, allowed: str = "", **fields: Any) -> Verdict:
    """Clone the remote on both sides; `allowed` is the pattern of a refusal."""
    sides = Sides(arena)
    verdict = await _serve(arena, arena.runner.clone(arena.remote.url, **fields))
    git = sides.git()
    done = git.try_(*_clone_command(arena, fields))
    verdict.refused = os.fsdecode(done.stderr) if done.returncode else ""
    if verdict.error is not None:
        verdict.differences = _refusal(verdict, allowed) + sides.touched()
        return verdict
    found = sides.compare(git)
    if not arena.remote.branches():  # of an empty repository git forgets to fetch the one branch
        found = [difference for difference in found if difference.key != "remote.origin.fetch"]
    found = [difference for difference in found if not _is_named(difference.key, verdict.warnings)]
    verdict.differences = [*map(str, found), *_silence(verdict)]
    return verdict


def _silence(verdict: Verdict) -> list[str]:
    if verdict.refused and not verdict.warnings and verdict.error is None:
        return ["git refused, and the service neither refused nor warned"]
    return []


def _clone_command(arena: Arena, fields: dict[str, Any]) -> list[str]:
    command = ["clone", "--quiet", "--template=", arena.remote.url, "."]
    single = arena.remote.branches() and not fields.get("all_branches")
    command.append("--single-branch" if single else "--no-single-branch")
    if fields.get("branch") in arena.remote.branches():
        command.append(f"--branch={fields['branch']}")
    if fields.get("depth"):
        command.append(f"--depth={fields['depth']}")
    return command


async def _serve(arena: Arena, job: Awaitable[Any]) -> Verdict:
    verdict = Verdict()
    try:
        verdict.result = await job
    except JobError as error:
        verdict.error = error
    except Exception as error:  # as the stream would call it
        verdict.error = Internal("".join(traceback.format_exception(error)[-4:]))
    verdict.warnings = arena.warnings()
    return verdict


def _refusal(verdict: Verdict, allowed: str) -> list[str]:
    error = verdict.error
    assert error is not None
    words = f"{error.code}: {error}"
    is_allowed = any(re.match(pattern, words) for pattern in (*ALLOWED, *filter(None, [allowed])))
    if not isinstance(error, Internal) and (verdict.refused or is_allowed):
        return []
    return [f"the service refused, with {words!a}"]


def commit(git: Git, left_out: dict[str, dict[str, str]] | None = None) -> str:
    """Commit all there is, with some paths as they were in the index, and return what git complains of."""
    refused = ""
    done = git.try_("add", "--all")
    if done.returncode:
        refused = os.fsdecode(done.stderr)
        git.try_("add", "--all", "--ignore-errors")
    for path, staged in (left_out or {}).items():
        _restore(git, path, staged)
    name, email = AUTHOR
    done = git.try_("commit", "--quiet", f"--author={name} <{email}>", f"--message={MESSAGE}")
    if done.returncode and not re.search(rb"nothing (added )?to commit", done.stdout):
        refused += os.fsdecode(done.stdout + done.stderr)
    return refused


def commit_paths(git: Git, paths: tuple[str, ...], left_out: dict[str, dict[str, str]] | None = None) -> str:
    """Commit some paths alone, by their names, as `commit` does, and return what git complains of."""
    # `commit` wants to have heard of new files before; `add` would look at the others too.
    others = ("--literal-pathspecs", "ls-files", "-z", "--others", "--exclude-standard", "--")
    for new in git(*others, *paths).split(b"\0")[:-1]:
        git.try_("--literal-pathspecs", "add", "--intent-to-add", "--", new)
    for path, staged in (left_out or {}).items():
        _restore(git, path, staged)
    name, email = AUTHOR
    who = (f"--author={name} <{email}>", f"--message={MESSAGE}")
    done = git.try_("--literal-pathspecs", "commit", "--quiet", "--only", *who, "--", *paths)
    if done.returncode and not re.search(rb"nothing (added )?to commit|no changes added", done.stdout):
        return os.fsdecode(done.stdout + done.stderr)
    return ""


def _restore(git: Git, path: str, staged: dict[str, str]) -> None:
    lines = [f"0 {'0' * 40}\t{path}\0"]
    for stage in "0123":
        if entry := staged.get(f"{path} {stage}"):
            mode, oid, *_ = entry.split()
            lines.append(f"{mode} {oid} {stage}\t{path}\0")
    git("update-index", "-z", "--index-info", stdin=os.fsencode("".join(lines)))


def _left_out(verdict: Verdict, service: Git, git: Git) -> list[str]:
    """Return the paths whose absence from the service's commit is said in a warning."""
    if _is_conflict(verdict) or (verdict.result.pushed is False and verdict.result.push_error):
        return []
    ours, theirs = tree(service), tree(git)
    return [
        path
        for path in ours.keys() | theirs.keys()
        if ours.get(path) != theirs.get(path) and _is_named(path, verdict.warnings)
    ]


def _is_named(path: str, warnings: list[str]) -> bool:
    raw = os.fsencode(path)
    names = [raw, *(os.fsencode(parent) for parent in Path(path).parents if str(parent) != ".")]
    shown = {shape for name in names for shape in _shapes(name)}
    return any(re.search(rf"(?:^|[\s'\"]){re.escape(name)}(?:$|[\s'\",:;])", text)
               for text in warnings for name in shown)  # fmt: skip


def _shapes(name: bytes) -> set[str]:
    """Return the ways in which a name that need not be text may be shown."""
    text = os.fsdecode(name)
    escaped = {name.decode(errors=how) for how in ("replace", "backslashreplace")}
    return {text, text.encode(errors="backslashreplace").decode(), *escaped}


def _is_conflict(verdict: Verdict) -> bool:
    error = verdict.result.push_error
    return error is not None and error.code == "push_conflict"


def _push(git: Git, *, pull: bool = True) -> bool:
    """Push as git does, and tell whether that took a rebase; a conflict leaves things as they were."""
    branch = os.fsdecode(git.try_("symbolic-ref", "--short", "HEAD").stdout).strip()
    head = git.try_("rev-parse", "--verify", "HEAD^0").stdout
    if not branch or not head or head == git.try_("rev-parse", f"refs/remotes/origin/{branch}^0").stdout:
        return False
    upstream = git.try_("config", f"branch.{branch}.merge").stdout
    push = ["push", "--quiet", *([] if upstream else ["--set-upstream"]), "origin", branch]
    if git.try_(*push).returncode == 0:
        return False
    if pull and git.try_("pull", "--rebase", "--quiet", "origin", branch).returncode == 0:
        git(*push)
        return True
    git.try_("rebase", "--abort")
    git.try_("fetch", "--quiet", "origin")
    return False


async def agree(
    arena: Arena, archive: bytes | None = None, allowed: str = "", paths: tuple[str, ...] | None = None
) -> Verdict:
    """Fail unless the service commits the session (or an archive) as git does, and return the verdict."""
    arena.put(archive or arena.pack())
    verdict = await judge_commit(arena, allowed, paths)
    assert not verdict.differences, verdict
    return verdict


async def agree_on_clone(arena: Arena, **fields: Any) -> Verdict:
    """Fail unless the service clones the remote as git does, and return the verdict."""
    verdict = await judge_clone(arena, **fields)
    assert not verdict.differences, verdict
    return verdict
