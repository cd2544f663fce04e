"""What to do about each error: a sentence beside the code's own."""

from __future__ import annotations

from collections.abc import Mapping

from github_worker.errors import job_errors

_AGAIN = "Run the same command again, perhaps in a while."
ADVICE: Mapping[str, str] = {
    "session_not_found": "Check --session, and that the worker's store is the one that you mean.",
    "no_repository": "Clone one into it first: github-worker run clone-repository.",
    "other_repository": "Take another session, or the repository that this one holds.",
    "session_corrupt": "Restore the session's archive, or begin a new session.",
    "session_too_large": "Make it smaller, or raise the worker's MAX_SESSION_BYTES or MAX_SESSION_FILES.",
    "session_conflict": "Wait until the other writer is done, then run the same command again.",
    "storage_unavailable": "Check the store with github-worker check, then run the same command again.",
    "authentication_failed": "Check that GITHUB_TOKEN is whole, has not expired, and is for this host.",
    "permission_denied": "Give the token the right to write contents (and pull requests, or workflows).",
    "repository_not_found": "Check the URL, and that the token may see a repository that is private.",
    "branch_not_found": "Check the branch's name; it has to be on the remote.",
    "commit_not_found": "Check --base-commit: a commit's whole id, which is in the session or on a branch.",
    "path_not_found": "Check --paths: from the repository's top, spelled as in the session, not ignored.",
    "tag_exists": "Take another name for the tag, or delete the one that there is.",
    "host_not_allowed": "Add the host to the worker's GIT_ALLOWED_HOSTS, if the token may be sent there.",
    "remote_unavailable": _AGAIN,
    "push_rejected": "Read the remote's reason above: a rule of the repository stands against it.",
    "push_conflict": "Resolve the conflict in the session, and commit again; nothing is lost.",
    "uncommitted_changes": "Commit them first (github-worker run commit-and-push), or take them back.",
    "file_too_large": "Take the file out of the session, or put it under Git LFS.",
    "file_locked": "Ask the owner to unlock it (git lfs unlock), then commit again; nothing is lost.",
    "secret_detected": "Take the credential out and revoke it; or say --on-secret leave-out or allow.",
    "unsupported_repository": "Change what the message names, or do this step with git itself.",
    "timeout": "Run the same command again; if the job is that long, raise the worker's JOB_TIMEOUT.",
    "rate_limited": "Wait until the time that the message says, or take a token with a limit of its own.",
    "internal": "Run the same command again; if it stays, report it with the worker's log.",
    "PR_EXISTS": "Say --update to change the open one, or merge it.",
    "NO_COMMITS": "Commit and push something to the branch first.",
    "PR_NOT_MERGEABLE": "Look at the pull request's page for what is missing: a review, a check, a rule.",
    "MERGE_CONFLICT": "Merge the base into the branch by hand, resolve the conflict, and push.",
    "TIMEOUT": "Run the same command again: it goes on from where the pull request is.",
}


def explain(code: str) -> str | None:
    """Return what a code means, None for one that this version does not know."""
    error = job_errors().get(code)
    return (error.__doc__ or "").strip() if error else None


def advise(code: str, *, retryable: bool) -> str | None:
    """Return what to do about an error, None where nothing is known."""
    return ADVICE.get(code) or (_AGAIN if retryable else None)
