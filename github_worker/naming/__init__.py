"""Names sessions and describes commits and pull requests, by a model where there is one."""

from github_worker.naming.namer import CommitMessage, Namer, PullRequestText, SessionName, preload
from github_worker.naming.prompts import CommitContext, PullRequestContext

__all__ = [
    "CommitContext",
    "CommitMessage",
    "Namer",
    "PullRequestContext",
    "PullRequestText",
    "SessionName",
    "preload",
]
