"""A name that has an address for each replica."""

from __future__ import annotations

import httpx

from github_worker_client.addresses import Addresses, direct, of_host


async def test_each_replica_is_asked_once_before_any_is_asked_again() -> None:
    """A round is a permutation; that of the next may be another."""

    async def resolve() -> set[str]:
        return {"10.0.0.1", "10.0.0.2", "10.0.0.3"}

    addresses = Addresses(resolve)
    for _ in range(10):
        assert {await addresses.next() for _ in range(3)} == await resolve()


async def test_a_replica_that_was_replaced_is_asked_no_more() -> None:
    """The name is looked up each time, and its new address is asked in the same round."""
    known = {"10.0.0.1", "10.0.0.2"}

    async def resolve() -> set[str]:
        return known

    addresses = Addresses(resolve)
    first = await addresses.next()
    known = {"10.0.0.2", "10.0.0.3"} if first == "10.0.0.1" else {"10.0.0.1", "10.0.0.3"}
    assert {await addresses.next(), await addresses.next()} == known


async def test_a_host_with_one_address_of_a_kind_is_left_to_the_connection() -> None:
    """`localhost` may be 127.0.0.1 and ::1, of which only one answers."""
    assert await of_host("localhost") == set()
    assert await Addresses(lambda: of_host("127.0.0.1")).next() is None
    assert await of_host("no-such-host.invalid") == set()


def test_a_directed_request_keeps_its_hosts_name() -> None:
    """The server is asked, and its certificate checked, by name."""
    request = httpx.Request("POST", "https://tasks.worker:5002/clone-repository")
    direct(request, "10.0.0.1")
    assert str(request.url) == "https://10.0.0.1:5002/clone-repository"
    assert request.headers["Host"] == "tasks.worker:5002"
    assert request.extensions["sni_hostname"] == "tasks.worker"
