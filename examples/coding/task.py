"""A coding task from a request to a pull request, which can be run again after anything that ended it.

    prepare    a branch for it, in its session               init-session
    code       the agent edits, what it did is saved         the session's files
    commit     one commit of that, pushed                    commit-and-push
    propose    a pull request, as the permission says        create-pull-request

Every step asks with a `requestId` made of the task's id, so a task that is run again does nothing twice. That
the agent has ended is written into the session together with its work, in one save.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from examples.coding.agent import Agent, AgentResult
from github_worker_client import AnyEvent, Author, Committed, GitHubWorker, GitHubWorkerError, NoCommits
from github_worker_client.sessions import SessionError, SessionStore

NOTE = "workspace/.coding-task.json"  # in the session, beside its metadata


class Permission(StrEnum):
    """What may become of the agent's work without a person."""

    AUTONOMOUS = "autonomous"  # its branch is pushed
    SUPERVISED = "supervised"  # and a pull request opened
    HUMAN_REQUIRED = "human-required"  # which is a draft until a person says that it is ready


@dataclass(frozen=True)
class Task:
    """What is to be done, where, and with whose rights.

    - `id`: names the task for ever; running a task of the same id goes on with it.
    - `token`: may push to the repository and open pull requests; the agent never sees it.
    - `prompt`: what the agent is told; the request by default.
    - `base`: the branch to start at and to merge into; by default the repository's own.
    - `title`, `message`: of the pull request and of the commit; by default they are made from what is there.
    """

    id: str
    session_id: str
    repo_url: str
    request: str
    token: str
    prompt: str | None = None
    base: str | None = None
    permission: Permission = Permission.SUPERVISED
    title: str | None = None  # of the pull request
    message: str | None = None  # of the commit
    author: Author | None = None


@dataclass(frozen=True)
class StepBegan:
    """A step of the task begins."""

    step: str


@dataclass(frozen=True)
class AgentSaid:
    """The agent printed a line."""

    text: str


Event = StepBegan | AgentSaid | AnyEvent
OnEvent = Callable[[Event], None]


@dataclass(frozen=True)
class Branch:
    """Where the work goes, what it is merged into, and the commit that it starts at."""

    name: str
    base: str
    title: str
    start: str | None


@dataclass(frozen=True)
class Work:
    """What the agent did: how it went, and the files of the repository that it made, changed or removed."""

    agent: AgentResult
    files: list[str]


@dataclass(frozen=True)
class Result:
    """What a task came to; without a commit the agent has changed nothing."""

    branch: str
    work: Work
    commit: str | None = None
    files_changed: int = 0
    pull_request: str | None = None


class TaskFailed(Exception):
    """A step failed. `step` says which, `session_id` where the agent's work is, if `saved`."""

    def __init__(self, step: str, reason: str, task: Task, *, saved: bool) -> None:
        where = f"; what the agent did is in the session {task.session_id}" if saved else ""
        super().__init__(f"{step}: {reason}{where}")
        self.step, self.reason, self.session_id, self.saved = step, reason, task.session_id, saved


@dataclass(frozen=True)
class Coder:
    """Does tasks, with a GitHub Worker, the store of its sessions, and an agent."""

    worker: GitHubWorker
    store: SessionStore
    agent: Agent

    async def run(self, task: Task, on_event: OnEvent) -> Result:
        """Do a task, or the rest of one; raise TaskFailed where it cannot go on."""
        branch = await self.prepare(task, on_event)
        work = await self.code(task, on_event)
        commit = await self.commit(task, on_event)
        pull_request = await self.propose(task, branch, work, on_event)
        if commit.commit_hash == branch.start:
            return Result(branch.name, work)
        return Result(branch.name, work, commit.commit_hash, commit.files_changed, pull_request)

    async def prepare(self, task: Task, on_event: OnEvent) -> Branch:
        """Start the task's branch in its session."""
        on_event(StepBegan("prepare"))
        try:
            began = await self.worker.init_session(
                session_id=task.session_id,
                repo_url=task.repo_url,
                branch=task.base,
                user_request=task.request,
                access_token=task.token,
                request_id=f"{task.id}-prepare",
                on_event=on_event,
            )
        except GitHubWorkerError as error:
            raise TaskFailed("prepare", str(error), task, saved=False) from error
        return Branch(began.branch_name, began.base_branch, began.session_title, began.commit)

    async def code(self, task: Task, on_event: OnEvent) -> Work:
        """Let the agent work in the session, and save what it did; raise TaskFailed if it had no success.

        What an agent did that failed is saved too, and the next run lets it go on from there.
        """
        on_event(StepBegan("code"))
        try:
            async with self.store.checkout(task.session_id) as session:
                note = Note(session.folder)
                if (work := note.read(task.id)) is None:
                    work = await self._let_work(task, session.repository, on_event)
                    note.write(task.id, work)
        except SessionError as error:
            raise TaskFailed("code", str(error), task, saved=False) from error
        if not work.agent.success:
            raise TaskFailed("code", work.agent.summary, task, saved=True)
        return work

    async def _let_work(self, task: Task, repository: Path, on_event: OnEvent) -> Work:
        before = _files_of(repository)
        prompt = task.prompt or task.request
        result = await self.agent.run(prompt, repository, lambda text: on_event(AgentSaid(text)))
        changed = before.items() ^ _files_of(repository).items()
        return Work(result, sorted({path for path, _ in changed}))

    async def commit(self, task: Task, on_event: OnEvent) -> Committed:
        """Commit and push what the agent did; it is `skipped` if there was nothing to do."""
        on_event(StepBegan("commit"))
        done = await self._commit(task, f"{task.id}-commit", on_event)
        if done.push_error:  # that is the answer to this request for ever; a new one pushes the same commit
            done = await self._commit(task, None, on_event)
        if done.push_error:
            raise TaskFailed(
                "commit", f"{done.push_error.message} ({done.push_error.code})", task, saved=True
            )
        return done

    async def _commit(self, task: Task, request_id: str | None, on_event: OnEvent) -> Committed:
        try:
            return await self.worker.commit_and_push(
                session_id=task.session_id,
                access_token=task.token,
                author=task.author,
                message=task.message,
                request_id=request_id,
                on_event=on_event,
            )
        except GitHubWorkerError as error:
            raise TaskFailed("commit", str(error), task, saved=True) from error

    async def propose(self, task: Task, branch: Branch, work: Work, on_event: OnEvent) -> str | None:
        """Open the pull request that the permission asks for; return its URL, None without a commit."""
        if task.permission is Permission.AUTONOMOUS:
            return None
        on_event(StepBegan("propose"))
        try:
            opened = await self.worker.create_pull_request(
                session_id=task.session_id,
                base=branch.base,
                title=task.title or branch.title,
                body=work.agent.summary,
                draft=task.permission is Permission.HUMAN_REQUIRED,
                update=True,  # the one that an earlier run has opened
                access_token=task.token,
                request_id=f"{task.id}-propose",
                on_event=on_event,
            )
        except NoCommits:
            return None
        except GitHubWorkerError as error:
            raise TaskFailed("propose", str(error), task, saved=True) from error
        return opened.html_url


class Note:
    """What the session says of the agent's work on a task, in a file that is saved together with it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / NOTE

    def read(self, task_id: str) -> Work | None:
        """Return the work that an agent has done for a task with success, None if there is none."""
        try:
            noted = json.loads(self._file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        agent = AgentResult(**noted["agent"])
        return Work(agent, noted["files"]) if noted["task"] == task_id and agent.success else None

    def write(self, task_id: str, work: Work) -> None:
        """Note the work for a task, in place of what was noted for an earlier one."""
        self._file.write_text(json.dumps({"task": task_id, **asdict(work)}))


def _files_of(repository: Path) -> dict[str, tuple[int, int, int]]:
    """Return what tells a change of each file below a folder, git's own aside."""
    found = {}
    for folder, folders, files in os.walk(repository):
        folders[:] = [name for name in folders if name != ".git"]
        for name in files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            found[os.path.relpath(path, repository)] = (status.st_mtime_ns, status.st_size, status.st_mode)
    return found
