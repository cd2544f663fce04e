"""What each endpoint of GitHub's REST API does, and answers in full shape."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from tests.support import github_description as described
from tests.support.github_state import Commit, Conflict, Hosted, PullRequest, Refused


def route(hosted: Hosted, method: str, path: str, given: dict[str, Any]) -> tuple[int, Any]:
    """Answer a request with a status and a body."""
    for route_method, pattern, handle in _ROUTES:
        if method == route_method and (match := re.fullmatch(pattern, path)):
            answer: tuple[int, Any] = handle(hosted, given, *match.groups())
            return answer
    return 404, error("Not Found")


def _repository(hosted: Hosted, given: dict[str, Any]) -> tuple[int, Any]:
    allowed = {
        "allow_merge_commit": "merge" in hosted.allowed,
        "allow_squash_merge": "squash" in hosted.allowed,
        "allow_rebase_merge": "rebase" in hosted.allowed,
    }
    shown: dict[str, Any] = described.example("full-repository-default-response") | allowed
    del shown["source"], shown["parent"]  # the examples lack what the schemas require
    return 200, shown | {"language": "TypeScript"}


def _list(hosted: Hosted, given: dict[str, Any]) -> tuple[int, Any]:
    found = [
        _shown(hosted, pull, "pull-request-simple")
        for pull in reversed(hosted.pulls.values())
        if given.get("state", "open") in {"all", pull.state}
        and given.get("base", pull.base) == pull.base
        and given.get("head", pull.label) == pull.label
    ]
    return 200, found


def _open(hosted: Hosted, given: dict[str, Any]) -> tuple[int, Any]:
    try:
        pull = hosted.open(
            given["head"], given["base"], given["title"], given.get("body", ""), given.get("draft", False)
        )
    except Refused as refused:
        return 422, _invalid(refused.message)
    pull.maintainer_can_modify = given.get("maintainer_can_modify")
    return 201, _shown(hosted, pull, "pull-request", known=False)


def _pull(hosted: Hosted, given: dict[str, Any], number: str) -> tuple[int, Any]:
    if int(number) not in hosted.pulls:
        return 404, error("Not Found")
    return 200, _shown(hosted, hosted.pulls[int(number)], "pull-request")


def _update(hosted: Hosted, given: dict[str, Any], number: str) -> tuple[int, Any]:
    pull = hosted.pulls[int(number)]
    pull.title, pull.body = given.get("title", pull.title), given.get("body", pull.body)
    return 200, _shown(hosted, pull, "pull-request")


def _reviewers(hosted: Hosted, given: dict[str, Any], number: str) -> tuple[int, Any]:
    pull = hosted.pulls[int(number)]
    hosted.ask_for_reviews(pull, given.get("reviewers", []), given.get("team_reviewers", []))
    shown: dict[str, Any] = described.example("pull-request-review-request")
    return 201, shown | {"number": pull.number, "requested_teams": []}  # the example's lack what they need


def _labels(hosted: Hosted, given: dict[str, Any], number: str) -> tuple[int, Any]:
    pull = hosted.pulls[int(number)]
    pull.labels += given["labels"]
    [label, *_] = described.example("label-items")
    return 200, [label | {"name": name} for name in pull.labels]


def _assignees(hosted: Hosted, given: dict[str, Any], number: str) -> tuple[int, Any]:
    pull = hosted.pulls[int(number)]
    pull.assignees += [login for login in given["assignees"] if login in hosted.collaborators]  # silently
    return 201, _issue(pull)


def _milestone(hosted: Hosted, given: dict[str, Any], number: str) -> tuple[int, Any]:
    pull = hosted.pulls[int(number)]
    if given["milestone"] not in hosted.milestones:
        detail = {"resource": "Issue", "field": "milestone", "code": "invalid", "value": given["milestone"]}
        return 422, error("Validation Failed") | {"errors": [detail]}
    pull.milestone = given["milestone"]
    return 200, _issue(pull)


def _issue(pull: PullRequest) -> dict[str, Any]:
    shown: dict[str, Any] = described.example("issue")
    users = [shown["user"] | {"login": login} for login in pull.assignees]
    milestone = None if pull.milestone is None else shown["milestone"] | {"number": pull.milestone}
    return shown | {"number": pull.number, "assignees": users, "milestone": milestone}


def _git_commit(hosted: Hosted, given: dict[str, Any], sha: str) -> tuple[int, Any]:
    shown: dict[str, Any] = described.example("git-commit-2")
    return 200, shown | {"sha": sha, "message": hosted.commits[sha].message}


def _merge(hosted: Hosted, given: dict[str, Any], number: str) -> tuple[int, Any]:
    sha = hosted.merge(hosted.pulls[int(number)], given.get("merge_method", "merge"), given.get("sha"))
    return 200, {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}


def _compare(hosted: Hosted, given: dict[str, Any], base: str, head: str) -> tuple[int, Any]:
    if base not in hosted.branches or head not in hosted.branches:
        return 404, error("Not Found")
    ahead, behind = hosted.ahead(base, head), hosted.ahead(head, base)
    comparison = described.example("commit-comparison")
    file = comparison["files"][0]
    files = [
        file | {"filename": path, "status": "modified", "additions": 1, "deletions": 0, "patch": f"+{text}"}
        for path, text in hosted.changed(base, head).items()
    ]
    commits = [_commit(commit) for commit in ahead]
    numbers = {"ahead_by": len(ahead), "behind_by": len(behind), "total_commits": len(ahead)}
    return 200, comparison | numbers | {"commits": commits, "files": files}


def _merges(hosted: Hosted, given: dict[str, Any]) -> tuple[int, Any]:
    if given["base"] not in hosted.branches or given["head"] not in hosted.branches:
        return 404, error("Base does not exist")
    try:
        sha = hosted.merge_branch(given["base"], given["head"], f"Merge {given['head']} into {given['base']}")
    except Conflict:
        return 409, error("Merge conflict")
    return (204, None) if sha is None else (201, _commit(hosted.commits[sha]))


def _ref(hosted: Hosted, given: dict[str, Any], branch: str) -> tuple[int, Any]:
    if branch not in hosted.branches:
        return 404, error("Not Found")
    ref = described.example("git-ref")
    ref["object"]["sha"] = hosted.branches[branch]
    return 200, ref | {"ref": f"refs/heads/{branch}"}


def _delete(hosted: Hosted, given: dict[str, Any], branch: str) -> tuple[int, Any]:
    if hosted.branches.pop(branch, None) is None:
        return 422, error("Reference does not exist")
    return 204, None


def _check_runs(hosted: Hosted, given: dict[str, Any], sha: str) -> tuple[int, Any]:
    run = described.example("check-run-paginated")["check_runs"][0]
    runs = []
    for name in hosted.checks:
        state = hosted.state(name)
        if not state:
            continue
        pending = state in {"queued", "in_progress"}
        status = (
            {"status": state, "conclusion": None} if pending else {"status": "completed", "conclusion": state}
        )
        runs.append(run | status | {"name": name, "head_sha": sha})
    return 200, {"total_count": len(runs), "check_runs": runs}


def _suites(hosted: Hosted, given: dict[str, Any], sha: str) -> tuple[int, Any]:
    [suite] = described.example("check-suite-paginated")["check_suites"]
    shown = []
    for app, states in hosted.suites.items():
        state = hosted.next_state(states)
        status = {"status": state, "conclusion": "success" if state == "completed" else None}
        runs = {"latest_check_runs_count": 0, "app": suite["app"] | {"name": app, "slug": app.lower()}}
        shown.append(suite | status | runs | {"head_sha": sha})
    return 200, {"total_count": len(shown), "check_suites": shown}


def _workflows(hosted: Hosted, given: dict[str, Any]) -> tuple[int, Any]:
    [run] = described.example("workflow-run-paginated")["workflow_runs"]
    shown = []
    for name, states in hosted.workflows.items():
        state = hosted.next_state(states)
        pending = state in {"queued", "in_progress", "waiting", "requested", "pending"}
        change = (
            {"status": state, "conclusion": None} if pending else {"status": "completed", "conclusion": state}
        )
        shown.append(run | change | {"name": name, "head_sha": given["head_sha"]})
    return 200, {"total_count": len(shown), "workflow_runs": shown}


def _status(hosted: Hosted, given: dict[str, Any], sha: str) -> tuple[int, Any]:
    combined = described.example("combined-commit-status")
    statuses = [
        combined["statuses"][0] | {"context": name, "state": hosted.state(name)} for name in hosted.statuses
    ]
    return 200, combined | {"sha": sha, "statuses": statuses, "total_count": len(statuses)}


def _branch(hosted: Hosted, given: dict[str, Any], name: str) -> tuple[int, Any]:
    if name not in hosted.branches:
        return 404, error("Branch not found")
    branch = described.example("branch-get")
    branch["protection"]["required_status_checks"]["contexts"] = sorted(hosted.required)
    return 200, branch | {"name": name, "protected": bool(hosted.required)}


def _rules(hosted: Hosted, given: dict[str, Any], name: str) -> tuple[int, Any]:
    rules = described.example("repository-rule-items")
    if hosted.ruled:
        checks = [{"context": name} for name in sorted(hosted.ruled)]
        parameters = {"required_status_checks": checks, "strict_required_status_checks_policy": False}
        rules.append(rules[0] | {"type": "required_status_checks", "parameters": parameters})
    if hosted.linear:
        rules.append({name: value for name, value in rules[0].items() if name != "parameters"})
        rules[-1] |= {"type": "required_linear_history"}
    if hosted.ruled_methods is not None:
        parameters = dict.fromkeys(_REVIEW_RULES, False) | {"required_approving_review_count": 0}
        parameters |= {"allowed_merge_methods": sorted(hosted.ruled_methods)}
        rules.append(rules[0] | {"type": "pull_request", "parameters": parameters})
    return 200, rules


def page_of(hosted: Hosted, answer: Any, query: dict[str, str]) -> tuple[Any, str | None]:
    """Return the page of a list that was asked for, and the query of the next one."""
    name = next((name for name in _LISTS if isinstance(answer, dict) and name in answer), None)
    items = answer[name] if name else answer
    if not isinstance(items, list):
        return answer, None
    size = min(int(query.get("per_page", 30)), hosted.page_limit)
    number = int(query.get("page", 1))
    page = items[size * (number - 1) : size * number]
    following = None if len(items) <= size * number else urlencode(query | {"page": number + 1})
    return (answer | {name: page} if name else page), following


_REVIEW_RULES = (
    "dismiss_stale_reviews_on_push",
    "require_code_owner_review",
    "require_last_push_approval",
    "required_review_thread_resolution",
)
_LISTS = ("check_runs", "check_suites", "statuses", "workflow_runs")
_ROUTES = (
    ("GET", r"", _repository),
    ("GET", r"/pulls", _list),
    ("POST", r"/pulls", _open),
    ("GET", r"/pulls/(\d+)", _pull),
    ("PATCH", r"/pulls/(\d+)", _update),
    ("PUT", r"/pulls/(\d+)/merge", _merge),
    ("POST", r"/pulls/(\d+)/requested_reviewers", _reviewers),
    ("POST", r"/issues/(\d+)/labels", _labels),
    ("POST", r"/issues/(\d+)/assignees", _assignees),
    ("PATCH", r"/issues/(\d+)", _milestone),
    ("GET", r"/git/commits/(\w+)", _git_commit),
    ("GET", r"/compare/(.+)\.\.\.(.+)", _compare),
    ("POST", r"/merges", _merges),
    ("GET", r"/git/ref/heads/(.+)", _ref),
    ("DELETE", r"/git/refs/heads/(.+)", _delete),
    ("GET", r"/commits/(\w+)/check-runs", _check_runs),
    ("GET", r"/commits/(\w+)/check-suites", _suites),
    ("GET", r"/commits/(\w+)/status", _status),
    ("GET", r"/actions/runs", _workflows),
    ("GET", r"/branches/(.+)", _branch),
    ("GET", r"/rules/branches/(.+)", _rules),
)


def _shown(hosted: Hosted, pull: PullRequest, shape: str, *, known: bool = True) -> dict[str, Any]:
    whole = shape == "pull-request"
    example: Any = described.example("pull-request" if whole else "pull-request-simple-items")
    shown: dict[str, Any] = example if whole else example[0]
    merged = pull.merge_sha is not None
    shown |= {
        "number": pull.number,
        "node_id": pull.node_id,
        "title": pull.title,
        "body": pull.body,
        "state": pull.state,
        "draft": pull.draft,
        "requested_teams": [],
        "html_url": f"https://github.com/{hosted.owner}/{hosted.name}/pull/{pull.number}",
        "merged_at": "2026-01-31T09:00:00Z" if merged else None,
        "merge_commit_sha": pull.merge_sha,
        "auto_merge": None,
    }
    if pull.auto_merge:
        how = {"merge_method": pull.auto_merge, "commit_title": "", "commit_message": ""}
        shown["auto_merge"] = how | {"enabled_by": shown["user"]}
    shown["head"] |= {"ref": pull.head.rpartition(":")[2], "sha": pull.head_sha, "label": pull.label}
    shown["base"] |= {"ref": pull.base, "sha": hosted.branches[pull.base]}
    shown["base"]["repo"]["full_name"] = f"{hosted.owner}/{hosted.name}"
    shown["head"]["repo"]["full_name"] = pull.head_repository or f"{hosted.owner}/{hosted.name}"
    if whole:
        # the one that opens it only begins to find out
        mergeable = hosted.mergeable(pull) if known else None
        state = {True: "clean", False: "dirty", None: "unknown"}[mergeable]
        shown |= {"merged": merged, "mergeable": mergeable, "mergeable_state": state}
    return shown


def _commit(commit: Commit) -> dict[str, Any]:
    shown: dict[str, Any] = described.example("commit")
    shown["commit"] |= {"message": commit.message}
    del shown["files"]  # as above
    return shown | {"sha": commit.sha}


def error(message: str) -> dict[str, Any]:
    """Return the body of a refusal."""
    return {"message": message, "documentation_url": "https://docs.github.com/rest"}


def _invalid(message: str) -> dict[str, Any]:
    """Give the errors of a pull request as GitHub does: some have a sentence, some a field and a code."""
    detail: dict[str, Any] = {"resource": "PullRequest", "code": "custom", "message": message}
    if message.startswith("invalid "):
        detail = {"resource": "PullRequest", "field": message.removeprefix("invalid "), "code": "invalid"}
    return error("Validation Failed") | {"errors": [detail]}
