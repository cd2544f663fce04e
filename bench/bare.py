"""The least that Starlette and uvicorn can be: one route, which also answers a POST with JSON."""

from __future__ import annotations

import os

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def health(request: Request) -> JSONResponse:
    """Answer what was sent."""
    return JSONResponse(await request.json() if request.method == "POST" else {"status": "ok"})


app = Starlette(routes=[Route("/health", health, methods=["GET", "POST"])])

if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), loop="uvloop", http="httptools", log_level="warning")
