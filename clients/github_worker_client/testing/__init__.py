"""A stand-in worker for the tests of who uses the client: a real socket, scripted answers, a record.

```python
with StandInWorker(busy(), cut_off(), completes(committed)) as worker:
    async with GitHubWorker(worker.base_url) as client:
        await client.commit_and_push(session_id="s1", access_token="t")
assert [request.body["sessionId"] for request in worker.requests] == ["s1", "s1", "s1"]
```
"""

from github_worker_client.testing.plausible import plausible
from github_worker_client.testing.script import (
    Answer,
    Dropped,
    Refusal,
    Stream,
    busy,
    completed,
    completes,
    cut_off,
    drops,
    fails,
    hangs,
    progress,
    queued,
    refuses,
    shutting_down,
    transferred,
)
from github_worker_client.testing.stand_in import RecordedRequest, StandInWorker

__all__ = [
    "Answer",
    "Dropped",
    "RecordedRequest",
    "Refusal",
    "StandInWorker",
    "Stream",
    "busy",
    "completed",
    "completes",
    "cut_off",
    "drops",
    "fails",
    "hangs",
    "plausible",
    "progress",
    "queued",
    "refuses",
    "shutting_down",
    "transferred",
]
