"""Edits of a session, and the rule by which their commit is due. Pure: the caller brings the time."""

from __future__ import annotations

from msgspec import Struct

from github_worker.retry import Backoff


class Rule(Struct, frozen=True, kw_only=True):
    """Edits are committed after `cooldown` seconds of quiet, or `max_wait` after the first of them."""

    cooldown: float
    max_wait: float
    backoff: Backoff


class Edits(Struct, frozen=True, kw_only=True):
    """Edits that await their commit: when the first and the last came, in seconds, and who made the last."""

    first: float
    last: float
    user_id: str | None = None

    def then(self, later: Edits) -> Edits:
        """Return these edits and `later` ones as one."""
        return Edits(first=self.first, last=later.last, user_id=later.user_id or self.user_id)

    def due(self, rule: Rule) -> float:
        """Return the moment when they are to be committed."""
        return min(self.last + rule.cooldown, self.first + rule.max_wait)


def join(earlier: Edits | None, later: Edits | None) -> Edits | None:
    """Return both as one, where there are both."""
    return earlier.then(later) if earlier and later else earlier or later
