"""What crosses the service's border: requests, results, events. Typed structs, no I/O.

Field names are camelCase on the wire. `Request.operation` is the endpoint's path without the slash and
`Request.result` the struct that its `completed` event carries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from github_worker.redaction import Secret

SOURCE = "github-worker"
MAX_BODY_BYTES = 1024 * 1024

# `$(?!\n)` is the end of the text, in Python (where `$` also matches before a last newline) and in ECMA.
_SESSION_ID = r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,127}$(?!\n)"
_DIRECTORY = r"^(?!\.{1,2}$)(?!\.[Gg][Ii][Tt]$)[^/\\\x00-\x1f\x7f]{1,255}$(?!\n)"
# git-check-ref-format(1), without `HEAD` and what begins with `-` or `refs/`
_BRANCH = (
    r"^(?![-./])(?!refs/)(?!HEAD$)(?!@$)(?!.*(?:\.\.|//|@\{|/\.|\.lock/))"
    r"[^\x00-\x20\x7f~^:?*\[\\]{1,244}$(?!\n)(?<![./])(?<!\.lock)"
)
_NAME = r"^[A-Za-z0-9][A-Za-z0-9-]{0,99}$(?!\n)"
_REPOSITORY_NAME = r"^(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$(?!\n)"
_REQUEST_ID = r"^[\x21-\x7e]{1,128}$(?!\n)"
_ONE_LINE = r"^[^\x00-\x1f\x7f<>]{1,256}$(?!\n)"

SessionId = Annotated[str, Meta(pattern=_SESSION_ID)]
Directory = Annotated[str, Meta(pattern=_DIRECTORY, description="one path segment")]
Branch = Annotated[str, Meta(pattern=_BRANCH, description="a valid git branch name")]
Owner = Annotated[str, Meta(pattern=_NAME)]
RepositoryName = Annotated[str, Meta(pattern=_REPOSITORY_NAME)]
RequestId = Annotated[str, Meta(pattern=_REQUEST_ID)]
Depth = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Text = Annotated[str, Meta(min_length=1, max_length=100_000)]
Line = Annotated[str, Meta(pattern=_ONE_LINE)]


def is_branch_name(name: str) -> bool:
    """Tell whether git takes `name` for a branch, and this service too."""
    return re.search(_BRANCH, name) is not None


class ModelCredentials(Secret):
    """An API key, an OAuth access token, or one of the JSON forms that hold either."""

    __slots__ = ()


class RepositoryUrl(NamedTuple):
    """A repository's address: `origin` is scheme, host and port, as a token is bound to them."""

    origin: str
    owner: str
    name: str

    @classmethod
    def parse(cls, text: str) -> RepositoryUrl:
        """Read `https://host/owner/repo[.git]` or `git@host:owner/repo[.git]`; raise ValueError otherwise."""
        if scp := re.fullmatch(r"git@([A-Za-z0-9.-]+):([^:]+)", text):
            text = f"https://{scp[1]}/{scp[2]}"
        parts = urlsplit(text)
        segments = parts.path.removesuffix("/").removesuffix(".git").split("/")
        if (
            parts.scheme not in {"http", "https"}
            or not re.fullmatch(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", parts.netloc)
            or parts.query
            or parts.fragment
            or text != text.strip()
            or not re.fullmatch(r"/[^/]+/[^/]+", "/".join(segments))
            or not re.search(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$(?!\n)", segments[1])
            or not re.search(_REPOSITORY_NAME, segments[2])
        ):
            raise ValueError(
                "must be https://host/owner/repo or git@host:owner/repo, without credentials in it"
            )
        return cls(_origin(parts.scheme, parts.netloc), segments[1], segments[2])

    def __str__(self) -> str:
        return f"{self.origin}/{self.owner}/{self.name}.git"

    def same_repository(self, other: RepositoryUrl) -> bool:
        """Tell whether both name one repository; forges do not heed the case of names."""
        return str(self).lower() == str(other).lower()


def _origin(scheme: str, netloc: str) -> str:
    default = {"http": ":80", "https": ":443"}[scheme]
    return f"{scheme}://{netloc.lower().removesuffix(default)}"


def origin_of(url: str) -> str:
    """Return scheme, host and port of `url`, without a port that its scheme implies."""
    parts = urlsplit(url)
    return _origin(parts.scheme, parts.netloc.rpartition("@")[2])


# Requests


class Author(Struct, frozen=True, forbid_unknown_fields=True):
    """Who a commit is by."""

    name: Line
    email: Line


class Request(
    Struct, rename="camel", frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """What the body of a `POST` is."""

    operation: ClassVar[str]
    result: ClassVar[type[Result]]
    request_id: RequestId | None = None


class CloneRepository(Request, frozen=True, kw_only=True):
    """Clone a repository into a session, or update the one that is there."""

    operation = "clone-repository"

    session_id: SessionId
    repo_url: str
    branch: Branch | None = None
    directory: Directory | None = None
    access_token: Secret | None = None
    depth: Depth | None = None
    all_branches: bool = False

    def __post_init__(self) -> None:
        _check_url(self.repo_url)


class CreateBranch(Request, frozen=True, kw_only=True):
    """Start a branch with a good name in the session, and push it."""

    operation = "create-branch"

    session_id: SessionId
    user_request: Text
    base_branch: Branch
    repo_url: str | None = None
    claude_credentials: ModelCredentials | None = None
    access_token: Secret = msgspec.field(name="githubAccessToken")

    def __post_init__(self) -> None:
        if self.repo_url is not None:
            _check_url(self.repo_url)


class CommitAndPush(Request, frozen=True, kw_only=True):
    """Commit everything that changed in the session's repository, and push it."""

    operation = "commit-and-push"

    session_id: SessionId
    claude_credentials: ModelCredentials | None = None
    access_token: Secret = msgspec.field(name="githubAccessToken")
    user_id: Line | None = None
    author: Author | None = None
    message: Text | None = None
    allow_secrets: bool = False


class InitSession(Request, frozen=True, kw_only=True):
    """Clone a repository and start a branch in it, over one download and one upload."""

    operation = "init-session"

    session_id: SessionId
    repo_url: str
    branch: Branch | None = None
    directory: Directory | None = None
    user_request: Text
    claude_credentials: ModelCredentials | None = None
    access_token: Secret = msgspec.field(name="githubAccessToken")
    depth: Depth | None = None
    all_branches: bool = False

    def __post_init__(self) -> None:
        _check_url(self.repo_url)


def _check_url(text: str) -> None:
    try:
        RepositoryUrl.parse(text)
    except ValueError as error:
        raise ValueError(f"`repoUrl` {error}") from None


# Results


class Result(Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """What a job achieved."""


class PushError(Result, frozen=True, kw_only=True):
    """Why a push failed; the commit or branch is in the session all the same."""

    code: str
    message: str


class Cloned(Result, frozen=True, kw_only=True):
    """The session holds the repository; `pulled` says whether an existing one was fast-forwarded."""

    cloned_path: str
    branch: str
    was_cloned: bool
    commit: str | None
    pulled: bool


class BranchCreated(Result, frozen=True, kw_only=True):
    """The session is on its own branch."""

    branch_name: str
    session_title: str
    session_path: str
    base_branch: str
    commit: str | None
    pushed: bool
    push_error: PushError | None = None


class Committed(Result, frozen=True, kw_only=True):
    """The branch's tip after the job, and what the new commit changed."""

    commit_hash: str | None
    commit_message: str
    branch: str
    pushed: bool
    files_changed: int
    insertions: int
    deletions: int
    push_error: PushError | None = None
    skipped: bool = False
    reason: str | None = None


class SessionInitialised(Cloned, frozen=True, kw_only=True):
    """A cloned repository, on its own branch."""

    branch_name: str
    session_title: str
    session_path: str
    base_branch: str
    pushed: bool
    push_error: PushError | None = None


CloneRepository.result = Cloned
CreateBranch.result = BranchCreated
CommitAndPush.result = Committed
InitSession.result = SessionInitialised

REQUESTS: Mapping[str, type[Request]] = {
    request.operation: request for request in (CloneRepository, CreateBranch, CommitAndPush, InitSession)
}


# Events


class Event(Struct, rename="camel", tag_field="type", frozen=True, kw_only=True, omit_defaults=True):
    """One line of a stream; `timestamp` is RFC 3339, UTC, in milliseconds."""

    source: str = msgspec.field(default_factory=lambda: SOURCE)
    timestamp: str = msgspec.field(default_factory=lambda: rfc3339(datetime.now(UTC)))


class Progress(Event, tag="progress", frozen=True, kw_only=True):
    """A step begins or advances; `percent` is 0 to 100, the others are counts."""

    stage: str
    message: str
    percent: int | None = None
    received: int | None = None
    total: int | None = None
    bytes: int | None = None


class Warned(Event, tag="warning", frozen=True, kw_only=True):
    """Something was left out or done otherwise; the job goes on."""

    code: str
    message: str


class BranchStarted(Event, tag="branch_created", frozen=True, kw_only=True):
    """The session's branch exists."""

    branch_name: str
    base_branch: str
    session_path: str
    message: str


class SessionNamed(Event, tag="session_name", frozen=True, kw_only=True):
    """The session has a title."""

    session_name: str
    branch_name: str
    message: str


class Completed(Event, tag="completed", frozen=True, kw_only=True):
    """The job is done: `data` is its result, `timings` milliseconds by step."""

    data: dict[str, Any]
    timings: dict[str, int]


class Failed(Event, tag="error", frozen=True, kw_only=True):
    """The job failed: `error` is for a person, `data` what was achieved before."""

    error: str
    code: str
    stage: str | None = None
    retryable: bool = msgspec.field(default_factory=bool)
    data: dict[str, Any] | None = None


AnyEvent = Progress | Warned | BranchStarted | SessionNamed | Completed | Failed


def rfc3339(moment: datetime) -> str:
    """Write a UTC moment as the contract's timestamps are: `2026-01-31T09:00:00.000Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def encode_event(event: AnyEvent) -> bytes:
    """Encode an event as one line of JSON; a result's fields stand at the top level too."""
    if not isinstance(event, Completed):
        return msgspec.json.encode(event)
    return msgspec.json.encode(event.data | msgspec.to_builtins(event))


def decode_event(data: str | bytes) -> AnyEvent:
    """Decode one event; raise msgspec.ValidationError when it is none."""
    event: AnyEvent = msgspec.json.decode(data, type=AnyEvent)
    return event


# Answers of GET


class Build(Struct, rename="camel", frozen=True):
    """What image this worker runs."""

    commit_sha: str
    timestamp: str
    image_tag: str


WorkerStatus = Literal["idle", "busy"]


class Health(Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """The answer of `GET /health`; `warning` says what an operator should know."""

    status: Literal["ok"] = msgspec.field(default_factory=lambda: "ok")
    service: str = msgspec.field(default_factory=lambda: SOURCE)
    worker_status: WorkerStatus
    container_id: str
    version: str
    build: Build
    timestamp: str
    warning: str | None = None


class Status(Struct, rename="camel", frozen=True, kw_only=True):
    """The answer of `GET /status`."""

    status: WorkerStatus
    active_operation: str | None
    container_id: str
    timestamp: str


class RefusalBody(Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """Why no job was started; `retry_after` is in seconds."""

    error: str
    message: str
    container_id: str
    retry_after: int | None = None


_TOKEN_NAMES = ("accessToken", "githubAccessToken")
AnyRequest = TypeVar("AnyRequest", bound=Request)


def decode_request(kind: type[AnyRequest], body: bytes) -> AnyRequest:
    """Decode a body, the token under either of its names; raise ValueError naming the field."""
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("the body must be a JSON object") from None
    if not isinstance(fields, dict):
        raise ValueError("the body must be a JSON object")
    return msgspec.convert(_under_own_name(kind, fields), kind, dec_hook=_decode_secret)


def encode_request(request: Request) -> bytes:
    """Encode a request as its endpoint takes it, secrets in clear."""
    return msgspec.json.encode(request, enc_hook=_encode_secret)


def _under_own_name(kind: type[Request], fields: dict[str, Any]) -> dict[str, Any]:
    given = [name for name in _TOKEN_NAMES if name in fields]
    if len(given) == 2:
        raise ValueError("`accessToken` and `githubAccessToken` are one field: give one of them")
    own = next(field.encode_name for field in msgspec.structs.fields(kind) if field.name == "access_token")
    return {own if name in given else name: value for name, value in fields.items()}


def _decode_secret(kind: type, value: Any) -> Any:
    if kind is ModelCredentials and isinstance(value, dict):
        value = msgspec.json.encode(value).decode()
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a string that is not empty")
    if not value.isprintable() and not (kind is ModelCredentials and value.lstrip().startswith("{")):
        raise ValueError("must have no control characters")
    return kind(value)


def _encode_secret(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(f"a {type(value).__name__} cannot be sent")
