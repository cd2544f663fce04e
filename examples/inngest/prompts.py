"""What the agent is told in each role, and how its answer is read. Pure."""

from __future__ import annotations

import json
from typing import Any

from examples.coding.agent import AgentResult

Data = dict[str, Any]
_VERDICT = "End with one line of JSON and nothing after it: {shape}"
_REVIEW = '{"approved": true or false, "feedback": "…", "issues": ["…"]}'
_QA = '{"passed": true or false, "testResults": "…", "bugs": ["…"]}'


def implementer_prompt(data: Data) -> str:
    """Return what the implementer of a sprint is told."""
    return _join(
        f"You implement sprint {data['sprintNumber']} of {data.get('projectSlug', 'this project')}.",
        _section("Hand-off", data.get("handoffContent")),
        _section("Backlog", data.get("backlogContent")),
        _section("Architecture", data.get("architectureContent")),
        "Edit the files in this folder. Do not commit: that is done for you. End with a summary.",
    )


def reviewer_prompt(data: Data) -> str:
    """Return what the reviewer of a sprint is told."""
    return _join(
        f"You review sprint {data['sprintNumber']}. Read the code in this folder and change nothing.",
        _section("What was implemented", data.get("implementationSummary")),
        _section("Pull request", data.get("prUrl")),
        _VERDICT.format(shape=_REVIEW),
    )


def qa_prompt(data: Data) -> str:
    """Return what the tester of a sprint is told."""
    return _join(
        f"You test sprint {data['sprintNumber']}. Run the tests here; what you change is thrown away.",
        _section("What was implemented", data.get("implementationSummary")),
        _section("What the review said", data.get("reviewSummary")),
        _VERDICT.format(shape=_QA),
    )


def read_review(result: AgentResult) -> Data:
    """Return a reviewer's verdict; what cannot be read is no approval."""
    verdict = _verdict(result)
    return {
        "approved": verdict.get("approved") is True,
        "feedback": str(verdict.get("feedback") or result.summary),
        "issues": _texts(verdict.get("issues")),
    }


def read_qa(result: AgentResult) -> Data:
    """Return a tester's verdict; what cannot be read has not passed."""
    verdict = _verdict(result)
    return {
        "passed": verdict.get("passed") is True,
        "testResults": str(verdict.get("testResults") or result.summary),
        "bugs": _texts(verdict.get("bugs")),
    }


def _verdict(result: AgentResult) -> Data:
    if not result.success:
        return {}
    for line in reversed(result.summary.strip().splitlines()):
        try:
            verdict = json.loads(line.strip().strip("`"))
        except ValueError:
            continue
        if isinstance(verdict, dict):
            return verdict
    return {}


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _section(title: str, text: str | None) -> str | None:
    return f"## {title}\n\n{text}" if text else None


def _join(*parts: str | None) -> str:
    return "\n\n".join(part for part in parts if part)
