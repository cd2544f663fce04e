"""A stand-in for Anthropic's Messages API on loopback, for the real SDK to talk to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.faults import Delay, Flood, Hang, Moment
from tests.support.http import Handler
from tests.support.stand_in import StandIn

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class ModelRequest:
    """A request as it came; the headers' names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def prompt(self) -> str:
        """All of its text, the system prompt included."""
        return json.dumps([self.body.get("system"), self.body.get("messages")], ensure_ascii=False)


@dataclass(frozen=True)
class Say:
    """Answer with this text, after `delay` seconds."""

    text: str
    stop_reason: str = "end_turn"
    delay: float = 0.0

    @classmethod
    def json(cls, delay: float = 0.0, **fields: Any) -> Say:
        """Answer with a JSON object."""
        return cls(json.dumps(fields), delay=delay)

    @classmethod
    def refusal(cls) -> Say:
        """Refuse, as the model does: with a stop reason and without text."""
        return cls("", "refusal")

    @classmethod
    def cut(cls, text: str) -> Say:
        """Stop in the middle of a text for want of tokens."""
        return cls(text, "max_tokens")


@dataclass(frozen=True)
class UseTool:
    """Answer by asking for the use of a tool."""

    name: str
    input: Mapping[str, Any]


@dataclass(frozen=True)
class Fail:
    """Answer with an API error."""

    status: int
    message: str = "scripted"


class Model(StandIn):
    """Gives the scripted answers in their order, the last one again and again, and records requests."""

    def __init__(self, *answers: Say | UseTool | Fail | Hang | Flood) -> None:
        self.requests: list[ModelRequest] = []
        self._answers = list(answers)
        super().__init__(_ModelHandler, "model")

    def script(self, *answers: Say | UseTool | Fail | Hang | Flood) -> None:
        """Give these answers from now on."""
        self._answers = list(answers)

    def next_answer(self) -> Say | UseTool | Fail | Hang | Flood:
        """Return the answer that is due."""
        if not self._answers:
            return Fail(400, "no answer is scripted")
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


class _ModelHandler(Handler):
    model: Model

    def do_POST(self) -> None:  # noqa: N802 (http.server's name)
        body = json.loads(b"".join(self.body()))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.model.requests.append(ModelRequest(self.path, headers, body))
        answer = self.model.next_answer()
        if isinstance(answer, Hang):
            self.model.faults.strike(answer, answer.at, answer.after)
        elif isinstance(answer, Flood):
            self.flood(answer)
        elif isinstance(answer, Fail):
            self._send(answer.status, _error(answer))
        else:
            if isinstance(answer, Say):
                self.model.faults.strike(Delay(answer.delay), Moment.RECEIVED)
            message = _message(answer, str(body.get("model")))
            if body.get("stream"):
                self.answer(200, b"".join(_stream(message)), Content_Type="text/event-stream")
            else:
                self._send(200, message)

    def _send(self, status: int, content: Mapping[str, Any]) -> None:
        self.answer(status, json.dumps(content).encode(), Content_Type="application/json", request_id="req_1")


def _error(answer: Fail) -> dict[str, Any]:
    kind = _ERROR_TYPES.get(answer.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": answer.message}}


def _message(answer: Say | UseTool, model: str) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": _content(answer),
        "stop_reason": answer.stop_reason if isinstance(answer, Say) else "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }


def _content(answer: Say | UseTool) -> list[dict[str, Any]]:
    if isinstance(answer, UseTool):
        return [{"type": "tool_use", "id": "toolu_1", "name": answer.name, "input": dict(answer.input)}]
    return [{"type": "text", "text": answer.text}] if answer.text else []


def _stream(message: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield a message as the events of a stream, each block in one piece."""
    yield _event("message_start", message={**message, "content": [], "stop_reason": None})
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            begin, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            begin = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield _event("content_block_start", index=index, content_block=begin)
        yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield _event("message_delta", delta=delta, usage=message["usage"])
    yield _event("message_stop")


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
