"""The pull requests of a repository on GitHub: find, open, merge."""

from __future__ import annotations

from collections.abc import AsyncIterator

from github_worker.errors import (
    MergeConflict,
    PullRequestExists,
    PullRequestNotMergeable,
    RepositoryNotFound,
)
from github_worker.github import graphql
from github_worker.github.client import GitHub, OutcomeUnknown
from github_worker.github.requests import PAGE, ApiRequest, FullName, MergeOptions, get_repository
from github_worker.github.responses import Merge, PullRequest


class PullRequests:
    """The pull requests of a repository; every method raises a JobError where GitHub refuses."""

    def __init__(self, github: GitHub, repository: FullName) -> None:
        self._github = github
        self._repository = repository
        self._path = f"{repository.path}/pulls"

    async def find_open(self, head: str, base: str) -> PullRequest | None:
        """Return the open pull request from `head` into `base`."""
        async for pull_request in self._list("open", base, head):
            if pull_request.is_from(head):
                return pull_request
        return None

    async def find_merged(self, head: str, base: str) -> PullRequest | None:
        """Return the newest merged pull request from `head` into `base`."""
        async for pull_request in self._list("closed", base, head):
            if pull_request.is_from(head) and pull_request.is_merged:
                return pull_request
        return None

    async def list_recent_titles(self, base: str, count: int) -> list[str]:
        """Return the titles of the newest pull requests into `base`."""
        titles = []
        async for pull_request in self._list("all", base, None, count):
            titles.append(pull_request.title)
            if len(titles) == count:
                break
        return titles

    async def get(self, number: int) -> PullRequest:
        """Return one pull request; this also makes GitHub find out whether it can be merged.

        Raise PullRequestNotMergeable where there is none of this number.
        """
        request = ApiRequest(
            purpose=f"Asking for {self._repository}#{number}", method="GET", path=f"{self._path}/{number}"
        )
        try:
            return (await self._github.send(request)).decode(PullRequest)
        except RepositoryNotFound:
            await self._github.send(get_repository(self._repository))
        raise PullRequestNotMergeable(f"{self._repository} has no pull request #{number}")

    async def open(self, *, head: str, base: str, title: str, body: str, draft: bool) -> PullRequest:
        """Open a pull request, one even if a response is lost; raise PullRequestExists if there was one."""
        request = ApiRequest(
            purpose=f"Opening a pull request from {head} into {base} in {self._repository}",
            method="POST",
            path=self._path,
            body={"title": title, "head": head, "base": base, "body": body, "draft": draft},
            statuses=frozenset({201}),
            repeatable=False,  # a second one is refused, so the outcome of a lost one is looked up
        )
        try:
            return await self._open_once(request, head, base)
        except OutcomeUnknown:
            if pull_request := await self.find_open(head, base):
                return pull_request
        return await self._open_once(request, head, base)

    async def merge(self, number: int, sha: str, options: MergeOptions) -> Merge:
        """Merge a pull request whose head is `sha`; raise PullRequestNotMergeable or MergeConflict."""
        body = {
            "sha": sha,
            "merge_method": options.method,
            "commit_title": options.title,
            "commit_message": options.text,
        }
        request = ApiRequest(
            purpose=f"Merging {self._repository}#{number}",
            method="PUT",
            path=f"{self._path}/{number}/merge",
            body={key: value for key, value in body.items() if value is not None},
            errors={405: PullRequestNotMergeable, 409: MergeConflict, 422: PullRequestNotMergeable},
        )
        return (await self._github.send(request)).decode(Merge)

    async def rebase_branch(self, pull_request: PullRequest) -> None:
        """Rebase the branch of a pull request onto its base; it may move only after this returns."""
        await self._mutate(graphql.rebase_branch(pull_request))

    async def enable_auto_merge(self, pull_request: PullRequest, head: str, options: MergeOptions) -> None:
        """Let GitHub merge a pull request when its rules are met; raise ReadyToMerge where they are."""
        await self._mutate(graphql.enable_auto_merge(pull_request, head, options))

    async def _mutate(self, request: ApiRequest) -> None:
        graphql.check(await self._github.send(request), request.purpose)

    async def _open_once(self, request: ApiRequest, head: str, base: str) -> PullRequest:
        try:
            return (await self._github.send(request)).decode(PullRequest)
        except PullRequestExists as error:
            pull_request = await self.find_open(head, base)
            raise (exists_error(pull_request) if pull_request else error) from None

    async def _list(
        self, state: str, base: str, head: str | None, size: int = PAGE
    ) -> AsyncIterator[PullRequest]:
        """Yield the pull requests into `base`, newest first, from the repository's `head` if one is given."""
        query = {"state": state, "base": base, "sort": "created", "direction": "desc", "per_page": str(size)}
        if head is not None:
            query["head"] = f"{self._repository.owner}:{head}"
        request = ApiRequest(
            purpose=f"Listing the pull requests of {self._repository}",
            method="GET",
            path=self._path,
            query=query,
        )
        async for page in self._github.send_pages(request):
            for pull_request in page.decode(list[PullRequest]):
                yield pull_request


def exists_error(pull_request: PullRequest) -> PullRequestExists:
    """Return the error that says which pull request there is already."""
    return PullRequestExists(
        f"There is an open pull request already: #{pull_request.number} ({pull_request.html_url})",
        data={"number": pull_request.number, "htmlUrl": pull_request.html_url},
    )
