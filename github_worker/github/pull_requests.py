"""The pull requests of a repository on GitHub: find, open, merge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from github_worker.errors import (
    MergeConflict,
    PullRequestExists,
    PullRequestNotMergeable,
    RepositoryNotFound,
)
from github_worker.forge.client import OutcomeUnknown
from github_worker.forge.pull_request import (
    FullName,
    Merge,
    MergeOptions,
    PullRequest,
    PullRequestTexts,
    exists_error,
    no_pull_request,
)
from github_worker.forge.requests import PAGE, ApiRequest
from github_worker.github import graphql
from github_worker.github.client import GitHub
from github_worker.github.requests import get_repository
from github_worker.retry import Backoff

_LOOKS = Backoff(first=0.25, longest=1.0, tries=4)


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
        raise no_pull_request(self._repository, number)

    async def open(self, texts: PullRequestTexts, *, head: str, base: str, **options: bool) -> PullRequest:
        """Open a pull request, one even if a response is lost; raise PullRequestExists if there was one.

        `options` are `draft` and `maintainer_can_modify`.
        """
        request = ApiRequest(
            purpose=f"Opening a pull request from {head} into {base} in {self._repository}",
            method="POST",
            path=self._path,
            body={"title": texts.title, "head": head, "base": base, "body": texts.body, **options},
            statuses=frozenset({201}),
            repeatable=False,  # a second one is refused, so the outcome of a lost one is looked up
        )
        try:
            return (await self._github.send(request)).decode(PullRequest)
        except PullRequestExists as error:
            raise await self._name_existing(head, base, error) from None
        except OutcomeUnknown:
            if pull_request := await self.find_open(head, base):
                return pull_request
        try:
            return (await self._github.send(request)).decode(PullRequest)
        except PullRequestExists:
            if pull_request := await self._look_again(head, base):
                return pull_request
            raise

    async def update(self, number: int, texts: PullRequestTexts) -> PullRequest:
        """Change the title and the body of a pull request, as far as they are given."""
        given = {"title": texts.title, "body": texts.body}
        request = ApiRequest(
            purpose=f"Updating {self._repository}#{number}",
            method="PATCH",
            path=f"{self._path}/{number}",
            body={name: text for name, text in given.items() if text is not None},
        )
        return (await self._github.send(request)).decode(PullRequest)

    async def request_reviews(self, number: int, people: Sequence[str], teams: Sequence[str]) -> None:
        """Ask people, and teams of the repository's organization, to review a pull request."""
        slugs = [team.rpartition("/")[2] for team in teams]
        given = {"reviewers": list(people), "team_reviewers": slugs}
        request = ApiRequest(
            purpose=f"Asking {', '.join((*people, *teams))} to review {self._repository}#{number}",
            method="POST",
            path=f"{self._path}/{number}/requested_reviewers",
            body={name: names for name, names in given.items() if names},
            statuses=frozenset({201}),
        )
        await self._github.send(request)

    async def merge(self, pull_request: PullRequest, sha: str, options: MergeOptions) -> Merge:
        """Merge a pull request whose head is `sha`; raise PullRequestNotMergeable or MergeConflict."""
        body = {
            "sha": sha,
            "merge_method": options.method,
            "commit_title": options.title,
            "commit_message": options.text,
        }
        request = ApiRequest(
            purpose=f"Merging {self._repository}#{pull_request.number}",
            method="PUT",
            path=f"{self._path}/{pull_request.number}/merge",
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

    async def _name_existing(self, head: str, base: str, error: PullRequestExists) -> PullRequestExists:
        pull_request = await self._look_again(head, base)
        return exists_error(pull_request) if pull_request else error

    async def _look_again(self, head: str, base: str) -> PullRequest | None:
        """Find a pull request that GitHub says is there: its list may come to have it a little later."""
        for looks in range(1, _LOOKS.tries):
            if pull_request := await self.find_open(head, base):
                return pull_request
            await self._github.pause(_LOOKS.pause(looks), "GitHub does not list what it says is there")
        # by its head it is not found in a fork that has the repository's own owner
        async for pull_request in self._list("open", base, None):
            if pull_request.is_from(head):
                return pull_request
        return None

    async def _list(
        self, state: str, base: str, head: str | None, size: int = PAGE
    ) -> AsyncIterator[PullRequest]:
        """Yield the pull requests into `base`, newest first, from the repository's `head` if one is given."""
        query = {"state": state, "base": base, "sort": "created", "direction": "desc", "per_page": str(size)}
        if head is not None:
            query["head"] = head if ":" in head else f"{self._repository.owner}:{head}"
        request = ApiRequest(
            purpose=f"Listing the pull requests of {self._repository}",
            method="GET",
            path=self._path,
            query=query,
        )
        async for page in self._github.send_pages(request):
            for pull_request in page.decode(list[PullRequest]):
                yield pull_request
