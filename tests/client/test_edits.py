"""When edits are due, apart from any clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from github_worker.retry import Backoff
from github_worker_client.edits import Edits, Rule, join

RULE = Rule(cooldown=300.0, max_wait=1800.0, backoff=Backoff(first=1.0, longest=1.0))


def _edit(moment: float, user_id: str | None = None) -> Edits:
    return Edits(first=moment, last=moment, user_id=user_id)


def test_an_edit_is_due_after_the_cooldown() -> None:
    """Quiet for `cooldown` seconds is enough."""
    assert _edit(10.0).due(RULE) == 310.0


def test_another_edit_starts_the_cooldown_anew() -> None:
    """A commit in the middle of typing helps nobody."""
    assert _edit(10.0).then(_edit(200.0)).due(RULE) == 500.0


@given(st.lists(st.floats(0, 1e6), min_size=1).map(sorted))
def test_edits_never_wait_longer_than_max_wait(moments: list[float]) -> None:
    """However often someone edits, the first edit is committed in time."""
    edits = None
    for moment in moments:
        edits = join(edits, _edit(moment))
    assert edits is not None
    assert edits.due(RULE) <= moments[0] + RULE.max_wait
    assert edits.due(RULE) <= moments[-1] + RULE.cooldown


def test_the_last_user_who_is_named_counts() -> None:
    """A commit has one committer: who edited last."""
    edits = _edit(1.0, "ada").then(_edit(2.0, "bob")).then(_edit(3.0))
    assert edits.user_id == "bob"
