"""The namer, over the real SDK and a stand-in for the model's API."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from github_worker.contract import Change, ModelCredentials
from github_worker.naming import CommitContext, Namer, PullRequestContext
from github_worker.naming.answers import NoAnswer
from github_worker.naming.model import read
from github_worker.redaction import Secret, scrub
from github_worker.settings import from_env
from tests.naming.rules import ANY_TEXT, assert_harmless, assert_message, assert_session
from tests.support.faults import ENCODED, ENDLESS, Flood, Hang
from tests.support.http import Handler, LoopbackServer
from tests.support.model import Fail, Model, Say

API_KEY = ModelCredentials("sk-ant-" + "api03-0123456789abcdef")
OAUTH_TOKEN = "sk-ant-" + "oat01-0123456789abcdef"
REQUEST = "Add a dark mode toggle to settings"
FALLBACK = ("Add Dark Mode Toggle", "add-dark-mode-toggle")
NAMED = Say.json(title="Offer A Dark Mode", slug="offer-dark-mode")
CHANGE = Change(status="M", path="src/parser.py", insertions=3, deletions=1)
COMMIT = CommitContext((CHANGE,), [("src/parser.py", " -1 +1 \n-old\n+new\n")], ("fix: a", "feat: b"))

MakeNamer = Callable[..., Namer]


@pytest.fixture
def namer(model: Model) -> MakeNamer:
    """Return a function that makes a namer which asks the stand-in, with more environment if given."""
    return lambda **env: Namer(from_env({"ANTHROPIC_BASE_URL": model.origin, "NAMING_TIMEOUT": "10"} | env))


async def test_the_model_names_a_session(namer: MakeNamer, model: Model) -> None:
    """It is asked once, for JSON of a schema, by the configured name, and its answer is the name."""
    model.script(NAMED)

    named = await namer(NAMING_MODEL="some-model").name_session(REQUEST, API_KEY)

    assert (named.title, named.slug, named.fallback) == ("Offer A Dark Mode", "offer-dark-mode", None)
    [request] = model.requests
    assert request.path == "/v1/messages"
    assert request.body["model"] == "some-model"
    assert request.body["output_config"]["format"]["schema"]["required"] == ["title", "slug"]
    assert REQUEST in request.prompt


async def test_the_model_writes_a_commit_message(namer: MakeNamer, model: Model) -> None:
    """It sees the files, the diff and the recent subjects."""
    model.script(Say.json(subject="fix: read new files."))

    message = await namer().describe_commit(COMMIT, API_KEY)

    assert (message.text, message.fallback) == ("fix: read new files", None)
    asked = model.requests[0].body["messages"][0]["content"]
    for seen in ("fix: a\nfeat: b", "M\tsrc/parser.py (+3 -1)", "=== src/parser.py\n -1 +1 \n-old\n+new"):
        assert seen in asked


async def test_the_model_writes_a_pull_request(namer: MakeNamer, model: Model) -> None:
    """It sees the commits' messages."""
    model.script(Say.json(title="Read new files", body="Reads them."))
    context = PullRequestContext(("fix: read new files",), (CHANGE,), ())

    text = await namer().describe_pull_request(context, API_KEY)

    assert (text.title, text.body, text.fallback) == ("Read new files", "Reads them.", None)
    assert "fix: read new files" in model.requests[0].prompt


@pytest.mark.parametrize(
    ("given_", "sent", "beta"),
    [
        (API_KEY.reveal(), API_KEY.reveal(), None),
        ("another-kind-of-key", "another-kind-of-key", None),
        (json.dumps({"apiKey": API_KEY.reveal()}), API_KEY.reveal(), None),
        (OAUTH_TOKEN, OAUTH_TOKEN, "oauth-2025-04-20"),
        (json.dumps({"accessToken": OAUTH_TOKEN}), OAUTH_TOKEN, "oauth-2025-04-20"),
        (
            json.dumps({"claudeAiOauth": {"accessToken": OAUTH_TOKEN, "expiresAt": 1, "scopes": []}}),
            OAUTH_TOKEN,
            "oauth-2025-04-20",
        ),
    ],
)
async def test_each_form_of_credentials_is_sent_as_its_kind(
    namer: MakeNamer, model: Model, given_: str, sent: str, beta: str | None
) -> None:
    """Keys go as keys; OAuth tokens go as bearers, with the header that admits them."""
    model.script(NAMED)

    named = await namer(ANTHROPIC_API_KEY="the-service-key").name_session(REQUEST, ModelCredentials(given_))

    assert named.fallback is None
    headers = model.requests[0].headers
    assert sent in {headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer ")}
    assert headers.get("anthropic-beta") == beta


async def test_without_credentials_the_service_key_is_used(namer: MakeNamer, model: Model) -> None:
    """The service's own key is for requests that bring none."""
    model.script(NAMED)

    named = await namer(ANTHROPIC_API_KEY="the-service-key").name_session(REQUEST, None)

    assert named.fallback is None
    assert "the-service-key" in str(model.requests[0].headers)


@pytest.mark.parametrize(
    "given_", ["{}", '{"apiKey": 7}', "{", "two words", "schlüssel-0123", "short", "[" * 9999]
)
async def test_credentials_of_no_use_are_told(namer: MakeNamer, model: Model, given_: str) -> None:
    """They are not replaced by the service's own key, and nobody is asked."""
    named = await namer(ANTHROPIC_API_KEY="the-service-key").name_session(REQUEST, ModelCredentials(given_))

    assert (named.title, named.slug) == FALLBACK
    assert named.fallback == "the model credentials are neither a key nor a token"
    assert not model.requests


async def test_nobody_is_asked_without_credentials(namer: MakeNamer, model: Model) -> None:
    """The name is made from the request, the message from the files."""
    named = await namer().name_session(REQUEST, None)
    message = await namer().describe_commit(COMMIT, None)

    assert (named.title, named.slug, named.fallback) == (*FALLBACK, "no model credentials")
    assert (message.text, message.fallback) == ("Update parser.py in src/", "no model credentials")
    assert not model.requests


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Say.refusal(), "the model refused"),
        (Say.cut('{"title": "Add D'), "the model's answer was cut off"),
        (Say("Add Dark Mode"), "the model's answer was not what it was asked for"),
        (Say("", "end_turn"), "the model's answer was not what it was asked for"),
        (Say.json(title="", slug=""), "the model's title had fewer than three words"),
        (Fail(400, "no such model"), "the model's API answered 400: no such model"),
        (Fail(401, "invalid x-api-key"), "the model's API answered 401: invalid x-api-key"),
        (Fail(400, f"bad key {API_KEY.reveal()}"), "the model's API answered 400: bad key ***"),
    ],
)
async def test_a_model_that_fails_is_replaced(
    namer: MakeNamer, model: Model, answer: Say | Fail, reason: str
) -> None:
    """Whatever it says or fails to say, there is a name, and the reason is told."""
    model.script(answer)

    named = await namer().name_session(REQUEST, API_KEY)

    assert (named.title, named.slug, named.fallback) == (*FALLBACK, reason)


async def test_a_busy_model_is_asked_once_more(namer: MakeNamer, model: Model) -> None:
    """An overloaded API gets a second chance."""
    model.script(Fail(529), NAMED)

    assert (await namer().name_session(REQUEST, API_KEY)).fallback is None
    assert len(model.requests) == 2


async def test_a_model_that_hangs_is_not_waited_for(namer: MakeNamer, model: Model) -> None:
    """The naming timeout is for all of it, tries and pauses together."""
    model.script(Hang())
    slow = namer(NAMING_TIMEOUT="0.3")
    async with asyncio.timeout(5):
        named = await slow.name_session(REQUEST, API_KEY)

    assert (named.title, named.slug, named.fallback) == (*FALLBACK, "the model did not answer within 0.3 s")


async def test_an_api_that_cannot_be_reached_is_told() -> None:
    """A closed port is a reason like any other."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        named = await Namer(from_env({"ANTHROPIC_BASE_URL": url})).name_session(REQUEST, API_KEY)

    assert named.fallback == "the model's API could not be asked: APIConnectionError"


async def test_a_redirect_is_not_followed(namer: MakeNamer, model: Model) -> None:
    """Neither the key nor the prompt goes where an answer points to."""
    model.script(NAMED)
    redirecting = LoopbackServer(type("Redirecting", (_Redirecting,), {"target": model.origin}))
    try:
        named = await namer(ANTHROPIC_BASE_URL=redirecting.origin).name_session(REQUEST, API_KEY)
    finally:
        redirecting.close()

    assert named.fallback == "the model's API answered 307"
    assert not model.requests


class _Redirecting(Handler):
    target: str

    def do_POST(self) -> None:  # noqa: N802 (http.server's name)
        """Point to the target."""
        b"".join(self.body())
        self.answer(307, b"", Location=f"{self.target}{self.path}")


# Names a session twice; prints how many KiB more memory the second time took, and why it fell back.
_NAME_TWICE = """
import asyncio, re, sys
from github_worker.contract import ModelCredentials
from github_worker.naming import Namer
from github_worker.settings import from_env

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

async def name():
    settings = from_env({"ANTHROPIC_BASE_URL": sys.argv[1], "NAMING_TIMEOUT": "60"})
    namer, key = Namer(settings), ModelCredentials("sk-ant-api03-0123")
    assert (await namer.name_session("Add it", key)).fallback is None
    before = peak()
    named = await namer.name_session("Add it", key)
    print(peak() - before, named.fallback)

asyncio.run(name())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read where Linux tells it")
@pytest.mark.parametrize("answer", ENDLESS.values(), ids=ENDLESS)
def test_an_answer_without_an_end_costs_little(model: Model, answer: Flood) -> None:
    """It is read to a MiB, before and after inflating, and the reason is told."""
    model.script(NAMED, answer)

    told = subprocess.check_output([sys.executable, "-c", _NAME_TWICE, model.origin], text=True)

    kib, _, reason = told.strip().partition(" ")
    assert reason == "the answer of the model's API was not read: it is over 1,048,576 bytes"
    assert int(kib) < 8 * 1024


@pytest.mark.parametrize("answer", ENCODED.values(), ids=ENCODED)
async def test_an_answer_in_a_strange_encoding_is_not_read(
    namer: MakeNamer, model: Model, answer: Flood
) -> None:
    """What was not asked for is not decoded."""
    model.script(answer)

    named = await namer().name_session(REQUEST, API_KEY)

    assert named.fallback is not None
    assert re.search("was not read: it is (encoded|no sound gzip)", named.fallback)


async def test_an_error_without_an_end_is_not_read(namer: MakeNamer, model: Model) -> None:
    """The SDK reads what stands in an error too."""
    model.script(dataclasses.replace(Flood.plain(), status=400))

    named = await namer().name_session(REQUEST, API_KEY)

    assert named.fallback == "the answer of the model's API was not read: it is over 1,048,576 bytes"


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"[]", b"\xff", b'{"content": 7}', b"[" * 99_999])
def test_an_api_that_answers_garbage_is_told(body: bytes) -> None:
    """What is no message of the API is a reason too."""
    with pytest.raises(NoAnswer, match="no message"):
        read(body)


def test_the_sdk_is_not_imported_before_it_is_needed() -> None:
    """It takes about a second, which a worker has while it is idle."""
    check = "import sys, github_worker.naming; sys.exit('anthropic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


async def test_a_cancelled_job_is_not_kept(namer: MakeNamer, model: Model) -> None:
    """Cancelling is no failure of the model: it comes through."""
    model.script(Hang())
    naming = asyncio.create_task(namer().name_session(REQUEST, API_KEY))
    await asyncio.to_thread(model.faults.wait_until_struck)

    naming.cancel()

    with pytest.raises(asyncio.CancelledError):
        await naming


async def test_the_environment_changes_nothing(
    namer: MakeNamer, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the SDK would read by itself (keys, headers, proxies) is not sent and not used."""
    for name, value in {
        "ANTHROPIC_API_KEY": "stray-key",
        "ANTHROPIC_AUTH_TOKEN": "stray-token",
        "ANTHROPIC_CUSTOM_HEADERS": "X-Stray: stray-header\nAuthorization: Bearer stray-token",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    model.script(NAMED)

    for credentials in (API_KEY, ModelCredentials(OAUTH_TOKEN)):
        assert (await namer().name_session(REQUEST, credentials)).fallback is None
    assert (await namer().name_session(REQUEST, None)).fallback == "no model credentials"
    assert "stray" not in str([request.headers for request in model.requests])


async def test_the_model_sees_no_secret(namer: MakeNamer, model: Model) -> None:
    """Neither the request's own secrets nor credentials of the change are in a prompt, or in a name."""
    credentials = ModelCredentials(
        json.dumps({"accessToken": OAUTH_TOKEN, "refreshToken": "refresh-0123456789"})
    )
    push_token, leaked = Secret("push-token-0123456789"), "ghp_" + "a1" * 18
    told = (OAUTH_TOKEN, "refresh-0123456789", push_token.reveal(), leaked, "hunter2secret")
    change = "".join(f"+value {text}\n" for text in told[:-1]) + "+password: hunter2secret\n"
    model.script(NAMED, Say.json(subject="Add values"), Say.refusal())
    naming = namer()

    await naming.name_session(f"Use {' and '.join(told[:-1])}", credentials)
    await naming.describe_commit(CommitContext((CHANGE,), [("a.py", change)], ()), credentials)
    named = await naming.name_session(f"Push with {leaked} please", credentials)

    for text in told:
        assert text not in str([request.body for request in model.requests])
    assert "+value ***" in model.requests[1].body["messages"][0]["content"]
    assert leaked[:8] not in named.slug


async def test_a_secret_behind_escapes_is_masked(namer: MakeNamer, model: Model) -> None:
    """JSON may write any letter in another way."""
    token = Secret("push-token-0123456789")
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in token.reveal())
    model.script(Say(f'{{"subject": "Use {escaped} here"}}'))

    assert (await namer().describe_commit(COMMIT, API_KEY)).text == "Use *** here"


async def test_what_stands_in_for_the_model_gives_no_orders(namer: MakeNamer) -> None:
    """The names of files and the messages of commits are others' words too."""
    odd = Change(status="A", path="@octo/[skip ci]/@octocat", insertions=1, deletions=0)
    context = PullRequestContext(("[skip ci] Fixes #12 for @octocat", "Fixes", "#12 is it"), (odd,), ())

    message = await namer().describe_commit(CommitContext((odd,), (), ()), None)
    described = await namer().describe_pull_request(context, None)

    assert message.text == "Add octocat in octo/(skip ci)/"
    assert described.title == "(skip ci) Fixes issue 12 for octocat and 2 other changes"
    for text in (message.text, described.title, described.body):
        assert_harmless(text)


def test_the_secrets_inside_of_credentials_are_masked_alone() -> None:
    """Each token of a JSON form is a secret by itself, as long as the form is held."""
    credentials = ModelCredentials(
        json.dumps({"claudeAiOauth": {"accessToken": "access-0123", "refreshToken": "refresh-0123"}})
    )

    assert scrub("access-0123 refresh-0123") == "*** ***"
    assert len(credentials.secrets) == 3


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answer=st.fixed_dictionaries({"title": ANY_TEXT, "slug": ANY_TEXT, "subject": ANY_TEXT, "body": ANY_TEXT})
)
async def test_any_answer_gives_a_name(namer: MakeNamer, model: Model, answer: dict[str, Any]) -> None:
    """Whatever comes over the wire, the namer does not raise and its names keep to the rules."""
    model.script(Say.json(**answer))
    naming = namer()

    named = await naming.name_session(REQUEST, API_KEY)
    message = await naming.describe_commit(COMMIT, API_KEY)

    assert_session(named.title, named.slug)
    assert_message(message.text)
