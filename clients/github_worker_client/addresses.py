"""The addresses of the replicas behind a name, where each of them has its own."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

import httpx

_choice: Callable[[Sequence[str]], str] = random.SystemRandom().choice


class Addresses:
    """Deals out what `resolve` returns: at random, and each address once before any comes again.

    It is called each time, as a replica that is replaced has another address.
    """

    def __init__(self, resolve: Callable[[], Awaitable[set[str]]]) -> None:
        self._resolve = resolve
        self._dealt: set[str] = set()

    async def next(self) -> str | None:
        """Return the address to ask next, None if there is no choice."""
        addresses = await self._resolve()
        if not addresses - self._dealt:
            self._dealt = set()
        if not addresses:
            return None
        address = _choice(sorted(addresses - self._dealt))
        self._dealt.add(address)
        return address


async def of_host(host: str) -> set[str]:
    """Return a host's addresses of one kind, none if it has only one; the connection finds that better."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()  # the connection will say so
    by_family: dict[int, set[str]] = defaultdict(set)
    for family, _, _, _, address in found:
        by_family[family].add(str(address[0]))
    return next((addresses for addresses in by_family.values() if len(addresses) > 1), set())


def direct(request: httpx.Request, address: str) -> None:
    """Send a request to one address of its host, whose name stays in the Host header and in TLS."""
    request.extensions["sni_hostname"] = request.url.host
    request.url = request.url.copy_with(host=address)
