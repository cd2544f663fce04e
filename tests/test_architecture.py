"""How the code hangs together: who may import whom, and what is imported when."""

from __future__ import annotations

import ast
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.worker import Worker

ROOT = Path(__file__).parents[1]
SERVICE, CLIENT = ROOT / "github_worker", ROOT / "clients" / "github_worker_client"
SESSIONS = CLIENT / "sessions"
# Top to bottom: a room imports itself and what is below it, never beside it.
LAYERS = (
    {"__main__"},
    {"cli"},
    {"supervisor"},
    {"worker"},
    {"collector"},
    {"web", "telemetry"},
    {"jobs"},
    {"operations"},
    {"workspace"},
    {"services"},
    {"sessions", "git", "naming", "github", "gitlab", "gitea"},
    {"archive", "storage", "sandbox", "forge", "lfs"},
    {
        "oom",
        "settings",
        "progress",
        "scratch",
        "credentials",
        "retry",
        "logs",
        "http_body",
        "exchanges",
    },
    {"measurements"},
    {"channel", "contract", "errors", "issuers", "signing", "tracing"},
    {"redaction"},
)
DEPTH = {room: depth for depth, layer in enumerate(LAYERS) for room in sorted(layer)}
HEAVY = {"pygit2", "anthropic", "obstore", "httpx", "isal", "cryptography"}


def modules(package: Path) -> list[Path]:
    """Return a package's source files."""
    return sorted(package.rglob("*.py"))


def imports(file: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, wherever in it: lazily, or for types alone."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: relative imports hide where a name is from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
            yield from (str(part.value) for part in node.args if isinstance(part, ast.Constant))


def rooms_imported(file: Path) -> set[str]:
    """Return the rooms of the service that a file imports."""
    names = (name.split(".") for name in imports(file))
    return {parts[1] for parts in names if parts[0] == "github_worker" and len(parts) > 1} - {"__version__"}


def room_of(file: Path) -> str:
    """Return the room of the service that a file is in."""
    return file.relative_to(SERVICE).parts[0].removesuffix(".py")


def test_every_room_has_its_layer() -> None:
    """Nothing is left out of the direction, and no layer is of what is gone."""
    assert {room_of(file) for file in modules(SERVICE)} - {"__init__"} == DEPTH.keys()


@pytest.mark.parametrize("room", DEPTH)
def test_imports_point_one_way(room: str) -> None:
    """A room imports only rooms of the layers below."""
    imported = {name for file in modules(SERVICE) if room_of(file) == room for name in rooms_imported(file)}
    assert {name for name in imported - {room} if DEPTH[name] <= DEPTH[room]} == set()


def test_no_operation_imports_another() -> None:
    """What two of them need is a step of the workspace."""
    files = [file for file in modules(SERVICE / "operations") if file.name != "__init__.py"]
    assert not [file for file in files if any("github_worker.operations" in name for name in imports(file))]


def test_one_module_calls_foreign_functions() -> None:
    """The day pygit2 offers what they do, there is one place to change."""
    calling = {
        file.name for file in modules(SERVICE) if any(name.startswith("pygit2.ffi") for name in imports(file))
    }
    assert calling == {"native.py"}


def test_one_room_knows_libgit2() -> None:
    """Whoever else needs git asks that room."""
    files = [*modules(SERVICE), *modules(CLIENT)]
    knowing = {file for file in files if any(name.split(".")[0] == "pygit2" for name in imports(file))}
    assert {file.parent for file in knowing} == {SERVICE / "git"}


def test_one_module_reads_the_environment() -> None:
    """All else is handed its settings."""
    files = [*modules(SERVICE), *modules(CLIENT)]
    assert [file.name for file in files if set(_names(file)) & {"environ", "environb", "getenv"}] == [
        "__main__.py"
    ]


def _names(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name


def test_the_client_stands_alone() -> None:
    """Of the service it imports contract, secrets and pauses; of the dependencies those without extras."""
    files = [file for file in modules(CLIENT) if file.parent != SESSIONS]
    names = {name for file in files for name in imports(file)}
    assert {room for file in files for room in rooms_imported(file)} == {"contract", "redaction", "retry"}
    packages = {name.split(".")[0] for name in names} - sys.stdlib_module_names
    assert packages == {"github_worker", "github_worker_client", "httpx", "httpx_sse", "msgspec"}
    assert not [name for name in names if name.startswith("github_worker_client.sessions")]


def test_the_client_of_sessions_brings_archives_and_stores_along() -> None:
    """It imports the two rooms that know nothing of the service, and what they raise."""
    files = modules(SESSIONS)
    rooms = {room for file in files for room in rooms_imported(file)}
    assert rooms == {"archive", "storage", "contract", "errors", "redaction", "retry"}
    packages = {name.split(".")[0] for file in files for name in imports(file)} - sys.stdlib_module_names
    assert packages == {"github_worker", "github_worker_client", "isal", "msgspec"}


def test_nothing_heavy_is_imported_before_the_port_is_open(tmp_path: Path) -> None:
    """The port is open as soon as can be; what a job needs is imported behind it, before a job comes."""
    env = {"TMP_DIR": str(tmp_path), "PYTHONPROFILEIMPORTTIME": "1"}
    with Worker(env, tmp_path / "worker.log") as worker:
        deadline = time.monotonic() + 60
        while "github_worker.services\n" not in (log := worker.log.read_text()):
            assert worker.exit_status is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    before, _, after = log.partition('"message":"listening"')
    assert not HEAVY & _imported(before)
    assert {"pygit2", "isal"} <= _imported(after)


def _imported(log: str) -> set[str]:
    return set(re.findall(r"^import time: .*\| +([\w.]+)$", log, re.MULTILINE))
