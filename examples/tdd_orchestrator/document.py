"""A requirements document as the tasks that are made of it.

In Markdown each `##` section is a task, or where there are `###` sections, those are the tasks and each `##`
above them a phase; phases are done one after another, the tasks of a phase side by side. Front matter, YAML
and JSON may list `tasks`, each with a `title`, a `description` and a `phase`. What else there is, every agent
is told.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import frontmatter
import msgspec
import yaml
from msgspec import Meta, Struct

LARGEST = 1 << 20  # bytes
_HEADING = re.compile(r"(#{1,3})[ \t]+(.+?)[ \t#]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_Line = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^\S.*$(?!\n)")]


class DocumentError(Exception):
    """No tasks can be made of the document; the message says why."""


class Task(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that is to be made, small enough for one test."""

    title: _Line
    description: str = ""
    phase: Annotated[int, Meta(ge=0)] = 0


class Document(Struct, frozen=True):
    """What is wanted: the tasks, and what all of them have to know."""

    title: _Line
    context: str = ""
    tasks: Annotated[tuple[Task, ...], Meta(min_length=1, max_length=100)] = ()

    def run_id(self, repo_url: str) -> str:
        """Return the name of this document's run on a repository; the same one goes on with it."""
        digest = hashlib.sha256(msgspec.json.encode((self, repo_url))).hexdigest()
        return f"{_slug(self.title)}-{digest[:8]}"

    def rows(self, run_id: str) -> list[dict[str, Any]]:
        """Return the tasks with their keys, which no other run has."""
        suffix = run_id.rpartition("-")[2]
        return [
            {**msgspec.structs.asdict(task), "key": f"{number}-{_slug(task.title)}-{suffix}"}
            for number, task in enumerate(self.tasks, 1)
        ]


def load(path: Path) -> Document:
    """Return what a file says; raise DocumentError."""
    try:
        if path.stat().st_size > LARGEST:
            raise DocumentError(f"it is larger than {LARGEST >> 20} MiB")
        text = path.read_text()
        match path.suffix.lower():
            case ".md" | ".markdown":
                fields = _markdown(text, path.stem)
            case ".yaml" | ".yml":
                fields = yaml.safe_load(text)
            case ".json":
                fields = msgspec.json.decode(text)
            case suffix:
                raise DocumentError(f"a document is Markdown, YAML or JSON, not {suffix or 'a bare name'!r}")
        return msgspec.convert(fields, Document)
    except (OSError, UnicodeError, yaml.YAMLError, msgspec.DecodeError, DocumentError) as error:
        raise DocumentError(f"{path}: {error}") from error


def _markdown(text: str, name: str) -> dict[str, Any]:
    metadata, body = frontmatter.parse(text)
    head, *sections = _sections(body)
    title = metadata.get("title") or head[1] or name
    if "tasks" in metadata:
        return {**metadata, "title": title, "context": body.strip()}
    deep = any(level == 3 for level, _, _ in sections)
    context, tasks, phase = [head[2]], [], -1
    for number, (level, heading, words) in enumerate(sections):
        if deep and level == 2:
            follows = sections[number + 1 : number + 2]
            phase += bool(follows and follows[0][0] == 3)
            context.append(f"{heading}\n\n{words}" if words else "")
        else:
            tasks.append({"title": heading, "description": words, "phase": max(phase, 0)})
    return {"title": title, "context": "\n\n".join(filter(None, context)), "tasks": tasks}


def _sections(body: str) -> Iterator[tuple[int, str, str]]:
    """Yield the level, the heading and the words of each section; the first one is the document's own."""
    level, heading, lines, fence = 1, "", list[str](), ""
    for line in body.splitlines():
        if found := _FENCE.match(line):
            fence = "" if fence and found[1].startswith(fence) else fence or found[1]
        if not fence and (found := _HEADING.match(line)):
            if len(found[1]) == 1 and not heading:
                heading = found[2]
                continue
            if len(found[1]) > 1:
                yield level, heading, "\n".join(lines).strip()
                level, heading, lines = len(found[1]), found[2], []
                continue
        lines.append(line)
    yield level, heading, "\n".join(lines).strip()


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].rstrip("-") or "task"
