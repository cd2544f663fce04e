"""The servers that both sides talk to, in processes of their own: `python -m bench.stand_ins git FOLDER`.

What they take of the processor is nobody's cost; both sides have the same ones.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.git_server import GitServer
from tests.support.http import Handler, LoopbackServer

TOKEN = "bench-token-0123456789"
OWNER = "bench"
_SESSION = re.compile(r"/api/storage-worker/sessions/([\w.-]+)(?:/(download|upload))?")


@contextmanager
def started(kind: str, folder: Path) -> Iterator[str]:
    """Run a stand-in for the block, which is given its origin."""
    command = [sys.executable, "-m", "bench.stand_ins", kind, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


class Storage(LoopbackServer):
    """A storage worker that keeps its archives in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(_StorageHandler)


class _StorageHandler(Handler):
    rbufsize = 1024 * 1024

    def do_GET(self) -> None:  # noqa: N802 (http.server's name)
        archive, verb = self._target()
        if not archive.exists():
            self.answer(404)
        elif verb is None:
            self.answer(200, b'{"lastModified":%d,"size":%d}' % _version(archive))
        else:
            self._send(archive)

    def do_POST(self) -> None:  # noqa: N802
        archive, _ = self._target()
        new = archive.with_suffix(f".{threading.get_ident()}")
        with new.open("wb", buffering=0) as file:
            for piece in self.body():
                file.write(piece)
        if self.headers.get("If-Match") not in (None, _etag(archive)):
            new.unlink()
            return self.answer(412)
        new.rename(archive)
        return self.answer(200)

    do_PUT = do_POST  # noqa: N815 (curl -T)

    def _send(self, archive: Path) -> None:
        with archive.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.send_header("ETag", str(_etag(archive)))
            self.end_headers()
            self.connection.sendfile(file)

    def _target(self) -> tuple[Path, str | None]:
        match = _SESSION.fullmatch(self.path)
        assert match is not None
        server: Any = self.server
        return server.folder / match[1], match[2]


def _version(archive: Path) -> tuple[int, int]:
    status = archive.stat()
    return status.st_mtime_ns, status.st_size


def _etag(archive: Path) -> str | None:
    return f'"{_version(archive)[0]}"' if archive.exists() else None


def _git(folder: Path) -> GitServer:
    server = GitServer(folder, {TOKEN: "write"})
    for path in (folder / OWNER).glob("*.git"):
        server.create(OWNER, path.stem)
    return server


if __name__ == "__main__":
    stand_in = {"git": _git, "storage": Storage}[sys.argv[1]](Path(sys.argv[2]))
    print(stand_in.origin, flush=True)
    sys.stdin.read()
    stand_in.close()
