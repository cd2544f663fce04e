"""Three functions on the Inngest SDK: implementation, review and QA of a project's sprint.

An implementation's steps are memoised by Inngest and their requests named after the run, so a step that is
tried again does nothing twice. Review and QA read the session that the implementation left, and push nothing.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import fastapi
import inngest
import inngest.fast_api

from examples.coding.agent import AgentResult
from examples.coding.task import AgentSaid, Branch, Coder, Event, Task, TaskFailed, Work
from examples.coding.worker import coder_from_env
from examples.inngest.prompts import implementer_prompt, qa_prompt, read_qa, read_review, reviewer_prompt
from github_worker_client import InvalidRequest, Secret
from github_worker_client.sessions import SessionError

RETRIES = 3
Data = dict[str, Any]


@dataclass(frozen=True)
class Worker:
    """The three functions; `token` may push to the projects' repositories and open pull requests."""

    client: inngest.Inngest
    coder: Coder
    token: Secret

    def functions(self) -> list[inngest.Function[Any]]:
        """Return the functions for Inngest to call."""
        return [
            self._function("implementation", "Handle Implementation Request", self.implement),
            self._function("review", "Handle Review Request", self.review),
            self._function("qa", "Handle QA Request", self.test),
        ]

    def _function(self, role: str, name: str, handler: Callable[..., Any]) -> inngest.Function[Any]:
        trigger = inngest.TriggerEvent(event=f"worker/{role}.start")
        create = self.client.create_function(
            fn_id=f"worker-{role}", name=name, trigger=trigger, retries=RETRIES
        )
        return create(handler)

    async def implement(self, ctx: inngest.Context) -> Data:
        """Implement a sprint in a session of its own, commit it and open a pull request, and report."""
        data = dict(ctx.event.data)
        report: Data = {"success": False, "summary": "", "filesChanged": [], "duration": 0}
        try:
            branch = await ctx.step.run("prepare-project", self._prepare, data, ctx.run_id)
            prompt = await ctx.step.run("build-prompt", _async(implementer_prompt), data)
            work = await ctx.step.run("run-claude-code", self._run, data, ctx.run_id, prompt)
            report |= work
            if work["success"] and branch is not None:
                report |= await ctx.step.run("git-commit-pr", self._publish, data, ctx.run_id, branch, work)
        except inngest.StepError as error:  # tried to the last
            report |= {"success": False, "error": error.message}
        await self._complete(ctx, "implementation", report)
        return {"success": report["success"]}

    async def review(self, ctx: inngest.Context) -> Data:
        """Let the agent review what a sprint's session has, and report its verdict."""
        return await self._judge(ctx, "review", "Reviewer", reviewer_prompt, read_review)

    async def test(self, ctx: inngest.Context) -> Data:
        """Let the agent test what a sprint's session has, and report what it found."""
        return await self._judge(ctx, "qa", "QA", qa_prompt, read_qa)

    async def _judge(
        self,
        ctx: inngest.Context,
        role: str,
        title: str,
        prompt: Callable[[Data], str],
        read: Callable[[AgentResult], Data],
    ) -> Data:
        data = dict(ctx.event.data)

        async def look() -> Data:
            async with self._progress(data, title) as tell:
                try:
                    async with self.coder.store.checkout(session_of(data), read_only=True) as session:
                        result = await self.coder.agent.run(prompt(data), session.repository, tell)
                except SessionError as error:
                    raise RuntimeError(str(error)) from error
            return read(result) | {"duration": _milliseconds(result.duration)}

        try:
            report = await ctx.step.run("run-claude-code", look)
        except inngest.StepError as error:
            report = read(AgentResult(False, error.message, 0.0)) | {"duration": 0}
        await self._complete(ctx, role, report)
        return report

    async def _prepare(self, data: Data, run_id: str) -> Data | None:
        if not data.get("gitRepo"):
            return None  # the session is there already, and is not pushed
        try:
            return asdict(await self.coder.prepare(self._task(data, run_id), _nobody))
        except InvalidRequest as error:
            raise inngest.NonRetriableError(str(error)) from error

    async def _run(self, data: Data, run_id: str, prompt: str) -> Data:
        async with self._progress(data, "Implementer") as tell:
            try:
                work = await self.coder.code(
                    self._task(data, run_id, prompt),
                    lambda event: tell(event.text) if isinstance(event, AgentSaid) else None,
                )
            except TaskFailed as error:
                if not error.saved:
                    raise  # the store was not there: Inngest tries again
                return {"success": False, "summary": error.reason, "error": str(error)}
        agent = work.agent
        duration = _milliseconds(agent.duration)
        return {"success": True, "summary": agent.summary, "filesChanged": work.files, "duration": duration}

    async def _publish(self, data: Data, run_id: str, branch: Data, report: Data) -> Data:
        task, work = self._task(data, run_id), Work(AgentResult(True, report["summary"], 0.0), [])
        commit = await self.coder.commit(task, _nobody)
        pull_request = await self.coder.propose(task, Branch(**branch), work, _nobody)
        if pull_request is None:
            return {}
        return {"commitSha": commit.commit_hash, "prUrl": pull_request}

    async def _complete(self, ctx: inngest.Context, role: str, report: Data) -> None:
        data = {"projectId": ctx.event.data["projectId"], **report}
        await ctx.step.send_event("report-complete", inngest.Event(name=f"worker/{role}.complete", data=data))

    def _task(self, data: Data, run_id: str, prompt: str | None = None) -> Task:
        sprint = data["sprintNumber"]
        return Task(
            id=run_id,
            session_id=session_of(data),
            repo_url=data.get("gitRepo", ""),
            base=data.get("gitBranch"),
            request=f"Sprint {sprint}: {data.get('sprintName', 'Implementation')}",
            prompt=prompt,
            title=f"Sprint {sprint}: Implementation",
            message=f"Sprint {sprint} implementation",
            token=self.token.reveal(),
        )

    @asynccontextmanager
    async def _progress(self, data: Data, role: str) -> AsyncIterator[Callable[[str], None]]:
        """Yield a function that sends what the agent says as `worker/progress`, in its order."""
        chunks: asyncio.Queue[str | None] = asyncio.Queue()

        async def send() -> None:
            while (chunk := await chunks.get()) is not None:
                told = {"projectId": data["projectId"], "role": role, "status": "running"}
                told |= {"message": chunk.strip()[:200], "outputChunk": chunk}
                await self.client.send(inngest.Event(name="worker/progress", data=told))

        sending = asyncio.create_task(send())
        try:
            yield chunks.put_nowait
        finally:
            chunks.put_nowait(None)
            await asyncio.wait([sending])  # who does not hear the progress still gets the outcome


def session_of(data: Data) -> str:
    """Return the session that a sprint of a project has, for all three roles."""
    return f"{data['projectId']}-sprint-{data['sprintNumber']}"


def application(client: inngest.Inngest, coder: Coder, token: Secret) -> fastapi.FastAPI:
    """Return the worker: `/api/inngest` for Inngest, which has to sign what it asks, and `/health`."""
    app = fastapi.FastAPI(title="inngest-worker", docs_url=None, redoc_url=None)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}

    inngest.fast_api.serve(app, client, Worker(client, coder, token).functions())
    return app


def from_env() -> fastapi.FastAPI:
    """Return what `INNGEST_SIGNING_KEY`, `INNGEST_EVENT_KEY`, `GITHUB_TOKEN` and the coder's configure."""
    client = inngest.Inngest(app_id="tpml-worker", is_production=True)
    return application(client, coder_from_env(), Secret(os.environ["GITHUB_TOKEN"]))


def _async(function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*arguments: Any) -> Any:
        return function(*arguments)

    return call


def _nobody(event: Event) -> None:
    """Pass over an event: what the service tells is in its own log."""


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
