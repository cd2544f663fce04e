"""Names and messages without a model: made from the request's words, or from the changed files."""

from __future__ import annotations

import hashlib
import re
from itertools import takewhile
from pathlib import PurePosixPath

from github_worker.changes import Change
from github_worker.naming import words
from github_worker.naming.prompts import is_large

MAX_SUBJECT = 72
_MAX_LISTED = 20

_OPENING = re.compile(
    r"^(?:(?:please|pls|kindly|hi|hello|hey|there|claude|ok|okay|so|now|just|let'?s|your task is to"
    r"|make sure to|go ahead and|(?:can|could|would|will|should) (?:you|we|i)|help (?:me|us)(?: to)?"
    r"|you should|i'?m trying to|(?:i|we)(?:'d| would)? (?:want|need|like|have|wish)(?: you)?(?: to)?"
    r")\b[\s,.!:]*)+",
    re.IGNORECASE,
)
_DROPPED = re.compile(
    "a|an|the|my|our|your|its|this|that|these|those|some|me|us|it|is|are|be|and|please", re.IGNORECASE
)
_JOINING = re.compile(
    "to|in|on|of|for|with|from|by|at|into|onto|when|where|which|because|using|via|so", re.IGNORECASE
)
_VERBS = {"A": "Add", "M": "Update", "D": "Delete", "R": "Rename", "C": "Copy", "T": "Change the type of"}


# Sessions


def session(request: str) -> tuple[str, str]:
    """Name a session after the words of its request: a title of 3 to 6 words, and a slug."""
    said = words.split(_OPENING.sub("", words.one_line(request))) or words.split(request)
    telling = _telling(said)
    hashed = hashlib.sha256(request.encode(errors="replace")).hexdigest()[:8]
    padding = ["Session"] if len(telling) == 2 else ["Coding", "Session", hashed]
    title = words.title(telling) or words.title(said) or " ".join([*telling, *padding][:3])
    slug = words.slug(" ".join(telling)) or f"session-{hashed}"
    return _in_title_case(title), words.slug(f"session-{slug}") if words.is_protected(slug) else slug


def _telling(said: list[str]) -> list[str]:
    """Leave out the words that say little; what follows a preposition counts only where little was said."""
    telling: list[str] = []
    for word in said:
        joining = _JOINING.fullmatch(word)
        if joining and len(telling) >= 3:
            break
        if not joining and not _DROPPED.fullmatch(word):
            telling.append(word)
    return telling[:6]


def _in_title_case(title: str) -> str:
    first, *others = title.split()
    rest = (
        word if _JOINING.fullmatch(word) or _DROPPED.fullmatch(word) else _capitalised(word)
        for word in others
    )
    return " ".join((_capitalised(first), *rest))


def _capitalised(word: str) -> str:
    return word.capitalize() if word.islower() and not re.search(r"[./@_\d]", word) else word


# Commits


def commit(changes: tuple[Change, ...]) -> str:
    """Describe a commit by its files; a large one lists them."""
    if len(changes) < 2 or not is_large(changes):
        return _subject(changes)
    return f"{_subject(changes)}\n\n{_files(changes)}"


def _subject(changes: tuple[Change, ...]) -> str:
    if not changes:
        return "Make a commit without changes to files"
    first, *others = sorted(changes, key=lambda change: (-change.lines, change.path))
    deed, rest = _deed(first, _name(first.path)), _rest(first, others)
    folder = "" if _is_move(first) else _common_folder(changes)
    subject = f"{deed}{rest} in {folder}/" if folder else f"{deed}{rest}"
    if len(subject) <= MAX_SUBJECT:
        return subject
    return words.shorten(deed, MAX_SUBJECT - len(rest)) + rest


def _deed(change: Change, shown: str) -> str:
    verb, old = _VERBS[change.status], change.old_path
    if old is None:
        return f"{verb} {shown}"
    if not _is_move(change):
        return f"{verb} {_name(old)} to {shown}"
    verb, folder = "Move" if change.status == "R" else verb, change.path.rpartition("/")[0]
    return f"{verb} {_name(old)} to {_shown(folder)}/" if folder else f"{verb} {_name(old)} to the top folder"


def _rest(first: Change, others: list[Change]) -> str:
    alike = all(change.status == first.status for change in others)
    if not others:
        return ""
    if len(others) == 1 and len(deed := _deed(others[0], _name(others[0].path))) <= MAX_SUBJECT // 2:
        return f" and {_name(others[0].path)}" if alike and first.status in "AMD" else f" and {_lower(deed)}"
    files = f"{len(others)} other file{'s' * (len(others) > 1)}"
    return f" and {files}" if alike else f" and change {files}"


def _is_move(change: Change) -> bool:
    return change.old_path is not None and _name(change.old_path) == _name(change.path)


def _common_folder(changes: tuple[Change, ...]) -> str:
    paths = [path for change in changes for path in (change.path, change.old_path) if path]
    levels = zip(*(PurePosixPath(path).parent.parts for path in paths), strict=False)
    return "/".join(_shown(level[0]) for level in takewhile(lambda level: len(set(level)) == 1, levels))


def _name(path: str) -> str:
    return _shown(path.rpartition("/")[2])


def _shown(path: str) -> str:
    shown = "".join(character if words.is_shown(character) else "?" for character in path)
    return words.disarm(shown).strip(" .") or "?"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _files(changes: tuple[Change, ...]) -> str:
    return _listed([_deed(change, _shown(change.path)) for change in changes], "files")


def _listed(lines: list[str], noun: str) -> str:
    shown = [words.shorten(f"- {line}", MAX_SUBJECT) for line in lines[:_MAX_LISTED]]
    more = len(lines) - len(shown)
    return "\n".join(shown + [f"- and {more} more {noun}"] * (more > 0))


# Pull requests


def pull_request(messages: tuple[str, ...], changes: tuple[Change, ...]) -> tuple[str, str]:
    """Describe a pull request: as its one commit does, or by a summary and the list of its commits."""
    subjects = [words.one_line(message.partition("\n")[0]) for message in messages]
    subjects = [subject for subject in subjects if subject] or [_subject(changes)]
    rest = f" and {len(subjects) - 1} other change{'s' * (len(subjects) > 2)}" if subjects[1:] else ""
    title = words.shorten(subjects[0], MAX_SUBJECT - len(rest)) + rest
    files = f"{len(changes)} file{'s' * (len(changes) != 1)}"
    added, removed = sum(change.insertions for change in changes), sum(change.deletions for change in changes)
    summary = f"Changes {files} (+{added} -{removed})"
    if not rest:
        return title, f"{summary}:\n\n{_files(changes)}"
    return title, f"{summary} in {len(subjects)} commits:\n\n{_listed(subjects, 'commits')}"
