"""Cloning: the choice of a branch, the fetch, and the default of an empty repository."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from msgspec import Struct

from github_worker import __version__
from github_worker.contract import RepositoryUrl, is_branch_name, origin_of
from github_worker.errors import UnsupportedRepository
from github_worker.git.remote import RemoteHeads
from github_worker.git.repository import Repository
from github_worker.http_body import ACCEPTED, BodyRefused, read_body
from github_worker.redaction import Secret, scrub
from github_worker.settings import Settings

if TYPE_CHECKING:
    import httpx

_UNBORN = "main"  # what an empty repository is given when it names nothing itself
logger = logging.getLogger(__name__)
_ASK = "/info/refs?service=git-upload-pack"
_LIST = b"0014command=ls-refs\n0001000csymrefs\n000bunborn\n0014ref-prefix HEAD\n0000"
_SIZE = re.compile(rb"[0-9a-fA-F]{4}")
_HEAD = re.compile(rb"unborn HEAD symref-target:refs/heads/(.+)")
_HOPS = 3
_LONGEST = 64 * 1024  # bytes of an answer


class Choice(Struct, frozen=True):
    """The branch to clone; `at` is None in an empty repository, `missing` was asked for in vain.

    `default` is the remote's own, if it has one.
    """

    branch: str
    at: str | None
    missing: str | None = None
    default: str | None = None


def choose(heads: RemoteHeads, asked: str | None) -> Choice:
    """Choose the branch asked for, or else the remote's default."""
    if asked and asked in heads.branches:
        return Choice(asked, heads.branches[asked], default=heads.default)
    if not heads.branches:
        return Choice(asked or heads.default or _UNBORN, None, default=heads.default)
    default = heads.default or _UNBORN
    if default not in heads.branches:
        default = min(heads.branches)
    return Choice(default, heads.branches[default], missing=asked, default=heads.default)


def fetch(repository: Repository, choice: Choice, *, depth: int | None, all_branches: bool) -> None:
    """Fetch the chosen branch, or all of them, and put HEAD on it; the files come with `check_out`."""
    if choice.at is not None or all_branches:
        repository.remote.fetch(None if all_branches else choice.branch, depth=depth or 0)
    (repository.folder / ".git/FETCH_HEAD").unlink(missing_ok=True)  # a clone of git's has none
    why = f"clone: from {repository.remote.url}"
    repository.start(choice.branch, None)
    if at := repository.remote_tip(choice.branch):
        repository.set_branch(choice.branch, at, why)
    if choice.default and repository.remote_tip(choice.default):
        repository.default_to(choice.default, why)


async def default_branch(url: RepositoryUrl, token: Secret | None, settings: Settings) -> str | None:
    """Return the branch that an empty repository's HEAD names, or None where the server does not tell.

    The token goes to the repository's own origin, and only where it is asked for. Raises
    UnsupportedRepository for a repository that names objects by SHA-256.
    """
    import httpx  # noqa: PLC0415 (few repositories are empty)

    proxy = settings.proxy_for(str(url))
    try:
        async with (
            asyncio.timeout(settings.git_timeout),
            httpx.AsyncClient(
                headers={
                    "User-Agent": f"github-worker/{__version__} git",
                    "Git-Protocol": "version=2",
                    **ACCEPTED,
                },
                timeout=settings.git_timeout,
                verify=ssl.create_default_context(),
                proxy=proxy.reveal() if proxy else None,
                trust_env=False,
            ) as http,
        ):
            return await _ask(http, str(url), token, settings.username_for(url.origin))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError, BodyRefused) as error:
        logger.info("the empty repository's default is not known: %s", scrub(f"{error!r}"))
        return None


async def _ask(http: httpx.AsyncClient, base: str, token: Secret | None, username: str) -> str | None:
    base, capabilities = await _read_capabilities(http, base, token, username)
    if b"object-format=sha256" in capabilities:
        raise UnsupportedRepository("The repository names objects by SHA-256, which is not supported")
    if not any(re.match(rb"ls-refs=.*\bunborn\b", line) for line in _parse_lines(capabilities)):
        return None
    request = http.build_request(
        "POST",
        f"{base}/git-upload-pack",
        content=_LIST,
        headers={"Content-Type": "application/x-git-upload-pack-request"},
    )
    response, body = await _send(http, request)
    found = [match for line in _parse_lines(body) if (match := _HEAD.fullmatch(line))]
    if response.status_code != 200 or not found:
        return None
    branch = found[0][1].decode(errors="replace")
    return branch if is_branch_name(branch) else None


async def _read_capabilities(
    http: httpx.AsyncClient, base: str, token: Secret | None, username: str
) -> tuple[str, bytes]:
    """Return what the server can do, and where the repository is now."""
    url = base + _ASK
    for _ in range(_HOPS):
        response, body = await _send(http, http.build_request("GET", url))
        if response.status_code == 401 and token is not None and http.auth is None:
            http.auth = (username, token.reveal())
        elif response.has_redirect_location:
            url = _check_origin(origin_of(base), urljoin(url, response.headers["Location"]))
        else:
            break
    return url.removesuffix(_ASK), body if response.status_code == 200 else b""


def _check_origin(origin: str, url: str) -> str:
    if origin_of(url) != origin:
        raise ValueError(f"it redirects to {origin_of(url)}")
    return url


async def _send(http: httpx.AsyncClient, request: httpx.Request) -> tuple[httpx.Response, bytes]:
    response = await http.send(request, stream=True)
    try:
        encoding = response.headers.get("Content-Encoding")
        return response, await read_body(response.aiter_raw(), encoding, _LONGEST)
    finally:
        await response.aclose()


def _parse_lines(body: bytes) -> Iterator[bytes]:
    """Yield the text of each pkt-line, until one is none."""
    at = 0
    while match := _SIZE.match(body, at):
        size = max(int(match[0], 16), 4)  # flush and delimiter are shorter than what tells so
        yield body[at + 4 : at + size].removesuffix(b"\n")
        at += size
