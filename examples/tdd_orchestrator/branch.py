"""A run's session and its one branch, through GitHub Worker: what is on it is green but for a moment.

The patches of a unit land together: a commit each, pushed as it is made, if the branch is where they were
tested. What must not be pushed is taken back; what ends in the middle is brought to its end by `resume`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from examples.tdd_orchestrator import patch
from examples.tdd_orchestrator.circuits import SYSTEM, Circuits
from examples.tdd_orchestrator.patch import Conflict
from examples.tdd_orchestrator.prompts import Row, Stage, commit_message, pull_request_body
from examples.tdd_orchestrator.store import Store
from github_worker_client import Committed, GitHubWorker, GitHubWorkerError, PushError, Secret
from github_worker_client.sessions import SessionStore

UNFIT = {"secret_detected", "file_too_large"}  # refusals that are about what a task has made
_PAUSE = 1.0  # seconds before what was not there is asked again
_logger = logging.getLogger(__name__)
Value = TypeVar("Value")


class RunFailed(Exception):
    """The run cannot go on, and no task is at fault; the message says why. Done again, it goes on there."""


class Unfit(Exception):
    """What was made may not be pushed as it is; the message says why."""


@dataclass
class Branch:
    """The branch of a run, which one process moves; `token` may push to it and open a pull request."""

    run_id: str
    github: GitHubWorker
    sessions: SessionStore
    token: Secret
    store: Store
    circuits: Circuits
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # of who copies or moves it
    _tip: int = 0  # how often it was moved

    @property
    def session_id(self) -> str:
        """The session that has it."""
        return f"tdd-{self.run_id}"

    async def open(self) -> None:
        """Clone the repository and start the branch."""
        run = await self.store.run(self.run_id)
        opened = await self._ask(
            lambda: self.github.init_session(
                session_id=self.session_id,
                repo_url=run["repo_url"],
                branch=run["base"],
                user_request=run["document"],
                access_token=self.token,
                request_id=f"{self.run_id}-open",
            )
        )
        await self.store.set_run(self.run_id, branch=opened.branch_name, base=opened.base_branch)

    async def copy(self, stack: AsyncExitStack) -> tuple[int, Path]:
        """Return where the branch is, and the repository in a private copy that goes with the stack."""
        checkout = partial(self.sessions.checkout, self.session_id, read_only=True)
        async with self._lock:
            session = await self._ask(lambda: stack.enter_async_context(checkout()))
            return self._tip, session.repository

    async def land(self, task: Row, stages: Sequence[Stage], tip: int) -> bool:
        """Commit what stages have changed, if the branch is at `tip`; return whether it is done with them.

        Raises Unfit for what may not be pushed, once it is taken back.
        """
        async with self._lock:
            if tip != self._tip:
                return False
            self._tip += 1
            for stage in stages:
                await self.store.set_patch(task["key"], stage, landing=1)
            return await self._commit(task, stages)

    async def resume(self, task: Row, stages: Sequence[Stage]) -> bool:
        """Bring to its end what was landing when an earlier process ended."""
        kept = await self.store.patches(task["key"])
        landing = any(kept[stage]["landing"] for stage in stages if stage in kept)
        return await self._commit(task, [stage for stage in stages if stage in kept]) if landing else False

    async def propose(self, tasks: Sequence[Row], *, auto_merge: bool) -> None:
        """Open the pull request, or give the one that is open the words of today."""
        run = await self.store.run(self.run_id)
        body = pull_request_body(run["context"], tasks)
        request_id = f"{self.run_id}-propose-{_digest(body.encode())}"
        fields: dict[str, Any] = {"title": run["document"], "body": body, "request_id": request_id}
        fields |= {"session_id": self.session_id, "base": run["base"], "access_token": self.token}
        number, url = await self._ask(partial(self._open_pull_request, fields, auto_merge))
        await self.store.set_run(self.run_id, number=number, url=url)

    async def _open_pull_request(self, fields: Mapping[str, Any], auto_merge: bool) -> tuple[int, str]:
        if auto_merge:
            finished = await self.github.auto_pull_request(auto_merge=True, **fields)
            return finished.pr.number, finished.pr.html_url
        opened = await self.github.create_pull_request(update=True, **fields)
        return opened.number, opened.html_url

    async def _commit(self, task: Row, stages: Sequence[Stage]) -> bool:
        key = task["key"]
        for stage in stages:
            kept = (await self.store.patches(key))[stage]
            if kept["commit_hash"]:
                continue
            try:
                await self._ask(partial(self._apply, key, stage, kept))
                request_id = f"{key}-{stage}-{_digest(kept['files'])}"
                done = await self._push(commit_message(stage, task), request_id)
            except Conflict as conflict:  # somebody else has pushed to the branch
                _logger.info("%s: %s is done again: %s", key, stage, conflict)
                await self._undo(task, stages)
                return False
            except Unfit:
                await self._undo(task, stages)
                raise
            await self.store.set_patch(key, stage, commit_hash=done.commit_hash)
            await self.store.set_task(key, commit_hash=done.commit_hash)
        return True

    async def _apply(self, key: str, stage: Stage, kept: Row) -> None:
        async with self.sessions.checkout(self.session_id) as session:
            undo = await asyncio.to_thread(patch.apply, patch.decode(kept["files"]), session.repository)
            if kept["undo"] is None:
                await self.store.set_patch(key, stage, undo=patch.encode(undo))

    async def _undo(self, task: Row, stages: Sequence[Stage]) -> None:
        """Take back what stages have changed in the session, by a commit where the branch has it."""
        kept = await self.store.patches(task["key"])
        undo = [patch.decode(kept[stage]["undo"]) for stage in reversed(stages) if kept[stage]["undo"]]

        async def restore() -> None:
            async with self.sessions.checkout(self.session_id) as session:
                for change in undo:
                    await asyncio.to_thread(patch.apply, change, session.repository)

        try:
            await self._ask(restore)
            if any(kept[stage]["commit_hash"] for stage in stages):
                await self._push(f"Undo {stages[0].upper()}: {task['title']}", None)
        except (Conflict, Unfit) as error:
            raise RunFailed(f"What was made for {task['title']!r} cannot be taken back: {error}") from error
        await self.store.drop_patches(task["key"], stages)

    async def _push(self, message: str, request_id: str | None) -> Committed:
        """Commit and push what the session has."""
        refused: PushError | None = None
        for id_ in (request_id, None):  # a push that was refused is the answer to its request for ever
            commit = partial(
                self.github.commit_and_push,
                session_id=self.session_id,
                access_token=self.token,
                message=message,
                request_id=id_,
            )
            done = await self._ask(commit)
            if (refused := done.push_error) is None:
                return done
        raise RunFailed(
            f"{refused.message if refused else ''} ({refused.code if refused else ''}) The work is in the"
            f" session {self.session_id}: run the document again to go on."
        )

    async def _ask(self, ask: Callable[[], Awaitable[Value]]) -> Value:
        """Ask GitHub Worker or its store, again while that may help; raise Unfit or RunFailed."""
        while True:
            await self.circuits.enter(SYSTEM)
            try:
                answer = await ask()
            except GitHubWorkerError as error:
                await self.circuits.settle(error.code in UNFIT, SYSTEM)
                if error.code in UNFIT:
                    raise Unfit(str(error)) from error
                if not error.retryable:
                    raise RunFailed(str(error)) from error
                _logger.warning("%s", error)
                await asyncio.sleep(_PAUSE)
            else:
                await self.circuits.settle(True, SYSTEM)
                return answer


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
