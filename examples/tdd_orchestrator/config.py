"""A project's settings, in `.tdd/config.toml`, and a first guess at them by what the project's folder has."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

FOLDER = Path(".tdd")
_Count = Annotated[int, Meta(ge=1, le=100)]
_Seconds = Annotated[float, Meta(gt=0)]


class ConfigError(Exception):
    """The settings are not there or cannot be understood; the message says why."""


class Project(Struct, frozen=True, forbid_unknown_fields=True):
    """What the project is."""

    name: str
    language: str = "unknown"
    framework: str = "unknown"
    source_root: str = "."
    test_root: str = "."


class Tdd(Struct, frozen=True, forbid_unknown_fields=True):
    """How its tasks are done.

    - `test_command`: for a shell, in the repository's folder; it succeeds if all tests pass.
    - `failed_status`, `failed_output`: how it ends, and what it prints (a regular expression), if tests were
      run and some failed; anything else is broken, such as a syntax error.
    - `empty_status`: how it ends if there are no tests.
    - `worker`: `claude`, `command`, `person`, or `module:name` of a WorkerPlugin.
    - `attempts`: at each stage of a task; after the last one the task is blocked.
    - `failures`, `pause`: after so many failures in a row a circuit opens for so many seconds.
    """

    test_command: str
    failed_status: tuple[int, ...] = (1,)
    failed_output: str = ""
    empty_status: tuple[int, ...] = ()
    test_seconds: _Seconds = 300
    worker: str = "claude"
    command: tuple[str, ...] = ()
    default_model: str | None = None
    agent_seconds: _Seconds = 600
    max_workers: Annotated[int, Meta(ge=1, le=16)] = 2
    attempts: _Count = 3
    failures: _Count = 5
    pause: _Seconds = 60

    def __post_init__(self) -> None:
        try:
            re.compile(self.failed_output)
        except re.error as error:
            raise ValueError(f"`failed_output` is no regular expression: {error}") from error


class Git(Struct, frozen=True, forbid_unknown_fields=True):
    """Where work starts and goes to; by default the repository's own branch."""

    base_branch: str | None = None
    auto_merge: bool = False


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of a project."""

    project: Project
    tdd: Tdd
    git: Git = Git()


@dataclass(frozen=True)
class Language:
    """What tells a language, and how its tests are run."""

    marks: tuple[str, ...]
    name: str
    framework: str
    command: str
    test_root: str
    more: str  # of the settings


LANGUAGES = (
    Language(
        *(("pyproject.toml", "setup.py", "requirements.txt"), "python", "pytest"),
        *("python -m pytest -q -p no:cacheprovider", "tests", "empty_status = [5]"),
    ),
    Language(
        *(("package.json",), "javascript", "npm", "npm test", "."),
        r"failed_output = '(?m)^Tests:? +.*[1-9]\d* failed|[1-9]\d* failing|fail [1-9]'",
    ),
    Language(*(("go.mod",), "go", "go test", "go test ./...", "."), r"failed_output = '(?m)^\s*--- FAIL'"),
    Language(
        *(("Cargo.toml",), "rust", "cargo test", "cargo test", "."),
        "failed_status = [101]\nfailed_output = 'test result: FAILED'",
    ),
)
UNKNOWN = Language((), "unknown", "unknown", "make test", ".", "failed_status = [2]")
_TEMPLATE = """\
[project]
name = {name}
language = "{language.name}"
framework = "{language.framework}"
source_root = "{source_root}"
test_root = "{test_root}"

[tdd]
test_command = "{language.command}"
{language.more}
worker = "claude"
default_model = "opus"
max_workers = 2

[git]
# base_branch = "main"
auto_merge = false
"""


def load(project: Path) -> Config:
    """Return the settings of the project in a folder; raise ConfigError."""
    path = project / FOLDER / "config.toml"
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Config)
    except FileNotFoundError:
        raise ConfigError(f"{path} is not there: `init --project {project}` makes it") from None
    except (OSError, ValueError) as error:  # ValueError: TOML, UTF-8, and msgspec's
        raise ConfigError(f"{path}: {error}") from error


def init(project: Path) -> Path:
    """Write settings that fit what is in a folder, unless it has some; return where they are."""
    path, language = project / FOLDER / "config.toml", detect(project)
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / ".gitignore").write_text("*.db*\n*.lock\n")
    has = {name for name in (language.test_root, "test", "src") if (project / name).is_dir()}
    text = _TEMPLATE.format(
        name=msgspec.json.encode(project.resolve().name).decode(),
        language=language,
        source_root="src" if "src" in has else ".",
        test_root=language.test_root if language.test_root in has or "test" not in has else "test",
    )
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} is there already, and stays as it is") from None
    return path


def detect(project: Path) -> Language:
    """Return the language of what is in a folder."""
    has = {path.name for path in project.iterdir()}
    return next((language for language in LANGUAGES if has.intersection(language.marks)), UNKNOWN)
