"""Jobs through the ingress: every one completes, whatever happens to the workers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from github_worker_client import AnyEvent, GitHubWorker, Progress
from swarm.conftest import GIT_TOKEN, INGRESS, Hundred
from swarm.engine import Engine
from swarm.events import Events
from swarm.figures import Figures, spread
from swarm.load import Call, answers, current
from swarm.stack import Stack, wait_until
from tests.support.collector import total
from tests.support.git_server import GitServer
from tests.support.s3 import S3Server
from tests.support.sessions import WORKTREES, Session, edit

_BROKEN = b'FROM github-worker:one\nCMD ["python", "-c", "raise SystemExit(2)"]\n'
_MOMENTS = (
    *("downloading_session", "analyzing", "changes_detected", "generating_message", "committing"),
    *("committed", "pushing", "pushed", "uploading"),
)


def test_a_hundred_jobs_from_ten_callers_each_have_a_container_of_their_own(
    events: Events, hundred: Hundred, figures: Figures
) -> None:
    """All complete, and no container serves two."""
    calls = hundred.calls
    assert [each.error for each in calls] == [None] * 100
    assert len({each.container for each in calls}) == 100

    took = max(each.ended for each in calls) - min(each.submitted for each in calls)
    figures.add("100 jobs, 10 callers, submit to result", spread([each.seconds for each in calls]))
    figures.add("jobs a minute", f"{6000 / took:.0f}, {1200 / took:.1f} a replica")
    figures.add("answers", str(dict(answers(calls))))
    ended = {each.container: each.ended for each in calls}
    gaps = [gap for gap in events.gaps() if gap.before in ended]
    figures.add("result to container's end", spread([gap.died - ended[gap.before] for gap in gaps]))
    figures.add("container's end to next start", spread([gap.started - gap.died for gap in gaps]))
    figures.add("next start to first health", spread([gap.healthy - gap.started for gap in gaps]))
    figures.add("slot gone, in all", spread([gap.healthy - ended[gap.before] for gap in gaps]))


def test_the_metrics_of_a_hundred_jobs_add_up(hundred: Hundred, store: S3Server, bucket: str) -> None:
    """Of processes that each told once what it did, to a collector in the stack."""
    points, calls = hundred.points, hundred.calls
    clones = [point for point in points if point.attributes.get("operation") == "clone-repository"]
    assert total(points, "github_worker.jobs") == 100
    assert total(clones, "github_worker.jobs", code="completed") == 100
    for name in ("github_worker.job.duration", "github_worker.queue.wait"):
        assert sum(point.count for point in clones if point.name == name) == 100
    assert total(points, "github_worker.refusals", code="busy") == answers(calls)["429"]
    saved = sum(len(store.read(bucket, f"{call.session}/session.tar.gz") or b"") for call in calls)
    assert total(points, "github_worker.transferred", direction="sent") == saved


async def test_a_job_whose_worker_is_killed_is_done_by_another_once(
    stack: Stack,
    events: Events,
    client: GitHubWorker,
    git_server: GitServer,
    store: S3Server,
    bucket: str,
    figures: Figures,
) -> None:
    """Ten times, at one moment after another: the retry ends well, and the remote has one commit."""
    origin = git_server.seed("owner", "killed")
    before = len(events.gaps())
    took = []
    for number, moment in enumerate(_MOMENTS):
        session = f"killed-{number}"
        branch = await _edited_session(client, origin.url, session, store, bucket)
        stack.wait_until_ready()
        killer = Killer(moment, stack.pids())
        began = time.monotonic()
        result = await client.commit_and_push(session_id=session, access_token=GIT_TOKEN, on_event=killer)
        took.append(time.monotonic() - began)

        assert killer.killed
        assert result.pushed
        assert [commit.sha for commit in origin.log(branch)[:-1]] == [result.commit_hash], moment
    figures.add("a job that is killed once, in all", spread(took))
    gaps = events.gaps()[before:]
    figures.add("container's end to next health, idle", spread([gap.healthy - gap.died for gap in gaps]))


def test_an_update_under_load_loses_nothing(
    stack: Stack, call: Callable[..., list[Call]], figures: Figures
) -> None:
    """Every job completes while all workers are replaced, and the new image answers at the end."""
    with ThreadPoolExecutor(1) as aside:
        load = aside.submit(call, INGRESS, "--name", "update", "--jobs", "40", "--callers", "8")
        time.sleep(5)
        began = time.monotonic()
        stack.deploy("two")
        stack.wait_until_updated()
        figures.add("update under load", f"{time.monotonic() - began:.0f} s")
        calls = load.result()

    assert [each.error for each in calls] == [None] * 40
    stack.wait_until_served()
    assert {each["Config"]["Image"] for each in stack.containers()} == {"github-worker:two"}


def test_an_image_that_does_not_start_is_rolled_back(engine: Engine, stack: Stack) -> None:
    """The workers of the image before go on."""
    engine.docker("build", "--tag", "github-worker:broken", "-", stdin=_BROKEN)
    stack.deploy("broken")
    wait_until(lambda: stack.update() == "rollback_completed", "the rollback's end")
    stack.wait_until_served()
    assert {each["Config"]["Image"] for each in stack.containers()} == {"github-worker:two"}


class Killer:
    """Kills the worker that serves the current call when its stage is `moment`, once."""

    def __init__(self, moment: str, pids: dict[str, int]) -> None:
        self.killed = False
        self._moment, self._pids = moment, pids
        self.call = Call("", 0.0)
        current.set(self.call)

    def __call__(self, event: AnyEvent) -> None:
        """Look at an event."""
        if isinstance(event, Progress) and event.stage == self._moment and not self.killed:
            self.killed = True
            os.kill(self._pids[self.call.container], signal.SIGKILL)


async def _edited_session(client: GitHubWorker, url: str, session: str, store: S3Server, bucket: str) -> str:
    """Start a session with a branch of its own and edit it as a coding worker does; return the branch."""
    current.set(Call(session, 0.0))
    started = await client.init_session(
        session_id=session, repo_url=url, user_request=f"Add {session}", access_token=GIT_TOKEN
    )
    key = f"{session}/session.tar.gz"
    archive = store.read(bucket, key)
    assert archive is not None
    cloned = Session(archive).cloned_path
    store.write(bucket, key, edit(archive, {f"{WORKTREES}/{cloned}/new.txt": "new\n"}))
    return started.branch_name
