"""A queue on this machine: workers, a question, a worker that is killed, and what comes of the orders."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from examples.lab import Lab, lab
from examples.queue.crew import KEYS, Queue, lab_env, queue, start_worker
from examples.queue.messages import TaskType

# The workers' agent; with ANTHROPIC_API_KEY and without AGENT_COMMAND it would be Claude Code.
AGENT = """
cat >$TMPDIR/prompt
if grep -q '^Review' $TMPDIR/prompt; then echo "hello/page.py:1 greets whoever it is told to; fine"
elif grep -q '^Write the doc' $TMPDIR/prompt; then echo '# Themes' >THEMES.md; echo 'Wrote THEMES.md'
elif grep -q 'The answer is' $TMPDIR/prompt; then
    echo "STORE = '$(sed -n 's/^The answer is: //p' $TMPDIR/prompt)'" >>hello/theme.py
    echo 'Added hello/theme.py'
else echo 'THEMES = ("light", "dark")' >hello/theme.py; echo 'QUESTION: Where is the choice kept?'; fi
"""


async def show(here: Lab, workers: list[subprocess.Popen[bytes]]) -> None:
    """Give orders to workers, answer what they ask, and kill one of them."""
    async with queue(here.folder, lease=2.0) as backend:

        def start(name: str, kind: TaskType) -> subprocess.Popen[bytes]:
            env = {"WORKER_TYPE": kind, "API_KEY": KEYS[kind].key, **lab_env(here, AGENT)}
            worker = start_worker(backend, here.folder / f"{name}.log", "examples.queue.worker", **env)
            workers.append(worker)
            print(f"{name} starts, process {worker.pid}")
            return worker

        async def order(kind: TaskType, description: str, permission: str, name: str = "default") -> str:
            id = await backend.enqueue(
                task_type=kind,
                description=description,
                permission_level=permission,
                queue_name=name,
                repository_url=here.repo_url,
            )
            print(f"order {id[:8]}: {kind}, {permission}: {description}")
            return id

        first = start("feature-worker-1", "feature")
        feature = await order("feature", "Add a dark mode toggle", "human-required", "high_priority")
        docs = await order("docs", "Describe the themes", "autonomous")
        review = await order("review", "Is the greeting safe?", "autonomous")
        start("docs-worker-1", "docs")
        start("review-worker-1", "review")

        asked = await backend.question()
        print(f"\norder {asked.work_order_id[:8]} asks: {asked.message}")
        first.kill()
        print("feature-worker-1 is killed; its claim is not renewed any more, and goes back")
        await backend.answer(asked, "in a cookie")
        print("The controller answers: in a cookie")
        start("feature-worker-2", "feature")
        for id in (docs, review, feature):
            _print(await backend.until(id, "completed", "failed", "awaiting_approval"))
        await backend.decide(feature, "approve")
        print(f"\napproved: the order is {(await backend.order(feature))['status']}\n")
        await _print_workers(backend)
        for worker in workers:
            worker.terminate()
        statuses = [await asyncio.to_thread(worker.wait) for worker in workers]
        print(f"SIGTERM to all of them; their exit statuses: {statuses}\n")
        await _print_workers(backend)
    (opened,) = here.pull_requests
    print(f"\n#{opened.number} {opened.title}: {opened.head} into {opened.base}, draft: {opened.draft}\n")
    print(here.repository.git("log", "-p", "-1", opened.head).decode())


def _print(order: dict[str, Any]) -> None:
    print(f"\norder {order['id'][:8]} is {order['status'].replace('_', ' ')}")
    for name, value in order["result"].items():
        print(f"  {name:<15} {value}")
    for execution in order["executions"]:
        seconds = float(execution["finished_at"]) - float(execution["started_at"])
        print(f"  execution by {execution['worker'][:8]}: {execution['status']} after {seconds:.1f} s")


async def _print_workers(backend: Queue) -> None:
    for worker in sorted(await backend.workers(), key=lambda worker: str(worker["name"])):
        metrics = ", ".join(f"{name} {value:.0f}" for name, value in worker["metrics"].items())
        print(f"{worker['name']:<18} {worker['id'][:8]}  {worker['status']:<8} {metrics}")


def main() -> None:
    """Show it."""
    workers: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="example-queue-") as folder, lab(Path(folder)) as here:
        try:
            asyncio.run(show(here, workers))
        finally:
            for worker in workers:
                worker.kill()


if __name__ == "__main__":
    main()
