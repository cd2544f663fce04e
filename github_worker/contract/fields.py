"""The fields that requests share, and what makes them valid."""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from msgspec import Meta

from github_worker.redaction import Secret

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
_PRINTABLE = r"^[^\x00-\x1f\x7f]{1,256}$(?!\n)"
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
Title = Annotated[str, Meta(pattern=_PRINTABLE)]


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
