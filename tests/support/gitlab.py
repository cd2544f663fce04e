"""GitLab's API on loopback: a project in a subgroup, its merge requests, a pipeline."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.support.forge import Forge
from tests.support.forge_descriptions import GITLAB
from tests.support.github_state import Conflict, Hosted, PullRequest, Refused

TOKEN = "glpat-token-of-nobody"
_STATES = {"opened": {"open"}, "merged": {"closed"}, "all": {"open", "closed"}}


@dataclass
class Project(Hosted):
    """A project, and how it merges; `pipeline` has its states, one for each time it is asked for.

    `mergers` says whether the token's owner may merge, `rebasing` how often a rebase is seen under way.
    """

    owner: str = "acme/web"
    name: str = "shop"
    merge_method: str = "merge"
    squash_option: str = "default_off"
    pipeline_required: bool = False
    pipeline: list[str] = field(default_factory=list)
    users: dict[str, int] = field(default_factory=lambda: {"ada": 11, "grace": 12})
    seats: int = 9  # as many people as a merge request takes
    may_merge: bool = True
    rebasing: int = 0
    merge_error: str | None = None
    squashed: list[int] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    removals: list[int] = field(default_factory=list)

    def status(self, pull: PullRequest) -> str:
        """Return why a merge request can or cannot be merged, as GitLab says it."""
        if pull.state == "closed":
            return "not_open"
        if pull.polls:
            pull.polls -= 1
            return "checking"
        if pull.draft:
            return "draft_status"
        if self.mergeable(pull) is False:
            return "conflict"
        if self.merge_method != "merge" and self.ahead(pull.head, pull.base):
            return "need_rebase"
        return self._pipeline_status()

    def _pipeline_status(self) -> str:
        if not self.pipeline_required or self.pipeline[:1] == ["success"]:
            return "mergeable"
        return "ci_still_running" if self.pipeline[:1] in (["running"], ["pending"]) else "ci_must_pass"


class GitLab(Forge):
    """A GitLab with one project and one token."""

    root, scheme, page_size, operations = "/api/v4", "Bearer", "per_page", GITLAB
    repository: Project

    def __init__(self) -> None:
        super().__init__(Project(), TOKEN)

    def route(self, method: str, path: str, given: dict[str, Any]) -> tuple[int, Any]:
        """Answer as GitLab does."""
        project = self.repository
        if path == "/users":
            name = given["username"]
            return 200, [_user(project, name)] if name in project.users else []
        prefix = f"/projects/{project.owner}/{project.name}"
        if path != prefix and not path.startswith(f"{prefix}/"):
            return 404, {"message": "404 Project Not Found"}
        for route_method, pattern, handle in _ROUTES:
            if method == route_method and (match := re.fullmatch(pattern, path.removeprefix(prefix))):
                answer: tuple[int, Any] = handle(project, given, *match.groups())
                return answer
        return 404, {"message": "404 Not Found"}


def _project(project: Project, given: dict[str, Any]) -> tuple[int, Any]:
    return 200, {
        "id": 7,
        "merge_method": project.merge_method,
        "squash_option": project.squash_option,
        "only_allow_merge_if_pipeline_succeeds": project.pipeline_required,
    }


def _list(project: Project, given: dict[str, Any]) -> tuple[int, Any]:
    found = [
        _show(project, pull, whole=False)
        for pull in reversed(project.pulls.values())
        if pull.state in _STATES[given["state"]]
        and (given["state"] != "merged" or pull.merge_sha)
        and given.get("source_branch", _branch_of(pull)) == _branch_of(pull)
        and given["target_branch"] == pull.base
    ]
    return 200, found


def _open(project: Project, given: dict[str, Any]) -> tuple[int, Any]:
    source, target = given["source_branch"], given["target_branch"]
    for other in project.pulls.values():
        if (other.state, other.head, other.base) == ("open", source, target):
            sentence = f"Another open merge request already exists for this source branch: !{other.number}"
            return 409, {"message": [sentence]}
    pull = project.open(source, target, given["title"], given.get("description", ""))
    _set_title(pull, given["title"])
    return 201, _show(project, pull)


def _get(project: Project, given: dict[str, Any], number: str) -> tuple[int, Any]:
    pull = _find(project, number)
    if project.pipeline and "include_rebase_in_progress" not in given:
        project.next_state(project.pipeline)
    shown = _show(project, pull)
    if "include_rebase_in_progress" in given:
        shown["rebase_in_progress"] = project.rebasing > 0
        project.rebasing = max(0, project.rebasing - 1)
    return 200, shown


def _update(project: Project, given: dict[str, Any], number: str) -> tuple[int, Any]:
    pull = _find(project, number)
    if "title" in given:
        _set_title(pull, given["title"])
    pull.body = given.get("description", pull.body)
    pull.labels += given.get("add_labels", [])
    names = {id_: name for name, id_ in project.users.items()}
    if "assignee_ids" in given:
        pull.assignees = [names[id_] for id_ in given["assignee_ids"]][: project.seats]
    if "reviewer_ids" in given:
        pull.reviewers = [names[id_] for id_ in given["reviewer_ids"]][: project.seats]
    return 200, _show(project, pull)


def _merge(project: Project, given: dict[str, Any], number: str) -> tuple[int, Any]:
    pull = _find(project, number)
    if not project.may_merge:
        raise Refused(401, "401 Unauthorized")
    if given["sha"] != project.branches.get(pull.head):
        raise Refused(409, f"SHA does not match HEAD of source branch: {pull.head_sha}")
    status, later = project.status(pull), given.get("merge_when_pipeline_succeeds", False)
    running = project.pipeline[:1] in (["running"], ["pending"])
    if later and running and status in {"ci_still_running", "mergeable"}:
        pull.auto_merge = "merge"
        project.removals += [pull.number] * given.get("should_remove_source_branch", False)
        return 200, _show(project, pull)
    if status != "mergeable":
        raise Refused(405, "405 Method Not Allowed")
    project.messages += filter(None, [given.get("merge_commit_message"), given.get("squash_commit_message")])
    project.squashed += [pull.number] * given.get("squash", False)
    project.merge(pull, "merge", None)
    return 200, _show(project, pull)


def _rebase(project: Project, given: dict[str, Any], number: str) -> tuple[int, Any]:
    try:
        project.rebase(_find(project, number))
    except (Refused, Conflict):
        project.merge_error = "Rebase failed: Rebase locally, resolve all conflicts, then push the branch."
    return 202, {"rebase_in_progress": True}


def _compare(project: Project, given: dict[str, Any]) -> tuple[int, Any]:
    base, head = given["from"], given["to"]
    for branch in (base, head):
        if branch not in project.branches:
            raise Refused(404, f"404 Ref {branch} Not Found")
    commits = [{"id": commit.sha, "message": commit.message} for commit in project.ahead(base, head)]
    diffs = [
        {"new_path": path, "old_path": path, "new_file": False, "diff": f"@@ -0,0 +1 @@\n+{text}\n"}
        for path, text in project.changed(base, head).items()
    ]
    return 200, {"commits": commits, "diffs": diffs}


def _branch(project: Project, given: dict[str, Any], name: str) -> tuple[int, Any]:
    if name not in project.branches:
        raise Refused(404, "404 Branch Not Found")
    sha = project.branches[name]
    return 200, {"name": name, "commit": {"id": sha, "message": project.commits[sha].message}}


def _delete(project: Project, given: dict[str, Any], name: str) -> tuple[int, Any]:
    if project.branches.pop(name, None) is None:
        raise Refused(404, "404 Branch Not Found")
    return 204, None


def _commit(project: Project, given: dict[str, Any], sha: str) -> tuple[int, Any]:
    return 200, {"id": sha, "message": project.commits[sha].message}


def _find(project: Project, number: str) -> PullRequest:
    if int(number) not in project.pulls:
        raise Refused(404, "404 Not found")
    return project.pulls[int(number)]


def _set_title(pull: PullRequest, title: str) -> None:
    pull.title, pull.draft = title, title.startswith("Draft: ")


def _branch_of(pull: PullRequest) -> str:
    return pull.head.rpartition(":")[2]


def _user(project: Project, name: str) -> dict[str, Any]:
    return {"id": project.users[name], "username": name}


def _show(project: Project, pull: PullRequest, *, whole: bool = True) -> dict[str, Any]:
    merged = pull.merge_sha is not None
    state = {"open": "opened", "closed": "closed"}[pull.state]
    shown: dict[str, Any] = {
        "iid": pull.number,
        "title": pull.title,
        "description": pull.body,
        "state": "merged" if merged else state,
        "web_url": f"https://gitlab.com/{project.owner}/{project.name}/-/merge_requests/{pull.number}",
        "source_branch": _branch_of(pull),
        "target_branch": pull.base,
        "source_project_id": 8 if pull.head_repository else 7,
        "target_project_id": 7,
        "sha": pull.head_sha,
        "draft": pull.draft,
        "assignees": [_user(project, name) for name in pull.assignees],
        "reviewers": [_user(project, name) for name in pull.reviewers],
        "labels": pull.labels,
        "merged_at": "2026-01-31T09:00:00Z" if merged else None,
        "merge_commit_sha": pull.merge_sha,
        "merge_when_pipeline_succeeds": pull.auto_merge is not None,
    }
    if not whole:
        return shown
    pipeline = None
    if project.pipeline:
        pipeline = {"status": project.pipeline[0], "sha": pull.head_sha, "ref": pull.head}
    return shown | {
        "detailed_merge_status": project.status(pull),
        "diff_refs": {"start_sha": project.branches[pull.base]},
        "head_pipeline": pipeline,
        "merge_error": project.merge_error,
    }


_ROUTES = (
    ("GET", r"", _project),
    ("GET", r"/merge_requests", _list),
    ("POST", r"/merge_requests", _open),
    ("GET", r"/merge_requests/(\d+)", _get),
    ("PUT", r"/merge_requests/(\d+)", _update),
    ("PUT", r"/merge_requests/(\d+)/merge", _merge),
    ("PUT", r"/merge_requests/(\d+)/rebase", _rebase),
    ("GET", r"/repository/compare", _compare),
    ("GET", r"/repository/branches/(.+)", _branch),
    ("DELETE", r"/repository/branches/(.+)", _delete),
    ("GET", r"/repository/commits/(\w+)", _commit),
)
