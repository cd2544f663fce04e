"""What a stand-in server can be told to do wrong, and when."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto


class Moment(Enum):
    """When in the life of a request a fault strikes."""

    REQUEST = auto()  # its headers are read, its body is not
    UPLOAD = auto()  # `after` bytes of its body are read
    RECEIVED = auto()  # all of it is read, nothing is done about it
    HANDLED = auto()  # the work is done, nothing of the answer is sent
    ANSWER = auto()  # the answer's headers and `after` bytes of its body are sent
    END = auto()  # everything is sent but the mark of the end


class Disconnect(Exception):
    """The connection is to be closed at once."""


@dataclass(frozen=True)
class Hang:
    """Say nothing until the server is closed or `release`d, then disconnect."""

    at: Moment = Moment.RECEIVED
    after: int = 0

    def strike(self, released: threading.Event) -> None:
        """Wait, then close the connection."""
        released.wait()
        raise Disconnect


@dataclass(frozen=True)
class Cut:
    """Close the connection."""

    at: Moment = Moment.RECEIVED
    after: int = 0

    def strike(self, released: threading.Event) -> None:
        """Close the connection."""
        raise Disconnect


@dataclass(frozen=True)
class Delay:
    """Pause for some seconds, then go on."""

    seconds: float
    at: Moment = Moment.RECEIVED
    after: int = 0

    def strike(self, released: threading.Event) -> None:
        """Pause, or less where the server is closed meanwhile."""
        released.wait(self.seconds)


@dataclass(frozen=True)
class Meanwhile:
    """Call something, then go on: what happens on the server while a request is under way."""

    call: Callable[[], object]
    at: Moment = Moment.RECEIVED
    after: int = 0

    def strike(self, released: threading.Event) -> None:
        """Call it."""
        self.call()


@dataclass(frozen=True)
class Answer:
    """Answer with this instead of doing what was asked."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Flood:
    """Answer with a body that begins with `first`, goes on with `again`, and never ends."""

    first: bytes
    again: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200

    @classmethod
    def plain(cls) -> Flood:
        """Send spaces."""
        return cls(b"{", b" " * 2**18)

    @classmethod
    def gzip(cls) -> Flood:
        """Send a gzip member of spaces, a thousandth of what it inflates to."""
        deflater = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
        first = deflater.compress(b"{") + deflater.flush(zlib.Z_FULL_FLUSH)
        # A full flush ends on a byte and forgets all, so that what follows it can be repeated.
        again = deflater.compress(b" " * 2**26) + deflater.flush(zlib.Z_FULL_FLUSH)
        return cls(first, again, {"Content-Encoding": "gzip"})


@dataclass(frozen=True)
class Redirect:
    """Answer that the resource is under another base URL."""

    base: str
    status: int = 302


ENDLESS = {"plain": Flood.plain(), "gzip": Flood.gzip()}
ENCODED = {
    "brotli": Flood(b"{}", b"{}", {"Content-Encoding": "br"}),
    "twice": Flood(b"{}", b"{}", {"Content-Encoding": "gzip, gzip"}),
    "not at all": Flood(b"{}", b"{}", {"Content-Encoding": "gzip"}),
}
Interruption = Hang | Cut | Delay | Meanwhile
Fault = Interruption | Answer | Flood | Redirect


def strikes(fault: Fault | None, at: Moment) -> bool:
    """Tell whether `fault` interrupts at that moment."""
    return isinstance(fault, Interruption) and fault.at is at


def boundary(fault: Fault | None, at: Moment) -> int:
    """Return after how many bytes `fault` interrupts, 0 when it does not."""
    return fault.after if isinstance(fault, Interruption) and fault.at is at else 0


@dataclass
class _Scripted:
    fault: Fault
    matching: str
    times: int


class Script:
    """The faults that a server still has to commit, in the order they were given."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.struck = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._scripted: list[_Scripted] = []

    def add(self, fault: Fault, matching: str = "", times: int = 1) -> None:
        """Commit `fault` on the next `times` requests whose request line contains `matching`."""
        with self._lock:
            self._scripted.append(_Scripted(fault, matching, times))

    def take(self, request_line: str) -> Fault | None:
        """Return the fault for this request, if there is one for it."""
        with self._lock:
            for scripted in self._scripted:
                if scripted.times and scripted.matching in request_line:
                    scripted.times -= 1
                    return scripted.fault
        return None

    def strike(self, fault: Fault | None, at: Moment, count: int = 0) -> None:
        """Commit `fault` if this is its moment; raise Disconnect where it ends the connection."""
        if isinstance(fault, Interruption) and fault.at is at and fault.after == count:
            self.struck.release()
            fault.strike(self.released)

    def clear(self) -> None:
        """Commit no more faults; those that hang go on hanging."""
        with self._lock:
            self._scripted.clear()

    def wait_until_struck(self, timeout: float = 10.0) -> None:
        """Block until a fault that interrupts strikes; raise TimeoutError when none does."""
        if not self.struck.acquire(timeout=timeout):
            raise TimeoutError(f"no fault struck in {timeout} s")

    def release(self) -> None:
        """End every hang, those to come too."""
        self.released.set()
