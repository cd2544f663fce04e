"""Who and what a merge request on GitLab is brought to the attention of: labels, people, no milestone."""

from __future__ import annotations

from collections.abc import Sequence

from github_worker.errors import PermissionDenied, UnsupportedRepository
from github_worker.forge.pull_request import FullName
from github_worker.forge.requests import ApiRequest
from github_worker.gitlab.client import GitLab, project_path
from github_worker.gitlab.responses import MergeRequest, User


class People:
    """The labels, assignees and reviewers of merge requests; every method raises a JobError."""

    def __init__(self, gitlab: GitLab, project: FullName) -> None:
        self._gitlab = gitlab
        self._project = project

    async def add_labels(self, number: int, labels: Sequence[str]) -> None:
        """Add labels; GitLab makes those that the project does not have."""
        if torn := [label for label in labels if "," in label]:
            raise UnsupportedRepository(
                f"GitLab's labels have no commas, which parts them: {'; '.join(torn)}"
            )
        names = ", ".join(labels)
        await self._update(
            number, f"Labelling {self._project}!{number} with {names}", add_labels=list(labels)
        )

    async def add_assignees(self, number: int, logins: Sequence[str]) -> None:
        """Assign people; raise PermissionDenied for those whom GitLab passes over, which it does silently."""
        purpose = f"Assigning {', '.join(logins)} to {self._project}!{number}"
        present = (await self._get(number)).assignees or []
        ids = await self._collect_ids(purpose, present, logins)
        merge_request = await self._update(number, purpose, assignee_ids=ids)
        _require(purpose, logins, merge_request.assignees)

    async def request_reviews(self, number: int, people: Sequence[str]) -> None:
        """Ask people to review; raise PermissionDenied for those whom GitLab passes over."""
        purpose = f"Asking {', '.join(people)} to review {self._project}!{number}"
        present = (await self._get(number)).reviewers or []
        ids = await self._collect_ids(purpose, present, people)
        merge_request = await self._update(number, purpose, reviewer_ids=ids)
        _require(purpose, people, merge_request.reviewers)

    async def set_milestone(self, number: int, milestone: int) -> None:
        """Raise UnsupportedRepository: GitLab takes an id that no page of it shows."""
        raise UnsupportedRepository(f"The milestone {milestone} is not set: GitLab's have other numbers")

    async def _collect_ids(self, purpose: str, present: Sequence[User], logins: Sequence[str]) -> list[int]:
        """Return the numbers of who is there and who is to be added: GitLab replaces all of them."""
        ids = [user.id for user in present]
        for login in logins:
            user = await self._find(purpose, login)
            ids += [user.id] if user.id not in ids else []
        return ids

    async def _find(self, purpose: str, login: str) -> User:
        request = ApiRequest(
            purpose=f"Asking for the user {login}", method="GET", path="/users", query={"username": login}
        )
        users = (await self._gitlab.send(request)).decode(list[User])
        for user in users:
            if user.username.lower() == login.lower():
                return user
        raise PermissionDenied(f"{purpose} failed: GitLab has no user {login}")

    async def _get(self, number: int) -> MergeRequest:
        request = ApiRequest(
            purpose=f"Asking for {self._project}!{number}", method="GET", path=self._path(number)
        )
        return (await self._gitlab.send(request)).decode(MergeRequest)

    async def _update(self, number: int, purpose: str, **fields: list[str] | list[int]) -> MergeRequest:
        request = ApiRequest(purpose=purpose, method="PUT", path=self._path(number), body=fields)
        return (await self._gitlab.send(request)).decode(MergeRequest)

    def _path(self, number: int) -> str:
        return f"{project_path(self._project)}/merge_requests/{number}"


def _require(purpose: str, logins: Sequence[str], users: Sequence[User] | None) -> None:
    present = {user.username.lower() for user in users or ()}
    if missing := [login for login in logins if login.lower() not in present]:
        raise PermissionDenied(f"{purpose} failed: GitLab passed over {', '.join(missing)}")
