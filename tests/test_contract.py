"""The contract, the client, the stand-in worker and the API's description, held together.

Who adds a field, a stage, an event or an error to one of them is told here which others lack it.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

import httpx
import msgspec
import pytest
from hypothesis import given, settings

import github_worker_client
from github_worker.contract import (
    REQUESTS,
    AnyEvent,
    Author,
    CoAuthor,
    Failed,
    Health,
    NewTag,
    Progress,
    RefusalBody,
    Request,
    Status,
    decode_request,
    encode_request,
)
from github_worker.errors import Refusal, job_errors
from github_worker.web.openapi import description
from github_worker_client import (
    Completed,
    GitHubWorker,
    GitHubWorkerError,
    JobFailed,
    PullRequestOpened,
    Refused,
    autocommit,
    wire,
)
from github_worker_client.testing import StandInWorker
from tests.conftest import WRITE_TOKEN
from tests.fuzz.requests import bodies
from tests.support.git_server import GitServer
from tests.support.github import TOKEN, GitHub
from tests.support.model import Model, Say
from tests.support.sessions import SessionFolder
from tests.support.worker import RestartLoop

every_request = pytest.mark.parametrize("kind", REQUESTS.values(), ids=REQUESTS.keys())
SCHEMAS = json.loads(description())["components"]["schemas"]
STRUCTS: dict[str, Callable[[Any], Any]] = {
    "author": lambda value: msgspec.convert(value, Author),
    "coAuthors": lambda value: msgspec.convert(value, list[CoAuthor]),
    "tag": lambda value: msgspec.convert(value, NewTag),
}
PLACE = {"owner": "octocat", "repo": "hello-world"}


def method(kind: type[Request]) -> Callable[..., Any]:
    """Return the client's method for an endpoint."""
    found: Callable[..., Any] = getattr(GitHubWorker, kind.operation.replace("-", "_"))
    return found


@every_request
def test_a_method_takes_what_its_request_has(kind: type[Request]) -> None:
    """Every field under its name and with its default, `on_event`, and nothing else."""
    parameters = dict(inspect.signature(method(kind)).parameters)
    assert parameters.pop("on_event").default is None
    del parameters["self"]
    fields = {field.name: field.default for field in msgspec.structs.fields(kind)}
    absent = {msgspec.NODEFAULT: inspect.Parameter.empty}
    assert {name: parameter.default for name, parameter in parameters.items()} == {
        name: absent.get(default, default) for name, default in fields.items()
    }
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert get_type_hints(method(kind))["return"] is kind.result


@every_request
def test_a_method_sends_all_that_it_is_given(kind: type[Request]) -> None:
    """What arrives is the request that the same body would be."""
    names = {field.encode_name: field.name for field in msgspec.structs.fields(kind)}

    @settings(max_examples=10)
    @given(bodies(kind, whole=True))
    def send(body: dict[str, Any]) -> None:
        fields = {names[name]: STRUCTS.get(name, lambda value: value)(value) for name, value in body.items()}
        asyncio.run(call(stand_in.base_url, kind, fields))
        assert canonical(kind, stand_in.requests[-1].body) == canonical(kind, body)

    with StandInWorker() as stand_in:
        send()


async def call(base_url: str, kind: type[Request], fields: dict[str, Any]) -> Any:
    """Call the client's method."""
    async with GitHubWorker(base_url) as client:
        return await method(kind)(client, **fields)


def canonical(kind: type[Request], body: dict[str, Any]) -> bytes:
    """Return a request as it is encoded."""
    return encode_request(decode_request(kind, json.dumps(body).encode()))


def test_the_client_exports_what_crosses_the_border() -> None:
    """Requests, results and events can be imported from where the client is."""
    kinds = {*REQUESTS.values(), *(kind.result for kind in REQUESTS.values()), *get_args(AnyEvent)}
    kinds |= {Author, CoAuthor, NewTag, Health, Status}
    assert {kind.__name__ for kind in kinds} <= set(github_worker_client.__all__)
    assert all(getattr(github_worker_client, kind.__name__) is kind for kind in kinds)


@every_request
def test_a_request_is_described_whole(kind: type[Request]) -> None:
    """Every field is there under its name on the wire, the required ones as required, the token twice."""
    fields = {field.encode_name: field.required for field in msgspec.structs.fields(kind)}
    schema = SCHEMAS[kind.__name__]
    tokens = {"accessToken", "githubAccessToken"}
    assert schema["properties"].keys() - tokens == fields.keys() - tokens
    assert tokens <= schema["properties"].keys()
    assert set(schema["required"]) == {name for name, required in fields.items() if required} - tokens


@pytest.mark.parametrize(
    "kind",
    [*(kind.result for kind in REQUESTS.values()), *get_args(AnyEvent), Health, Status, RefusalBody],
    ids=lambda kind: kind.__name__,
)
def test_an_answer_is_described_whole(kind: type[msgspec.Struct]) -> None:
    """Every field is there under its name on the wire."""
    tag = {"type"} if kind in get_args(AnyEvent) else set()
    names = {field.encode_name for field in msgspec.structs.fields(kind)}
    assert SCHEMAS[kind.__name__]["properties"].keys() == names | tag


@pytest.mark.parametrize("refusal", Refusal.__subclasses__(), ids=lambda refusal: refusal.code)
def test_a_refusal_is_an_error_of_the_client(refusal: type[Refusal]) -> None:
    """What is refused for good keeps its code; what another replica may take can be tried again."""
    body = msgspec.json.encode(RefusalBody(error=refusal.code, message="no", container_id="c"))
    error = wire.refusal(refusal.status, body)
    assert error.retryable == (refusal.status in {408, 429, 503})
    assert error.code == (refusal.code if refusal.status not in {408, 503} else "unavailable")
    own = {kind.__name__ for kind in Refused.__subclasses__()}
    assert type(error).__name__ == refusal.__name__ or refusal.__name__ not in own
    assert isinstance(error, Refused) != error.retryable


def test_every_refusal_of_the_client_is_one_of_the_service() -> None:
    """No class waits for a code that nobody sends."""
    codes = {refusal.code for refusal in Refusal.__subclasses__()}
    assert {error.code for error in Refused.__subclasses__()} <= codes


def test_what_auto_commit_tries_again_is_worth_it() -> None:
    """The codes that it waits for are codes of a stream, and retryable."""
    assert all(job_errors()[code].retryable for code in autocommit._LATER)


def test_every_error_of_a_stream_reaches_the_caller() -> None:
    """The description lists the codes that there are, each with whether to try again."""
    told = json.loads(description())["x-error-codes"]
    assert {code: error["retryable"] for code, error in told.items()} == {
        code: error.retryable for code, error in job_errors().items()
    }
    assert SCHEMAS["Failed"]["properties"]["code"]["enum"] == list(told)
    assert issubclass(github_worker_client.JobFailed, GitHubWorkerError)


@pytest.mark.parametrize("code", [code for code in job_errors() if code.isupper()])
def test_what_ends_a_pull_request_has_a_class_of_its_own(code: str) -> None:
    """The client raises the class of the service's name, with what the worker said."""
    error = job_errors()[code]
    failed = Failed(error="no", code=code, stage="merging_pr", retryable=error.retryable, data={"step": "x"})
    with pytest.raises(JobFailed) as caught:
        wire.outcome(failed, PullRequestOpened)
    assert type(caught.value).__name__ == error.__name__
    assert (caught.value.code, caught.value.retryable) == (code, error.retryable)
    assert (caught.value.stage, caught.value.data) == ("merging_pr", {"step": "x"})
    assert getattr(github_worker_client, error.__name__) is type(caught.value)


def test_no_class_of_the_client_waits_for_a_code_that_nobody_sends() -> None:
    """Each kind of JobFailed is a code of the service, with its answer to whether to try again."""
    ours = {error.code: error.retryable for error in JobFailed.__subclasses__()}
    assert ours == {code: job_errors()[code].retryable for code in ours}


@pytest.fixture
def github() -> Iterator[GitHub]:
    """Yield a GitHub with a branch to merge."""
    with GitHub() as github:
        yield github


@pytest.fixture
def worker_env(worker_env: dict[str, str], github: GitHub) -> dict[str, str]:
    """Return an environment with a GitHub and a model in it."""
    return worker_env | {"GITHUB_API_URL": github.origin, "ANTHROPIC_API_KEY": "sk-ant-0123456789"}


@dataclass(frozen=True)
class Played:
    """A job as its caller saw it."""

    stages: list[str]
    events: set[type[AnyEvent]]
    fields: Any
    timings: set[str]


def test_the_stand_in_answers_as_a_worker_does(
    restart_loop: RestartLoop, git_server: GitServer, sessions: SessionFolder, github: GitHub, model: Model
) -> None:
    """Job by job it tells the same stages and events, and its results have the same fields."""
    origin = git_server.seed("octo", "demo", {"README.md": "# Demo\n"})
    model.script(Say.json(title="Offer A Dark Mode", slug="offer-dark-mode", subject="feat: add a file"))
    with StandInWorker() as stand_in:
        for kind, fields in jobs(origin.url):
            if kind.operation == "commit-and-push":
                sessions.edit("s-1", {"new.txt": "new\n"})
            if kind.operation == "sync-branch":
                origin.branch("later")
                origin.commit({"later": "1"}, "Later", "later")
            elif "base" in fields:
                github.repository.commit("topic", "Go on", {kind.operation: "1"})
            told = play(restart_loop.base_url, kind, fields)
            assert play(stand_in.base_url, kind, fields) == told


def jobs(url: str) -> Iterator[tuple[type[Request], dict[str, Any]]]:
    """Yield a job of every kind that goes well, the ones of a session in the order in which they can."""
    ours = {"access_token": WRITE_TOKEN, "session_id": "s-1"}
    hosted = {"access_token": TOKEN, **PLACE}
    fields: dict[str, dict[str, Any]] = {
        "clone-repository": {**ours, "repo_url": url},
        "create-branch": {**ours, "base_branch": "main", "user_request": "Add dark mode"},
        "commit-and-push": ours,
        "init-session": {**ours, "session_id": "s-2", "repo_url": url, "user_request": "Add dark mode"},
        "create-pull-request": {**hosted, "head": "topic", "base": "main", "title": "Dark", "body": "Mode"},
        "merge-pull-request": {**hosted, "pull_number": 1},
        "auto-pull-request": {**hosted, "branch": "topic", "base": "main", "title": "Dark", "body": "Mode"},
        "sync-branch": {**ours, "base": "later"},
        "switch-branch": {**ours, "branch": "later"},
        "inspect-session": {**ours, "patch_bytes": 1000},
    }
    return ((kind, fields[operation]) for operation, kind in REQUESTS.items())


def play(base_url: str, kind: type[Request], fields: dict[str, Any]) -> Played:
    """Run a job through the client."""
    events: list[AnyEvent] = []
    asyncio.run(call(base_url, kind, {**fields, "on_event": events.append}))
    done = events[-1]
    assert isinstance(done, Completed)
    stages = [event.stage for event in events if isinstance(event, Progress)]
    return Played(
        stages=[stage for stage, _ in itertools.groupby(stages)],
        events={type(event) for event in events},
        fields=names(done.data),
        timings=set(done.timings),
    )


def names(value: Any) -> Any:
    """Return the names in a result, as they are nested."""
    return {name: names(inner) for name, inner in value.items()} if isinstance(value, dict) else None


def test_the_stand_in_is_as_healthy_as_a_worker(restart_loop: RestartLoop) -> None:
    """What a worker says of itself has the same fields; a warning is for an operator."""
    with StandInWorker() as stand_in:
        for path in ("/health", "/status"):
            told, real = (
                httpx.get(f"{url}{path}", trust_env=False).json()
                for url in (stand_in.base_url, restart_loop.base_url)
            )
            assert names(told) == names({name: value for name, value in real.items() if name != "warning"})


_TWO_THREADS = """
import sys, threading
from typing import Annotated, Literal
import msgspec
from github_worker.contract import CloneRepository, decode, decode_request

BODY = b'{"sessionId": "s", "repoUrl": "https://example.com/o/r", "accessToken": "t"}'

def field(number, place):
    pattern = msgspec.Meta(pattern=f"^{number} {place}$")
    return f"field_{place}", Annotated[str, pattern] | Literal[1] | None, None

def decode_both(number, barrier, request, other):
    barrier.wait()
    decode_request(request, BODY)
    decode(b"{}", other)

sys.setswitchinterval(1e-6)
for number in range(100):
    fields = [field(number, place) for place in range(20)]
    request = msgspec.defstruct("Other", fields, bases=(CloneRepository,), kw_only=True)
    other = msgspec.defstruct("Result", fields)
    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=decode_both, args=(number, barrier, request, other)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_two_threads_decode_a_type_for_the_first_time() -> None:
    """A worker that warms up while its request comes does, and so do a client's threads; msgspec crashes."""
    ended = subprocess.run([sys.executable, "-c", _TWO_THREADS], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
