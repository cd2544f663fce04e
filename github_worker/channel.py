"""The messages between a supervisor and its children: a few numbers each, and sometimes a descriptor."""

from __future__ import annotations

import enum
import os
import socket
import struct
from collections import deque
from collections.abc import Iterable

from msgspec import Struct

_FORMAT = struct.Struct("!B3I")
_SIZE = 64 * _FORMAT.size  # bytes that are read at once
_DESCRIPTORS = 64  # that come with them at most


class Kind(enum.IntEnum):
    """Tells what a message says; its numbers stand in brackets."""

    # To the supervisor
    READY = 1  # a child can take a request
    TAKEN = 2  # [operation] it has taken one, and asks for its turn
    DONE = 3  # the work is over, and only its stream is left
    # The same, before that, of what it measured: places in the lists of `measurements`
    STAGE = 9  # [stage, milliseconds]
    AMOUNT = 10  # [amount, low word, high word]
    CODE = 11  # [code]
    # To the supervisor from the acceptor
    REFUSED = 12  # [code, how many since the last time]
    ASK = 13  # for a SNAPSHOT
    # From the supervisor to a child with a request
    POSITION = 4  # [place in line] it waits
    BEGIN = 5
    # From the supervisor to the acceptor
    STATE = 6  # [jobs at work, jobs in line, flags]
    TICKET = 7  # with the descriptor that leads to a child that can take a request
    END = 8
    SNAPSHOT = 14  # with the descriptor of all that was measured


class Flag(enum.IntFlag):
    """Tells the acceptor what to answer."""

    ROOM = 1  # a ticket will come for one more request
    DRAINING = 2
    FAILING = 4


_BRING_DESCRIPTORS = {Kind.TICKET, Kind.SNAPSHOT}


class Message(Struct, frozen=True):
    """What came: its kind, its numbers, its descriptor."""

    kind: Kind
    numbers: tuple[int, int, int]
    descriptor: int | None = None


class Channel:
    """One end of a pair of sockets; nothing here blocks."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._descriptors: deque[int] = deque()

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._socket.fileno()

    def send(self, kind: Kind, *numbers: int, descriptor: int | None = None) -> None:
        """Send a message; raise OSError if the other end is gone, or has not read for very long."""
        socket.send_fds(self._socket, [_pack(kind, *numbers)], [] if descriptor is None else [descriptor])

    def send_all(self, messages: Iterable[tuple[int, ...]]) -> None:
        """Send messages, each its kind and its numbers, at once; raise OSError as `send` does."""
        self._socket.send(b"".join(_pack(*message) for message in messages))

    def receive(self) -> list[Message]:
        """Return messages that have come, if any; raise EOFError at the end, ValueError if they are none."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, _SIZE, _DESCRIPTORS)
        except BlockingIOError:
            return []
        except ConnectionError:
            raise EOFError from None
        self._descriptors.extend(descriptors)
        if not data:
            raise EOFError
        if len(data) % _FORMAT.size:
            raise ValueError("a message is cut off")
        return [self._message(*fields) for fields in _FORMAT.iter_unpack(data)]

    def close(self) -> None:
        """Close this end, and what came with messages that nobody read."""
        self._socket.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _message(self, kind: int, *numbers: int) -> Message:
        first, second, third = numbers
        descriptor = self._descriptors.popleft() if kind in _BRING_DESCRIPTORS and self._descriptors else None
        return Message(Kind(kind), (first, second, third), descriptor)


def _pack(kind: int, *numbers: int) -> bytes:
    return _FORMAT.pack(kind, *numbers, *(0,) * (3 - len(numbers)))


def pair() -> tuple[Channel, Channel]:
    """Make the two ends of a channel."""
    one, other = socket.socketpair()
    return Channel(one), Channel(other)
