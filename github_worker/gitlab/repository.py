"""A project on GitLab: its branches, the way it merges, and the pipelines of its merge requests."""

from __future__ import annotations

from urllib.parse import quote

from github_worker.contract import BaseMerged, MergeMethod
from github_worker.errors import BranchNotFound, RepositoryNotFound
from github_worker.forge.checks import Check
from github_worker.forge.errors import MethodRefused
from github_worker.forge.pull_request import CommitMessage, Comparison, FullName, PullRequest
from github_worker.forge.requests import ApiRequest
from github_worker.gitlab.client import GitLab, get_project, project_path
from github_worker.gitlab.merge_requests import MergeRequests, compare
from github_worker.gitlab.people import People
from github_worker.gitlab.responses import PIPELINE, Branch, Project


class Repository:
    """A project; every method raises a JobError where GitLab refuses."""

    def __init__(self, gitlab: GitLab, name: FullName) -> None:
        self.client = gitlab
        self.name = name
        self.issues = People(gitlab, name)
        self.pull_requests = MergeRequests(gitlab, name)
        self._path = f"{project_path(name)}/repository"

    async def list_merge_methods(self, base: str) -> list[MergeMethod]:
        """Return the ways of merging that the project allows, which are the same for every base."""
        return (await self._get_project()).methods

    async def merge_base(self, pull_request: PullRequest) -> BaseMerged | None:
        """Leave a branch as it is, which GitLab can only rebase; raise MethodRefused where it must be."""
        if (await self._get_project()).needs_rebase:
            raise MethodRefused(f"{self.name} merges what is rebased onto its base")
        head = pull_request.head
        sentence = f"{head.ref} is merged as it is: {self.name} needs no rebase, and GitLab merges no base"
        return BaseMerged(sha=head.sha, message=sentence)

    async def compare(self, base: str, head: str) -> Comparison:
        """Return the commits and files of `head` that `base` has not."""
        return await compare(self.client, self.name, base, head)

    async def get_message(self, sha: str) -> str:
        """Return the message of a commit."""
        request = ApiRequest(
            purpose=f"Asking for the commit {sha} of {self.name}",
            method="GET",
            path=f"{self._path}/commits/{sha}",
        )
        return (await self.client.send(request)).decode(CommitMessage).message

    async def find_tip(self, branch: str) -> str | None:
        """Return the commit that a branch is at, None where it does not exist."""
        request = ApiRequest(
            purpose=f"Asking for the branch {branch} of {self.name}",
            method="GET",
            path=f"{self._path}/branches/{quote(branch, safe='')}",
            errors={404: BranchNotFound},
        )
        try:
            return (await self.client.send(request)).decode(Branch).commit.id
        except BranchNotFound as error:
            if "Project" in str(error):  # which says the same 404
                raise RepositoryNotFound(str(error)) from None
            return None

    async def delete_branch(self, branch: str) -> None:
        """Delete a branch; raise BranchNotFound if it is gone."""
        request = ApiRequest(
            purpose=f"Deleting the branch {branch} of {self.name}",
            method="DELETE",
            path=f"{self._path}/branches/{quote(branch, safe='')}",
            statuses=frozenset({204}),
            errors={404: BranchNotFound},
        )
        await self.client.send(request)

    async def list_checks(self, pull_request: PullRequest) -> list[Check]:
        """Return the pipeline of a merge request's head as its one check."""
        merge_request = await self.pull_requests.fetch(pull_request.number)
        pipeline = merge_request.head_pipeline
        check = pipeline.read(pull_request.head.sha) if pipeline else None
        return [check] if check else []

    async def list_upcoming_checks(self, pull_request: PullRequest, age: float) -> list[Check]:
        """Return none: a pipeline has all of its jobs from its beginning."""
        return []

    async def list_required_checks(self, branch: str) -> set[str]:
        """Return the pipeline, if nothing is merged without its success."""
        required = (await self._get_project()).only_allow_merge_if_pipeline_succeeds
        return {PIPELINE} if required else set()

    async def _get_project(self) -> Project:
        return (await self.client.send(get_project(self.name))).decode(Project)
