"""A text that several people edit at once. Pure.

An edit says which version of the text it was made on. What came after that version has moved things, so the
edit is moved too before it is applied; `page.js` does the same on its side. Nothing that somebody wrote is
removed by somebody who could not see it:

1. What an earlier edit changed before it moves it by the difference.
2. What an earlier edit has removed cannot be removed again.
3. What an earlier edit has written inside of what this one removes stays: the removal becomes two.
4. Of two insertions in one place, the earlier one comes first.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Edit:
    """From `position` on, `removed` characters go and `text` comes; characters are Unicode's code points."""

    position: int
    removed: int
    text: str

    @property
    def end(self) -> int:
        """The position after what is removed."""
        return self.position + self.removed

    def apply(self, text: str) -> str:
        """Return the text with this edit."""
        return text[: self.position] + self.text + text[self.end :]


@dataclass
class Document:
    """A text, and the edits that made it; its version is their number."""

    text: str
    edits: list[Edit] = field(default_factory=list)

    @property
    def version(self) -> int:
        """How many edits it has had."""
        return len(self.edits)

    def edit(self, version: int, edit: Edit) -> list[Edit]:
        """Apply an edit that was made on a version, and return what it became.

        Raises ValueError for a version or a place that is not there.
        """
        if not 0 <= version <= self.version:
            raise ValueError("the edit is of a version that is not there")
        length = len(self.text) - sum(len(later.text) - later.removed for later in self.edits[version:])
        if edit.position < 0 or edit.removed < 0 or edit.end > length:
            raise ValueError("the edit is of a place that is not in the text")
        moved, _ = transform([edit], self.edits[version:])
        for each in moved:
            self.text = each.apply(self.text)
        self.edits += moved
        return moved


def difference(before: str, after: str) -> Edit:
    """Return the one edit that makes a text of another."""
    shorter = min(len(before), len(after))
    start = next((n for n in range(shorter) if before[n] != after[n]), shorter)
    rest = shorter - start
    end = next((n for n in range(rest) if before[-1 - n] != after[-1 - n]), rest)
    return Edit(start, len(before) - start - end, after[start : len(after) - end])


def transform(ours: list[Edit], theirs: list[Edit]) -> tuple[list[Edit], list[Edit]]:
    """Return what two rows of edits of one text become, each to be applied after the other.

    Theirs were the earlier ones.
    """
    done: list[Edit] = []
    for edit in ours:
        pieces, later = [edit], []
        for other in theirs:
            pieces, others = _transform_row(pieces, other)
            later += others
        done, theirs = done + pieces, later
    return done, theirs


def _transform_row(ours: list[Edit], other: Edit) -> tuple[list[Edit], list[Edit]]:
    """Do the same for one edit of theirs."""
    done: list[Edit] = []
    others = [other]
    for edit in ours:
        if len(others) == 1:
            done += _move(edit, others[0], first=False)
            others = _move(others[0], edit, first=True)
        else:
            pieces, others = transform([edit], others)
            done += pieces
    return done, others


def _move(edit: Edit, other: Edit, *, first: bool) -> list[Edit]:
    """Return what an edit becomes once `other` is applied; `first` says which of two insertions comes first.

    The pieces follow each other from the end of the text to its beginning, so none moves another one.
    """
    grown = len(other.text) - other.removed
    if edit.position < other.position or (edit.position == other.position and first):
        place = edit.position
    elif edit.position <= other.end:
        place = other.position + len(other.text)
    else:
        place = edit.position + grown
    left = (edit.position, min(edit.end, other.position))
    right = (max(edit.position, other.end) + grown, edit.end + grown)
    pieces = [Edit(start, end - start, "") for start, end in (right, left) if start < end]
    return _insert(pieces, place, edit.text)


def _insert(removals: list[Edit], place: int, text: str) -> list[Edit]:
    for number, removal in enumerate(removals):
        if removal.position == place:
            return [*removals[:number], Edit(place, removal.removed, text), *removals[number + 1 :]]
    if not text and removals:
        return removals
    after = [removal for removal in removals if removal.position > place]
    return [*after, Edit(place, 0, text), *removals[len(after) :]]
