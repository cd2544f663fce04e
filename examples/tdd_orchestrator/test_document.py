"""Documents, settings, patches and workers, each by itself."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from examples.tdd_orchestrator import config, document, patch
from examples.tdd_orchestrator.config import ConfigError, Tdd
from examples.tdd_orchestrator.document import Document, DocumentError, Task
from examples.tdd_orchestrator.patch import Conflict
from examples.tdd_orchestrator.plugins import Person, plugin
from examples.tdd_orchestrator.suite import Verdict, run_tests

MARKDOWN = """---
title: Greet
---
For visitors.

## By night

Say "Good night".

```python
## no heading
```

## By day
"""
PHASES = """# Greet

## Background

Old words.

## First

### By night

## Then

### By day

At noon.
"""
NIGHT = Task("By night", 'Say "Good night".\n\n```python\n## no heading\n```')


def load(folder: Path, name: str, text: str) -> Document:
    """Return what a file says."""
    (folder / name).write_text(text)
    return document.load(folder / name)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.md", MARKDOWN, Document("Greet", "For visitors.", (NIGHT, Task("By day")))),
        (
            "a.md",
            PHASES,
            Document("Greet", "Background\n\nOld words.", (Task("By night"), Task("By day", "At noon.", 1))),
        ),
        ("a.md", "---\ntasks: [{title: One}]\n---\nWords", Document("a", "Words", (Task("One"),))),
        ("a.yaml", "title: T\ntasks: [{title: A, phase: 2}]", Document("T", "", (Task("A", "", 2),))),
        ("a.json", '{"title": "T", "tasks": [{"title": "A"}]}', Document("T", "", (Task("A"),))),
    ],
)
def test_a_document_becomes_tasks(tmp_path: Path, name: str, text: str, wanted: Document) -> None:
    """Sections, or what is listed; the rest is what all tasks are told."""
    assert load(tmp_path, name, text) == wanted


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.md", "# Nothing to do\n", "length >= 1"),
        ("a.json", "[", "truncated"),
        ("a.yaml", "a: [", "while parsing"),
        ("a.yaml", "title: T\ntasks: [{title: A, colour: red}]", "colour"),
        ("a.txt", "x", "Markdown, YAML or JSON"),
        ("a.md", "---\na: [\n---\n", "while parsing"),
        ("a.md", "x" * (1 << 21), "larger than 1 MiB"),
    ],
)
def test_what_no_tasks_can_be_made_of_is_refused_in_words(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    """The error names the file and the reason."""
    with pytest.raises(DocumentError, match=f"{name}: .*{reason}"):
        load(tmp_path, name, text)
    with pytest.raises(DocumentError, match="No such file"):
        document.load(tmp_path / "none.md")


def test_keys_name_a_task_for_ever() -> None:
    """The same document on the same repository has the same keys; another repository has others."""
    wanted = Document("Greet", "", (Task("By night"), Task("日本")))
    run_id = wanted.run_id("https://x/y")
    assert run_id == wanted.run_id("https://x/y") != wanted.run_id("https://x/z")
    suffix = run_id.removeprefix("greet-")
    assert [row["key"] for row in wanted.rows(run_id)] == [f"1-by-night-{suffix}", f"2-task-{suffix}"]


@pytest.mark.parametrize(
    ("files", "language", "test_root"),
    [
        (["pyproject.toml", "tests/"], "python", "tests"),
        (["requirements.txt", "test/"], "python", "test"),
        (["package.json"], "javascript", "."),
        (["go.mod"], "go", "."),
        (["Cargo.toml", "src/"], "rust", "."),
        ([], "unknown", "."),
    ],
)
def test_settings_fit_what_is_there(tmp_path: Path, files: list[str], language: str, test_root: str) -> None:
    """They can be loaded as they are written, and are never written again."""
    for name in files:
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).touch()
    config.init(tmp_path)
    loaded = config.load(tmp_path)
    assert (loaded.project.language, loaded.project.test_root) == (language, test_root)
    assert (loaded.project.name, loaded.tdd.max_workers, loaded.git.auto_merge) == (tmp_path.name, 2, False)
    with pytest.raises(ConfigError, match="is there already"):
        config.init(tmp_path)


WRONG = [
    *("[project", "[project]\nname = 1", "[tdd]\nx = 1", "\xff"),
    "[project]\nname = 'x'\n[tdd]\ntest_command = 'x'\nfailed_output = '('",
]


@pytest.mark.parametrize("text", WRONG)
def test_settings_that_are_wrong_are_refused_in_words(tmp_path: Path, text: str) -> None:
    """The error names the file."""
    with pytest.raises(ConfigError, match="init --project"):
        config.load(tmp_path)
    (tmp_path / ".tdd").mkdir()
    (tmp_path / ".tdd" / "config.toml").write_text(text, "latin-1")
    with pytest.raises(ConfigError, match=r"config\.toml"):
        config.load(tmp_path)


def test_a_patch_makes_the_same_of_another_folder_and_can_be_undone(tmp_path: Path) -> None:
    """Files, modes and links are changed, made and removed; done again it changes nothing."""
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        (folder / "src").mkdir(parents=True)
        (folder / "src" / "old").write_text("old")
        (folder / "src" / "gone").write_text("gone")
    before = patch.look(one)
    (one / "src" / "old").write_text("new")
    (one / "src" / "gone").unlink()
    (one / "run").write_text("#!/bin/sh")
    (one / "run").chmod(0o755)
    (one / "link").symlink_to("src")
    (one / "__pycache__").mkdir()
    (one / "__pycache__" / "x.pyc").write_text("")
    change = patch.decode(patch.encode(patch.difference(before, one)))
    undo = patch.apply(change, other)
    patch.apply(change, other)
    assert patch.look(other) == patch.look(one)
    assert stat.S_IMODE((other / "run").stat().st_mode) == 0o755
    assert not (other / "__pycache__").exists()
    patch.apply(undo, other)
    assert patch.look(other) == before


@pytest.mark.parametrize("change", ["other content", "a folder", "a link above"])
def test_a_patch_changes_nothing_where_it_does_not_fit(tmp_path: Path, change: str) -> None:
    """What another one has made there stays, and nothing is written through a link."""
    one, other, outside = tmp_path / "one", tmp_path / "other", tmp_path / "outside"
    for folder in (one, other, outside):
        folder.mkdir()
    before = patch.look(one)
    (one / "a").write_text("a")
    (one / "sub").mkdir()
    (one / "sub" / "file").write_text("new")
    made = patch.difference(before, one)
    if change == "a link above":
        (other / "sub").symlink_to(outside)
    else:
        (other / "sub").mkdir()
        (other / "sub" / "file").mkdir() if change == "a folder" else (other / "sub" / "file").write_text("x")
    with pytest.raises(Conflict, match="sub/file"):
        patch.apply(made, other)
    assert not (other / "a").exists()
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("language", "output", "verdict"),
    [
        ("go", "--- FAIL: TestX (0.00s)\nFAIL\nexit 1", Verdict.FAILED),
        ("go", "FAIL example [build failed]\nexit 1", Verdict.BROKEN),
        ("rust", "test result: FAILED. 1 passed\nexit 101", Verdict.FAILED),
        ("rust", "error: could not compile\nexit 101", Verdict.BROKEN),
        ("javascript", "Tests:       1 failed, 2 passed\nexit 1", Verdict.FAILED),
        ("javascript", "SyntaxError: Unexpected token\nexit 1", Verdict.BROKEN),
        ("python", "1 failed in 0.1s\nexit 1", Verdict.FAILED),
        ("python", "Interrupted: 1 error during collection\nexit 2", Verdict.BROKEN),
        ("python", "no tests ran\nexit 5", Verdict.BROKEN),
        ("python", "1 passed\nexit 0", Verdict.PASSED),
    ],
)
async def test_tests_that_fail_are_told_from_tests_that_break(
    tmp_path: Path, language: str, output: str, verdict: Verdict
) -> None:
    """By the exit status, and where that does not tell by what is printed."""
    mark = next(known.marks[0] for known in config.LANGUAGES if known.name == language)
    (tmp_path / mark).touch()
    config.init(tmp_path)
    *printed, end = output.split("\n")
    script = "\n".join([f"echo '{line}'" for line in printed] + [end])
    settings = config.load(tmp_path).tdd
    command = Tdd(script, settings.failed_status, settings.failed_output, settings.empty_status)
    assert (await run_tests(command, tmp_path)).verdict is verdict


async def test_a_person_says_by_a_file_that_it_is_done(tmp_path: Path) -> None:
    """They are told the folder and the file, and the file goes."""
    folder, told = tmp_path / "repository", list[str]()
    folder.mkdir()
    working = asyncio.create_task(Person().run("RED: greet", folder, told.append))
    while not told:  # noqa: ASYNC110 (a person reads)
        await asyncio.sleep(0.01)
    done = Path(told[0].rpartition("touch ")[2])
    done.touch()
    assert (await working).success
    assert not done.exists()


def test_a_worker_is_chosen_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of ours, or any object of a module; what is missing is said."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    assert isinstance(plugin(Tdd("", worker="person")), Person)
    assert plugin(Tdd("", worker="examples.tdd_orchestrator.plugins:Person")) is Person  # type: ignore[comparison-overlap]
    for settings in (Tdd(""), Tdd("", worker="command"), Tdd("", worker="no.such:thing")):
        with pytest.raises(ConfigError, match=r"ANTHROPIC_API_KEY|`command`|no\.such"):
            plugin(settings)
