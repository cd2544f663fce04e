"""Gitea's API on loopback: a repository, its pull requests, the statuses of its commits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from tests.support.forge import Forge
from tests.support.forge_descriptions import GITEA
from tests.support.github_state import Conflict, Hosted, PullRequest, Refused

TOKEN = "0123456789abcdef0123456789abcdef01234567"
_STYLES = {"merge": "merge", "squash": "squash", "rebase": "rebase"}


@dataclass
class GiteaRepository(Hosted):
    """A repository; `statuses` are those of its commits, `required` patterns of them.

    `filters` says whether the server looks through its list itself, as an older one does not.
    """

    owner: str = "acme"
    name: str = "shop"
    labels: set[str] = field(default_factory=lambda: {"ui", "urgent"})
    filters: bool = True
    words: list[tuple[str | None, str | None]] = field(default_factory=list)
    removals: list[int] = field(default_factory=list)

    def passes(self) -> bool:
        """Tell whether each required pattern has a check, and all of those succeeded."""
        states = {name: states[0] for name, states in self.statuses.items()}
        found = [[states[name] for name in states if fnmatchcase(name, p)] for p in self.required]
        return all(each and set(each) == {"success"} for each in found)


class Gitea(Forge):
    """A Gitea with one repository and one token."""

    root, scheme, page_size, operations = "/api/v1", "token", "limit", GITEA
    repository: GiteaRepository

    def __init__(self) -> None:
        super().__init__(GiteaRepository(), TOKEN)

    def route(self, method: str, path: str, given: dict[str, Any]) -> tuple[int, Any]:
        """Answer as Gitea does."""
        hosted = self.repository
        prefix = f"/repos/{hosted.owner}/{hosted.name}"
        if path == prefix or path.startswith(f"{prefix}/"):
            for route_method, pattern, handle in _ROUTES:
                if method == route_method and (match := re.fullmatch(pattern, path.removeprefix(prefix))):
                    answer: tuple[int, Any] = handle(hosted, given, *match.groups())
                    return answer
        return 404, {"message": "The target couldn't be found."}


def _repository(hosted: GiteaRepository, given: dict[str, Any]) -> tuple[int, Any]:
    return 200, {
        "allow_merge_commits": "merge" in hosted.allowed,
        "allow_squash_merge": "squash" in hosted.allowed,
        "allow_rebase": "rebase" in hosted.allowed,
        "default_merge_style": "merge",
    }


def _list(hosted: GiteaRepository, given: dict[str, Any]) -> tuple[int, Any]:
    found = [
        _show(hosted, pull)
        for pull in reversed(hosted.pulls.values())
        if given["state"] in {"all", pull.state}
        and (not hosted.filters or given.get("head", _branch_of(pull)) == _branch_of(pull))
        and (not hosted.filters or given["base"] == pull.base)
    ]
    return 200, found


def _open(hosted: GiteaRepository, given: dict[str, Any]) -> tuple[int, Any]:
    head, base = given["head"], given["base"]
    if any((p.state, p.head, p.base) == ("open", head, base) for p in hosted.pulls.values()):
        sentence = f"pull request already exists for these targets [id: 1, head_branch: {head}]"
        raise Refused(409, sentence)
    pull = hosted.open(head, base, given["title"], given["body"])
    _set_title(pull, given["title"])
    return 201, _show(hosted, pull)


def _get(hosted: GiteaRepository, given: dict[str, Any], number: str) -> tuple[int, Any]:
    return 200, _show(hosted, _find(hosted, number))


def _update(hosted: GiteaRepository, given: dict[str, Any], number: str) -> tuple[int, Any]:
    pull = _find(hosted, number)
    if "title" in given:
        _set_title(pull, given["title"])
    pull.body = given.get("body", pull.body)
    return 201, _show(hosted, pull)


def _merge(hosted: GiteaRepository, given: dict[str, Any], number: str) -> tuple[int, Any]:
    pull = _find(hosted, number)
    _check_mergeable(hosted, pull, given)
    if given.get("merge_when_checks_succeed") and not hosted.passes():
        if pull.auto_merge:
            raise Refused(409, "pull request is already scheduled to auto merge when checks succeed [id: 1]")
        pull.auto_merge = given["Do"]
        hosted.removals += [pull.number] * given.get("delete_branch_after_merge", False)
        return 201, None
    if not hosted.passes():
        raise Refused(405, "Not all required status checks successful")
    hosted.words.append((given.get("MergeTitleField"), given.get("MergeMessageField")))
    hosted.required = set()  # looked at already, and by patterns
    hosted.merge(pull, _STYLES[given["Do"]], None)
    return 200, None


def _check_mergeable(hosted: GiteaRepository, pull: PullRequest, given: dict[str, Any]) -> None:
    if pull.state == "closed":
        raise Refused(405, "The PR is already merged")
    if pull.draft:
        raise Refused(405, "Work in progress PRs cannot be merged")
    if not hosted.mergeable(pull):
        raise Refused(405, "Please try again later")
    if given["Do"] not in hosted.allowed:
        raise Refused(405, f"{given['Do']} is not allowed an allowed merge style for this repository")
    if given["head_commit_id"] != hosted.branches[pull.head]:
        raise Refused(409, "head out of date")


def _bring_up(hosted: GiteaRepository, given: dict[str, Any], number: str) -> tuple[int, Any]:
    pull = _find(hosted, number)
    if not hosted.ahead(pull.head, pull.base):
        raise Refused(500, f"HeadBranch of PR {number} is up to date")
    try:
        if given["style"] == "rebase":
            hosted.rebase(pull)
        else:
            hosted.merge_branch(pull.head, pull.base, f"Merge {pull.base} into {pull.head}")
    except (Conflict, Refused):
        raise Refused(409, f"{given['style']} failed because of conflict") from None
    return 200, None


def _reviewers(hosted: GiteaRepository, given: dict[str, Any], number: str) -> tuple[int, Any]:
    pull = _find(hosted, number)
    try:
        hosted.ask_for_reviews(pull, given.get("reviewers", []), given.get("team_reviewers", []))
    except Refused:
        raise Refused(404, "user redirect does not exist") from None
    return 201, [{"id": at, "user": None} for at, _ in enumerate(pull.reviewers)]


def _issue(hosted: GiteaRepository, given: dict[str, Any], number: str) -> tuple[int, Any]:
    return 200, _show_issue(_find(hosted, number))


def _edit_issue(hosted: GiteaRepository, given: dict[str, Any], number: str) -> tuple[int, Any]:
    pull = _find(hosted, number)
    if not set(given.get("assignees", ())) <= hosted.collaborators:
        raise Refused(422, "Assignee does not exist: [name: stranger]")
    pull.assignees = given.get("assignees", pull.assignees)
    if given.get("milestone") in hosted.milestones:
        pull.milestone = given["milestone"]
    return 201, _show_issue(pull)


def _add_labels(hosted: GiteaRepository, given: dict[str, Any], number: str) -> tuple[int, Any]:
    pull = _find(hosted, number)
    pull.labels += [label for label in given["labels"] if label in hosted.labels]
    return 200, [{"id": at, "name": label} for at, label in enumerate(pull.labels)]


def _compare(hosted: GiteaRepository, given: dict[str, Any], base: str, head: str) -> tuple[int, Any]:
    if base not in hosted.branches or head not in hosted.branches:
        raise Refused(404, "The target couldn't be found.")
    ahead = hosted.ahead(base, head)[::-1]
    files = [{"filename": path, "status": "modified"} for path in hosted.changed(base, head)]
    commits = [{"sha": commit.sha, "commit": {"message": commit.message}} for commit in ahead]
    return 200, {"total_commits": len(ahead), "commits": commits, "files": files}


def _branch(hosted: GiteaRepository, given: dict[str, Any], name: str) -> tuple[int, Any]:
    if name not in hosted.branches:
        raise Refused(404, "The target couldn't be found.")
    return 200, {
        "name": name,
        "commit": {"id": hosted.branches[name]},
        "enable_status_check": bool(hosted.required),
        "status_check_contexts": sorted(hosted.required) or None,
    }


def _delete(hosted: GiteaRepository, given: dict[str, Any], name: str) -> tuple[int, Any]:
    if hosted.branches.pop(name, None) is None:
        raise Refused(404, "The target couldn't be found.")
    return 204, None


def _commit(hosted: GiteaRepository, given: dict[str, Any], sha: str) -> tuple[int, Any]:
    return 200, {"sha": sha, "commit": {"message": hosted.commits[sha].message}}


def _statuses(hosted: GiteaRepository, given: dict[str, Any], sha: str) -> tuple[int, Any]:
    shown = [
        {"context": name, "status": hosted.next_state(states)} for name, states in hosted.statuses.items()
    ]
    return 200, {"sha": sha, "statuses": shown or None}


def _find(hosted: GiteaRepository, number: str) -> PullRequest:
    if int(number) not in hosted.pulls:
        raise Refused(404, "The target couldn't be found.")
    return hosted.pulls[int(number)]


def _set_title(pull: PullRequest, title: str) -> None:
    pull.title, pull.draft = title, title.startswith("WIP: ")


def _branch_of(pull: PullRequest) -> str:
    return pull.head.rpartition(":")[2]


def _show_issue(pull: PullRequest) -> dict[str, Any]:
    milestone = None if pull.milestone is None else {"id": pull.milestone}
    return {
        "number": pull.number,
        "assignees": [{"login": login} for login in pull.assignees] or None,
        "milestone": milestone,
    }


def _show(hosted: GiteaRepository, pull: PullRequest) -> dict[str, Any]:
    own, merged = {"full_name": f"{hosted.owner}/{hosted.name}"}, pull.merge_sha is not None
    fork = {"full_name": pull.head_repository}
    gone = pull.head not in hosted.branches
    head = f"refs/pull/{pull.number}/head" if gone else _branch_of(pull)
    return {
        "number": pull.number,
        "title": pull.title,
        "body": pull.body,
        "state": pull.state,
        "html_url": f"https://codeberg.org/{hosted.owner}/{hosted.name}/pulls/{pull.number}",
        "head": {
            "label": _branch_of(pull),
            "ref": head,
            "sha": pull.head_sha,
            "repo": fork if pull.head_repository else own,
        },
        "base": {"label": pull.base, "ref": pull.base, "sha": hosted.branches[pull.base], "repo": own},
        "draft": pull.draft,
        "mergeable": not pull.draft and not gone and bool(hosted.mergeable(pull)),
        "merged_at": "2026-01-31T09:00:00Z" if merged else None,
        "merge_commit_sha": pull.merge_sha,
    }


_ROUTES = (
    ("GET", r"", _repository),
    ("GET", r"/pulls", _list),
    ("POST", r"/pulls", _open),
    ("GET", r"/pulls/(\d+)", _get),
    ("PATCH", r"/pulls/(\d+)", _update),
    ("POST", r"/pulls/(\d+)/merge", _merge),
    ("POST", r"/pulls/(\d+)/update", _bring_up),
    ("POST", r"/pulls/(\d+)/requested_reviewers", _reviewers),
    ("GET", r"/issues/(\d+)", _issue),
    ("PATCH", r"/issues/(\d+)", _edit_issue),
    ("POST", r"/issues/(\d+)/labels", _add_labels),
    ("GET", r"/compare/(.+)\.\.\.(.+)", _compare),
    ("GET", r"/branches/(.+)", _branch),
    ("DELETE", r"/branches/(.+)", _delete),
    ("GET", r"/git/commits/(\w+)", _commit),
    ("GET", r"/commits/(\w+)/status", _statuses),
)
