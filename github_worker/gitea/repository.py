"""A repository on Gitea: its branches, the way it merges, and the checks of its commits."""

from __future__ import annotations

from github_worker.contract import BaseMerged, MergeMethod
from github_worker.errors import BranchNotFound
from github_worker.forge.checks import Check
from github_worker.forge.pull_request import Commit, Comparison, FullName, PullRequest
from github_worker.forge.requests import ApiRequest
from github_worker.gitea.client import PAGE, Gitea
from github_worker.gitea.issues import Issues
from github_worker.gitea.pull_requests import PullRequests, compare, quote_branch, update_branch
from github_worker.gitea.responses import Branch, CombinedStatus


class Repository:
    """A repository; every method raises a JobError where Gitea refuses."""

    def __init__(self, gitea: Gitea, name: FullName) -> None:
        self.client = gitea
        self.name = name
        self.issues = Issues(gitea, name)
        self.pull_requests = PullRequests(gitea, name)
        self._required: set[str] = set()

    async def list_merge_methods(self, base: str) -> list[MergeMethod]:
        """Return the ways of merging that the repository allows, which are the same for every base."""
        return (await self.pull_requests.get_settings()).methods

    async def merge_base(self, pull_request: PullRequest) -> BaseMerged | None:
        """Merge a pull request's base into its branch, None where there is nothing to merge."""
        branch, base = pull_request.head.ref, pull_request.base.ref
        if not (await self.compare(branch, base)).ahead_by:  # Gitea fails then
            return None
        purpose = f"Merging {base} into {branch} in {self.name}"
        await self.client.send(update_branch(self.name, pull_request, purpose, "merge"))
        sha = await self.find_tip(branch) or pull_request.head.sha
        return BaseMerged(sha=sha, message=f"Merged {base} into {branch}")

    async def compare(self, base: str, head: str) -> Comparison:
        """Return the commits and files of `head` that `base` has not."""
        return await compare(self.client, self.name, base, head)

    async def get_message(self, sha: str) -> str:
        """Return the message of a commit."""
        request = ApiRequest(
            purpose=f"Asking for the commit {sha} of {self.name}",
            method="GET",
            path=f"{self.name.path}/git/commits/{sha}",
            query={"stat": "false", "verification": "false", "files": "false"},
        )
        return (await self.client.send(request)).decode(Commit).commit.message

    async def find_tip(self, branch: str) -> str | None:
        """Return the commit that a branch is at, None where it does not exist."""
        found = await self._find_branch(branch)
        return found.commit.id if found else None

    async def delete_branch(self, branch: str) -> None:
        """Delete a branch; raise BranchNotFound if it is gone."""
        request = ApiRequest(
            purpose=f"Deleting the branch {branch} of {self.name}",
            method="DELETE",
            path=f"{self.name.path}/branches/{quote_branch(branch)}",
            statuses=frozenset({204}),
            errors={404: BranchNotFound},
        )
        await self.client.send(request)

    async def list_checks(self, pull_request: PullRequest) -> list[Check]:
        """Return the checks of a pull request's head; those that are required go by their patterns."""
        sha = pull_request.head.sha
        request = ApiRequest(
            purpose=f"Asking for the statuses of {sha} in {self.name}",
            method="GET",
            path=f"{self.name.path}/commits/{sha}/status",
            query={"limit": str(PAGE)},
        )
        pages = self.client.send_pages(request)
        return [check async for page in pages for check in page.decode(CombinedStatus).read(self._required)]

    async def list_upcoming_checks(self, pull_request: PullRequest, age: float) -> list[Check]:
        """Return none: each check has a status from its beginning."""
        return []

    async def list_required_checks(self, branch: str) -> set[str]:
        """Return the patterns of the checks without which nothing is merged into `branch`."""
        found = await self._find_branch(branch)
        if found is None:
            raise BranchNotFound(f"{self.name} has no branch {branch}")
        self._required = found.required
        return found.required

    async def _find_branch(self, branch: str) -> Branch | None:
        request = ApiRequest(
            purpose=f"Asking for the branch {branch} of {self.name}",
            method="GET",
            path=f"{self.name.path}/branches/{quote_branch(branch)}",
            statuses=frozenset({200, 404}),
        )
        response = await self.client.send(request)
        return response.decode(Branch) if response.status == 200 else None
