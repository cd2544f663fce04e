"""What Gitea keeps of a pull request as of an issue: labels, assignees, a milestone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from github_worker.errors import PermissionDenied
from github_worker.forge.pull_request import FullName
from github_worker.forge.requests import ApiRequest
from github_worker.gitea.client import Gitea
from github_worker.gitea.responses import Issue, Label


class Issues:
    """The issues of a repository, of which its pull requests are some; every method raises a JobError."""

    def __init__(self, gitea: Gitea, repository: FullName) -> None:
        self._gitea = gitea
        self._repository = repository

    async def add_labels(self, number: int, labels: Sequence[str]) -> None:
        """Add labels; raise PermissionDenied for those that the repository does not have."""
        request = ApiRequest(
            purpose=f"Labelling {self._repository}#{number} with {', '.join(labels)}",
            method="POST",
            path=f"{self._path(number)}/labels",
            body={"labels": list(labels)},
        )
        present = {label.name for label in (await self._gitea.send(request)).decode(list[Label])}
        self._require(request, labels, present)

    async def add_assignees(self, number: int, logins: Sequence[str]) -> None:
        """Assign people beside those who are; raise PermissionDenied for those who are passed over."""
        purpose = f"Assigning {', '.join(logins)} to {self._repository}#{number}"
        asked = ApiRequest(purpose=purpose, method="GET", path=self._path(number))
        present = (await self._gitea.send(asked)).decode(Issue).logins
        request = self._edit(purpose, number, assignees=list(dict.fromkeys([*present, *logins])))
        issue = (await self._gitea.send(request)).decode(Issue)
        self._require(request, logins, {login.lower() for login in issue.logins})

    async def set_milestone(self, number: int, milestone: int) -> None:
        """Set the milestone, by the number that its page has; raise PermissionDenied if it is dropped."""
        purpose = f"Adding {self._repository}#{number} to the milestone {milestone}"
        request = self._edit(purpose, number, milestone=milestone)
        issue = (await self._gitea.send(request)).decode(Issue)
        if issue.milestone is None or issue.milestone.id != milestone:
            raise PermissionDenied(f"{purpose} failed: {self._gitea.forge} passed over it")

    def _edit(self, purpose: str, number: int, **fields: Any) -> ApiRequest:
        return ApiRequest(
            purpose=purpose,
            method="PATCH",
            path=self._path(number),
            body=fields,
            statuses=frozenset({201}),
        )

    def _require(self, request: ApiRequest, names: Sequence[str], present: set[str]) -> None:
        if missing := [name for name in names if not {name, name.lower()} & present]:
            sentence = f"{self._gitea.forge} passed over {', '.join(missing)}"
            raise PermissionDenied(f"{request.purpose} failed: {sentence}")

    def _path(self, number: int) -> str:
        return f"{self._repository.path}/issues/{number}"
