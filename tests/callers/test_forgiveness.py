"""What callers send that says nothing else than what is meant: empty fields, long titles, addresses."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from github_worker.contract import (
    REQUESTS,
    Author,
    AutoPullRequest,
    CloneRepository,
    CoAuthor,
    CommitAndPush,
    CreatePullRequest,
    MergePullRequest,
    NewTag,
    Request,
    decode_request,
    encode_request,
)
from github_worker.contract.body import flatten
from github_worker.contract.fields import IN_WORDS
from tests.life.test_refusals import VALID

_TITLES = {
    "Add dark mode": "Add dark mode",
    " Add\r\n\tdark \x00 mode\n": "Add dark mode",
    "x" * 256: "x" * 256,
    "x" * 257: "x" * 255 + "…",
    "ab " * 1000: "ab " * 84 + "ab…",
    "\n \x07": None,
}


def read(kind: type[Any], **fields: Any) -> Any:
    """Decode a request's body."""
    return decode_request(kind, json.dumps(VALID[kind.operation] | fields).encode())


@pytest.mark.parametrize("kind", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("empty", ["", None])
def test_an_optional_field_that_is_empty_is_absent(kind: type[Request], empty: str | None) -> None:
    """All of them at once make the request that none of them makes."""
    fields = {field.encode_name: empty for field in msgspec.structs.fields(kind) if not field.required}
    fields |= dict.fromkeys(("accessToken", "githubAccessToken"), empty)
    forgiven = read(kind, **(fields | VALID[kind.operation]))
    assert encode_request(forgiven) == encode_request(read(kind))


@pytest.mark.parametrize(("given", "title"), _TITLES.items())
def test_a_title_is_made_one_line(given: str, title: str | None) -> None:
    """Of at most 256 characters; where no word is left it is absent."""
    assert read(CreatePullRequest, title=given).title == title
    assert read(MergePullRequest, commitTitle=given).commit_title == title
    assert read(AutoPullRequest, commitTitle=given).commit_title == title


def test_a_user_may_have_an_address_and_an_owner_an_underscore() -> None:
    """As people and GitHub's managed users have them."""
    assert read(CommitAndPush, userId="Ann <ann@x.y>").user_id == "Ann <ann@x.y>"
    assert read(MergePullRequest, owner="ann_acme").owner == "ann_acme"


def test_every_pattern_is_said_in_words() -> None:
    """Whoever breaks one reads a sentence."""
    described = inspect.multi_type_info([Author, CoAuthor, NewTag, *REQUESTS.values()])
    structs = [kind for kind in described if isinstance(kind, inspect.StructType)]
    kinds = [kind for struct in structs for field in struct.fields for kind in flatten(field.type)]
    kinds += [
        item for kind in kinds if isinstance(kind, inspect.VarTupleType) for item in flatten(kind.item_type)
    ]
    patterns = {kind.pattern for kind in kinds if isinstance(kind, inspect.StrType)}
    assert patterns == {None, *IN_WORDS}


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        (CloneRepository, {"sessionId": 1}, "`sessionId` must be a string, not a whole number"),
        (CloneRepository, {"branch": "a b"}, "`branch` must be a branch name that git takes"),
        (CloneRepository, {"depth": 0}, "`depth` must be at least 1"),
        (CreatePullRequest, {"labels": ["a", "b\n"]}, "`labels[1]` must be one line of 1 to 50 characters"),
        (CreatePullRequest, {"labels": "ui"}, "`labels` must be a list, not a string"),
        (CreatePullRequest, {"reviewers": ["@ada"]}, "`reviewers[0]` must be the name of an account"),
        (MergePullRequest, {"expectedHead": "5716ca5"}, "`expectedHead` must be a commit in full"),
        (CloneRepository, {"depth": 1.5}, "`depth` must be a whole number, not a number with a fraction"),
        (CloneRepository, {"allBranches": "yes"}, "`allBranches` must be true or false, not a string"),
        (CloneRepository, {"colour": 1}, "`colour` is no field of this request"),
        (CloneRepository, {".": None}, "`.` is no field of this request"),
        (CommitAndPush, {"message": "x" * 100_001}, "`message` must have at most 100,000 characters"),
        (CommitAndPush, {"message": "x" * 2_000_000}, "`message` is too long"),
        (CommitAndPush, {"author": "me"}, "`author` must be an object, not a string"),
        (CommitAndPush, {"author": {"name": "a"}}, "`author.email` is missing"),
        (CommitAndPush, {"author": {"name": "a", "email": "b", "x": 1}}, "`author.x` is no field"),
        (CommitAndPush, {"author": {"name": "<", "email": "b"}}, "`author.name` must be one line"),
        (MergePullRequest, {"mergeMethod": "octopus"}, "`mergeMethod` must be one of merge, rebase, squash"),
        (CreatePullRequest, {"owner": ""}, "`owner` is missing (or `repoUrl` or `sessionId` in its place)"),
    ],
)
def test_a_refusal_is_a_sentence_about_the_field(
    kind: type[Request], fields: dict[str, Any], sentence: str
) -> None:
    """No pattern, no type of a library, no path of one."""
    with pytest.raises(ValueError, match="`") as caught:
        read(kind, **fields)
    assert str(caught.value).startswith(sentence)
