"""The image: the Dockerfile over a base of Debian's packages, from a package index of its own."""

from __future__ import annotations

import re
import ssl
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

from swarm.engine import Engine
from tests.support.http import LoopbackServer

BASE = "debian-python:3.13"
_PATH = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def import_base(engine: Engine, root: Path, tag: str = BASE) -> None:
    """Make the base of the image, or another image, from a root of Debian's packages."""
    archive = root.with_suffix(".tar")
    if not archive.exists():
        with tarfile.open(archive, "w") as tar:
            tar.add(root, ".", filter=_without_devices)
    engine.docker("import", "--change", f"ENV {_PATH}", archive, tag)


def build(engine: Engine, repository: Path, index: Index, tag: str) -> None:
    """Build the image as one does in a closed network: with an index and an authority of one's own."""
    engine.docker(
        *("build", "--network", "host", "--tag", f"github-worker:{tag}"),
        *("--build-arg", f"PIP_INDEX_URL={index.url}", "--build-arg", "PIP_CERT=/run/secrets/ca"),
        *("--secret", f"id=ca,src={index.authority}"),
        *("--build-arg", f"BASE={BASE}"),
        *("--build-arg", f"BUILD_IMAGE_TAG={tag}", "--build-arg", "BUILD_COMMIT_SHA=0123abc"),
        repository,
    )


class Index:
    """A package index over https, whose `authority` nobody else trusts."""

    def __init__(self, wheels: Path, folder: Path) -> None:
        _lay_out(wheels, folder / "simple")
        self.authority = folder / "ca.pem"
        key = folder / "key.pem"
        _certify(self.authority, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority, key)
        handler = type("IndexHandler", (_Files,), {"folder": str(folder)})
        self._server = LoopbackServer(handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_address[1]}/simple"

    def close(self) -> None:
        """Stop serving."""
        self._server.close()


@contextmanager
def package_index(wheels: Path, folder: Path) -> Iterator[Index]:
    """Serve `wheels` for the block."""
    folder.mkdir()
    index = Index(wheels, folder)
    try:
        yield index
    finally:
        index.close()


class _Files(SimpleHTTPRequestHandler):
    folder: str

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, directory=self.folder)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""


def _lay_out(wheels: Path, simple: Path) -> None:
    for wheel in wheels.glob("*.whl"):
        project = simple / re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower()
        project.mkdir(parents=True, exist_ok=True)
        (project / wheel.name).hardlink_to(wheel)


def _certify(certificate: Path, key: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=index"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)


def _without_devices(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.isdev() or member.name.startswith("./dev/") else member
