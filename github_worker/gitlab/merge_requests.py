"""The merge requests of a project on GitLab: find, open, merge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

from github_worker.errors import (
    BranchNotFound,
    JobError,
    MergeConflict,
    NoCommits,
    PermissionDenied,
    PullRequestExists,
    PullRequestNotMergeable,
    PullRequestTimeout,
    RemoteUnavailable,
    RepositoryNotFound,
    UnsupportedRepository,
)
from github_worker.forge.errors import HeadMoved, MethodRefused, ReadyToMerge, StillChecking, clean_sentence
from github_worker.forge.opening import open_once
from github_worker.forge.pull_request import (
    Comparison,
    FullName,
    Merge,
    MergeOptions,
    PullRequest,
    PullRequestTexts,
    draft_title,
    no_pull_request,
)
from github_worker.forge.requests import PAGE, ApiRequest
from github_worker.gitlab.client import GitLab, get_project, project_path
from github_worker.gitlab.people import People
from github_worker.gitlab.responses import Compared, MergeRequest, Project
from github_worker.retry import Backoff

_DRAFT = "Draft: "
_POLLS = Backoff(first=0.25, longest=4.0, tries=20)
_REFUSALS: Mapping[int, type[JobError]] = {
    401: PermissionDenied,  # so it says that the token's owner may not merge
    405: PullRequestNotMergeable,
    406: PullRequestNotMergeable,
    409: HeadMoved,
    422: PullRequestNotMergeable,
}


class MergeRequests:
    """The merge requests of a project; every method raises a JobError where GitLab refuses."""

    def __init__(self, gitlab: GitLab, project: FullName) -> None:
        self._gitlab = gitlab
        self._project = project
        self._path = f"{project_path(project)}/merge_requests"
        self._people = People(gitlab, project)

    async def find_open(self, head: str, base: str) -> PullRequest | None:
        """Return the open merge request from `head` into `base`."""
        return await self._find("opened", _require_own(head), base)

    async def find_merged(self, head: str, base: str) -> PullRequest | None:
        """Return the newest merged merge request from `head` into `base`."""
        return await self._find("merged", head, base)

    async def list_recent_titles(self, base: str, count: int) -> list[str]:
        """Return the titles of the newest merge requests into `base`."""
        titles: list[str] = []
        async for merge_request in self._list("all", base, size=count):
            titles.append(merge_request.title)
            if len(titles) == count:
                break
        return titles

    async def get(self, number: int) -> PullRequest:
        """Return one merge request; raise PullRequestNotMergeable where there is none of this number."""
        try:
            return (await self.fetch(number)).read()
        except RepositoryNotFound:
            await self._gitlab.send(get_project(self._project))
        raise no_pull_request(self._project, number)

    async def fetch(self, number: int, **query: str) -> MergeRequest:
        """Return one merge request as GitLab has it."""
        request = ApiRequest(
            purpose=f"Asking for {self._project}!{number}",
            method="GET",
            path=f"{self._path}/{number}",
            query=query,
        )
        return (await self._gitlab.send(request)).decode(MergeRequest)

    async def open(self, texts: PullRequestTexts, *, head: str, base: str, **options: bool) -> PullRequest:
        """Open a merge request, one even if a response is lost; raise PullRequestExists if there was one.

        GitLab would open one for a branch without commits; this raises NoCommits.
        """
        if "maintainer_can_modify" in options:
            raise UnsupportedRepository(
                "`maintainerCanModify` is about forks, whose branches GitLab opens there"
            )
        if not (await compare(self._gitlab, self._project, base, _require_own(head))).ahead_by:
            raise NoCommits(f"{head} has no commits that {base} has not")
        title = draft_title(texts.title or head, _DRAFT, draft=options.get("draft", False))
        body = {"source_branch": head, "target_branch": base, "title": title, "description": texts.body}
        request = ApiRequest(
            purpose=f"Opening a merge request from {head} into {base} in {self._project}",
            method="POST",
            path=self._path,
            body={name: value for name, value in body.items() if value is not None},
            statuses=frozenset({201}),
            errors={409: PullRequestExists},
            repeatable=False,  # a second one is refused, so the outcome of a lost one is looked up
        )
        find = partial(self.find_open, head, base)
        return await open_once(
            self._gitlab, request, lambda response: response.decode(MergeRequest).read(), find
        )

    async def update(self, number: int, texts: PullRequestTexts) -> PullRequest:
        """Change the title and the body of a merge request, as far as given; a draft stays one."""
        given = {"title": texts.title, "description": texts.body}
        if texts.title is not None:
            draft = (await self.fetch(number)).draft
            given["title"] = draft_title(texts.title, _DRAFT, draft=draft)
        request = ApiRequest(
            purpose=f"Updating {self._project}!{number}",
            method="PUT",
            path=f"{self._path}/{number}",
            body={name: text for name, text in given.items() if text is not None},
        )
        if not request.body:
            return await self.get(number)
        return (await self._gitlab.send(request)).decode(MergeRequest).read()

    async def request_reviews(self, number: int, people: Sequence[str], teams: Sequence[str]) -> None:
        """Ask people to review a merge request; raise UnsupportedRepository for teams."""
        if teams:
            raise UnsupportedRepository(f"GitLab asks people for reviews, no teams: {', '.join(teams)}")
        await self._people.request_reviews(number, people)

    async def merge(self, pull_request: PullRequest, sha: str, options: MergeOptions) -> Merge:
        """Merge a merge request whose head is `sha`; raise PullRequestNotMergeable or MergeConflict."""
        merge_request = await self._merge(pull_request.number, sha, options)
        return Merge(sha=merge_request.result, message=f"GitLab merged !{pull_request.number}")

    async def rebase_branch(self, pull_request: PullRequest) -> None:
        """Rebase the branch of a merge request onto its base, and wait until that is done.

        It is refused, as a way of merging, where the project does not need it.
        """
        if not (await self._get_project()).needs_rebase:
            raise MethodRefused(f"{self._project} merges with a merge commit: nothing is rebased")
        number = pull_request.number
        request = ApiRequest(
            purpose=f"Rebasing {pull_request.head.ref} onto {pull_request.base.ref}",
            method="PUT",
            path=f"{self._path}/{number}/rebase",
            statuses=frozenset({200, 202}),  # the one is described, the other comes
            errors={409: RemoteUnavailable},
        )
        await self._gitlab.send(request)
        await self._wait_for_rebase(number, request.purpose)

    async def enable_auto_merge(self, pull_request: PullRequest, head: str, options: MergeOptions) -> None:
        """Let GitLab merge when the pipeline succeeds; raise ReadyToMerge where it merged at once."""
        number = pull_request.number
        more = {"merge_when_pipeline_succeeds": True}
        if options.delete_branch:
            more["should_remove_source_branch"] = True
        if (await self._merge(number, head, options, **more)).state == "merged":
            raise ReadyToMerge(f"!{number} is merged")

    async def _merge(self, number: int, sha: str, options: MergeOptions, **more: bool) -> MergeRequest:
        request = ApiRequest(
            purpose=f"Merging {self._project}!{number}",
            method="PUT",
            path=f"{self._path}/{number}/merge",
            body={"sha": sha, **await self._choose_method(options), **_word(options), **more},
            errors=_REFUSALS,
        )
        try:
            return (await self._gitlab.send(request)).decode(MergeRequest)
        except PullRequestNotMergeable as error:  # for which GitLab gives no reason
            raise await self._explain(number, error, is_later=bool(more)) from None

    async def _choose_method(self, options: MergeOptions) -> dict[str, bool]:
        if options.method is None:
            return {}
        methods = (await self._get_project()).methods
        if options.method not in methods:
            allowed = " or ".join(methods)
            raise MethodRefused(f"{self._project} does not merge by {options.method}: it allows {allowed}")
        return {"squash": options.method == "squash"}

    async def _explain(self, number: int, error: PullRequestNotMergeable, *, is_later: bool) -> JobError:
        """Return the error with GitLab's reason; one that is merged later may have no pipeline yet."""
        merge_request = await self.fetch(number)
        if merge_request.state == "merged":  # as it is told when it did so, and the answer was lost
            return ReadyToMerge(f"!{number} is merged")
        if merge_request.has_conflicts:
            return MergeConflict(f"!{number} conflicts with {merge_request.target_branch}")
        is_early = is_later and merge_request.status == "ci_must_pass" and merge_request.head_pipeline is None
        if merge_request.is_checking or merge_request.is_ready or is_early:
            return StillChecking(f"{error}: it is {merge_request.status}")
        return PullRequestNotMergeable(f"{error}: it is {merge_request.status}")

    async def _wait_for_rebase(self, number: int, purpose: str) -> None:
        for polls in range(1, _POLLS.tries):
            merge_request = await self.fetch(number, include_rebase_in_progress="true")
            if merge_request.rebase_in_progress:
                await self._gitlab.pause(_POLLS.pause(polls), f"{purpose}: GitLab is at it")
            elif merge_request.merge_error:
                raise MergeConflict(f"{purpose} failed: {clean_sentence(merge_request.merge_error)}")
            else:
                return
        raise PullRequestTimeout(f"{purpose}: GitLab did not end in time")

    async def _find(self, state: str, head: str, base: str) -> PullRequest | None:
        async for merge_request in self._list(state, base, head):
            pull_request = merge_request.read()
            if pull_request.is_from(head):
                return pull_request
        return None

    async def _list(
        self, state: str, base: str, head: str | None = None, size: int = PAGE
    ) -> AsyncIterator[MergeRequest]:
        """Yield the merge requests into `base`, newest first, from `head` if one is given."""
        query = {"state": state, "target_branch": base, "order_by": "created_at", "sort": "desc"}
        if head is not None:
            query["source_branch"] = head
        request = ApiRequest(
            purpose=f"Listing the merge requests of {self._project}",
            method="GET",
            path=self._path,
            query={**query, "per_page": str(size)},
        )
        async for page in self._gitlab.send_pages(request):
            for merge_request in page.decode(list[MergeRequest]):
                yield merge_request

    async def _get_project(self) -> Project:
        return (await self._gitlab.send(get_project(self._project))).decode(Project)


async def compare(gitlab: GitLab, project: FullName, base: str, head: str) -> Comparison:
    """Return the commits and files of `head` that `base` has not."""
    request = ApiRequest(
        purpose=f"Comparing {head} with {base} in {project}",
        method="GET",
        path=f"{project_path(project)}/repository/compare",
        query={"from": base, "to": head},
        errors={404: BranchNotFound},
    )
    return (await gitlab.send(request)).decode(Compared).read()


def _require_own(head: str) -> str:
    if ":" in head:
        raise UnsupportedRepository(f"{head} is a fork's: GitLab opens merge requests of forks in the fork")
    return head


def _word(options: MergeOptions) -> dict[str, Any]:
    """Return the merge commit's message, and that of the commit that squashing makes."""
    message = "\n\n".join(filter(None, [options.title, options.text]))
    if not message:
        return {}
    squashed = {} if options.method in {"merge", "rebase"} else {"squash_commit_message": message}
    return {"merge_commit_message": message, **squashed}
