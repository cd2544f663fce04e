"""A server of large files on a git server's origin: git-lfs's batch API, its basic transfers, its locks."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tests.support.faults import Fault, Moment, Redirect, boundary
from tests.support.http import PIECE

if TYPE_CHECKING:
    from tests.support.git_server import Request, _GitHandler

_API = re.compile(r"(?P<base>/[\w./~-]+?\.git)/info/lfs/(?P<rest>[\w./-]+)")
_OBJECT = re.compile(r"/large/(?P<oid>[0-9a-f]{64})")
_RANGE = re.compile(r"bytes=([0-9]+)-")
_MEDIA_TYPE = "application/vnd.git-lfs+json"
_PAGE = 100
Answer = dict[str, Any]


class LargeFileServer:
    """Keeps objects in `folder`, for whom the git server takes for its own.

    - `storage`: the origin that answers lead to, where it is not the git server's.
    - `header`: what an answer tells to send along, and what an object is given for then.
    - `locks`: paths with who locked each; `locking` is a status that the locking API answers with instead.
    - `alter`: changes an answer of the batch API.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.storage: str | None = None
        self.header: Mapping[str, str] = {}
        self.locks: dict[str, str] = {}
        self.locking: int | None = None
        self.alter: Callable[[Answer], Answer] = lambda answer: answer
        self.verified: list[str] = []
        self.batches: list[Answer] = []
        self.heeds_range = True
        self.sent: Counter[str] = Counter()  # bytes of each object

    def put(self, content: bytes) -> str:
        """Keep a content, and return the pointer to it."""
        oid = hashlib.sha256(content).hexdigest()
        (self.folder / oid).write_bytes(content)
        return pointer(content)

    @property
    def oids(self) -> set[str]:
        """The objects that are here."""
        return set(os.listdir(self.folder))

    def serve(self, handler: _GitHandler, request: Request, body: IO[bytes], fault: Fault | None) -> bool:
        """Answer a request for large files, and tell whether it was one."""
        if found := _OBJECT.fullmatch(request.path):
            if isinstance(fault, Redirect):
                handler.answer(fault.status, Location=f"{fault.base}{request.path}")
            elif self._is_welcome(handler, request):
                self._serve_object(handler, request, found["oid"], body, fault)
            else:
                handler.answer(403 if self.header else 401, WWW_Authenticate='Basic realm="git"')
        elif (found := _API.fullmatch(request.path)) and isinstance(fault, Redirect):
            handler.answer(fault.status, Location=f"{fault.base}/info/lfs/{found['rest']}")
        elif found:
            self._serve_api(handler, request, found["base"], found["rest"], body)
        return found is not None

    def _is_welcome(self, handler: _GitHandler, request: Request) -> bool:
        if self.header:
            return all(handler.headers.get(name) == value for name, value in self.header.items())
        return request.token in handler.git_server.tokens

    # The objects

    def _serve_object(
        self, handler: _GitHandler, request: Request, oid: str, body: IO[bytes], fault: Fault | None
    ) -> None:
        file = self.folder / oid
        if request.method == "PUT":
            with file.open("wb") as new:
                shutil.copyfileobj(body, new)
            handler.answer(200)
        elif file.exists():
            self._send(handler, file, fault)
        else:
            handler.answer(404)

    def _send(self, handler: _GitHandler, file: Path, fault: Fault | None) -> None:
        asked = _RANGE.fullmatch(handler.headers.get("Range", "")) if self.heeds_range else None
        size, start = file.stat().st_size, int(asked[1]) if asked else 0
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        handler.send_header("Content-Length", str(size - start))
        handler.end_headers()
        faults, count, cut = handler.git_server.faults, 0, boundary(fault, Moment.ANSWER)
        with file.open("rb") as content:
            content.seek(start)
            faults.strike(fault, Moment.ANSWER, count)
            while piece := content.read(min(PIECE, cut - count) if count < cut else PIECE):
                handler.wfile.write(piece)
                count += len(piece)
                self.sent[file.name] += len(piece)
                faults.strike(fault, Moment.ANSWER, count)

    # The API

    def _serve_api(
        self, handler: _GitHandler, request: Request, base: str, rest: str, body: IO[bytes]
    ) -> None:
        asked = json.loads(body.read() or b"{}")
        needed = "write" if asked.get("operation") == "upload" or rest == "locks/verify" else "read"
        right = handler.git_server.tokens.get(request.token or "")
        is_public = needed == "read" and self._is_public(handler, base)
        if right is None and not is_public:
            handler.answer(401, b'{"message":"Who are you?"}', WWW_Authenticate='Basic realm="git"')
        elif (needed, right) == ("write", "read"):
            handler.answer(403, b'{"message":"You may not write here."}', Content_Type=_MEDIA_TYPE)
        else:
            status, answer = self._answer(handler, base, rest, asked)
            handler.answer(status, json.dumps(answer).encode(), Content_Type=_MEDIA_TYPE)

    def _is_public(self, handler: _GitHandler, base: str) -> bool:
        owner, name = base.removeprefix("/").removesuffix(".git").rsplit("/", 1)
        repository = handler.git_server.find(owner, name)
        return repository is not None and repository.public

    def _answer(self, handler: _GitHandler, base: str, rest: str, asked: Answer) -> tuple[int, Answer]:
        if rest == "objects/batch":
            self.batches.append(asked)
            home = handler.git_server.origin
            objects = [self._offer(asked["operation"], home, base, each) for each in asked["objects"]]
            return 200, self.alter({"transfer": "basic", "objects": objects})
        if rest == "verify":
            file = self.folder / asked["oid"]
            if not file.exists() or file.stat().st_size != asked["size"]:
                return 422, {"message": "It did not arrive."}
            self.verified.append(asked["oid"])
            return 200, {}
        if rest == "locks/verify" and self.locking is None:
            return 200, self._list_locks(int(asked.get("cursor") or 0))
        return self.locking or 404, {"message": "There are no locks here."}

    def _list_locks(self, start: int) -> Answer:
        theirs = [
            {"id": path, "path": path, "locked_at": "2026-01-31T09:00:00Z", "owner": {"name": owner}}
            for path, owner in [*self.locks.items()][start : start + _PAGE]
        ]
        more = {"next_cursor": str(start + _PAGE)} if start + _PAGE < len(self.locks) else {}
        return {"ours": [], "theirs": theirs, **more}

    def _offer(self, operation: str, home: str, base: str, asked: Answer) -> Answer:
        oid, storage = asked["oid"], self.storage or home
        is_here = (self.folder / oid).exists()
        if operation == "download" and not is_here:
            return {**asked, "error": {"code": 404, "message": "Object does not exist"}}
        if operation == "upload" and is_here:
            return asked
        actions: Answer = {operation: {"href": f"{storage}/large/{oid}", "header": dict(self.header)}}
        if operation == "upload":
            actions["verify"] = {"href": f"{home}{base}/info/lfs/verify"}
        return {**asked, "actions": actions}


def pointer(content: bytes) -> str:
    """Return the pointer to a content."""
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
