"""A git server with a GitHub App: its tokens are taken for the one repository and what they were made for."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from tests.support.git_server import GitServer, Request, Right
from tests.support.github_app import App, Grant
from tests.support.http import Handler
from tests.support.repositories import Repository

API = "/api/v3"  # where GitHub Enterprise has its API
_HOOK = """#!/bin/sh
[ "$MAY_CHANGE_WORKFLOWS" = yes ] && exit 0
while read -r old new ref; do
  if git log --format= --name-only -m "$new" --not --all -- .github/workflows | grep -q .; then
    echo "refusing to allow a GitHub App to create or update workflow without \\`workflows\\` permission"
    exit 1
  fi
done
"""


class AppForge(GitServer):
    """Serves repositories by git, and what an app is asked beside them."""

    def __init__(self, root: Path, tokens: dict[str, Right]) -> None:
        self.app = App()
        super().__init__(root, tokens)

    def protect_workflows(self, repository: Repository) -> None:
        """Refuse pushes of workflows whose token may not change them, as GitHub does."""
        hook = repository.path / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_HOOK)
        hook.chmod(0o755)

    def find_right(self, request: Request, repository: Repository | None) -> Right | None:
        """Return what a token of a person or of the app may do."""
        if (right := super().find_right(request, repository)) is not None or repository is None:
            return right
        grant = self._find_grant(request)
        name = f"{repository.path.parent.name}/{repository.path.name.removesuffix('.git')}"
        if grant is None or not grant.allows(name, "contents: read"):
            return None
        return "write" if grant.allows(name, "contents: write") else "read"

    def cgi_of(self, request: Request) -> dict[str, str]:
        """Tell the hooks whether workflows may change."""
        grant = self._find_grant(request)
        may = grant is None or "workflows" in grant.permissions
        return {"MAY_CHANGE_WORKFLOWS": "yes" if may else "no"}

    def answer_beside(self, request: Handler, body: IO[bytes]) -> tuple[int, bytes] | None:
        """Answer what the app is asked."""
        if not request.path.startswith(API):
            return None
        path = request.path.removeprefix(API)
        request.behind = self.app.behind
        return self.app.answer(request.command, path, dict(request.headers), body.read())

    def _find_grant(self, request: Request) -> Grant | None:
        return self.app.find(request.token)
