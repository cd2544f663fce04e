"""Lines of text merged as git's merge does it: compared by histogram, which libgit2 lacks.

The steps and their order are those of git's xhistogram.c, xdiffi.c (`xdl_change_compact`) and xmerge.c at
XDL_MERGE_ZEALOUS, since another comparison now and then merges the same lines to another text.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, structs

_OFTEN = 64  # occurrences of a line from which git compares another way, which is not done here
_LINES = 200_000
_NEAR = 3  # lines between two conflicts that git shows as one


class LinesConflict(Exception):
    """The texts have no merge."""


class LinesUncertain(LinesConflict):
    """The texts have no merge that is certain to be git's."""


class Markers(Struct, frozen=True):
    """The lines around the two sides of a conflict: what each side is called, and how long the signs are."""

    one: bytes
    other: bytes
    size: int = 7


def merge(base: bytes, one: bytes, other: bytes, markers: Markers | None = None) -> tuple[bytes, bool]:
    """Merge two versions of a text, and tell whether no conflict is left in it.

    Without `markers` raises LinesConflict where git has a conflict; LinesUncertain in any case.
    """
    texts = [_split(text) for text in (base, one, other)]
    if sum(map(len, texts)) > _LINES:
        raise LinesUncertain
    old, first, second = texts
    merged, done = [], 0
    hunks = _simplify(list(_refine(_hunks(old, first, second), first, second)))
    for hunk in hunks:
        if hunk.side == _BOTH:
            if markers is None:
                raise LinesConflict
            merged += [*first[done : hunk.start], *_mark(hunk, texts, markers)]
        elif hunk.side == _OTHER:
            merged += [*first[done : hunk.start], *hunk.of_other(second)]
        else:
            continue
        done = hunk.start + hunk.count
    is_clean = all(hunk.side != _BOTH for hunk in hunks)
    return b"".join([*merged, *first[done:]]), is_clean


def _split(text: bytes) -> list[bytes]:
    lines = text.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


_ONE, _OTHER, _BOTH, _SAME = 1, 2, 0, 4


class _Hunk(Struct):
    """Lines that a side, or both, changed in the base, in the one version and in the other."""

    side: int
    start: int
    count: int
    other_start: int
    other_count: int

    def of(self, lines: list[bytes]) -> list[bytes]:
        return lines[self.start : self.start + self.count]

    def of_other(self, lines: list[bytes]) -> list[bytes]:
        return lines[self.other_start : self.other_start + self.other_count]

    @property
    def end(self) -> int:
        return self.start + self.count

    def touches(self, later: _Hunk) -> bool:
        return (
            later.start <= self.start + self.count or later.other_start <= self.other_start + self.other_count
        )

    def extend(self, later: _Hunk) -> None:
        if later.side != self.side:
            self.side = _BOTH
        self.count = later.start + later.count - self.start
        self.other_count = later.other_start + later.other_count - self.other_start


def _refine(hunks: list[_Hunk], first: list[bytes], second: list[bytes]) -> Iterator[_Hunk]:
    """Yield conflicts as no more than what differs between the two sides (`xdl_refine_conflicts`)."""
    for hunk in hunks:
        if hunk.side != _BOTH or not hunk.count or not hunk.other_count:
            yield hunk
            continue
        edits = _diff(hunk.of(first), hunk.of_other(second))
        if not edits:
            yield structs.replace(hunk, side=_SAME)
        for edit in edits:
            start, other_start = hunk.start + edit.old, hunk.other_start + edit.new
            yield _Hunk(_BOTH, start, edit.old_count, other_start, edit.new_count)


def _simplify(hunks: list[_Hunk]) -> list[_Hunk]:
    """Join conflicts that three lines or fewer are between (`xdl_simplify_non_conflicts`)."""
    joined: list[_Hunk] = []
    for hunk in hunks:
        last = joined[-1] if joined else None
        if last is None or last.side != _BOTH or hunk.side != _BOTH or hunk.start - last.end > _NEAR:
            joined.append(hunk)
        else:
            last.extend(hunk)
    return joined


def _mark(hunk: _Hunk, texts: list[list[bytes]], markers: Markers) -> Iterator[bytes]:
    """Yield a conflict as git writes it (`fill_conflict_hunk`)."""
    base, first, second = texts
    ends = (
        _end_of(first, max(hunk.start - 1, 0)),
        _end_of(second, max(hunk.other_start - 1, 0)),
        _end_of(base, 0),
    )
    end = b"\r\n" if b"\n" not in ends and ends[-1] else b"\n"  # `is_cr_needed`
    for sign, name, lines in (
        (b"<", markers.one, hunk.of(first)),
        (b"=", b"", hunk.of_other(second)),
        (b">", markers.other, []),
    ):
        yield sign * markers.size + (b" " + name if name else b"") + end
        yield from (line if line.endswith(b"\n") else line + end for line in lines)


def _end_of(lines: list[bytes], at: int) -> bytes | None:
    """Return the line end at a line, or before the last one if that has none (`is_eol_crlf`)."""
    if not lines or (not lines[at].endswith(b"\n") and not at):
        return None
    line = lines[at] if lines[at].endswith(b"\n") else lines[at - 1]
    return b"\r\n" if line.endswith(b"\r\n") else b"\n"


class _Edit(Struct, frozen=True):
    """Lines of the old text that other ones stand for in the new."""

    old: int
    old_count: int
    new: int
    new_count: int

    @property
    def end(self) -> int:
        return self.old + self.old_count

    @property
    def new_end(self) -> int:
        return self.new + self.new_count


def _hunks(old: list[bytes], first: list[bytes], second: list[bytes]) -> list[_Hunk]:
    """Bring the edits of two versions together (`xdl_do_merge`), those that touch as one."""
    ones, others = _diff(old, first), _diff(old, second)
    hunks: list[_Hunk] = []
    at, other_at = 0, 0
    while at < len(ones) or other_at < len(others):
        one = ones[at] if at < len(ones) else None
        other = others[other_at] if other_at < len(others) else None
        if one is not None and (other is None or one.end < other.old):
            start = one.old + (other.new - other.old if other else len(second) - len(old))
            _append(hunks, _Hunk(_ONE, one.new, one.new_count, start, one.old_count))
            at += 1
        elif other is not None and (one is None or other.end < one.old):
            start = other.old + (one.new - one.old if one else len(first) - len(old))
            _append(hunks, _Hunk(_OTHER, start, other.old_count, other.new, other.new_count))
            other_at += 1
        elif one is not None and other is not None:
            if not _is_same(one, first, other, second):
                _append(hunks, _overlap(one, other))
            at, other_at = at + (one.end <= other.end), other_at + (other.end <= one.end)
    return hunks


def _is_same(one: _Edit, first: list[bytes], other: _Edit, second: list[bytes]) -> bool:
    lines, other_lines = first[one.new : one.new_end], second[other.new : other.new_end]
    return (one.old, one.end) == (other.old, other.end) and lines == other_lines


def _overlap(one: _Edit, other: _Edit) -> _Hunk:
    """Return both versions of all that two edits are about."""
    before, after = one.old - other.old, one.end - other.end
    start, other_start = one.new - max(before, 0), other.new + min(before, 0)
    end, other_end = one.new_end - min(after, 0), other.new_end + max(after, 0)
    return _Hunk(_BOTH, start, end - start, other_start, other_end - other_start)


def _append(hunks: list[_Hunk], hunk: _Hunk) -> None:
    if hunks and hunks[-1].touches(hunk):
        hunks[-1].extend(hunk)
    else:
        hunks.append(hunk)


def _diff(old: list[bytes], new: list[bytes]) -> list[_Edit]:
    gone, come = _Marks(old), _Marks(new)
    _compare(gone, come)
    gone.compact(come)
    come.compact(gone)
    edits = []
    at = new_at = 0
    while at < len(old) or new_at < len(new):
        end, new_end = gone.end_of_run(at), come.end_of_run(new_at)
        if end > at or new_end > new_at:
            edits.append(_Edit(at, end - at, new_at, new_end - new_at))
        at, new_at = end + 1, new_end + 1
    return edits


class _Region(Struct, frozen=True):
    """A part of the old text and one of the new."""

    start: int
    end: int
    new_start: int
    new_end: int


def _compare(gone: _Marks, come: _Marks) -> None:
    """Mark what differs: around the rarest and longest lines in common, again and again."""
    pending = [_Region(0, len(gone.lines), 0, len(come.lines))]
    while pending:
        region = pending.pop()
        match = _Search(gone.lines, come.lines, region).best()
        if match is None:
            gone.mark(region.start, region.end)
            come.mark(region.new_start, region.new_end)
        else:
            pending.append(_Region(region.start, match.start, region.new_start, match.new_start))
            pending.append(_Region(match.end, region.end, match.new_end, region.new_end))


class _Search:
    """A search for the lines in common that are best to hold on to (`find_lcs`)."""

    def __init__(self, old: list[bytes], new: list[bytes], region: _Region) -> None:
        self._old, self._new, self._region = old, new, region
        self._places: dict[bytes, list[int]] = {}
        for at in range(region.start, region.end):
            self._places.setdefault(old[at], []).append(at)
        self._best: _Region | None = None
        self._rarity = _OFTEN + 1

    def best(self) -> _Region | None:
        """Return the best match, None if no line is in common; raise LinesUncertain if all occur often."""
        at, common = self._region.new_start, False
        while at < self._region.new_end:
            places = self._places.get(self._new[at], [])
            common = common or bool(places)
            at = self._try(places, at) if places and len(places) <= self._rarity else at + 1
        if common and self._rarity > _OFTEN:
            raise LinesUncertain
        return self._best

    def _try(self, places: list[int], at: int) -> int:
        """Compare around every place of a line; return the line to go on with."""
        following, reached = at + 1, -1
        for place in places:
            if place < reached:
                continue
            match, rarity = self._grow(place, at)
            reached, following = match.end, max(following, match.new_end)
            least = self._best.end - self._best.start if self._best else 1
            if match.end - match.start > least or rarity < self._rarity:
                self._best, self._rarity = match, rarity
        return following

    def _grow(self, place: int, at: int) -> tuple[_Region, int]:
        """Return all that is alike around a place, and how often its rarest line occurs."""
        old, new, region = self._old, self._new, self._region
        start, new_start, end, new_end = place, at, place + 1, at + 1
        while start > region.start and new_start > region.new_start and old[start - 1] == new[new_start - 1]:
            start, new_start = start - 1, new_start - 1
        while end < region.end and new_end < region.new_end and old[end] == new[new_end]:
            end, new_end = end + 1, new_end + 1
        rarity = min(len(self._places[line]) for line in old[start:end])
        return _Region(start, end, new_start, new_end), rarity


class _Marks:
    """A text's lines and which of them differ from the other text; runs of them are groups."""

    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines
        self._marks = bytearray(len(lines) + 1)  # the last one, also at -1, stays 0

    def mark(self, start: int, end: int) -> None:
        """Mark lines as different."""
        self._marks[start:end] = b"\1" * (end - start)

    def end_of_run(self, at: int) -> int:
        """Return the first line from `at` that is not marked."""
        return self._marks.index(0, at)

    def compact(self, other: _Marks) -> None:
        """Slide groups to where they join, or are beside a group of the other text (`xdl_change_compact`)."""
        group, opposite = _Group(self), _Group(other)
        while True:
            if group.end > group.start:
                _slide(group, opposite)
            if not group.go_on():
                return
            opposite.go_on()

    def slide_up(self, group: _Group) -> bool:
        """Move a group one line up if the text stays the same, and join it with one that it meets."""
        if not group.start or self.lines[group.start - 1] != self.lines[group.end - 1]:
            return False
        group.start, group.end = group.start - 1, group.end - 1
        self._marks[group.start], self._marks[group.end] = 1, 0
        group.start = self.start_of_run(group.start)
        return True

    def slide_down(self, group: _Group) -> bool:
        """Move a group one line down in the same way."""
        if group.end >= len(self.lines) or self.lines[group.start] != self.lines[group.end]:
            return False
        self._marks[group.start], self._marks[group.end] = 0, 1
        group.start, group.end = group.start + 1, self.end_of_run(group.end + 1)
        return True

    def start_of_run(self, at: int) -> int:
        """Return the first line of the marked ones right above `at`."""
        return self._marks.rfind(0, 0, at) + 1


class _Group:
    """A run of marked lines, which may be empty: there is one before, between and after all other lines."""

    def __init__(self, marks: _Marks) -> None:
        self.marks = marks
        self.start, self.end = 0, marks.end_of_run(0)

    def go_on(self) -> bool:
        """Move to the next group; return False at the last one."""
        if self.end == len(self.marks.lines):
            return False
        self.start = self.end + 1
        self.end = self.marks.end_of_run(self.start)
        return True

    def go_back(self) -> None:
        """Move to the group before."""
        self.end = self.start - 1
        self.start = self.marks.start_of_run(self.end)


def _slide(group: _Group, opposite: _Group) -> None:
    size = 0
    while size != group.end - group.start:
        size = group.end - group.start
        while group.marks.slide_up(group):
            opposite.go_back()
        top, beside = group.end, opposite.end > opposite.start
        while group.marks.slide_down(group):
            opposite.go_on()
            beside = beside or opposite.end > opposite.start
    if group.end != top and beside:
        while opposite.end == opposite.start:
            group.marks.slide_up(group)
            opposite.go_back()
