"""Branches, commits and pull requests as GitHub has them, without the files' history that git has."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

_VIOLATION = "Repository rule violations found\n\n"
_NO_MERGES = f"{_VIOLATION}This branch must not contain merge commits"


class Conflict(Exception):
    """Two branches changed a file in different ways."""


class Refused(Exception):
    """A status and GitHub's sentence for it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class Commit:
    """A commit and the whole of its tree: texts by path."""

    sha: str
    message: str
    tree: dict[str, str]
    parents: tuple[str, ...]


@dataclass
class PullRequest:
    """A pull request; `polls` is how often it has to be asked for until its mergeability is known.

    `lag` is how often until its newest commit is seen.
    """

    number: int
    title: str
    body: str
    head: str
    base: str
    head_sha: str
    draft: bool = False
    state: str = "open"
    merge_sha: str | None = None
    polls: int = 0
    lag: int = 0
    head_repository: str = ""  # a fork's full name
    auto_merge: str | None = None  # the method by which it is merged later
    maintainer_can_modify: bool | None = None
    labels: list[str] = field(default_factory=list)
    reviewers: list[str] = field(default_factory=list)
    teams: list[str] = field(default_factory=list)
    assignees: list[str] = field(default_factory=list)
    milestone: int | None = None

    @property
    def label(self) -> str:
        """Its head with the owner, which a fork's has in its name here."""
        return self.head if ":" in self.head else f"octocat:{self.head}"

    @property
    def node_id(self) -> str:
        """Its name in the GraphQL API."""
        return f"PR_{self.number}"


@dataclass
class Hosted:
    """A repository on GitHub.

    `checks`, `statuses`, `workflows` and the `suites` of apps are states by name, one for each time it is
    asked; a check whose state is empty is not there yet. `branches` has those of forks as `owner:branch`.
    `linear` says that main takes no merge commits, `ruled_methods` by which methods a rule lets it be merged
    into, `linear_heads` which branches take none. `page_limit` is how many of a list it gives at once,
    whatever it is asked for.
    """

    owner: str = "octocat"
    name: str = "hello-world"
    mergeable_after: int = 0
    seen_after: int = 0
    page_limit: int = 100
    allowed: set[str] = field(default_factory=lambda: {"merge", "squash", "rebase"})
    collaborators: set[str] = field(default_factory=lambda: {"ada", "grace", "frontend"})
    milestones: set[int] = field(default_factory=lambda: {3})
    ruled_methods: set[str] | None = None
    linear: bool = False
    linear_heads: set[str] = field(default_factory=set)
    queue: bool = False
    auto_merge_allowed: bool = True
    required: set[str] = field(default_factory=set)
    ruled: set[str] = field(default_factory=set)
    checks: dict[str, list[str]] = field(default_factory=dict)
    statuses: dict[str, list[str]] = field(default_factory=dict)
    suites: dict[str, list[str]] = field(default_factory=dict)
    workflows: dict[str, list[str]] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._commit("main", "Begin", {"README.md": "hello"}, ())

    def commit(self, branch: str, message: str, files: dict[str, str]) -> str:
        """Add a commit to a branch, which starts at main if it is new."""
        with self.lock:
            parent = self.branches.get(branch, self.branches["main"])
            return self._commit(branch, message, self.commits[parent].tree | files, (parent,))

    def open(self, head: str, base: str, title: str, body: str = "", draft: bool = False) -> PullRequest:
        """Open a pull request, or refuse as GitHub does."""
        for field_name, branch in (("base", base), ("head", head)):
            if branch not in self.branches:
                raise Refused(422, f"invalid {field_name}")
        mine = [
            p for p in self.pulls.values() if p.state == "open" and (":" in p.head or not p.head_repository)
        ]
        if any((p.head, p.base) == (head, base) for p in mine):
            label = head if ":" in head else f"{self.owner}:{head}"
            raise Refused(422, f"A pull request already exists for {label}.")
        if not self.ahead(base, head):
            raise Refused(422, f"No commits between {base} and {head}")
        made = PullRequest(len(self.pulls) + 1, title, body, head, base, self.branches[head], draft)
        made.polls = self.mergeable_after
        if ":" in head:
            made.head_repository = f"{head.partition(':')[0]}/{self.name}"
        self.pulls[made.number] = made
        return made

    def mergeable(self, pull: PullRequest) -> bool | None:
        """Tell whether a pull request can be merged, once it was asked often enough."""
        if pull.state == "closed":
            return None
        if pull.lag:
            pull.lag -= 1
            self._see(pull)
            return True  # as it was before
        if pull.polls:
            pull.polls -= 1
            return None
        return not self._conflicts(pull.base, pull.head)

    def merge_branch(self, into: str, source: str, message: str) -> str | None:
        """Merge a branch into another; None says that there was nothing to merge."""
        if not self.ahead(into, source):
            return None
        if into in self.linear_heads:
            raise Refused(409, _NO_MERGES)
        if self._conflicts(into, source):
            raise Conflict
        ours, theirs = self.branches[into], self.branches[source]
        tree = self.commits[ours].tree | self._changed(self._merge_base(ours, theirs), theirs)
        return self._commit(into, message, tree, (ours, theirs))

    def merge(self, pull: PullRequest, method: str, sha: str | None) -> str:
        """Merge a pull request, or refuse as GitHub does."""
        if pull.state == "closed":
            raise Refused(405, "Pull Request is not mergeable")
        if pull.draft:
            raise Refused(405, "Pull Request is still a draft")
        if sha not in (None, self.branches[pull.head]):
            raise Refused(409, "Head branch was modified. Review and try the merge again.")
        if method not in self.allowed:
            raise Refused(405, f"{method.capitalize()} merges are not allowed on this repository.")
        if self.ruled_methods is not None and method not in self.ruled_methods:
            raise Refused(405, f"Merge method {method} is not allowed")
        if self.linear and method == "merge":
            raise Refused(405, _NO_MERGES)
        if method == "rebase" and any(len(commit.parents) > 1 for commit in self.ahead(pull.base, pull.head)):
            raise Refused(405, "This branch can't be rebased")
        if self.queue:
            raise Refused(
                405, "Repository rule violations found\n\nChanges must be made through the merge queue"
            )
        if unmet := self._unmet():
            raise Refused(405, f'Required status check "{unmet[0]}" is expected.')
        if self._conflicts(pull.base, pull.head):
            raise Refused(405, "Pull Request is not mergeable")
        pull.state = "closed"  # first: the new commit then leaves it alone
        pull.merge_sha = self._merged(pull, method)
        return pull.merge_sha

    def rebase(self, pull: PullRequest) -> None:
        """Rebase the branch of a pull request onto its base, or refuse as GitHub does."""
        if self._conflicts(pull.base, pull.head):
            raise Refused(200, "merge conflict between base and head")
        commits = [commit for commit in self.ahead(pull.base, pull.head) if len(commit.parents) < 2]
        tip = self.branches[pull.base]
        for commit in commits:
            before = self.commits[commit.parents[0]].tree
            change = {path: text for path, text in commit.tree.items() if before.get(path) != text}
            tip = self._commit(pull.head, commit.message, self.commits[tip].tree | change, (tip,))

    def enable_auto_merge(self, pull: PullRequest, method: str) -> None:
        """Merge a pull request later, or refuse as GitHub does."""
        if not self.auto_merge_allowed:
            raise Refused(200, "Pull request Auto merge is not allowed for this repository")
        if not (self.queue or self._unmet()):
            raise Refused(200, "Pull request Pull request is in clean status")
        if not self.queue and method not in (self.ruled_methods or self.allowed):
            raise Refused(200, f"Merge method {method} is not allowed")
        pull.auto_merge = method

    def _unmet(self) -> list[str]:
        return [name for name in self.required | self.ruled if self.state(name) != "success"]

    def ask_for_reviews(self, pull: PullRequest, people: list[str], teams: list[str]) -> None:
        """Ask people and teams to review, or refuse all of them as GitHub does."""
        if not {*people, *teams} <= self.collaborators:
            raise Refused(422, "Reviews may only be requested from collaborators.")
        pull.reviewers += people
        pull.teams += teams

    def state(self, check: str) -> str | None:
        """Return a check's state, and let it go on to the next one."""
        states = self.checks.get(check) or self.statuses.get(check)
        return self.next_state(states) if states else None

    def next_state(self, states: list[str]) -> str:
        """Return the first of some states, and drop it unless it is the last."""
        return states.pop(0) if len(states) > 1 else states[0]

    def ahead(self, base: str, head: str) -> list[Commit]:
        """Return the commits of `head` that `base` has not, oldest first."""
        known = set(self._ancestors(self.branches[base]))
        return [self.commits[sha] for sha in self._ancestors(self.branches[head]) if sha not in known][::-1]

    def changed(self, base: str, head: str) -> dict[str, str]:
        """Return the files that `head` changed since it left `base`."""
        return self._changed(self._merge_base(self.branches[base], self.branches[head]), self.branches[head])

    def _merged(self, pull: PullRequest, method: str) -> str:
        ours, theirs = self.branches[pull.base], self.branches[pull.head]
        tree = self.commits[ours].tree | self.changed(pull.base, pull.head)
        parents = (ours, theirs) if method == "merge" else (ours,)
        return self._commit(pull.base, f"{pull.title} (#{pull.number})", tree, parents)

    def _commit(self, branch: str, message: str, tree: dict[str, str], parents: tuple[str, ...]) -> str:
        content = repr((message, sorted(tree.items()), parents, branch))
        sha = hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
        self.commits[sha] = Commit(sha, message, tree, parents)
        self.branches[branch] = sha
        for pull in self.pulls.values():
            if pull.state == "open" and branch in (pull.head, pull.base):
                pull.polls, pull.lag = self.mergeable_after, self.seen_after
                self._see(pull)
        return sha

    def _see(self, pull: PullRequest) -> None:
        if not pull.lag:
            pull.head_sha = self.branches[pull.head]

    def _conflicts(self, ours: str, theirs: str) -> bool:
        base = self._merge_base(self.branches[ours], self.branches[theirs])
        mine, other = self._changed(base, self.branches[ours]), self._changed(base, self.branches[theirs])
        return any(mine[path] != other[path] for path in mine.keys() & other.keys())

    def _changed(self, base: str, tip: str) -> dict[str, str]:
        before = self.commits[base].tree
        return {path: text for path, text in self.commits[tip].tree.items() if before.get(path) != text}

    def _merge_base(self, ours: str, theirs: str) -> str:
        known = set(self._ancestors(ours))
        return next(sha for sha in self._ancestors(theirs) if sha in known)

    def _ancestors(self, tip: str) -> Iterator[str]:
        seen, waiting = {tip}, [tip]
        while waiting:
            yield (sha := waiting.pop(0))
            fresh = [parent for parent in self.commits[sha].parents if parent not in seen]
            seen.update(fresh)
            waiting += fresh
