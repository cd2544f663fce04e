"""`python -m pages.picture FILE`: runs a job on a git server of its own, and draws what a terminal showed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from github_worker.cli.picture import draw_run
from github_worker.contract import InitSession
from tests.support.git_server import GitServer

_TOKEN = "picture-token-0123456789"  # noqa: S105 (of the server that is started here)
_URL = "https://github.com/you/a-repository"
_COMMAND = f"""github-worker run init-session --session demo \\
  --repo-url {_URL} --user-request "Add a dark mode toggle\""""
_FILES = {f"app/page_{number}.py": f'TITLE = "Page {number}"\n' * 200 for number in range(40)}


def draw(folder: Path) -> str:
    """Run the README's job in a folder, and return its picture."""
    with GitServer(folder / "remote", {_TOKEN: "write"}) as server:
        url = server.seed("you", "a-repository", _FILES).url
        env = {
            "PATH": os.environ["PATH"],
            "TMP_DIR": str(folder),
            "GITHUB_TOKEN": _TOKEN,
            "GIT_ALLOWED_HOSTS": server.origin,
        }
        words = shlex.split(
            _COMMAND.replace("github-worker", "github_worker").replace(_URL, url).replace("\\\n", "")
        )
        command = [sys.executable, "-m", *words, "--json"]
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    lines = done.stdout.replace(url.removesuffix(".git"), _URL).splitlines()
    return draw_run(_COMMAND, lines, InitSession.result)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="github-worker-picture-") as folder:
        Path(sys.argv[1]).write_text(draw(Path(folder)))
