"""What spans say of a job and its requests, by OpenTelemetry's conventions: never a secret or a prompt."""

from __future__ import annotations

import hashlib
from typing import Literal

from github_worker.exchanges import Exchange
from github_worker.jobs import Job
from github_worker.redaction import scrub
from github_worker.settings import Settings

SessionNames = Literal["plain", "hashed", "none"]
Attributes = dict[str, str | int | float | bool | list[str]]


def describe_job(job: Job, code: str, sessions: SessionNames) -> Attributes:
    """Describe a job, as far as it is known where it worked."""
    identity = {name: say(text, job, sessions) for name, text in job.report.identity.items() if text}
    owner, _, name = identity.get("repository", "").rpartition("/")
    found = {
        "http.request.method": "POST",
        "http.route": f"/{job.request.operation}",
        "github_worker.operation": job.request.operation,
        "github_worker.request_id": identity.get("requestId"),
        "github_worker.code": code,
        "session.id": identity.get("sessionId"),
        "vcs.owner.name": owner,
        "vcs.repository.name": name,
        "vcs.ref.head.name": identity.get("branch"),
        "vcs.ref.type": "branch" if "branch" in identity else None,
    }
    return {name: value for name, value in found.items() if value}


def say(text: str, job: Job, sessions: SessionNames) -> str:
    """Return a text without secrets, in which the session is named as the operator chose."""
    session_id = job.report.identity.get("sessionId")
    if session_id is None or sessions == "plain":
        return scrub(text)
    hashed = hashlib.sha256(session_id.encode()).hexdigest()[:16]
    return scrub(text).replace(session_id, hashed if sessions == "hashed" else "")


def name_exchange(exchange: Exchange, settings: Settings) -> str:
    """Name a request so that those of one kind have one name."""
    if exchange.service == "model":
        return f"chat {settings.naming_model}"
    return f"{exchange.method} {exchange.service}"


def describe_exchange(exchange: Exchange, settings: Settings, session_id: str | None) -> Attributes:
    """Describe a request: where it went, without its query, and what came of it."""
    segments = scrub(exchange.path).split("/")
    path = "/".join("{sessionId}" if segment == session_id else segment for segment in segments)
    found: dict[str, str | int | list[str] | None] = {"peer.service": exchange.service}
    if exchange.host:
        port = f":{exchange.port}" if exchange.port not in {None, 80, 443} else ""
        found |= {
            "http.request.method": exchange.method,
            "server.address": exchange.host,
            "server.port": exchange.port,
            "url.full": f"{exchange.scheme}://{exchange.host}{port}{path}",
            "http.response.status_code": exchange.status,
        }
    failed = exchange.status is not None and exchange.status >= 400
    found["error.type"] = exchange.error or (str(exchange.status) if failed else None)
    if exchange.service == "model":
        found |= _describe_model(exchange, settings)
    return {name: value for name, value in found.items() if value is not None}


def _describe_model(exchange: Exchange, settings: Settings) -> dict[str, str | int | list[str] | None]:
    found: dict[str, str | int | list[str] | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": settings.naming_model,
    }
    if (usage := exchange.usage) is not None:
        found |= {
            "gen_ai.response.model": usage.model or None,
            "gen_ai.response.finish_reasons": [usage.stop_reason] if usage.stop_reason else None,
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
        }
    return found
