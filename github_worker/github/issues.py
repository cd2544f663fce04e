"""What GitHub keeps of a pull request as of an issue: labels, assignees, a milestone."""

from __future__ import annotations

from collections.abc import Sequence

from github_worker.errors import PermissionDenied
from github_worker.forge.pull_request import FullName
from github_worker.forge.requests import ApiRequest
from github_worker.github.client import GitHub
from github_worker.github.responses import Issue


class Issues:
    """The issues of a repository, of which its pull requests are some; every method raises a JobError."""

    def __init__(self, github: GitHub, repository: FullName) -> None:
        self._github = github
        self._repository = repository

    async def add_labels(self, number: int, labels: Sequence[str]) -> None:
        """Add labels; GitHub makes those that the repository does not have."""
        request = ApiRequest(
            purpose=f"Labelling {self._repository}#{number} with {', '.join(labels)}",
            method="POST",
            path=f"{self._path(number)}/labels",
            body={"labels": list(labels)},
        )
        await self._github.send(request)

    async def add_assignees(self, number: int, logins: Sequence[str]) -> None:
        """Assign people; raise PermissionDenied for those whom GitHub passes over, which it does silently."""
        request = ApiRequest(
            purpose=f"Assigning {', '.join(logins)} to {self._repository}#{number}",
            method="POST",
            path=f"{self._path(number)}/assignees",
            body={"assignees": list(logins)},
            statuses=frozenset({201}),
        )
        issue = (await self._github.send(request)).decode(Issue)
        assigned = {user.login.lower() for user in issue.assignees or ()}
        if missing := [login for login in logins if login.lower() not in assigned]:
            raise PermissionDenied(f"{request.purpose} failed: GitHub passed over {', '.join(missing)}")

    async def set_milestone(self, number: int, milestone: int) -> None:
        """Set the milestone; raise PermissionDenied where GitHub drops it, which it does silently."""
        request = ApiRequest(
            purpose=f"Adding {self._repository}#{number} to the milestone {milestone}",
            method="PATCH",
            path=self._path(number),
            body={"milestone": milestone},
        )
        issue = (await self._github.send(request)).decode(Issue)
        if issue.milestone is None or issue.milestone.number != milestone:
            raise PermissionDenied(f"{request.purpose} failed: GitHub passed over it")

    def _path(self, number: int) -> str:
        return f"{self._repository.path}/issues/{number}"
