"""An S3 server on loopback: moto's, which heeds If-Match and If-None-Match on PutObject."""

from __future__ import annotations

import logging
import uuid
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from moto.server import ThreadedMotoServer

from github_worker.redaction import Secret


class S3Server:
    """Serves buckets from memory; its memory is the process's, so every bucket has a name of its own."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(host, port, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"

    def __enter__(self) -> S3Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that lead to this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "access-key-id",
            "AWS_SECRET_ACCESS_KEY": "secret-access-key",
            "AWS_REGION": "us-east-1",
        }

    @property
    def options(self) -> dict[str, Secret]:
        """The same, as the settings hold them."""
        return {name.lower(): Secret(value) for name, value in self.variables.items()}

    def create_bucket(self) -> str:
        """Make an empty bucket and return its name."""
        bucket = f"sessions-{uuid.uuid4().hex}"
        self._ask("PUT", bucket)
        return bucket

    def unfinished_uploads(self, bucket: str) -> int:
        """Count the multipart uploads that were neither completed nor aborted."""
        return self._ask("GET", f"{bucket}?uploads").count(b"<Upload>")

    def read(self, bucket: str, key: str) -> bytes | None:
        """Return an object, None where there is none."""
        try:
            return self._ask("GET", f"{bucket}/{key}")
        except HTTPError as error:
            with error:
                if error.code != 404:
                    raise
                return None

    def write(self, bucket: str, key: str, data: bytes) -> None:
        """Put an object, whatever is there."""
        self._ask("PUT", f"{bucket}/{key}", data)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object."""
        self._ask("DELETE", f"{bucket}/{key}")

    def _ask(self, method: str, path: str, data: bytes | None = None) -> bytes:
        # moto wants a signature and does not verify it.
        headers = {"Authorization": "AWS key:signature", "Content-Type": "application/gzip"}
        request = Request(f"{self.endpoint}/{path}", data, headers, method=method)
        with urlopen(request, timeout=10) as response:
            body: bytes = response.read()
            return body
