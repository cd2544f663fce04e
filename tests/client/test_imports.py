"""What the client brings along."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_SERVER = {"starlette", "uvicorn", "uvloop", "httptools", "pygit2", "anthropic", "obstore", "isal"}
_SCRIPT = "import {module}, json, sys; print(json.dumps(sorted(sys.modules)))"


@pytest.mark.parametrize("module", ["github_worker_client", "github_worker_client.testing"])
def test_the_client_comes_without_the_service(module: str) -> None:
    """Of the service there are contract, secrets and pauses; of its dependencies there is none."""
    command = [sys.executable, "-c", _SCRIPT.format(module=module)]
    loaded = set(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
    assert not loaded & (_SERVER | {"sse_starlette"})
    ours = {name.split(".")[1] for name in loaded if name.startswith("github_worker.")}
    assert ours == {"contract", "redaction", "retry"}
