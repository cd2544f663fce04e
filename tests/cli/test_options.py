"""The options of a request, and what they make of it."""

from __future__ import annotations

import argparse
import shlex

import msgspec
import pytest

from github_worker.__main__ import main
from github_worker.cli.command import Call
from github_worker.cli.commands import add_commands
from github_worker.cli.options import list_options, make_example, read_fields
from github_worker.contract import (
    REQUESTS,
    Author,
    CoAuthor,
    CommitAndPush,
    CreatePullRequest,
    NewTag,
    Request,
)
from github_worker.redaction import Secret
from github_worker_client import wire


def parse(*arguments: str) -> argparse.Namespace:
    """Parse the words after `github-worker`."""
    root = argparse.ArgumentParser()
    add_commands(root.add_subparsers(), root)
    return root.parse_args(arguments)


def build(kind: type[Request], *arguments: str) -> Request:
    """Make the request of some options."""
    given = parse("run", kind.operation, *arguments)
    return wire.build(kind, **read_fields(given, kind), access_token=Secret("token-0123456789"))


@pytest.mark.parametrize("kind", REQUESTS.values(), ids=REQUESTS)
def test_every_field_is_an_option_but_the_secrets(kind: type[Request]) -> None:
    """What a process is given on its command line, all others can see."""
    fields = {field.name for field in msgspec.structs.fields(kind)}
    secrets = {"access_token", "claude_credentials", "signing_key", "signing_key_passphrase"}
    assert fields - {option.name for option in list_options(kind)} <= secrets


@pytest.mark.parametrize("kind", REQUESTS.values(), ids=REQUESTS)
def test_the_example_of_each_job_is_one(kind: type[Request]) -> None:
    """It can be copied as it stands: the worker takes such a request."""
    program, run, operation, *rest = shlex.split(make_example(kind))
    assert (program, run, operation) == ("github-worker", "run", kind.operation)
    build(kind, *rest)


@pytest.mark.parametrize("arguments", [[], *([name] for name in REQUESTS)], ids=str)
def test_help_shows_an_example(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """And names no field as JSON does."""
    with pytest.raises(SystemExit):
        main(["run", *arguments, "--help"])
    shown = capsys.readouterr().out
    assert "example:\n  github-worker run " in shown
    assert "`sessionId`" not in shown


def test_each_kind_of_option_is_read() -> None:
    """Texts, numbers, choices, lists, switches that are on or off, and an author as git writes one."""
    words = ["--base", "main", "--session", "s-1", "--labels", "ui", "--labels", "a, b", "--milestone", "3"]
    opened = build(CreatePullRequest, *words, "--draft", "--no-maintainer-can-modify")
    assert isinstance(opened, CreatePullRequest)
    assert (opened.session_id, opened.labels, opened.milestone) == ("s-1", ("ui", "a, b"), 3)
    assert (opened.draft, opened.update, opened.maintainer_can_modify) == (True, False, False)
    author = ["--author", "Ada Lovelace <ada@example.com>", "--on-secret", "leave-out"]
    commit = build(CommitAndPush, "--session-id", "s-1", *author)
    assert isinstance(commit, CommitAndPush)
    assert commit.author is not None
    assert (commit.author.name, commit.author.email) == ("Ada Lovelace", "ada@example.com")
    assert commit.on_secret == "leave-out"


def test_people_and_a_tag_are_read() -> None:
    """A person as git writes one, with a time zone behind an author, and a tag with its message."""
    words = ["--author", "Ada <ada@example.com> +02:00", "--co-authors", "Grace <g@example.com>"]
    words += ["--tag", "v1.2.0: Version 1.2.0", "--paths", "src/app.py", "--sign-off"]
    commit = build(CommitAndPush, "--session", "s-1", *words)
    assert isinstance(commit, CommitAndPush)
    assert commit.author == Author("Ada", "ada@example.com", "+02:00")
    assert commit.co_authors == (CoAuthor("Grace", "g@example.com"),)
    assert commit.tag == NewTag("v1.2.0", "Version 1.2.0")
    assert (commit.paths, commit.sign_off, commit.dry_run) == (("src/app.py",), True, False)
    lightweight = build(CommitAndPush, "--session", "s-1", "--tag", "v1")
    assert isinstance(lightweight, CommitAndPush)
    assert lightweight.tag == NewTag("v1")


@pytest.mark.parametrize(
    "words",
    [
        ["commit-and-push"],
        ["commit-and-push", "--session", "s", "--author", "Ada"],
        ["commit-and-push", "--session", "s", "--github-access-token", "x"],
        ["clone-repository", "--session", "s", "--repo-url", "https://h/o/r", "--depth", "all"],
        ["no-such-job"],
    ],
    ids=" ".join,
)
def test_wrong_words_are_wrong_use(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The status is 2, and the usage says what there is."""
    with pytest.raises(SystemExit) as ended:
        main(["run", *words])
    assert ended.value.code == 2
    assert "usage: github-worker" in capsys.readouterr().err


def test_a_call_keeps_what_was_given() -> None:
    """The command that asks again is made of it."""
    call = Call(parse("run", "commit-and-push", "--session", "s"), ("run", "commit-and-push"), {})
    assert call.options.endpoint == "commit-and-push"
    assert "request_id" not in call.options
