"""The fields that requests share, and what makes them valid."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from msgspec import Meta

from github_worker.redaction import Secret

# `$(?!\n)` is the end of the text, in Python (where `$` also matches before a last newline) and in ECMA.
_SESSION_ID = r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,127}$(?!\n)"
# `.git` in the spellings that git protects, as no folder beside one
_DOT_GIT = r"(?:\.[Gg][Ii][Tt]|[Gg][Ii][Tt]~1)[. ]*(?::|$)"
_DIRECTORY = rf"^(?!\.{{1,2}}$)(?!{_DOT_GIT})[^/\\\x00-\x1f\x7f]{{1,255}}$(?!\n)"
# git-check-ref-format(1), without `HEAD` and what begins with `-` or `refs/`
_BRANCH = (
    r"^(?![-./])(?!refs/)(?!HEAD$)(?!@$)(?!.*(?:\.\.|//|@\{|/\.|\.lock/))"
    r"[^\x00-\x20\x7f~^:?*\[\\]{1,244}$(?!\n)(?<![./])(?<!\.lock)"
)
_NAME = r"^[A-Za-z0-9][A-Za-z0-9-]{0,99}$(?!\n)"
_REPOSITORY_NAME = rf"^(?!\.{{1,2}}$)(?!{_DOT_GIT})[A-Za-z0-9._-]{{1,100}}$(?!\n)"
_REQUEST_ID = r"^[\x21-\x7e]{1,128}$(?!\n)"
VISIBLE_ASCII = r"^[\x21-\x7e]+$(?!\n)"
_PRINTABLE = r"^[^\x00-\x1f\x7f]{1,256}$(?!\n)"
_ONE_LINE = r"^[^\x00-\x1f\x7f<>]{1,256}$(?!\n)"
# Not by urlsplit, which drops tabs and line breaks: what is checked must be what was sent.
_PLACE = r"([A-Za-z0-9][A-Za-z0-9._-]{0,99})/([A-Za-z0-9._-]+)/?"
_HTTP_URL = rf"([Hh][Tt][Tt][Pp][Ss]?)://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{{1,5}}))?/{_PLACE}"
_SCP_URL = rf"git@([A-Za-z0-9.-]+):({_PLACE})"

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
# Shown, not enforced: `RepositoryUrl.parse` is, and says what is wrong in words.
AnyRepositoryUrl = Annotated[str, Meta(extra_json_schema={"pattern": rf"^(?:{_HTTP_URL}|{_SCP_URL})$(?!\n)"})]


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
        if scp := re.fullmatch(_SCP_URL, text):
            text = f"https://{scp[1]}/{scp[2]}"
        match = re.fullmatch(_HTTP_URL, text)
        name = match[5].removesuffix(".git") if match else ""
        if not match or not re.search(_REPOSITORY_NAME, name) or not _is_address(match[2], match[3]):
            raise ValueError(
                "must be https://host/owner/repo or git@host:owner/repo, without credentials in it"
            )
        netloc = f"{match[2]}:{int(match[3])}" if match[3] else match[2]
        return cls(_origin(match[1].lower(), netloc), match[4], name)

    def __str__(self) -> str:
        return f"{self.origin}/{self.owner}/{self.name}.git"

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


def origin_of(url: str) -> str:
    """Return scheme, host and port of `url`, without a port that its scheme implies."""
    parts = urlsplit(url)
    return _origin(parts.scheme, parts.netloc.rpartition("@")[2])
