"""What every stand-in for a server is: handlers on loopback, and faults on demand."""

from __future__ import annotations

from typing import Self

from tests.support.faults import Script
from tests.support.http import Handler, LoopbackServer


class StandIn:
    """Serves by `handler`, whose attribute `name` it is, from its making to `close`; `faults` strike."""

    def __init__(self, handler: type[Handler], name: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.faults = Script()
        self._http = LoopbackServer(type(handler.__name__, (handler,), {name: self}), host, port)
        self.origin = self._http.origin

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the hangs, the connections and the server."""
        self.faults.release()
        self._http.close()
