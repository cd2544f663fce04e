"""What the client brings along."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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


def test_the_client_of_sessions_comes_without_the_server() -> None:
    """Of the server's packages it needs those of its own extra."""
    command = [sys.executable, "-c", _SCRIPT.format(module="github_worker_client.sessions")]
    loaded = set(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
    assert not loaded & ((_SERVER | {"sse_starlette"}) - {"obstore", "isal"})
    assert "github_worker.settings" not in loaded


@pytest.mark.parametrize("package", ["obstore", "isal"])
def test_a_missing_extra_is_named(package: str, tmp_path: Path) -> None:
    """Who did not install it reads what to install."""
    # A finder that knows one package less, as in an environment without it.
    script = f"""
import sys
class Lacking:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name == {package!r} else original(name, path, target)
finder = sys.meta_path[-1]
original = finder.find_spec
sys.meta_path[-1] = Lacking
import github_worker_client.sessions
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"needs {package}: pip install 'github-worker[sessions]'" in ended.stderr
