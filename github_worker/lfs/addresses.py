"""Where a server's answer may lead: an address in it is a stranger's word.

An object is fetched from and sent to the repository's own origin, what the settings list, and nothing else.
`*` stands for public addresses alone: what it lets in is named by whoever runs the git server, or by whoever
owns the repository there.
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from github_worker.contract import origin_of
from github_worker.errors import HostNotAllowed, RemoteUnavailable
from github_worker.settings import Settings

_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)


def check_address(url: str, repository: str, settings: Settings) -> str:
    """Return the origin of a URL that the server of `repository`, an origin, names; raise HostNotAllowed."""
    origin = _read_origin(url)
    if origin == repository or settings.lists_content(origin):
        return origin
    if not settings.allows_content(origin):
        raise HostNotAllowed(
            f"The git server keeps its large files on {origin}, which is not allowed: LFS_ALLOWED_HOSTS "
            "would have to list it"
        )
    if not _is_public(origin, is_by_proxy=settings.proxy_for(url) is not None):
        raise HostNotAllowed(
            f"The git server keeps its large files on {origin}, which is no public address: "
            "LFS_ALLOWED_HOSTS would have to list it by its name"
        )
    return origin


def _read_origin(url: str) -> str:
    try:
        if not _URL.fullmatch(url) or "@" in urlsplit(url).netloc or "\\" in url:
            raise ValueError("no address")
        _ = urlsplit(url).port
        return origin_of(url)
    except ValueError:
        raise RemoteUnavailable("The git server names an address for a large file that is none") from None


def _is_public(origin: str, *, is_by_proxy: bool) -> bool:
    """Tell whether a host is on the Internet; one that is reached by a proxy need not be known here."""
    parts = urlsplit(origin)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return is_by_proxy and not _is_number(parts.hostname or "")
    return all(_is_global(str(address[0])) for *_, address in found)


def _is_number(host: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(host))
    return False


def _is_global(text: str) -> bool:
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_global
