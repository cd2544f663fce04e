"""The client of GitHub's API: headers, limits, refusals, failures, redirects."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator

import pytest

from github_worker import __version__
from github_worker.contract import AutoPullRequest, CreatePullRequest, MergePullRequest
from github_worker.errors import (
    AuthenticationFailed,
    HostNotAllowed,
    JobError,
    PermissionDenied,
    RateLimited,
    RemoteUnavailable,
    RepositoryNotFound,
)
from github_worker.services import Services
from github_worker.settings import from_env
from tests.pull_requests.conftest import Jobs
from tests.support.faults import ENCODED, ENDLESS, Answer, Cut, Flood, Moment, Redirect
from tests.support.github import ENTERPRISE, TOKEN, GitHub
from tests.support.memory import MIB, bounded_memory

_TEXTS = {"head": "topic", "base": "main", "title": "Title", "body": "body"}
_OPEN = "POST /repos/octocat/hello-world/pulls"
_LIST = "GET /repos/octocat/hello-world/pulls"


@pytest.fixture
def elsewhere() -> Iterator[GitHub]:
    """Yield another server."""
    with GitHub() as github:
        yield github


async def test_every_request_carries_what_github_asks_for(github: GitHub, jobs: Jobs) -> None:
    """The token as a bearer, the API's version, the media type, and who we are."""
    github.repository.checks = {"build": ["success"]}
    await jobs.run(AutoPullRequest, branch="topic", base="main", waitForChecks=True)
    wanted = {
        "authorization": f"Bearer {TOKEN}",
        "x-github-api-version": "2022-11-28",
        "accept": "application/vnd.github+json",
        "user-agent": f"github-worker/{__version__}",
    }
    assert all(wanted.items() <= asked.headers.items() for asked in github.asked)


async def test_branches_with_difficult_names_arrive_whole(github: GitHub, jobs: Jobs) -> None:
    """Slashes, percent and number signs of a branch are its name, not the address's."""
    github.repository.commit("fix/50%#1", "Fix", {"fix": "1"})
    github.repository.checks = {"build": ["success"]}
    done = await jobs.run(AutoPullRequest, branch="fix/50%#1", base="main", waitForChecks=True)
    assert done.step == "branch_deleted"
    assert "fix/50%#1" not in github.repository.branches


async def test_an_enterprise_api_is_below_a_path(github: GitHub, env: dict[str, str]) -> None:
    """GITHUB_API_URL may have a path of its own."""
    jobs = Jobs(Services.from_settings(from_env(env | {"GITHUB_API_URL": f"{github.origin}{ENTERPRISE}/"})))
    assert (await jobs.run(CreatePullRequest, **_TEXTS)).number == 1


@pytest.mark.parametrize("status", [403, 429])
async def test_retry_after_is_obeyed(github: GitHub, jobs: Jobs, status: int) -> None:
    """The request is sent again when its time has come, not before, and the wait is told."""
    github.refuse(_OPEN, status, "You have exceeded a secondary rate limit", headers={"Retry-After": "1"})
    began = time.monotonic()
    assert (await jobs.run(CreatePullRequest, **_TEXTS)).number == 1
    assert time.monotonic() - began >= 1
    assert jobs.warnings == ["rate_limited"]


async def test_a_used_up_limit_is_waited_for_until_its_reset(github: GitHub, jobs: Jobs) -> None:
    """A reset that is past is waited for just as long as its second may last."""
    limit = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()))}
    github.refuse(_LIST, 403, "API rate limit exceeded", headers=limit)
    assert (await jobs.run(CreatePullRequest, **_TEXTS)).number == 1


async def test_a_limit_beyond_the_deadline_is_an_error_with_its_time(github: GitHub, jobs: Jobs) -> None:
    """The job does not wait in vain: `rate_limited` says when to come back."""
    limit = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 3600)}
    github.refuse(_LIST, 403, "API rate limit exceeded", headers=limit)
    with pytest.raises(RateLimited, match=r"until 20\d\d-.*Z: API rate limit exceeded") as raised:
        await jobs.run(CreatePullRequest, **_TEXTS)
    assert 3590 < raised.value.data["retryAfter"] <= 3602
    assert raised.value.data["retryAt"] in str(raised.value)


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "9" * 12},
        {"Retry-After": "9" * 5000},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9" * 30},
    ],
)
async def test_a_limit_beyond_all_time_is_a_limit(
    github: GitHub, jobs: Jobs, headers: dict[str, str]
) -> None:
    """What no calendar has is told as a year."""
    github.refuse(_LIST, 403, "API rate limit exceeded", headers=headers)
    with pytest.raises(RateLimited, match="API rate limit exceeded") as raised:
        await jobs.run(CreatePullRequest, **_TEXTS)
    assert raised.value.data["retryAfter"] == 31_536_000


async def test_a_refused_token_fails_authentication(github: GitHub, jobs: Jobs) -> None:
    """GitHub's sentence is passed on, the token is not."""
    github.token = "another"
    with pytest.raises(AuthenticationFailed, match="Bad credentials"):
        await jobs.run(CreatePullRequest, **_TEXTS)


@pytest.mark.parametrize(
    ("headers", "needed"),
    [
        ({"X-Accepted-GitHub-Permissions": "pull_requests=write"}, "the token needs pull_requests=write"),
        (
            {"X-Accepted-OAuth-Scopes": "repo", "X-OAuth-Scopes": "gist, read:user"},
            r"one of the scopes repo; it has gist, read:user",
        ),
        (
            {"X-Accepted-OAuth-Scopes": "repo, public_repo", "X-OAuth-Scopes": ""},
            r"one of the scopes repo, public_repo; it has none",
        ),
    ],
)
async def test_a_missing_permission_is_named(
    github: GitHub, jobs: Jobs, headers: dict[str, str], needed: str
) -> None:
    """The message says what the token lacks, for both kinds of token."""
    github.refuse(_OPEN, 403, "Resource not accessible by personal access token", headers=headers)
    with pytest.raises(PermissionDenied, match=f"personal access token.*{needed}"):
        await jobs.run(CreatePullRequest, **_TEXTS)


@pytest.mark.parametrize(("status", "headers"), [(404, {"X-Accepted-OAuth-Scopes": "repo"}), (403, {})])
async def test_no_permission_is_named_that_may_not_be_what_lacks(
    github: GitHub, jobs: Jobs, status: int, headers: dict[str, str]
) -> None:
    """GitHub tells what is needed with answers of other statuses too, and with some refusals it does not."""
    github.refuse(_OPEN, status, "No", headers=headers)
    with pytest.raises(JobError, match=r"failed: No$"):
        await jobs.run(CreatePullRequest, **_TEXTS)


async def test_a_repository_that_is_not_there_is_not_found(jobs: Jobs) -> None:
    """A private one that the token may not see is the same to GitHub."""
    with pytest.raises(RepositoryNotFound, match="octocat/other"):
        await jobs.run(CreatePullRequest, **_TEXTS | {"repo": "other"})


async def test_an_unprocessable_request_is_not_tried_again(github: GitHub, jobs: Jobs) -> None:
    """GitHub's validation is passed on in its own words, with the details."""
    body = {"message": "Validation Failed", "errors": [{"message": "Drafts are not supported"}]}
    github.faults.add(Answer(422, json.dumps(body).encode()), _OPEN)
    with pytest.raises(JobError, match="Validation Failed: Drafts are not supported"):
        await jobs.run(CreatePullRequest, **_TEXTS)
    assert github.count("POST", "/pulls") == 1


async def test_every_page_of_a_list_is_read(github: GitHub, jobs: Jobs) -> None:
    """Checks, statuses, rules and pull requests go on where `Link` says, whatever page size was asked for."""
    hosted = github.repository
    hosted.page_limit = 1
    # a state for each request, and two requests for each look
    hosted.checks = {"build": ["success"], "test": ["in_progress", "in_progress", "success"]}
    hosted.statuses = {"legacy": ["success"], "other": ["pending", "pending", "success"]}
    hosted.ruled = {"test", "other"}
    pull = hosted.open("topic", "main", "Theirs")
    pull.head_repository = "stranger/hello-world"
    mine = hosted.open("topic", "main", "Mine").number
    hosted.pulls = {number: hosted.pulls[number] for number in (mine, pull.number)}  # on the second page
    done = await jobs.run(AutoPullRequest, branch="topic", base="main", waitForChecks=True)
    assert (done.pr.number, done.step) == (mine, "branch_deleted")
    assert (github.count("GET", "/check-runs"), github.count("GET", "/status")) == (4, 4)


async def test_a_list_without_an_end_is_given_up(github: GitHub, jobs: Jobs) -> None:
    """A server whose every page names a next one does not hold the job."""
    github.faults.add(Answer(200, b"[]", {"Link": '<http://x/y?page=2>; rel="next"'}), _LIST, times=1000)
    with pytest.raises(RemoteUnavailable, match="does not end"):
        await jobs.run(CreatePullRequest, **_TEXTS)
    assert github.count("GET", "/pulls") == 100


@pytest.mark.parametrize("fault", [Answer(502, b"<html>"), Cut(Moment.RECEIVED), Cut(Moment.HANDLED)])
@pytest.mark.parametrize("call", ["GET ", "POST /repos/octocat/hello-world/merges", "PUT ", "DELETE "])
async def test_failures_that_pass_are_not_noticed(
    github: GitHub, jobs: Jobs, call: str, fault: Answer | Cut
) -> None:
    """A failing server or a broken connection is tried again where that does no harm."""
    github.faults.add(fault, call)
    done = await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert (done.step, done.merge_pr.sha) == ("branch_deleted", github.repository.branches["main"])


async def test_a_github_that_stays_away_is_unavailable(github: GitHub, jobs: Jobs) -> None:
    """After some tries the job says so."""
    github.faults.add(Answer(503, b""), _LIST, times=100)
    with pytest.raises(RemoteUnavailable, match="status 503"):
        await jobs.run(CreatePullRequest, **_TEXTS)
    assert github.count("GET", "/pulls") == 5


async def test_a_page_that_is_no_answer_is_unavailable(github: GitHub, jobs: Jobs) -> None:
    """A proxy's sign-in page is not taken for GitHub's answer."""
    github.faults.add(Answer(200, b"<html>sign in</html>"), _LIST)
    with pytest.raises(RemoteUnavailable, match="cannot be read"):
        await jobs.run(CreatePullRequest, **_TEXTS)


@pytest.mark.parametrize("answer", [*ENDLESS.values(), *ENCODED.values()], ids=[*ENDLESS, *ENCODED])
async def test_an_answer_without_an_end_or_in_a_strange_encoding_is_not_read(
    github: GitHub, jobs: Jobs, answer: Flood
) -> None:
    """It costs some times its limit of 32 MiB, and is not asked for again, as nothing better would come."""
    github.faults.add(answer, _LIST, times=9)
    with (
        bounded_memory(120 * MIB),
        pytest.raises(RemoteUnavailable, match=r"cannot be read: it is (over|encoded|no sound)"),
    ):
        await jobs.run(CreatePullRequest, **_TEXTS)
    assert github.count("GET", "/pulls") == 1


async def test_a_compressed_answer_is_read(github: GitHub, jobs: Jobs) -> None:
    """So GitHub sends its answers to who takes them."""
    packed = gzip.compress(json.dumps({"message": "Moved house"}).encode())
    github.faults.add(Answer(404, packed, {"Content-Encoding": "gzip"}), _LIST)
    with pytest.raises(RepositoryNotFound, match="Moved house"):
        await jobs.run(CreatePullRequest, **_TEXTS)
    assert github.asked[0].headers["accept-encoding"] == "gzip"


async def test_a_redirect_within_github_is_followed(github: GitHub, jobs: Jobs) -> None:
    """A renamed repository still answers, to a write too."""
    github.repository.open("topic", "main", "Title")
    github.faults.add(Redirect(github.origin, 307), "PUT ")
    assert (await jobs.run(MergePullRequest, pullNumber=1)).merged


@pytest.mark.parametrize(("redirects", "arrives"), [(2, True), (3, False)])
async def test_a_redirect_is_followed_twice(
    github: GitHub, jobs: Jobs, redirects: int, arrives: bool
) -> None:
    """A chain of them ends as a refusal, after three requests."""
    github.repository.open("topic", "main", "Title")
    github.faults.add(Redirect(github.origin, 307), "PUT ", times=redirects)
    if arrives:
        assert (await jobs.run(MergePullRequest, pullNumber=1)).merged
    else:
        with pytest.raises(PermissionDenied, match=r"Merging octocat/hello-world#1 failed.* status 307"):
            await jobs.run(MergePullRequest, pullNumber=1)
    assert github.count("PUT", "/merge") == 3


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_every_redirect_that_github_uses_is_followed(github: GitHub, jobs: Jobs, status: int) -> None:
    """The method and the body stay, whatever it is."""
    github.repository.open("topic", "main", "Title")
    github.faults.add(Redirect(github.origin, status), "PUT ")
    assert (await jobs.run(MergePullRequest, pullNumber=1)).merged


async def test_a_redirect_elsewhere_is_refused(github: GitHub, elsewhere: GitHub, jobs: Jobs) -> None:
    """The token goes to no other origin, nor does a request without it."""
    github.faults.add(Redirect(elsewhere.origin, 301), _LIST)
    with pytest.raises(HostNotAllowed):
        await jobs.run(CreatePullRequest, **_TEXTS)
    assert elsewhere.asked == []


@pytest.mark.parametrize("location", ["http:host", "mailto:x", "//[", "http://[::1"])
async def test_a_redirect_to_what_is_no_address_is_unavailable(
    github: GitHub, jobs: Jobs, location: str
) -> None:
    """It is GitHub's answer that is wrong, and not this worker."""
    github.faults.add(Answer(302, b"", {"Location": location}), _LIST, times=9)
    with pytest.raises(RemoteUnavailable):
        await jobs.run(CreatePullRequest, **_TEXTS)


async def test_what_github_repeats_of_a_token_is_masked(github: GitHub, jobs: Jobs) -> None:
    """No message has the token, whoever put it there."""
    github.refuse(_OPEN, 422, f"Not with {TOKEN}\nreally")
    with pytest.raises(JobError, match=r"Not with \*\*\* really"):
        await jobs.run(CreatePullRequest, **_TEXTS)
