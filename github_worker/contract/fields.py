"""The fields that requests share, and what makes them valid."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from github_worker.redaction import Secret

# `$(?!\n)` is the end of the text, in Python (where `$` also matches before a last newline) and in ECMA.
_SESSION_ID = r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,127}$(?!\n)"
# `.git` in the spellings that git protects, as no folder beside one
_DOT_GIT = r"(?:\.[Gg][Ii][Tt]|[Gg][Ii][Tt]~1)[. ]*(?:[:/]|$)"
_SEGMENT = rf"(?!\.{{1,2}}(?:/|$))(?!{_DOT_GIT})[^/\\\x00-\x1f\x7f]{{1,255}}"
_DIRECTORY = rf"^{_SEGMENT}(?:/{_SEGMENT}){{0,7}}$(?!\n)"
# git-check-ref-format(1), without `HEAD` and what begins with `-` or `refs/`
_BRANCH = (
    r"^(?![-./])(?!refs/)(?!HEAD$)(?!@$)(?!.*(?:\.\.|//|@\{|/\.|\.lock/))"
    r"[^\x00-\x20\x7f~^:?*\[\\]{1,244}$(?!\n)(?<![./])(?<!\.lock)"
)
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$(?!\n)"
# a branch of the repository, or `owner:branch` of a fork
_HEAD = _BRANCH.replace("^", r"^(?:[A-Za-z0-9][A-Za-z0-9_-]{0,99}:)?", 1)
_LOGIN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}(?:\[bot\])?$(?!\n)"
_TEAM = r"^(?:[A-Za-z0-9_-]{1,100}/)?[A-Za-z0-9._-]{1,100}$(?!\n)"
_LABEL = r"^[^\x00-\x1f\x7f]{1,50}$(?!\n)"  # what GitHub keeps of one
_SHA = r"^[0-9a-f]{40}(?:[0-9a-f]{24})?$(?!\n)"
_REPOSITORY_NAME = rf"^(?!\.{{1,2}}$)(?!{_DOT_GIT})[A-Za-z0-9._-]{{1,100}}$(?!\n)"
_REQUEST_ID = r"^[\x21-\x7e]{1,128}$(?!\n)"
# The same, told in words of its own
_TAG = rf"{_BRANCH}(?!\n)"
# A file or folder of the worktree by its name, with no pattern in it; what is beyond a link has none.
_FILE = r"^(?!.*(?:^|/)\.{0,2}(?:/|$))[^\x00-\x1f\x7f]{1,4096}$(?!\n)"
_TIME_ZONE = r"^[+-](?:0[0-9]|1[0-4]):[0-5][0-9]$(?!\n)"
VISIBLE_ASCII = r"^[\x21-\x7e]+$(?!\n)"
_MAX_TITLE = 256
_SEEN_OF_TITLE = 4096  # characters
_USER_ID = r"""^(?=[^\n]*[^\x00-\x20\x7f<>,:;"'\\])[^\x00-\x1f\x7f]{1,256}$(?!\n)"""
# One character at least that git leaves of a name: it takes spaces and these from its ends
_ONE_LINE = r"""^(?=[^\n]*[^\x00-\x20\x7f<>,:;"'\\])[^\x00-\x1f\x7f<>]{1,256}$(?!\n)"""
# What each of them takes, for whoever sent something else.
IN_WORDS = {
    _SESSION_ID: "must be 1 to 128 letters, digits, dots, hyphens and underscores, begin with a letter or a "
    "digit, and have no two dots in a row",
    _REQUEST_ID: "must be 1 to 128 visible ASCII characters without spaces",
    _DIRECTORY: "must be a relative path of at most 8 folders, such as apps/web, none of them `.`, `..` or "
    "`.git`",
    _NAME: "must be 1 to 100 letters, digits, hyphens and underscores, and begin with a letter or a digit",
    _REPOSITORY_NAME: "must be 1 to 100 letters, digits, dots, hyphens and underscores, and not `.`, `..` or "
    "`.git`",
    _BRANCH: "must be a branch name that git takes, without `refs/heads/`, such as feature/dark-mode",
    _TAG: "must be a name that git takes for a tag, without `refs/tags/`, such as v1.2.0",
    _FILE: "must be the path of a file or folder in the repository, such as src/app.py, without `.`, `..`, "
    "empty segments and slashes at its ends",
    _TIME_ZONE: "must be how far it is from UTC, from -14:59 to +14:59, such as +02:00",
    _HEAD: "must be a branch name that git takes, such as feature/dark-mode, or a fork's as owner:branch",
    _LOGIN: "must be the name of an account, without @",
    _TEAM: "must be the name of a team, as frontend or acme/frontend",
    _LABEL: "must be one line of 1 to 50 characters",
    _SHA: "must be a commit in full: 40 or 64 of 0 to 9 and a to f",
    _USER_ID: "must be one line of 1 to 256 characters, and have something to read",
    _ONE_LINE: "must be one line of 1 to 256 characters, without < and >, of which git leaves something",
}
# Not by urlsplit, which drops tabs and line breaks: what is checked must be what was sent.
# The owner is a path where a forge has groups of groups, or says `scm` or `_git` in between.
_GROUP = r"[A-Za-z0-9~_](?:[A-Za-z0-9._-]|%20){0,99}"
_PLACE = rf"({_GROUP}(?:/{_GROUP}){{0,19}})/([A-Za-z0-9._-]+)/?"
_BETWEEN = {"scm", "_git"}
_TWO_SEGMENTS = "https://github.com"  # where a deeper path is a page, and no repository
_HTTP_URL = rf"([Hh][Tt][Tt][Pp][Ss]?)://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{{1,5}}))?/{_PLACE}"
_SCP_URL = rf"git@([A-Za-z0-9.-]+):({_PLACE})"


def describe(sentence: str, *examples: object) -> Meta:
    """Return the sentence and the examples that the API's description has of a field."""
    return Meta(description=sentence, examples=list(examples))


SessionId = Annotated[
    str, Meta(pattern=_SESSION_ID), describe("The session, by its id in the store.", "session-7c1e2d90")
]
RequestId = Annotated[
    str,
    Meta(pattern=_REQUEST_ID),
    describe("The caller's id of this request: asked again with it, nothing is done twice.", "r-2041"),
]
Directory = Annotated[
    str,
    Meta(pattern=_DIRECTORY),
    describe(
        "The folder to clone into, a path of at most 8 segments; the repository's name unless given.",
        "shop",
        "apps/web",
    ),
]
Owner = Annotated[str, Meta(pattern=_NAME), describe("The repository's owner on the forge.", "acme")]
RepositoryName = Annotated[
    str, Meta(pattern=_REPOSITORY_NAME), describe("The repository's name on the forge.", "shop")
]
Depth = Annotated[
    int,
    Meta(ge=1, le=2**31 - 1),
    describe("How many commits of the branch to clone; all of them unless given.", 1),
]
UserRequest = Annotated[
    str,
    Meta(min_length=1),
    describe(
        "The user's words for the work, as many as there are; the branch is named after the first of them.",
        "Add a dark mode toggle",
    ),
]
# Shown, not enforced: `RepositoryUrl.parse` is, and says what is wrong in words.
AnyRepositoryUrl = Annotated[
    str,
    Meta(extra_json_schema={"pattern": rf"^(?:{_HTTP_URL}|{_SCP_URL})$(?!\n)"}),
    describe(
        "The repository: https, or git@host:owner/repo, which is turned into it; without credentials.",
        "https://github.com/acme/shop",
    ),
]
Token = Annotated[Secret, describe("The token for the git server and the forge.", "ghp_0123456789")]
# They have no sentence of their own: what they are for depends on the request.
Branch = Annotated[str, Meta(pattern=_BRANCH)]
Head = Annotated[str, Meta(pattern=_HEAD)]
Sha = Annotated[str, Meta(pattern=_SHA)]
Tag = Annotated[str, Meta(pattern=_TAG)]
File = Annotated[str, Meta(pattern=_FILE)]
TimeZone = Annotated[str, Meta(pattern=_TIME_ZONE)]
Label = Annotated[str, Meta(pattern=_LABEL)]
Login = Annotated[str, Meta(pattern=_LOGIN)]
Team = Annotated[str, Meta(pattern=_TEAM)]
Text = Annotated[str, Meta(min_length=1, max_length=100_000)]
UserId = Annotated[str, Meta(pattern=_USER_ID)]
Line = Annotated[str, Meta(pattern=_ONE_LINE)]
# No pattern of its own: `one_line` makes it of what is given.
Title = str


def one_line(text: str) -> str | None:
    """Make a title of a text: one line of at most 256 characters; None where there is nothing to read."""
    words = " ".join(re.sub(r"[\x00-\x1f\x7f]+", " ", text[:_SEEN_OF_TITLE]).split())
    return (words if len(words) <= _MAX_TITLE else words[: _MAX_TITLE - 1].rstrip() + "…") or None


def is_line(text: str) -> bool:
    """Tell whether git takes `text` for a person's name or address."""
    return re.search(_ONE_LINE, text) is not None


def is_branch_name(name: str) -> bool:
    """Tell whether git takes `name` for a branch, and this service too."""
    return re.search(_BRANCH, name) is not None


class PrivateKey(Secret):
    """A private key as a file holds it, of many lines."""

    __slots__ = ()


class Passphrase(Secret):
    """The words that a private key is encrypted with."""

    __slots__ = ()


class ModelKey(Struct, frozen=True):
    """A model's API key, or an OAuth access token."""

    secret: Secret
    oauth: bool


class _Tokens(Struct, rename="camel"):
    access_token: Secret | None = None
    refresh_token: Secret | None = None
    api_key: Secret | None = None


class _Document(_Tokens, rename="camel"):
    claude_ai_oauth: _Tokens | None = None


class ModelCredentials(Secret):
    """An API key, an OAuth access token, or one of the JSON forms that hold either.

    The tokens inside of a JSON form are theirs: each is masked as long as they live.
    """

    __slots__ = ("_tokens",)

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self._tokens = _read_tokens(value)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """These credentials and every token inside of them."""
        tokens = (self._tokens.access_token, self._tokens.refresh_token, self._tokens.api_key)
        return (self, *(token for token in tokens if token))

    def choose_key(self) -> ModelKey | None:
        """Choose what to ask a model with, or None where they hold nothing of use."""
        tokens = self._tokens
        return _make_key(tokens.api_key, oauth=False) or _make_key(tokens.access_token, oauth=True)


def _read_tokens(text: str) -> _Tokens:
    """Read the tokens of a JSON form; any other text is a key by itself."""
    if not text.lstrip().startswith("{"):
        return _Tokens(api_key=Secret(text.strip()))
    try:
        document = msgspec.json.decode(text, type=_Document, dec_hook=_decode_token)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _Tokens()
    return document.claude_ai_oauth or document


def _decode_token(kind: type, value: object) -> Secret:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return Secret(value)


def _make_key(secret: Secret | None, *, oauth: bool) -> ModelKey | None:
    value = secret.reveal() if secret else ""
    # One word of visible ASCII: anything else cannot be a header.
    if secret is None or not re.fullmatch(r"[!-~]{8,4096}", value) or value.startswith("{"):
        return None
    if known := re.match(r"sk-ant-(api|oat)", value):
        oauth = known[1] == "oat"
    return ModelKey(secret, oauth)


ClaudeCredentials = Annotated[
    ModelCredentials,
    describe(
        "The model's credentials: an API key, an OAuth access token, or JSON that holds one of them. "
        "Without them the worker's own are used, if it has any; else nothing is asked of a model.",
        "sk-ant-0123456789",
        {"claudeAiOauth": {"accessToken": "sk-ant-oat-0123456789"}},
    ),
]


_NO_REPOSITORY = (
    "must be https://host/owner/repo or git@host:owner/repo, with more groups where the forge has them, and "
    "without credentials in it"
)


class RepositoryUrl(NamedTuple):
    """A repository's address: `origin` is scheme, host and port, as a token is bound to them.

    `owner` is all that stands between host and name: `acme`, or `group/subgroup`, or `org/project/_git`.
    """

    origin: str
    owner: str
    name: str

    @classmethod
    def parse(cls, text: str) -> RepositoryUrl:
        """Read `https://host/owner/repo[.git]` or `git@host:owner/repo[.git]`; raise ValueError otherwise."""
        if scp := re.fullmatch(_SCP_URL, text):
            text = f"https://{scp[1]}/{scp[2]}"
        match = re.fullmatch(_HTTP_URL, text)
        name = match[5].removesuffix(".git") if match else ""
        if not match or not re.search(_REPOSITORY_NAME, name) or not _is_address(match[2], match[3]):
            raise ValueError(_NO_REPOSITORY)
        netloc = f"{match[2]}:{int(match[3])}" if match[3] else match[2]
        url = cls(_origin(match[1].lower(), netloc), match[4], name)
        if url.origin == _TWO_SEGMENTS and "/" in url.owner:
            raise ValueError(_NO_REPOSITORY)
        return url

    def __str__(self) -> str:
        ending = "" if self.owner.endswith("/_git") else ".git"  # Azure takes it for a part of the name
        return f"{self.origin}/{self.owner}/{self.name}{ending}"

    @property
    def full_name(self) -> str:
        """The repository as people name it: `owner/name`."""
        return f"{self.owner}/{self.name}"

    @property
    def groups(self) -> str:
        """The owner, or its groups, without what a forge's URLs have in between."""
        kept = [segment for segment in self.owner.split("/") if segment not in _BETWEEN]
        return "/".join(kept).replace("%20", "-") or self.owner

    def same_repository(self, other: RepositoryUrl) -> bool:
        """Tell whether both name one repository; forges do not heed the case of names."""
        return str(self).lower() == str(other).lower()


def _is_address(host: str, port: str | None) -> bool:
    if host.startswith("["):
        try:
            IPv6Address(host[1:-1])
        except AddressValueError:
            return False
    return port is None or 1 <= int(port) <= 65535


def _origin(scheme: str, netloc: str) -> str:
    default = {"http": ":80", "https": ":443"}.get(scheme, "")
    return f"{scheme}://{netloc.lower().removesuffix(default)}"


def name_forge(origin: str) -> str | None:
    """Return the name of the forge that a git server is by its host, or None where it may be GitHub's."""
    host = urlsplit(origin).hostname or ""
    labels = host.split(".")
    for label, forge in (("gitlab", "GitLab"), ("bitbucket", "Bitbucket")):
        if label in labels:
            return forge
    return "Azure DevOps" if f".{host}".endswith((".dev.azure.com", ".visualstudio.com")) else None


def origin_of(url: str) -> str:
    """Return scheme, host and port of `url`, without a port that its scheme implies."""
    parts = urlsplit(url)
    return _origin(parts.scheme, parts.netloc.rpartition("@")[2])
