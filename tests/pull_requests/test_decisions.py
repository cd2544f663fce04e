"""Decisions that need no request to GitHub: limits, refusals, checks."""

from __future__ import annotations

import json

import pytest

from github_worker.errors import (
    BranchNotFound,
    JobError,
    NoCommits,
    PermissionDenied,
    PullRequestExists,
    PullRequestNotMergeable,
    UnsupportedRepository,
)
from github_worker.forge.checks import Check, summarize
from github_worker.forge.errors import BaseMoved, HeadMoved, MethodRefused
from github_worker.forge.pull_request import Comparison, Merge, PullRequest, RepositoryRef, Tip
from github_worker.forge.requests import ApiResponse
from github_worker.github import checks
from github_worker.github.errors import read_limit_pause, read_sentence, translate_refusal
from github_worker.github.responses import Branch, Rule, RuleParameters

_NOW = 1_000.0


@pytest.mark.parametrize(
    ("status", "headers", "message", "seconds"),
    [
        (429, {"retry-after": "7"}, "", 7),
        (403, {"retry-after": "7"}, "", 7),
        (429, {"retry-after": "0"}, "", 1),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030"}, "", 31),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "970"}, "", 1),
        (403, {"x-ratelimit-remaining": "9"}, "You have exceeded a secondary rate limit.", 60),
        (429, {}, "", 60),
        (403, {"x-ratelimit-remaining": "9"}, "Resource not accessible by integration", None),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030"}, "", None),
    ],
)
def test_a_limit_is_waited_for_as_github_says(
    status: int, headers: dict[str, str], message: str, seconds: float | None
) -> None:
    """Retry-After counts first, then the reset of a used-up limit, then a minute."""
    response = ApiResponse(status, headers, b'{"message": "%s"}' % message.encode())
    assert read_limit_pause(response, _NOW) == seconds


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ('[{"code": "custom", "message": "No commits between main and topic"}]', NoCommits),
        ('[{"code": "custom", "message": "A pull request already exists for o:topic."}]', PullRequestExists),
        ('[{"field": "base", "code": "invalid"}]', BranchNotFound),
        ('[{"field": null, "message": "No commits between main and topic"}]', NoCommits),
        ('[{"field": "head", "code": "invalid", "message": null}]', BranchNotFound),
        ('{"message": "No commits between main and topic"}', NoCommits),
        ('["No commits between main and topic"]', NoCommits),
        ('"Head sha can\'t be blank"', BranchNotFound),
        (
            '["Head sha can\'t be blank", "No commits between main and x", "Head ref must be a branch"]',
            BranchNotFound,
        ),
        ('[{"message": "The topic branch has no history in common with main"}]', PullRequestNotMergeable),
        (
            '[{"message": "Draft pull requests are not supported in this repository."}]',
            UnsupportedRepository,
        ),
        ("null", PermissionDenied),
        ("[null, 5]", PermissionDenied),
    ],
)
def test_the_details_of_a_validation_tell_what_is_wrong(errors: str, kind: type[JobError]) -> None:
    """GitHub gives its details as objects, as sentences, as one of either, or leaves parts of them out."""
    response = ApiResponse(422, {}, b'{"message": "Validation Failed", "errors": %s}' % errors.encode())
    assert type(translate_refusal(response, {}, "Opening it failed")) is kind


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (405, "Base branch was modified. Review and try the merge again.", BaseMoved),
        (409, "Base branch was modified. Review and try the merge again.", BaseMoved),
        (409, "Head branch was modified. Review and try the merge again.", HeadMoved),
        (409, "Head branch is out of date. Review and try the merge again.", HeadMoved),
        (405, "Merge commits are not allowed on this repository.", MethodRefused),
        (405, "Squash merges are not allowed on this repository.", MethodRefused),
        (405, "Merge method merge commits are not allowed", MethodRefused),
        (
            405,
            "Repository rule violations found\n\nThis branch must not contain merge commits",
            MethodRefused,
        ),
        (405, "This branch can't be rebased", MethodRefused),
        (405, "Repository rule violations found\n\nChanges must be made through the merge queue", None),
        (405, "Pull Request is not mergeable", None),
        (404, "No common ancestor between main and topic.", PullRequestNotMergeable),
    ],
)
def test_the_sentences_of_a_merge_tell_what_to_do(
    status: int, message: str, kind: type[JobError] | None
) -> None:
    """What passes by itself, what another method may do, and what nothing does."""
    response = ApiResponse(status, {}, json.dumps({"message": message}).encode())
    error = translate_refusal(response, {405: PullRequestNotMergeable}, "Merging failed")
    assert type(error) is (kind or PullRequestNotMergeable)
    assert error.retryable == isinstance(error, BaseMoved | HeadMoved)


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"message": 5}', b"\xff"])
def test_an_answer_without_a_sentence_gives_its_status(content: bytes) -> None:
    """A proxy's page is not shown to a person."""
    assert read_sentence(ApiResponse(502, {}, content)) == "GitHub answered with status 502"


def test_a_required_check_that_is_not_there_yet_is_pending() -> None:
    """A check begins some time after the commit; others do not count then."""
    summary = summarize([Check("lint", "failed"), Check("test", "passed")], {"build", "test"})
    assert (summary.pending, summary.failed) == (["build"], [])


def test_without_required_checks_all_count() -> None:
    """All that are there, whatever their kind."""
    summary = summarize([Check("lint", "failed"), Check("build", "pending")], set())
    assert (summary.pending, summary.failed) == (["build"], ["lint"])


def test_what_github_leaves_out_is_not_needed() -> None:
    """Version 2026-03-10 of the API has no `merge_commit_sha`; others of these are null at times."""
    place = b'{"ref": "topic", "sha": "1", "repo": null}'
    body = b'{"number": 1, "title": "T", "state": "open", "html_url": "u", "head": %s, "base": %s}'
    pull_request = ApiResponse(200, {}, body % (place, place)).decode(PullRequest)
    assert (pull_request.merge_commit_sha, pull_request.is_merged) == (None, False)
    comparison = ApiResponse(200, {}, b'{"ahead_by": 1, "commits": [{"sha": "1"}], "files": null}')
    assert comparison.decode(Comparison).files is None
    assert ApiResponse(200, {}, b'{"merged": true}').decode(Merge).sha is None
    branch = ApiResponse(200, {}, b'{"name": "main", "protection": null}').decode(Branch)
    rule = Rule("required_status_checks", RuleParameters(None))
    assert checks.collect_required(branch, [rule, Rule("deletion")]) == set()


@pytest.mark.parametrize(
    ("link", "query"),
    [
        ('<https://h/repositories/1/issues?per_page=3&page=2>; rel="next", <https://h/x>; rel="last"', "2"),
        ('<https://h/x?page=1>; rel="prev", <https://h/x?per_page=3&page=3>; rel="next"', "3"),
        ("<https://h/x?page=4>; rel=next", "4"),
        ('<http://[?page=5#?page=6>; rel="next"', "5"),
        ('<https://h/x?page=1>; rel="first", <https://h/x?page=1>; rel="prev"', None),
        ("", None),
    ],
)
def test_the_next_page_is_the_one_that_link_names(link: str, query: str | None) -> None:
    """As octokit's fixtures have it: the relations in any order, the path by the repository's number."""
    found = ApiResponse(200, {"link": link} if link else {}, b"[]").next_query
    assert (found or {}).get("page") == query


@pytest.mark.parametrize(
    ("head", "repository", "is_from"),
    [
        ("topic", "octocat/hello", True),
        ("topic", "stranger/hello", False),
        ("topic", None, True),
        ("other", "octocat/hello", False),
        ("stranger:topic", "stranger/hello-2", True),
        ("Stranger:topic", "stranger/hello", True),
        ("stranger:topic", "octocat/hello", False),
        ("stranger:topic", None, False),
    ],
)
def test_a_head_is_a_branch_of_its_owner(head: str, repository: str | None, is_from: bool) -> None:
    """A fork's branch is named with its owner, whose name's case does not count."""
    tips = [
        Tip(ref, "1", RepositoryRef(name) if name else None)
        for ref, name in (("topic", repository), ("main", "octocat/hello"))
    ]
    pull_request = PullRequest(
        number=1, title="T", state="open", html_url="u", head=tips[0], base=tips[1], node_id="PR_1"
    )
    assert pull_request.is_from(head) == is_from
