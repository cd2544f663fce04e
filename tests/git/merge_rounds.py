"""Random histories of a session and its base branch, merged by git and by the service."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from github_worker.contract import RepositoryUrl
from github_worker.errors import MergeConflict
from github_worker.git.merge import Labels, MergeUncertain
from github_worker.git.merge_state import begin, merge
from github_worker.git.repository import Repository
from tests.git.conftest import COMMITTER
from tests.git.rebase_rounds import History
from tests.support.repositories import GIT_ENV, git

_WHO = {
    f"GIT_{role}_{word}": value
    for role in ("AUTHOR", "COMMITTER")
    for word, value in (("NAME", COMMITTER.name), ("EMAIL", COMMITTER.email))
}
_STATE = ("MERGE_HEAD", "MERGE_MSG", "MERGE_MODE", "AUTO_MERGE")


@dataclass
class MergeRound:
    """What became of a history: by each side the tree, or the conflicts as they stand in the session."""

    git: dict[str, bytes] = field(default_factory=dict)
    service: dict[str, bytes] = field(default_factory=dict)
    why: str = ""
    is_conflict: bool = False

    @property
    def outcome(self) -> str:
        """Tell in a word or two how they compare."""
        if not self.service:
            return "refused"
        if self.git != self.service:
            return "different"
        return "same conflict" if self.is_conflict else "same"

    @property
    def differences(self) -> dict[str, tuple[bytes | None, bytes | None]]:
        """Return what differs: git's, and the service's."""
        keys = self.git.keys() | self.service.keys()
        pairs = {key: (self.git.get(key), self.service.get(key)) for key in sorted(keys)}
        return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def judge(folder: Path, history: History, ours: int, theirs: int) -> MergeRound:
    """Merge `theirs`, which is origin/main, into the branch `work`, which is at `ours`, on both sides."""
    one, two = folder / "git", folder / "service"
    git("init", "--quiet", "--template=", "--initial-branch=work", one)
    git("-C", one, "fast-import", "--quiet", stdin=history.stream(work=ours, theirs=theirs))
    git("-C", one, "remote", "add", "origin", "https://example.com/o/r")
    git("-C", one, "update-ref", "refs/remotes/origin/main", "refs/heads/theirs")
    git("-C", one, "reset", "--quiet", "--hard")
    shutil.copytree(one, two, symlinks=True)
    command = ["git", "-C", str(one), "merge", "--no-edit", "origin/main"]
    done = subprocess.run(command, env=GIT_ENV | _WHO, capture_output=True, check=False)
    round_ = MergeRound(why=(done.stdout + done.stderr).decode(errors="replace"))
    round_.git = _look(one) if done.returncode else _committed(one)
    round_.is_conflict = done.returncode != 0
    repository = Repository(two, RepositoryUrl.parse("https://example.com/o/r"), None, COMMITTER)
    head, other = repository.head, repository.remote_tip("main")
    assert head
    assert other
    try:
        merged = merge(repository, head, other, Labels("HEAD", "origin/main"))
    except (MergeUncertain, MergeConflict) as error:
        round_.why += f"\nservice: {error}"
        return round_
    if merged.conflicts:
        begin(repository, other, merged, "Merge remote-tracking branch 'origin/main' into work\n")
        round_.service = _look(two)
    else:
        round_.service = {"tree": str(merged.tree).encode()}
    return round_


def _committed(folder: Path) -> dict[str, bytes]:
    return {"tree": git("-C", folder, "rev-parse", "HEAD^{tree}").strip()}


def _look(folder: Path) -> dict[str, bytes]:
    """Return the index, the files and what is remembered of a merge."""
    found = {
        f"index {line.decode(errors='replace')}": b""
        for line in git("-C", folder, "ls-files", "-sz").split(b"\0")
    }
    for name in _STATE:
        file = folder / ".git" / name
        found[name] = file.read_bytes() if file.exists() else b"none"
    for path, _, names in os.walk(folder):
        for name in names:
            file = Path(path, name)
            if ".git" not in file.relative_to(folder).parts:
                content = os.readlink(file).encode() if file.is_symlink() else file.read_bytes()
                mode = b"" if file.is_symlink() else b"%o " % (file.stat().st_mode & 0o111)
                found[f"file {file.relative_to(folder)!s}"] = mode + content
    return found
