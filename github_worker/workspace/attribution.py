"""Whom a commit is by, beside its author: who signs it, who signs it off, who wrote it too."""

from __future__ import annotations

import asyncio

from github_worker.contract import CommitAndPush
from github_worker.git.repository import Person
from github_worker.git.trailers import add_trailers, sign_off
from github_worker.redaction import Secret
from github_worker.services import Services
from github_worker.signing import read_key


async def sign_with(key: Secret, request: CommitAndPush, author: Person, services: Services) -> Person:
    """Return a committer that signs with the request's key: its author, as forges ask whose key it is.

    Without an author the worker commits, and the key signs.
    """
    signer = await asyncio.to_thread(read_key, key, request.signing_key_passphrase)
    who = author if request.author else services.committer
    return Person(who.name, who.email, who.offset, signer)


def add_people(message: str, request: CommitAndPush, committer: Person) -> str:
    """Add to a message that the committer signs it off, and who else wrote it."""
    who = committer.signature()
    if request.sign_off:
        message = sign_off(message, f"{who.name} <{who.email}>")
    if request.co_authors:
        trailers = [("Co-authored-by", f"{one.name} <{one.email}>") for one in request.co_authors]
        message = add_trailers(message, trailers)
    return message
