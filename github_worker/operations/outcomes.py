"""Outcomes of requests that were asked before."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from github_worker.contract import Request, Result
from github_worker.sessions.sessions import Session

AnyResult = TypeVar("AnyResult", bound=Result)


def outcome(job: Request, session: Session, kind: type[AnyResult]) -> AnyResult | None:
    """Return what the job's first asking achieved, if the session remembers it."""
    if job.request_id is None or (kept := session.metadata.outcome(job)) is None:
        return None
    try:
        return msgspec.convert(kept, kind)
    except msgspec.ValidationError:  # a session may say anything
        return None
