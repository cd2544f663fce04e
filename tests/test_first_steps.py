"""What the pages tell a newcomer to type, typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import WRITE_TOKEN
from tests.support.git_server import GitServer
from tests.support.repositories import GIT_ENV
from tests.support.worker import ReservedPort

ROOT = Path(__file__).parents[1]
# How many branches a page makes, and on how many of them a commit.
PAGES = [("README.md", 2, 1), ("docs/quickstart.md", 3, 2), ("docs/http.md", 1, 0), ("docs/client.md", 0, 0)]
INSTALLATION = "git clone"  # takes the network
# What no page says, as its reader waits without being told.
WAIT = "until curl --silent --output /dev/null http://localhost:5002/health; do sleep 0.05; done"
# What a page takes for done that does not say how to serve.
SERVED = """export GITHUB_TOKEN=github_pat_… GITHUB_WORKER_TOKEN=worker-token-0123456789
github-worker serve --workers 1
"""


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the blocks of a page that are to be typed or run: language and text."""
    text = (ROOT / page).read_text()
    return re.findall(r"^```(sh|python)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def script(page: str, said: Mapping[str, str]) -> str:
    """Make one script of a page's blocks, in their order; what it serves is in the background meanwhile."""
    lines = ["set -e", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    serves = any("github-worker serve" in text for _, text in blocks(page))
    for language, text in blocks(page) if serves else [("sh", SERVED), *blocks(page)]:
        if language == "python":
            lines += ["python - <<'END'", text + "END"]
        elif INSTALLATION not in text:
            lines += [text + (f"&\n{WAIT}" if "github-worker serve" in text else "")]
    typed = "\n".join(lines).replace("\n&", " &")
    for theirs, ours in said.items():
        typed = typed.replace(theirs, ours)
    return typed


def follow(page: str, server: GitServer, home: Path) -> subprocess.CompletedProcess[str]:
    """Type all of a page, on a repository and a port of the test's own."""
    port = ReservedPort()
    said = {
        "https://github.com/you/a-repository": server.seed("you", "a-repository").url,
        "github_pat_…": WRITE_TOKEN,
        "localhost:5002": f"127.0.0.1:{port.number}",
    }
    env = {
        **GIT_ENV,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "TMP_DIR": str(home),
        "GIT_ALLOWED_HOSTS": server.origin,
        "HOST": "127.0.0.1",
        "PORT": str(port.number),
    }
    try:
        return subprocess.run(
            ["bash", "-c", script(page, said)],
            cwd=home,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
    finally:
        port.close()


@pytest.mark.parametrize(("page", "branches", "commits"), PAGES)
def test_a_page_does_what_it_says(
    page: str, branches: int, commits: int, git_server: GitServer, tmp_path: Path
) -> None:
    """Whoever types all of it gets branches, and commits of the edit where there is one."""
    done = follow(page, git_server, tmp_path)
    assert done.returncode == 0, done.stdout
    origin = git_server.find("you", "a-repository")
    assert origin is not None
    made = set(origin.branches()) - {"main"}
    assert (len(made), sum("theme.css" in origin.files(branch) for branch in made)) == (branches, commits)


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_what_is_installed_is_there(page: str) -> None:
    """Every extra that a page names is one of the distribution's."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()
    [named] = re.findall(r"pip install '\.\[([\w,]+)\]'", (ROOT / page).read_text())
    assert set(named.split(",")) <= extras
