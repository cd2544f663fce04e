"""Rebasing: the branch's commits are made again on the remote's, with the trees of `git pull --rebase`."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pygit2
from pygit2.enums import SortMode

from github_worker.errors import PushConflict
from github_worker.git.checkout import check_out
from github_worker.git.merge import MergeUncertain, merge_trees, name_paths
from github_worker.git.repository import Repository

_SPACES = b" \t\r\n"
_NO_COMMIT = "0" * 40
_SIGNED = b"\ngpgsig "
_Patch = tuple[object, ...]
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_BLANK_LINES = re.compile(rb"\A(?:[ \t\n\v\f\r]*\n)*")


def replay(repository: Repository, branch: str, onto: str) -> str:
    """Put the branch's own commits on top of `onto`, with index and files; return the new tip.

    A commit that is there already (made by an earlier try whose outcome was lost) is not made again.
    Raises PushConflict, with nothing moved, where git would, and where what git does is not certain.
    """
    fork_point = find_fork_point(repository, branch, onto)
    tip = rewrite(repository, branch, onto, since=fork_point)
    check_out(repository, tip)
    repository.set_branch(branch, tip, "rebase: finished")
    return tip


def rewrite(repository: Repository, branch: str, onto: str, *, since: str | None = None) -> str:
    """Make the branch's own commits again on top of `onto`, and return the tip; nothing is moved.

    They are those that `since`, or else `onto`, has not. Raises PushConflict.
    """
    tip = onto
    for commit in _list_missing(repository, branch, onto, since or onto):
        tip = _pick(repository, commit, tip)
    return tip


def is_rewritten(repository: Repository, tip: str, other: str, onto: str) -> bool:
    """Tell whether two lines of commits on `onto` differ in nothing but when they were put there."""
    one, two = ([_key(commit) for commit in _walk(repository, end, onto)] for end in (tip, other))
    return one == two and repository.is_ancestor(onto, other)


def _key(commit: pygit2.Commit) -> tuple[object, ...]:
    author = commit.author
    who = (author.raw_name, author.raw_email, author.time, author.offset)
    return str(commit.tree.id), who, commit.raw_message


def list_lost_signatures(repository: Repository, before: str, tip: str) -> list[str]:
    """Return the commits of `before` that `tip` has no more, of those that another key had signed."""
    signer = repository.committer.signer
    walker = repository.libgit2.walk(before)
    walker.hide(tip)
    headers = ((str(commit.id), commit.read_raw().partition(b"\n\n")[0]) for commit in walker)
    signatures = [(oid, signature) for oid, header in headers if (signature := header.partition(_SIGNED)[2])]
    return [oid for oid, signature in signatures if signer is None or not signer.has_signed(signature)]


def _pick(repository: Repository, commit: pygit2.Commit, onto: str) -> str:
    """Make a commit again on top of `onto`; one that changes nothing any more is left out."""
    base, head = _parent_tree(repository, commit), repository.tree(onto)
    if commit.tree.id == base.id:
        tree = head.id
    else:
        tree = _merge(repository, base, head, commit.tree)
        if tree == head.id:
            return onto
    made = _copy_commit(commit.read_raw(), str(tree), onto, repository.committer.stamp())
    return repository.write_commit(made.decode())


def _merge(repository: Repository, base: pygit2.Tree, head: pygit2.Tree, side: pygit2.Tree) -> pygit2.Oid:
    try:
        merged = merge_trees(repository, base, head, side)
    except MergeUncertain as error:
        raise PushConflict(str(error)) from error
    if merged.conflicts:
        raise PushConflict(f"The remote changed the same lines: {name_paths(merged.paths)}")
    return merged.tree


def _list_missing(repository: Repository, branch: str, onto: str, since: str) -> list[pygit2.Commit]:
    """Return the branch's commits to put on top of `onto`, oldest first.

    Merges are left out, what they merged is not; so is what `onto` has as a commit of its own that changes
    the same, and what the remote's branch had once and dropped.
    """
    tip = repository.tip(branch)
    if tip is None:
        return []
    commits = list(_walk(repository, tip, since))
    applied = _find_applied(repository, commits, _walk(repository, since, tip))
    return [commit for commit in commits if commit.id not in applied]


def _parent_tree(repository: Repository, commit: pygit2.Commit) -> pygit2.Tree:
    """Return the tree that a commit changed, an empty one for the first."""
    return commit.parents[0].tree if commit.parents else repository.tree(None)


def _walk(repository: Repository, tip: str, hidden: str) -> Iterator[pygit2.Commit]:
    walker = repository.libgit2.walk(tip, SortMode.TOPOLOGICAL | SortMode.REVERSE)
    walker.hide(hidden)
    return (commit for commit in walker if len(commit.parent_ids) < 2)


def find_fork_point(repository: Repository, branch: str, onto: str) -> str | None:
    """Return where the branch left the remote's one, if that has dropped the commit since.

    The reference log knows what the remote's branch was at; its last entry is the fetch of `onto`.
    """
    tip = repository.tip(branch)
    seen = [oid for oid in _read_history(repository, branch, onto) if oid in repository.libgit2]
    if tip is None or not seen:
        return None
    base = repository.libgit2.merge_base_many([tip, *seen])
    point = None if base is None else str(base)
    return point if point in seen and not repository.is_ancestor(point, onto) else None


def _read_history(repository: Repository, branch: str, onto: str) -> list[str]:
    """Return what the remote's branch was at before `onto` was fetched."""
    reference = repository.libgit2.references.get(f"refs/remotes/origin/{branch}")
    log = list(reference.log()) if reference else []
    if not log:
        return []
    fetched = str(log[0].oid_new) == onto
    oids = [str(entry.oid_new) for entry in log[fetched:]] + [str(log[-1].oid_old)]
    return [oid for oid in dict.fromkeys(oids) if oid != _NO_COMMIT]


def _find_applied(
    repository: Repository, commits: list[pygit2.Commit], others: Iterator[pygit2.Commit]
) -> set[pygit2.Oid]:
    """Return the commits whose change is that of one of the others, apart from spaces and line numbers."""
    diffs = [(commit.id, _diff_commit(repository, commit)) for commit in commits]
    waiting = [(oid, diff, _sketch(diff)) for oid, diff in diffs if len(diff)]
    sizes = {len(diff) for _, diff, _ in waiting}
    found: set[pygit2.Oid] = set()
    for other in others if waiting else ():
        diff = _diff_commit(repository, other)
        if len(diff) in sizes and (alike := [one for one in waiting if one[2] == _sketch(diff)]):
            patches = _identify(diff)
            found |= {oid for oid, one, _ in alike if _identify(one) == patches}
    return found


def _diff_commit(repository: Repository, commit: pygit2.Commit) -> pygit2.Diff:
    return _parent_tree(repository, commit).diff_to_tree(commit.tree)


def _sketch(diff: pygit2.Diff) -> list[_Patch]:
    return [
        (_squeeze(delta.new_file.raw_path), int(delta.old_file.mode), int(delta.new_file.mode))
        for delta in diff.deltas
    ]


def _identify(diff: pygit2.Diff) -> list[_Patch]:
    """Return what identifies a change, as patch-ids.c and `diff_get_patch_id` do: lines without spaces."""
    return [_identify_patch(patch) for patch in diff if patch is not None]


def _identify_patch(patch: pygit2.Patch) -> _Patch:
    delta = patch.delta
    if delta.is_binary:
        return delta.old_file.id, delta.new_file.id
    lines = (line for hunk in patch.hunks for line in hunk.lines if line.origin in " +-")
    return (_squeeze(b"".join(line.origin.encode() + line.raw_content for line in lines)),)


def _squeeze(text: bytes) -> bytes:
    return text.translate(None, _SPACES)


def _copy_commit(raw: bytes, tree: str, parent: str, committer: bytes) -> bytes:
    """Return the object that has the author and the message of the commit `raw`, in UTF-8.

    Signatures and other headers are of the old commit and stay behind, as do blank lines before the message.
    """
    header, _, message = _to_utf8(raw).partition(b"\n\n")
    author = next(line for line in header.split(b"\n") if line.startswith(b"author "))
    head = [f"tree {tree}".encode(), f"parent {parent}".encode(), author, b"committer " + committer, b"", b""]
    return b"\n".join(head) + _BLANK_LINES.sub(b"", message.partition(b"\0")[0])


def _to_utf8(raw: bytes) -> bytes:
    """Convert from the encoding that the commit names; what is not UTF-8 then is taken for Latin-1."""
    encoding = re.search(rb"^encoding (.+)$", raw.partition(b"\n\n")[0], re.MULTILINE)
    try:
        text = raw.decode(encoding[1].decode() if encoding else "utf-8")
    except (LookupError, UnicodeDecodeError):
        text = raw.decode("utf-8", "surrogateescape")
    return _NOT_UTF8.sub(lambda found: chr(ord(found[0]) - 0xDC00), text).encode()
