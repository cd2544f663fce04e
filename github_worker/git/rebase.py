"""Rebasing: the branch's commits are made again on the remote's, with the trees of `git pull --rebase`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pygit2
from pygit2.enums import DiffOption, FileMode, MergeFlag, SortMode

from github_worker.errors import PushConflict
from github_worker.git import lines
from github_worker.git.attributes import Attributes
from github_worker.git.checkout import check_out
from github_worker.git.renames import REGULAR, Change, Edit, File, Similarity, plan, three_way
from github_worker.git.repository import Repository

_FLAGS = DiffOption.INCLUDE_TYPECHANGE | DiffOption.SKIP_BINARY_CHECK
_NO_RENAMES = MergeFlag(0)
_BINARY_START = 8000  # a NUL within as many bytes makes a file binary
_DRIVER = b"merge"  # the attribute that says how a file is merged
_SHOWN = 10
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
    tip = onto
    for commit in _list_missing(repository, branch, onto):
        tip = _pick(repository, commit, tip)
    check_out(repository, tip)
    repository.set_branch(branch, tip, "rebase: finished")
    return tip


def list_lost_signatures(repository: Repository, before: str, tip: str) -> list[str]:
    """Return the commits of `before` that `tip` has no more, of those that another key had signed."""
    signer = repository.committer.signer
    walker = repository.libgit2.walk(before)
    walker.hide(tip)
    headers = ((str(commit.id), commit.read_raw().partition(b"\n\n")[0]) for commit in walker)
    signatures = [(oid, signature) for oid, header in headers if (signature := header.partition(_SIGNED)[2])]
    return [oid for oid, signature in signatures if signer is None or not signer.has_signed(signature)]


class _Merge:
    """A merge of what two sides made of one tree."""

    def __init__(
        self, repository: Repository, base: pygit2.Tree, remote: pygit2.Tree, local: pygit2.Tree
    ) -> None:
        self._repository = repository
        self._libgit2 = repository.libgit2
        self._head = remote
        self._trees = [base, remote, local]
        self._edits = _edits(base, remote), _edits(base, local)

    def tree(self) -> pygit2.Oid:
        """Return the merged tree; raise PushConflict where there is none or it is not certain."""
        remote, local = (_to_change(*pair) for pair in zip(self._edits, self._trees[1:], strict=True))
        decided = plan(remote, local, Similarity(self._blob).compare)
        if decided.clashes:
            raise _conflict("Files were moved, deleted or replaced on both sides", decided.clashes)
        if decided.remote or decided.local:
            self._follow(decided.remote, decided.local)
        return self._merge()

    def _follow(self, remote_moves: dict[str, str], local_moves: dict[str, str]) -> None:
        """Let all three trees have the files that one side moved where it has them."""
        base, remote, local = self._trees
        base = self._move(base, remote_moves | local_moves)
        remote, local = self._move(remote, local_moves), self._move(local, remote_moves)
        self._trees = [base, remote, local]
        self._edits = _edits(base, remote), _edits(base, local)

    def _move(self, tree: pygit2.Tree, moves: dict[str, str]) -> pygit2.Tree:
        """Return a tree with files moved, those of them that it has."""
        index = pygit2.Index()
        index.read_tree(tree)
        size = len(index)
        entries = {new: index[old] for old, new in moves.items() if old in index}
        for entry in entries.values():
            index.remove(entry.path)
        for path, entry in entries.items():
            index.add(pygit2.IndexEntry(path, entry.id, entry.mode))
        if len(index) != size:  # a file or a folder gave way
            raise _conflict("A file was moved to where another one is", set(entries))
        return self._libgit2[index.write_tree(self._libgit2)].peel(pygit2.Tree)

    def _merge(self) -> pygit2.Oid:
        base, remote, local = (tree.id for tree in self._trees)
        merged = self._libgit2.merge_trees(base, remote, local, flags=_NO_RENAMES)
        for entry in self._merge_files():
            if merged.conflicts and entry.path in merged.conflicts:
                del merged.conflicts[entry.path]
            merged.add(entry)
        if merged.conflicts:
            raise _conflict("The remote changed the same lines", _list_conflicts(merged))
        return merged.write_tree(self._libgit2)

    def _merge_files(self) -> Iterator[pygit2.IndexEntry]:
        """Yield what becomes of the files that both sides changed, each in its way."""
        ones, others = self._edits
        both = [path for path in ones.keys() & others.keys() if ones[path].new != others[path].new]
        for path in both:
            old, one, other = ones[path].old, ones[path].new, others[path].new
            if one is not None and other is not None and one.kind == other.kind == REGULAR:
                yield self._merge_file(path, old, one, other)

    def _merge_file(self, path: str, old: File | None, one: File, other: File) -> pygit2.IndexEntry:
        """Merge a file's permissions and its text; what was no file before counts as an empty one."""
        mode = three_way(old.mode if old else 0, one.mode, other.mode)
        if mode is None:
            raise _conflict("Both sides changed a file's permissions", {path})
        oid = three_way(old.id if old else "", one.id, other.id)
        if oid is None:
            base = self._blob(old.id) if old and old.kind == REGULAR else b""
            text = self._merge_text(path, base, self._blob(one.id), self._blob(other.id))
            oid = str(self._libgit2.create_blob(text))
        return pygit2.IndexEntry(path, pygit2.Oid(hex=oid), FileMode(mode))

    def _merge_text(self, path: str, *texts: bytes) -> bytes:
        rules = self._repository.rules
        attributes = Attributes(
            self._attribute_file, rules.attributes, ignore_case=rules.ignore_case, names=frozenset({_DRIVER})
        )
        driver = attributes.of(os.fsencode(path)).get(_DRIVER, True)
        if driver not in {True, b"text"} or any(b"\0" in text[:_BINARY_START] for text in texts):
            raise _conflict("Both sides changed files that are not merged by lines", {path})
        try:
            return lines.merge(*texts)
        except lines.LinesConflict:
            raise _conflict("The remote changed the same lines", {path}) from None

    def _blob(self, oid: str) -> bytes:
        return self._libgit2[oid].peel(pygit2.Blob).data

    def _attribute_file(self, folder: bytes) -> bytes | None:
        """Return a .gitattributes of the tree to merge into: git has it in the worktree by then."""
        tree, path = self._head, os.fsdecode(folder + b"/.gitattributes").lstrip("/")
        is_file = path in tree and tree[path].filemode in {FileMode.BLOB, FileMode.BLOB_EXECUTABLE}
        return self._blob(str(tree[path].id)) if is_file else None


def _pick(repository: Repository, commit: pygit2.Commit, onto: str) -> str:
    """Make a commit again on top of `onto`; one that changes nothing any more is left out."""
    base, head = _parent_tree(repository, commit), repository.tree(onto)
    if commit.tree.id == base.id:
        tree = head.id
    else:
        tree = _Merge(repository, base, head, commit.tree).tree()
        if tree == head.id:
            return onto
    made = _copy_commit(commit.read_raw(), str(tree), onto, repository.committer.stamp())
    return repository.write_commit(made.decode())


def _to_change(edits: dict[str, Edit], tree: pygit2.Tree) -> Change:
    return Change(edits, lambda path: path in tree and tree[path].filemode == FileMode.TREE)


def _edits(base: pygit2.Tree, side: pygit2.Tree) -> dict[str, Edit]:
    deltas = base.diff_to_tree(side, flags=_FLAGS).deltas
    return {
        os.fsdecode(delta.new_file.raw_path): Edit(_to_file(delta.old_file), _to_file(delta.new_file))
        for delta in deltas
    }


def _to_file(side: pygit2.DiffFile) -> File | None:
    return None if side.mode == FileMode.UNREADABLE else File(str(side.id), int(side.mode))


def _list_conflicts(merged: pygit2.Index) -> set[str]:
    return {side.path for sides in merged.conflicts or () for side in sides if side is not None}


def _conflict(what: str, paths: set[str] | frozenset[str]) -> PushConflict:
    first = ", ".join(sorted(paths)[:_SHOWN])
    return PushConflict(f"{what}: {first}{' …' if len(paths) > _SHOWN else ''}")


def _list_missing(repository: Repository, branch: str, onto: str) -> list[pygit2.Commit]:
    """Return the branch's commits to put on top of `onto`, oldest first.

    Merges are left out, what they merged is not; so is what `onto` has as a commit of its own that changes
    the same, and what the remote's branch had once and dropped.
    """
    tip = repository.tip(branch)
    if tip is None:
        return []
    since = _find_fork_point(repository, branch, tip, onto) or onto
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


def _find_fork_point(repository: Repository, branch: str, tip: str, onto: str) -> str | None:
    """Return where the branch left the remote's one, if that has dropped the commit since.

    The reference log knows what the remote's branch was at; its last entry is the fetch of `onto`.
    """
    seen = [oid for oid in _read_history(repository, branch, onto) if oid in repository.libgit2]
    if not seen:
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
