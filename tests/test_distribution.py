"""What is in the wheel and the sdist, and what is not."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "github_worker": ROOT / "github_worker",
    "github_worker_client": ROOT / "clients/github_worker_client",
}
LICENCE = [name for name in ("LICENSE",) if (ROOT / name).exists()]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a wheel and an sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> dict[str, bytes]:
    """Return the wheel's files."""
    [path] = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="session")
def sdist(built: Path) -> dict[str, bytes]:
    """Return the sdist's files, without the folder that they are in."""
    [path] = built.glob("*.tar.gz")
    files = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            if (content := archive.extractfile(member)) is not None:
                files[member.name.partition("/")[2]] = content.read()
    return files


def sources() -> dict[str, bytes]:
    """Return what the wheel is to have of both packages, by name."""
    return {
        f"{package}/{path.relative_to(folder)}": path.read_bytes()
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def metadata(wheel: dict[str, bytes]) -> Message:
    """Return the wheel's metadata."""
    [name] = [name for name in wheel if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel[name].decode())


def test_the_wheel_has_both_packages_and_nothing_else(wheel: dict[str, bytes]) -> None:
    """No test, no measurement, no example; every module as it is, and what tells that it has types."""
    inside = {name: content for name, content in wheel.items() if ".dist-info/" not in name}
    assert inside == sources()
    assert {"github_worker/py.typed", "github_worker_client/py.typed"} <= set(inside)


def test_the_wheel_has_the_command_and_the_licence(wheel: dict[str, bytes]) -> None:
    """Beside what every wheel has."""
    rest = {
        name.partition(".dist-info/")[2]: content for name, content in wheel.items() if ".dist-info/" in name
    }
    licences = {f"licenses/{name}" for name in LICENCE}
    assert set(rest) == {"METADATA", "RECORD", "WHEEL", "entry_points.txt"} | licences
    assert b"github-worker = github_worker.__main__:main" in rest["entry_points.txt"]


def test_the_base_is_the_client_alone(wheel: dict[str, bytes]) -> None:
    """Who calls the service installs no server: what that needs is in extras."""
    needs = metadata(wheel).get_all("Requires-Dist") or []
    assert {need for need in needs if "extra ==" not in need} == {
        "httpx-sse>=0.4",
        "httpx>=0.28",
        "msgspec>=0.20",
    }


def test_the_sdist_has_what_the_wheel_is_made_of(sdist: dict[str, bytes]) -> None:
    """Beside it what a person reads, and no tests, measurements or files of this repository's own."""
    inside = {name.removeprefix("clients/"): content for name, content in sdist.items()}
    assert sources().items() <= inside.items()
    rest = {name.partition("/")[0] for name in inside if not name.startswith(tuple(PACKAGES))}
    needed = {"PKG-INFO", "README.md", "pyproject.toml", "docs", *LICENCE}
    assert needed <= rest <= needed | {".gitignore", "CHANGELOG.md"}
