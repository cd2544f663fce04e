"""Names sessions and describes commits and pull requests, by a model where there is one."""

from github_worker.naming.namer import CommitMessage, Named, Namer, PullRequestText, preload
from github_worker.naming.prompts import CommitContext, PullRequestContext

__all__ = [
    "CommitContext",
    "CommitMessage",
    "Named",
    "Namer",
    "PullRequestContext",
    "PullRequestText",
    "preload",
]
