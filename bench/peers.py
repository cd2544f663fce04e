"""What the service is measured against: the same job, as a shell does it with git, tar, gzip and curl."""

from __future__ import annotations

from bench.lab import Lab, shell
from bench.measure import Usage
from bench.repositories import Shape

_SAVE = "tar -C $work -c . | gzip -1 | curl --silent --fail --upload-file - $sessions/$session/upload"
_OPEN = "curl --silent --fail $sessions/$session/download | tar -C $work -xz"
_REPOSITORY = "cd $work/workspace/workspace/$name"
CLONE = "git clone, tar c | gzip -1, curl -T"
COMMIT = "curl | tar xz, git add, commit, push, tar c | gzip -1, curl -T"
BRANCH = "curl | tar xz, git switch -c, push, tar c | gzip -1, curl -T"


def clone(lab: Lab, shape: Shape) -> Usage:
    """Clone a repository and save it as a session."""
    script = f"git clone --quiet --single-branch $url $work/workspace/workspace/$name\n{_SAVE}"
    return shell(lab, script, url=lab.url(shape), name=shape.name, **_store(lab, "peer"))


def commit(lab: Lab, shape: Shape) -> Usage:
    """Commit a session's changes and push them."""
    script = f"""{_OPEN}
{_REPOSITORY}
git add -A
git commit --quiet -m 'Change files'
git push --quiet origin HEAD
{_SAVE}"""
    with lab.rewound(shape):
        return shell(lab, script, name=shape.name, **_store(lab, lab.session(shape)))


def branch(lab: Lab, shape: Shape) -> Usage:
    """Start a branch in a session and push it."""
    script = f"""{_OPEN}
{_REPOSITORY}
git switch --quiet -c peer
git push --quiet origin peer
{_SAVE}"""
    with lab.rewound(shape):
        return shell(lab, script, name=shape.name, **_store(lab, lab.session(shape)))


def _store(lab: Lab, session: str) -> dict[str, str]:
    return {"sessions": f"{lab.storage_origin}/api/storage-worker/sessions", "session": session}
