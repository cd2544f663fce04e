"""The rules of a branch: how pull requests are merged into it."""

from __future__ import annotations

from collections.abc import Iterable

from github_worker.contract import MergeMethod
from github_worker.github.responses import MergeSettings, Rule


def list_merge_methods(settings: MergeSettings, rules: Iterable[Rule]) -> list[MergeMethod]:
    """Return the ways of merging that the repository allows and no rule forbids, a plain merge first."""
    allowed: dict[MergeMethod, bool] = {
        "merge": settings.allow_merge_commit is not False,
        "squash": settings.allow_squash_merge is not False,
        "rebase": settings.allow_rebase_merge is not False,
    }
    for rule in rules:
        if rule.type == "required_linear_history":
            allowed["merge"] = False
        elif rule.type == "pull_request" and rule.parameters and rule.parameters.allowed_merge_methods:
            for method in allowed.keys() - set(rule.parameters.allowed_merge_methods):
                allowed[method] = False
    return [method for method, is_allowed in allowed.items() if is_allowed]
