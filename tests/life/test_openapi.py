"""The description of the API, held against the specification and against the worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from github_worker.contract import REQUESTS, Completed, encode_event
from github_worker.errors import Refusal, job_errors
from tests.life.test_refusals import VALID
from tests.support.life_worker import RESULT


@pytest.fixture(scope="session")
def description(client: httpx.Client) -> dict[str, Any]:
    """Return what the worker says about itself."""
    answer: dict[str, Any] = client.get("/openapi.json").json()
    return answer


def validator(description: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """Return a validator of one of the description's schemas."""
    return Draft202012Validator(schema | {"components": description["components"]})


def test_it_is_openapi(description: dict[str, Any]) -> None:
    """The description is valid OpenAPI 3.1."""
    validate(description)


def test_every_endpoint_is_described_with_its_refusals(description: dict[str, Any]) -> None:
    """Each POST has its stream and every refusal that there is."""
    statuses = {"200", *(str(refusal.status) for refusal in Refusal.__subclasses__())}
    posts = {path: item["post"] for path, item in description["paths"].items() if "post" in item}
    assert set(posts) == {f"/{operation}" for operation in REQUESTS}
    assert all(set(post["responses"]) == statuses for post in posts.values())
    assert {"/health", "/status", "/openapi.json"} < set(description["paths"])


def test_it_lists_the_error_codes(description: dict[str, Any]) -> None:
    """Every code of a stream's error is there with its sentence, and whether to try again."""
    assert description["x-error-codes"] == {
        code: {"description": error.__doc__, "retryable": error.retryable}
        for code, error in job_errors().items()
    }
    assert all(error["description"].endswith(".") for error in description["x-error-codes"].values())


def properties(part: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each property of the schemas in a part of the description, and where it is."""
    if isinstance(part, dict):
        yield from ((f"{path}/{name}", field) for name, field in part.get("properties", {}).items())
    children = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, child in children:
        yield from properties(child, f"{path}/{name}")


def test_every_property_has_a_sentence_and_an_example(description: dict[str, Any]) -> None:
    """Each example is a value that the property takes."""
    fields = dict(properties(description))
    assert len(fields) > 190
    assert {path for path, field in fields.items() if not field.get("description", "").endswith(".")} == set()
    assert {path for path, field in fields.items() if not field.get("examples")} == set()
    wrong = {
        path
        for path, field in fields.items()
        for example in field["examples"]
        if not validator(description, field).is_valid(example)
    }
    assert wrong == set()


@pytest.mark.parametrize("operation", VALID)
def test_the_token_is_described_as_it_is_decoded(description: dict[str, Any], operation: str) -> None:
    """Either name is fine and both are not; without any it depends on the endpoint."""
    schema = description["paths"][f"/{operation}"]["post"]["requestBody"]["content"]["application/json"]
    valid = validator(description, schema["schema"]).is_valid
    bare = {name: value for name, value in VALID[operation].items() if name != "githubAccessToken"}
    assert valid(bare | {"accessToken": "t"})
    assert valid(bare | {"githubAccessToken": "t"})
    assert not valid(bare | {"githubAccessToken": "t", "accessToken": "t"})
    may_lack_it = {"clone-repository", "sync-branch", "switch-branch", "inspect-session"}
    assert valid(bare) == (operation in may_lack_it)
    assert not valid(bare | {"accessToken": "t", "colour": "blue"})


def test_a_completed_event_is_as_described(description: dict[str, Any]) -> None:
    """The result's fields stand at the top and under `data`."""
    answers = description["paths"]["/commit-and-push"]["post"]["responses"]["200"]
    valid = validator(description, answers["content"]["text/event-stream"]["schema"]).is_valid
    event = msgspec.json.decode(
        encode_event(Completed(data=msgspec.to_builtins(RESULT), timings={"pushing": 1}))
    )
    assert valid(event)
    assert not valid({name: value for name, value in event.items() if name != "commitHash"})
    assert not valid(event | {"data": {}})
