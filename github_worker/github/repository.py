"""A repository on GitHub: its branches, their rules, and the checks of their commits."""

from __future__ import annotations

from collections.abc import AsyncIterator

from github_worker.contract import BaseMerged, MergeMethod
from github_worker.errors import BranchNotFound, MergeConflict
from github_worker.forge.checks import Check
from github_worker.forge.pull_request import Commit, CommitMessage, Comparison, FullName, PullRequest
from github_worker.forge.requests import PAGE, ApiRequest, ApiResponse
from github_worker.github import checks
from github_worker.github.client import GitHub
from github_worker.github.issues import Issues
from github_worker.github.pull_requests import PullRequests
from github_worker.github.requests import get_repository, quote_branch
from github_worker.github.responses import (
    Branch,
    CheckRun,
    CheckRuns,
    CheckSuite,
    CheckSuites,
    CombinedStatus,
    CommitStatus,
    MergeSettings,
    Ref,
    Rule,
    WorkflowRun,
    WorkflowRuns,
)
from github_worker.github.rules import list_merge_methods

_OK = frozenset({200})
_OR_HIDDEN = frozenset({200, 403, 404})


class Repository:
    """A repository; every method raises a JobError where GitHub refuses."""

    def __init__(self, github: GitHub, name: FullName) -> None:
        self.client = github
        self.name = name
        self.issues = Issues(github, name)
        self.pull_requests = PullRequests(github, name)

    async def list_merge_methods(self, base: str) -> list[MergeMethod]:
        """Return the ways of merging into `base` that the repository allows and its rules do not forbid."""
        settings = (await self.client.send(get_repository(self.name))).decode(MergeSettings)
        return list_merge_methods(settings, await self._list_rules(base))

    async def merge_base(self, pull_request: PullRequest) -> BaseMerged | None:
        """Merge a pull request's base into its branch, None where there is nothing to merge."""
        into, source = pull_request.head.ref, pull_request.base.ref
        request = ApiRequest(
            purpose=f"Merging {source} into {into} in {self.name}",
            method="POST",
            path=f"{self.name.path}/merges",
            body={"base": into, "head": source},
            statuses=frozenset({201, 204}),
            errors={404: BranchNotFound, 409: MergeConflict},
        )
        response = await self.client.send(request)
        if response.status == 204:
            return None
        return BaseMerged(sha=response.decode(Commit).sha, message=f"Merged {source} into {into}")

    async def compare(self, base: str, head: str) -> Comparison:
        """Return the commits and files of `head` that `base` has not: at most 250 and 300 of them."""
        request = ApiRequest(
            purpose=f"Comparing {head} with {base} in {self.name}",
            method="GET",
            path=f"{self.name.path}/compare/{quote_branch(base)}...{quote_branch(head)}",
            errors={404: BranchNotFound},
        )
        return (await self.client.send(request)).decode(Comparison)

    async def get_message(self, sha: str) -> str:
        """Return the message of a commit."""
        request = ApiRequest(
            purpose=f"Asking for the commit {sha} of {self.name}",
            method="GET",
            path=f"{self.name.path}/git/commits/{sha}",
        )
        return (await self.client.send(request)).decode(CommitMessage).message

    async def find_tip(self, branch: str) -> str | None:
        """Return the commit that a branch is at, None where it does not exist or the repository is empty."""
        request = ApiRequest(
            purpose=f"Asking for the branch {branch} of {self.name}",
            method="GET",
            path=f"{self.name.path}/git/ref/heads/{quote_branch(branch)}",
            statuses=frozenset({200, 404, 409}),
        )
        response = await self.client.send(request)
        return response.decode(Ref).object.sha if response.status == 200 else None

    async def delete_branch(self, branch: str) -> None:
        """Delete a branch; raise BranchNotFound if it is gone."""
        request = ApiRequest(
            purpose=f"Deleting the branch {branch} of {self.name}",
            method="DELETE",
            path=f"{self.name.path}/git/refs/heads/{quote_branch(branch)}",
            statuses=frozenset({204}),
            errors={404: BranchNotFound},
        )
        await self.client.send(request)

    async def list_checks(self, pull_request: PullRequest) -> list[Check]:
        """Return the checks of a pull request's head, of both kinds."""
        sha = pull_request.head.sha
        runs = await self._list_check_runs(sha)
        statuses = await self._list_statuses(sha)
        return [*map(checks.read_run, runs), *map(checks.read_status, statuses)]

    async def list_upcoming_checks(self, pull_request: PullRequest, age: float) -> list[Check]:
        """Return what will bring checks to a head, which was seen so many settling times ago.

        A token that may not see suites or workflows is told of none.
        """
        sha = pull_request.head.sha
        workflows = map(checks.read_workflow, await self._list_workflow_runs(sha))
        suites = [checks.read_suite(suite, age) for suite in await self._list_check_suites(sha)]
        return [check for check in (*workflows, *suites) if check is not None]

    async def list_required_checks(self, branch: str) -> set[str]:
        """Return the names of the checks without which nothing is merged into `branch`."""
        request = ApiRequest(
            purpose=f"Asking for the branch {branch} of {self.name}",
            method="GET",
            path=f"{self.name.path}/branches/{quote_branch(branch)}",
            errors={404: BranchNotFound},
        )
        protected = (await self.client.send(request)).decode(Branch)
        return checks.collect_required(protected, await self._list_rules(branch))

    async def _list_rules(self, branch: str) -> list[Rule]:
        """Return the rules of a branch; a GitHub Enterprise before 3.11 has none, and says 404."""
        request = ApiRequest(
            purpose=f"Asking for the rules of the branch {branch} of {self.name}",
            method="GET",
            path=f"{self.name.path}/rules/branches/{quote_branch(branch)}",
            query={"per_page": str(PAGE)},
            statuses=frozenset({200, 404}),
        )
        pages = self.client.send_pages(request)
        return [rule async for page in pages if page.status == 200 for rule in page.decode(list[Rule])]

    async def _list_check_runs(self, sha: str) -> list[CheckRun]:
        pages = self._ask_for_pages(f"checks of {sha}", f"/commits/{sha}/check-runs")
        return [run async for page in pages for run in page.decode(CheckRuns).check_runs]

    async def _list_check_suites(self, sha: str) -> list[CheckSuite]:
        path = f"/commits/{sha}/check-suites"
        pages = self._ask_for_pages(f"check suites of {sha}", path, statuses=_OR_HIDDEN)
        return [suite async for page in pages for suite in page.decode(CheckSuites).check_suites]

    async def _list_workflow_runs(self, sha: str) -> list[WorkflowRun]:
        what = f"workflow runs of {sha}"
        pages = self._ask_for_pages(what, "/actions/runs", statuses=_OR_HIDDEN, head_sha=sha)
        return [run async for page in pages for run in page.decode(WorkflowRuns).workflow_runs]

    async def _list_statuses(self, sha: str) -> list[CommitStatus]:
        """Return a commit's statuses, which are the older kind of check."""
        pages = self._ask_for_pages(f"statuses of {sha}", f"/commits/{sha}/status")
        return [status async for page in pages for status in page.decode(CombinedStatus).statuses]

    async def _ask_for_pages(
        self, what: str, path: str, *, statuses: frozenset[int] = _OK, **query: str
    ) -> AsyncIterator[ApiResponse]:
        """Yield the pages of a list, none where it is hidden and `statuses` say that it may be."""
        request = ApiRequest(
            purpose=f"Asking for the {what} in {self.name}",
            method="GET",
            path=f"{self.name.path}{path}",
            query={**query, "per_page": str(PAGE)},
            statuses=statuses,
        )
        async for page in self.client.send_pages(request):
            if page.status == 200:
                yield page
