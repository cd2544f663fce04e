"""Names and describes without a model: by the words of a request, or by the files of a change."""

from __future__ import annotations

import hashlib
import re
from itertools import takewhile
from pathlib import PurePosixPath

from github_worker.contract import Change
from github_worker.naming.answers import (
    MAX_SUBJECT,
    disarm,
    is_protected,
    is_shown,
    join_lines,
    make_slug,
    make_title,
    shorten,
    split_words,
)
from github_worker.naming.prompts import is_large

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


def name_session(request: str) -> tuple[str, str]:
    """Name a session after the words of its request: a title of 3 to 6 words, and a slug."""
    said = split_words(_OPENING.sub("", join_lines(request))) or split_words(request)
    telling = _pick_words(said)
    hashed = hashlib.sha256(request.encode(errors="replace")).hexdigest()[:8]
    padding = ["Session"] if len(telling) == 2 else ["Coding", "Session", hashed]
    title = make_title(telling) or make_title(said) or " ".join([*telling, *padding][:3])
    slug = make_slug(" ".join(telling)) or f"session-{hashed}"
    return _capitalise_title(title), make_slug(f"session-{slug}") if is_protected(slug) else slug


def _pick_words(said: list[str]) -> list[str]:
    """Leave out the words that say little; what follows a preposition counts only where little was said."""
    telling: list[str] = []
    for word in said:
        joining = _JOINING.fullmatch(word)
        if joining and len(telling) >= 3:
            break
        if not joining and not _DROPPED.fullmatch(word):
            telling.append(word)
    return telling[:6]


def _capitalise_title(title: str) -> str:
    first, *others = title.split()
    rest = (
        word if _JOINING.fullmatch(word) or _DROPPED.fullmatch(word) else _capitalise(word) for word in others
    )
    return " ".join((_capitalise(first), *rest))


def _capitalise(word: str) -> str:
    return word.capitalize() if word.islower() and not re.search(r"[./@_\d]", word) else word


# Commits


def describe_commit(changes: tuple[Change, ...]) -> str:
    """Describe a commit by its files; a large one lists them."""
    if len(changes) < 2 or not is_large(changes):
        return _summarise(changes)
    return f"{_summarise(changes)}\n\n{_list_files(changes)}"


def _summarise(changes: tuple[Change, ...]) -> str:
    """Make a subject of the file with the most changed lines, and of how many others there are."""
    if not changes:
        return "Make a commit without changes to files"
    first, *others = sorted(changes, key=lambda change: (-change.lines, change.path))
    deed, rest = _describe(first, _base_name(first.path)), _describe_others(first, others)
    folder = "" if _is_move(first) else _find_common_folder(changes)
    subject = f"{deed}{rest} in {folder}/" if folder else f"{deed}{rest}"
    if len(subject) <= MAX_SUBJECT:
        return subject
    return shorten(deed, MAX_SUBJECT - len(rest)) + rest


def _describe(change: Change, shown: str) -> str:
    """Say in the imperative what becomes of one file, which is shown by its name or its path."""
    verb, old = _VERBS[change.status], change.old_path
    if old is None:
        return f"{verb} {shown}"
    if not _is_move(change):
        return f"{verb} {_base_name(old)} to {shown}"
    verb, folder = "Move" if change.status == "R" else verb, change.path.rpartition("/")[0]
    return f"{verb} {_base_name(old)} to {f'{_show(folder)}/' if folder else 'the top folder'}"


def _describe_others(first: Change, others: list[Change]) -> str:
    alike = all(change.status == first.status for change in others)
    if not others:
        return ""
    name = _base_name(others[0].path)
    if len(others) == 1 and len(deed := _describe(others[0], name)) <= MAX_SUBJECT // 2:
        return f" and {name if alike and first.status in 'AMD' else _lower_first(deed)}"
    files = f"{len(others)} other file{'s' * (len(others) > 1)}"
    return f" and {files}" if alike else f" and change {files}"


def _is_move(change: Change) -> bool:
    return change.old_path is not None and _base_name(change.old_path) == _base_name(change.path)


def _find_common_folder(changes: tuple[Change, ...]) -> str:
    paths = [path for change in changes for path in (change.path, change.old_path) if path]
    levels = zip(*(PurePosixPath(path).parent.parts for path in paths), strict=False)
    common = takewhile(lambda level: len(set(level)) == 1, levels)
    return "/".join(_show(level[0]) for level in common)


def _base_name(path: str) -> str:
    return _show(path.rpartition("/")[2])


def _show(path: str) -> str:
    shown = "".join(character if is_shown(character) else "?" for character in path)
    return disarm(shown).strip(" .") or "?"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _list_files(changes: tuple[Change, ...]) -> str:
    return _list([_describe(change, _show(change.path)) for change in changes], "files")


def _list(lines: list[str], noun: str) -> str:
    shown = [shorten(f"- {line}", MAX_SUBJECT) for line in lines[:_MAX_LISTED]]
    more = len(lines) - len(shown)
    return "\n".join(shown + [f"- and {more} more {noun}"] * (more > 0))


# Pull requests


def describe_pull_request(messages: tuple[str, ...], changes: tuple[Change, ...]) -> tuple[str, str]:
    """Describe a pull request: as its one commit does, or by a summary and the list of its commits."""
    subjects = [disarm(join_lines(message.partition("\n")[0])) for message in messages]
    subjects = [subject for subject in subjects if subject] or [_summarise(changes)]
    rest = f" and {len(subjects) - 1} other change{'s' * (len(subjects) > 2)}" if subjects[1:] else ""
    title = shorten(subjects[0], MAX_SUBJECT - len(rest)) + rest
    files = f"{len(changes)} file{'s' * (len(changes) != 1)}"
    added, removed = sum(change.insertions for change in changes), sum(change.deletions for change in changes)
    summary = f"Changes {files} (+{added} -{removed})"
    if not rest:
        return title, f"{summary}:\n\n{_list_files(changes)}"
    return title, f"{summary} in {len(subjects)} commits:\n\n{_list(subjects, 'commits')}"
