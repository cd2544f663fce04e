"""The judge of sync-branch, switch-branch and inspect-session, by the rule of `judge.py`.

For sync-branch git fetches the base, then merges or rebases. What is staged git refuses to merge over,
wherever it is; the service carries it where nothing else touches it. So git unstages it first, and stages it
again.
"""

from __future__ import annotations

import os
from typing import Any

from tests.fidelity import judge
from tests.fidelity.arena import Arena, Git
from tests.fidelity.judge import Sides, Verdict
from tests.fidelity.snapshot import Difference, files, index, tree, unpack_status


async def judge_sync(arena: Arena, allowed: str = "", **fields: Any) -> Verdict:
    """Bring main into the session's branch on both sides."""
    sides = Sides(arena)
    verdict = await judge._serve(arena, arena.runner.sync(**fields))
    git = sides.git()
    base = fields.get("base", "main")
    git("fetch", "--quiet", "origin", f"+refs/heads/{base}:refs/remotes/origin/{base}")
    before = files(git.folder)
    is_rebase = fields.get("method") == "rebase"
    verdict.refused = _rebase(git, base) if is_rebase else _merge(git, base)
    is_conflict = git.try_("rev-parse", "--verify", "MERGE_HEAD").returncode == 0
    if verdict.error is not None:
        if is_conflict and fields.get("leave_conflicts"):
            verdict.refused = ""
        verdict.differences = judge._refusal(verdict, allowed) + sides.touched()
        return verdict
    if verdict.refused and not is_conflict:
        verdict.differences = [f"git refused, and the service did not: {verdict.refused}"]
        return verdict
    if verdict.result.outcome == "up-to-date":
        verdict.differences = sides.touched()
        return verdict
    found = sides.compare(git)
    verdict.differences = [str(difference) for difference in found if not _is_as_written(difference, before)]
    return verdict


async def judge_switch(arena: Arena, branch: str, allowed: str = "") -> Verdict:
    """Switch the session's branch on both sides."""
    sides = Sides(arena)
    verdict = await judge._serve(arena, arena.runner.switch(branch=branch))
    git = sides.git()
    before = files(git.folder)
    if git.try_("rev-parse", "--verify", f"refs/heads/{branch}").returncode:
        git("remote", "set-branches", "--add", "origin", branch)
        git.try_("fetch", "--quiet", "origin", branch)
    done = git.try_("switch", "--quiet", branch)
    verdict.refused = os.fsdecode(done.stderr) if done.returncode else ""
    if verdict.error is not None:
        verdict.differences = judge._refusal(verdict, allowed) + sides.touched()
        return verdict
    if verdict.refused:
        verdict.differences = [f"git refused, and the service did not: {verdict.refused}"]
        return verdict
    if not verdict.result.switched:
        verdict.differences = sides.touched()
        return verdict
    found = [difference for difference in sides.compare(git) if difference.key != "remote.origin.fetch"]
    verdict.differences = [str(difference) for difference in found if not _is_as_written(difference, before)]
    return verdict


async def judge_inspection(arena: Arena) -> Verdict:
    """Look at the session on both sides."""
    sides = Sides(arena)
    verdict = await judge._serve(arena, arena.runner.inspect(patch_bytes=1_000_000))
    verdict.differences = sides.touched()
    if verdict.error is not None:
        verdict.differences += judge._refusal(verdict, "")
        return verdict
    git, result = sides.git(), verdict.result
    # Of a file that is not in its encoding git compares what other conversions make of it.
    said = git.try_("status", "--porcelain").stderr.decode(errors="replace")
    is_sparse = git.try_("config", "--bool", "core.sparseCheckout").stdout == b"true\n"
    ours = sorted((change.status, change.path) for change in result.changes)
    theirs = sorted(
        (status, os.fsencode(path).decode(errors="replace")) for status, path in unpack_status(git)
    )
    alone = [one for one in set(ours) - set(theirs) if f"'{one[1]}'" not in said]
    verdict.differences += [f"status: {one} is the service's alone" for one in alone]
    verdict.differences += [f"status: {one} is git's alone" for one in set(theirs) - set(ours)]
    counts = {change.path: _count(change) for change in result.changes}
    for line in os.fsdecode(git("diff", "--numstat", "--no-renames", "-z", "HEAD")).split("\0")[:-1]:
        new, gone, path = line.split("\t", 2)
        path = os.fsencode(path).decode(errors="replace")
        if ("??", path) in ours:  # git counts it as gone, and it would be committed as it is
            continue
        if is_sparse and counts.get(path) == ("0", "0"):  # a commit would leave it out
            continue
        if counts.get(path) != (new, gone):
            verdict.differences.append(f"counts of {path!a}: {counts.get(path)}, git has {(new, gone)}")
    unpushed = git.lines("rev-list", "HEAD", "--not", "--remotes=origin")
    if sorted(unpushed) != sorted(commit.commit for commit in result.unpushed):
        verdict.differences.append(f"unpushed: {result.unpushed}, git has {unpushed}")
    return verdict


def _count(change: Any) -> tuple[str, str]:
    return ("-", "-") if change.binary else (str(change.insertions), str(change.deletions))


def _merge(git: Git, base: str) -> str:
    """Merge, and return what git complains of; it leaves a conflict in the worktree."""
    done = git.try_("merge", "--no-edit", "--quiet", f"origin/{base}")
    is_begun = git.try_("rev-parse", "--verify", "MERGE_HEAD").returncode == 0
    if done.returncode and not is_begun and (staged := _list_staged(git)):
        git("reset", "--quiet")
        done = git.try_("merge", "--no-edit", "--quiet", f"origin/{base}")
        if done.returncode == 0 or git.try_("rev-parse", "--verify", "MERGE_HEAD").returncode == 0:
            for path, entries in staged.items():
                judge._restore(git, path, entries)
    return os.fsdecode(done.stdout + done.stderr) if done.returncode else ""


def _rebase(git: Git, base: str) -> str:
    done = git.try_("rebase", "--quiet", "--autostash", f"origin/{base}")
    if done.returncode:
        git.try_("rebase", "--abort")
    return os.fsdecode(done.stdout + done.stderr) if done.returncode else ""


def _list_staged(git: Git) -> dict[str, dict[str, str]]:
    """Return the entries of the index that are not as in HEAD, by path."""
    entries, head = index(git), tree(git)
    paths = {key.rpartition(" ")[0] for key in entries} | head.keys()
    found = {}
    for path in paths:
        mode, _, oid = head.get(path, "").replace(" blob ", " ").replace(" commit ", " ").partition(" ")
        if entries.get(f"{path} 0", "").split()[:2] != [part for part in (mode, oid) if part]:
            found[path] = {f"{path} 0": entries[f"{path} 0"]} if f"{path} 0" in entries else {}
    return found


def _is_as_written(difference: Difference, before: dict[str, str]) -> bool:
    """Tell whether a file is as the session had it, where git wrote the same content anew.

    Or a folder that was empty is gone, which git leaves where all its files were gone before.
    """
    if difference.aspect == "files" and (difference.ours, difference.theirs) == (None, "a folder"):
        return True
    return difference.aspect == "files" and difference.ours == before.get(difference.key) is not None
