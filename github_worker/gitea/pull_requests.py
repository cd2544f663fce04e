"""The pull requests of a repository on Gitea: find, open, merge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Literal
from urllib.parse import quote

from github_worker.errors import (
    BranchNotFound,
    JobError,
    MergeConflict,
    NoCommits,
    PullRequestExists,
    PullRequestNotMergeable,
    RepositoryNotFound,
    UnsupportedRepository,
)
from github_worker.forge.errors import ReadyToMerge
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
from github_worker.forge.requests import ApiRequest, ApiResponse
from github_worker.gitea.client import PAGE, Gitea
from github_worker.gitea.responses import Compared, GiteaPullRequest, MergeSettings

_DRAFT = "WIP: "
_MAX_LOOKS = 1000  # of a list that an older Gitea does not look through itself


class PullRequests:
    """The pull requests of a repository; every method raises a JobError where Gitea refuses."""

    def __init__(self, gitea: Gitea, repository: FullName) -> None:
        self._gitea = gitea
        self._repository = repository
        self._path = f"{repository.path}/pulls"

    async def find_open(self, head: str, base: str) -> PullRequest | None:
        """Return the open pull request from `head` into `base`."""
        return await self._find("open", head, base)

    async def find_merged(self, head: str, base: str) -> PullRequest | None:
        """Return the newest merged pull request from `head` into `base`."""
        return await self._find("closed", head, base)

    async def list_recent_titles(self, base: str, count: int) -> list[str]:
        """Return the titles of the newest pull requests into `base`."""
        titles: list[str] = []
        async for pull_request in self._list("all", base):
            titles.append(pull_request.title)
            if len(titles) == count:
                break
        return titles

    async def get(self, number: int) -> PullRequest:
        """Return one pull request; raise PullRequestNotMergeable where there is none of this number."""
        try:
            return (await self._fetch(number)).read()
        except RepositoryNotFound:
            await self.get_settings()
        raise no_pull_request(self._repository, number)

    async def get_settings(self) -> MergeSettings:
        """Return how the repository merges."""
        request = ApiRequest(
            purpose=f"Asking for {self._repository}", method="GET", path=self._repository.path
        )
        return (await self._gitea.send(request)).decode(MergeSettings)

    async def open(self, texts: PullRequestTexts, *, head: str, base: str, **options: bool) -> PullRequest:
        """Open a pull request, one even if a response is lost; raise PullRequestExists if there was one.

        Gitea would open one for a branch without commits; this raises NoCommits.
        """
        if "maintainer_can_modify" in options:
            raise UnsupportedRepository(f"{self._gitea.forge} opens no pull request by `maintainerCanModify`")
        if not (await compare(self._gitea, self._repository, base, head)).ahead_by:
            raise NoCommits(f"{head} has no commits that {base} has not")
        title = draft_title(texts.title or head, _DRAFT, draft=options.get("draft", False))
        request = ApiRequest(
            purpose=f"Opening a pull request from {head} into {base} in {self._repository}",
            method="POST",
            path=self._path,
            body={"title": title, "head": head, "base": base, "body": texts.body or ""},
            statuses=frozenset({201}),
            errors={404: BranchNotFound, 409: PullRequestExists},
            repeatable=False,  # a second one is refused, so the outcome of a lost one is looked up
        )
        find = partial(self.find_open, head, base)
        return await open_once(
            self._gitea, request, lambda response: response.decode(GiteaPullRequest).read(), find
        )

    async def update(self, number: int, texts: PullRequestTexts) -> PullRequest:
        """Change the title and the body of a pull request, as far as given; a draft stays one."""
        given = {"title": texts.title, "body": texts.body}
        if texts.title is not None:
            draft = (await self._fetch(number)).draft
            given["title"] = draft_title(texts.title, _DRAFT, draft=draft)
        request = ApiRequest(
            purpose=f"Updating {self._repository}#{number}",
            method="PATCH",
            path=f"{self._path}/{number}",
            body={name: text for name, text in given.items() if text is not None},
            statuses=frozenset({201}),
        )
        return (await self._gitea.send(request)).decode(GiteaPullRequest).read()

    async def request_reviews(self, number: int, people: Sequence[str], teams: Sequence[str]) -> None:
        """Ask people, and teams of the repository's organization, to review a pull request."""
        given = {"reviewers": list(people), "team_reviewers": [team.rpartition("/")[2] for team in teams]}
        request = ApiRequest(
            purpose=f"Asking {', '.join((*people, *teams))} to review {self._repository}#{number}",
            method="POST",
            path=f"{self._path}/{number}/requested_reviewers",
            body={name: names for name, names in given.items() if names},
            statuses=frozenset({201}),
        )
        await self._gitea.send(request)

    async def merge(self, pull_request: PullRequest, sha: str, options: MergeOptions) -> Merge:
        """Merge a pull request whose head is `sha`; raise PullRequestNotMergeable or MergeConflict."""
        number = pull_request.number
        await self._merge(number, sha, options)
        merged = await self._fetch(number)
        return Merge(sha=merged.merge_commit_sha, message=f"{self._gitea.forge} merged #{number}")

    async def rebase_branch(self, pull_request: PullRequest) -> None:
        """Rebase the branch of a pull request onto its base."""
        purpose = f"Rebasing {pull_request.head.ref} onto {pull_request.base.ref}"
        await self._gitea.send(update_branch(self._repository, pull_request, purpose, "rebase"))

    async def enable_auto_merge(self, pull_request: PullRequest, head: str, options: MergeOptions) -> None:
        """Let Gitea merge when the checks succeed; raise ReadyToMerge where it merged at once."""
        more = {"merge_when_checks_succeed": True}
        if options.delete_branch:
            more["delete_branch_after_merge"] = True
        try:
            response = await self._merge(pull_request.number, head, options, **more)
        except MergeConflict as error:
            if "already scheduled" not in str(error):  # which is a conflict too, by its status
                raise
            return
        except PullRequestNotMergeable:  # as it is told when it did so, and the answer was lost
            if not (await self._fetch(pull_request.number)).merged_at:
                raise
            raise ReadyToMerge(f"#{pull_request.number} is merged") from None
        if response.status == 200:
            raise ReadyToMerge(f"#{pull_request.number} is merged")

    async def _merge(self, number: int, sha: str, options: MergeOptions, **more: bool) -> ApiResponse:
        style = options.method or await self._choose_style()
        words = {"MergeTitleField": options.title, "MergeMessageField": options.text}
        given = {name: text for name, text in words.items() if text is not None}
        request = ApiRequest(
            purpose=f"Merging {self._repository}#{number}",
            method="POST",
            path=f"{self._path}/{number}/merge",
            body={"Do": style, "head_commit_id": sha, **given, **more},
            statuses=frozenset({200, 201}),  # 201: it is left for later
            errors={405: PullRequestNotMergeable, 409: MergeConflict, 422: PullRequestNotMergeable},
        )
        return await self._gitea.send(request)

    async def _choose_style(self) -> str:
        settings = await self.get_settings()
        methods: list[str] = [*settings.methods, "fast-forward-only"]
        return settings.default_merge_style if settings.default_merge_style in methods else methods[0]

    async def _fetch(self, number: int) -> GiteaPullRequest:
        request = ApiRequest(
            purpose=f"Asking for {self._repository}#{number}", method="GET", path=f"{self._path}/{number}"
        )
        return (await self._gitea.send(request)).decode(GiteaPullRequest)

    async def _find(self, state: Literal["open", "closed"], head: str, base: str) -> PullRequest | None:
        looks = 0
        async for raw in self._list(state, base, head):
            pull_request = raw.read()
            if pull_request.is_from(head) and (state == "open" or pull_request.is_merged):
                return pull_request
            looks += 1
            if looks == _MAX_LOOKS and state == "closed":
                return None
        return None

    async def _list(self, state: str, base: str, head: str | None = None) -> AsyncIterator[GiteaPullRequest]:
        """Yield the pull requests into `base`, the newest first; an older Gitea does not go by `head`."""
        query = {"state": state, "base": base, "limit": str(PAGE)}
        if head is not None:
            query["head"] = head.rpartition(":")[2]
        request = ApiRequest(
            purpose=f"Listing the pull requests of {self._repository}",
            method="GET",
            path=self._path,
            query=query,
        )
        async for page in self._gitea.send_pages(request):
            # null stands for one that could not be read
            for pull_request in page.decode(list[GiteaPullRequest | None]):
                if pull_request and pull_request.base.ref == base:
                    yield pull_request


async def compare(gitea: Gitea, repository: FullName, base: str, head: str) -> Comparison:
    """Return the commits and files of `head`, a fork's as `owner:branch`, that `base` has not."""
    request = ApiRequest(
        purpose=f"Comparing {head} with {base} in {repository}",
        method="GET",
        path=f"{repository.path}/compare/{quote_branch(base)}...{quote_branch(head)}",
        errors={404: BranchNotFound},
    )
    return (await gitea.send(request)).decode(Compared).read()


def update_branch(
    repository: FullName, pull_request: PullRequest, purpose: str, style: Literal["merge", "rebase"]
) -> ApiRequest:
    """Bring the branch of a pull request up to date with its base."""
    errors: dict[int, type[JobError]] = {409: MergeConflict}
    return ApiRequest(
        purpose=purpose,
        method="POST",
        path=f"{repository.path}/pulls/{pull_request.number}/update",
        query={"style": style},
        errors=errors,
    )


def quote_branch(branch: str) -> str:
    """Quote a branch, as a part of a path; its slashes stay."""
    return quote(branch, safe="/:")
