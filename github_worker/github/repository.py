"""One repository on GitHub: what can be asked of it and done to it."""

from __future__ import annotations

from github_worker.contract import MergeMethod
from github_worker.errors import PullRequestExists
from github_worker.github import checks, messages
from github_worker.github.answers import (
    Branch,
    CheckRun,
    CheckRuns,
    CombinedStatus,
    Commit,
    Comparison,
    Forge,
    Merge,
    PullRequest,
    Ref,
    Rule,
)
from github_worker.github.api import GitHub, OutcomeUnknown
from github_worker.github.messages import FullName, MergeOptions, Message


class Repository:
    """A repository; every method raises a JobError where GitHub refuses."""

    def __init__(self, github: GitHub, name: FullName) -> None:
        self.github = github
        self.name = name

    async def find_open(self, head: str, base: str) -> PullRequest | None:
        """Return the open pull request from `head` into `base`."""
        found = await self._listed("open", base, head)
        return next((pull_request for pull_request in found if pull_request.of(head)), None)

    async def find_merged(self, head: str, base: str) -> PullRequest | None:
        """Return the newest merged pull request from `head` into `base`."""
        found = await self._listed("closed", base, head)
        return next((one for one in found if one.of(head) and one.merged), None)

    async def recent_titles(self, base: str, count: int) -> list[str]:
        """Return the titles of the newest pull requests into `base`."""
        return [pull_request.title for pull_request in await self._listed("all", base, None, count)]

    async def open(self, *, head: str, base: str, title: str, body: str, draft: bool) -> PullRequest:
        """Open a pull request, one even if an answer is lost; raise PullRequestExists if there was one."""
        message = messages.open_pull_request(
            self.name, head=head, base=base, title=title, body=body, draft=draft
        )
        try:
            return await self._opened(message, head, base)
        except OutcomeUnknown:
            if found := await self.find_open(head, base):
                return found
        return await self._opened(message, head, base)

    async def pull_request(self, number: int) -> PullRequest:
        """Return one pull request."""
        return (await self.github.send(messages.pull_request(self.name, number))).decoded(PullRequest)

    async def merge(self, number: int, sha: str, options: MergeOptions) -> Merge:
        """Merge a pull request whose head is `sha`; raise PullRequestNotMergeable or MergeConflict."""
        message = messages.merge_pull_request(self.name, number, sha, options)
        return (await self.github.send(message)).decoded(Merge)

    async def merge_methods(self) -> list[MergeMethod]:
        """Return the ways of merging that the repository allows."""
        forge = (await self.github.send(messages.repository(self.name))).decoded(Forge)
        allowed: dict[MergeMethod, bool] = {
            "merge": forge.allow_merge_commit,
            "squash": forge.allow_squash_merge,
            "rebase": forge.allow_rebase_merge,
        }
        return [method for method, is_allowed in allowed.items() if is_allowed]

    async def merge_branch(self, *, into: str, source: str) -> str | None:
        """Merge a branch into another and return the merge commit, None where there is nothing to merge."""
        answer = await self.github.send(messages.merge_branch(self.name, into=into, source=source))
        return None if answer.status == 204 else answer.decoded(Commit).sha

    async def compare(self, base: str, head: str) -> Comparison:
        """Return what `head` has that `base` has not."""
        return (await self.github.send(messages.compare(self.name, base=base, head=head))).decoded(Comparison)

    async def tip(self, branch: str) -> str | None:
        """Return the commit that a branch is at, None where it does not exist."""
        answer = await self.github.send(messages.branch_tip(self.name, branch))
        return answer.decoded(Ref).object.sha if answer.status == 200 else None

    async def delete_branch(self, branch: str) -> None:
        """Delete a branch; raise BranchNotFound if it is gone."""
        await self.github.send(messages.delete_branch(self.name, branch))

    async def checks(self, sha: str) -> list[checks.Check]:
        """Return the checks of a commit, of both kinds."""
        runs = await self._check_runs(sha)
        status = (await self.github.send(messages.commit_status(self.name, sha))).decoded(CombinedStatus)
        return [*map(checks.of_run, runs), *map(checks.of_status, status.statuses)]

    async def required_checks(self, branch: str) -> set[str]:
        """Return the names of the checks without which nothing is merged into `branch`."""
        protected = (await self.github.send(messages.branch(self.name, branch))).decoded(Branch)
        answer = await self.github.send(messages.branch_rules(self.name, branch))
        rules = answer.decoded(list[Rule]) if answer.status == 200 else []
        return checks.required(protected, rules)

    async def _opened(self, message: Message, head: str, base: str) -> PullRequest:
        try:
            return (await self.github.send(message)).decoded(PullRequest)
        except PullRequestExists as error:
            found = await self.find_open(head, base)
            raise (exists(found) if found else error) from None

    async def _check_runs(self, sha: str) -> list[CheckRun]:
        runs: list[CheckRun] = []
        page = 1
        while True:
            answer = (await self.github.send(messages.check_runs(self.name, sha, page))).decoded(CheckRuns)
            runs += answer.check_runs
            if len(runs) >= answer.total_count or not answer.check_runs:
                return runs
            page += 1

    async def _listed(
        self, state: str, base: str, head: str | None, count: int = messages.PAGE
    ) -> list[PullRequest]:
        message = messages.list_pull_requests(self.name, state=state, base=base, head=head, count=count)
        return (await self.github.send(message)).decoded(list[PullRequest])


def exists(pull_request: PullRequest) -> PullRequestExists:
    """Return the error that says which pull request there is already."""
    return PullRequestExists(
        f"There is an open pull request already: #{pull_request.number} ({pull_request.html_url})",
        data={"number": pull_request.number, "htmlUrl": pull_request.html_url},
    )
