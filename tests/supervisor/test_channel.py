"""What the supervisor and its children say to each other."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import httpx
import pytest

from github_worker.channel import Channel, Kind, Message, pair
from tests.life.conftest import events, post
from tests.supervisor.conftest import Start, calling, until


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """Yield both ends of a channel."""
    one, other = pair()
    yield one, other
    one.close()
    other.close()


def test_messages_come_in_order(ends: tuple[Channel, Channel]) -> None:
    """With their numbers, those that are not given being 0; and nothing comes where nothing was sent."""
    one, other = ends
    assert other.receive() == []
    one.send(Kind.POSITION, 3)
    one.send(Kind.STATE, 1, 2, 4)
    assert other.receive() == [Message(Kind.POSITION, (3, 0, 0)), Message(Kind.STATE, (1, 2, 4))]


def test_descriptors_come_with_their_messages(ends: tuple[Channel, Channel]) -> None:
    """Each ticket has its own, whatever is sent between them."""
    one, other = ends
    pipes = [os.pipe() for _ in range(2)]
    for number, (_, writing) in enumerate(pipes):
        one.send(Kind.TICKET, descriptor=writing)
        one.send(Kind.STATE, number)
    messages: list[Message] = []
    while len(messages) < 4:
        messages += other.receive()
    for number, (reading, writing) in enumerate(pipes):
        received = messages[2 * number].descriptor
        assert received is not None
        os.write(received, b"%d" % number)
        assert os.read(reading, 1) == b"%d" % number
        for descriptor in (reading, writing, received):
            os.close(descriptor)


@pytest.mark.parametrize("words", [b"x", b"\x01" + b"\0" * 11, b"\xff" + b"\0" * 12, b"\x00" * 13])
def test_what_is_no_message_is_an_error(words: bytes) -> None:
    """Cut off, or of a kind that there is not."""
    one, other = socket.socketpair()
    channel = Channel(other)
    one.send(words)
    with pytest.raises(ValueError, match=r"cut off|not a valid Kind"):
        channel.receive()
    one.close()
    channel.close()


def test_the_end_is_told(ends: tuple[Channel, Channel]) -> None:
    """What was said before it is read first."""
    one, other = ends
    one.send(Kind.DONE)
    one.close()
    assert other.receive() == [Message(Kind.DONE, (0, 0, 0))]
    with pytest.raises(EOFError):
        other.receive()
    with pytest.raises(BrokenPipeError):
        other.send(Kind.BEGIN)


@pytest.mark.parametrize("words", ["garbage", "\x01" + "\0" * 12])
def test_a_child_that_speaks_out_of_turn_is_killed(start: Start, words: str) -> None:
    """Whether it is no message, or one that is not its to send: its stream breaks, and all else goes on."""
    service = start(1)
    with (
        calling(service, ("say_to_all", words), ("refuse_to_end", 20)) as stream,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        until(stream, "completed")
    assert any("a child is killed" in line.get("message", "") for line in service.log_lines())
    assert events(post(service).text)[-1]["type"] == "completed"
