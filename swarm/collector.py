"""A collector in the stack: `python -m swarm.collector` takes what workers send.

It prints each point of a metric as a line of JSON.
"""

from __future__ import annotations

import time

from msgspec import json

from swarm.engine import Engine
from swarm.stack import NAME
from tests.support.collector import Collector, Point

_PORT = 4318


def read_points(engine: Engine) -> list[Point]:
    """Return the points that the stack's collector was sent."""
    output = engine.docker("service", "logs", "--raw", f"{NAME}_collector")
    return [json.decode(line, type=Point) for line in output.splitlines()]


def main() -> None:
    """Serve until the container ends."""
    with Collector(host="0.0.0.0", port=_PORT) as collector:
        printed = 0
        while True:
            for point in collector.points[printed:]:
                print(json.encode(point).decode(), flush=True)
                printed += 1
            time.sleep(0.1)


if __name__ == "__main__":
    main()
