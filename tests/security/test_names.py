"""What a model or a request calls a branch: never one that somebody else counts on."""

from __future__ import annotations

import re

import pytest

from github_worker.contract import ModelCredentials
from github_worker.errors import ConfigurationError
from github_worker.settings import from_env
from tests.operations.conftest import JobRunner
from tests.support.model import Model, Say
from tests.support.repositories import Repository as Origin

KEY = ModelCredentials("sk-ant-api03-" + "k" * 30)
NAMES = [
    "main",
    "master",
    "HEAD",
    "trunk",
    "refs/heads/main",
    "refs/heads/x",
    "../..",
    "..",
    "/",
    "-",
    "--force",
    "@{-1}",
    "a b\nc",
    "main.lock",
    "\0",
    "\u202emain",
    "x" * 500,
    "",
]


@pytest.mark.parametrize("name", NAMES)
async def test_no_answer_of_a_model_is_a_protected_branch(
    name: str, runner: JobRunner, origin: Origin, model: Model
) -> None:
    """The branch has the prefix and the session's suffix, and nothing but the slug's letters between."""
    model.script(Say.json(title=f"{name} {name} {name}", slug=name))
    main = origin.branches()["main"]
    result = await runner.init(origin.url, user_request=name or "x", claude_credentials=KEY)
    assert re.fullmatch(r"webedt/[a-z0-9][a-z0-9-]{0,39}-abcd1234", result.branch_name)
    assert not re.fullmatch(r"webedt/(main|master|head|trunk|refs-.*)-abcd1234", result.branch_name)
    assert origin.branches() == {"main": main, result.branch_name: main}


@pytest.mark.parametrize(
    "prefix", ["refs/heads/", "refs/", "-", "/", "../", "a//", "a b/", "@{", ".", "a..", "\\"]
)
def test_a_prefix_that_makes_no_branch_stops_the_start(prefix: str) -> None:
    """An operator hears of it at once."""
    with pytest.raises(ConfigurationError, match="BRANCH_PREFIX"):
        from_env({"BRANCH_PREFIX": prefix})


@pytest.mark.parametrize("prefix", ["main", "HEAD", "main/", "team/ai-"])
async def test_any_prefix_gives_a_branch_of_its_own(prefix: str, runner: JobRunner, origin: Origin) -> None:
    """Even one that is a protected name itself, or that the remote cannot have beside one."""
    runner.env["BRANCH_PREFIX"] = prefix
    main = origin.branches()["main"]
    result = await runner.init(origin.url)
    assert result.branch_name == f"{prefix.replace('main/', 'main-')}add-dark-mode-toggle-abcd1234"
    assert result.pushed
    assert origin.branches()["main"] == main
