"""Sessions whose `.git` is damaged, at random: each is refused, or libgit2 reads it and comes back."""

from __future__ import annotations

import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_worker.errors import SessionCorrupt, SessionTooLarge
from tests.sessions.archives import REPOSITORY, archive, unpacked
from tests.support.repositories import git

PATIENCE = 30  # seconds
IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@b")


class Reader:
    """A process that reads repositories, and is started anew where one was the death of it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def read(self, folder: Path) -> None:
        """Fail where the process does not come back from a repository."""
        if self._process is None:
            command = [sys.executable, "-m", "tests.fuzz.read_repositories"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            answer = self._process.stdout.readline() if selector.select(PATIENCE) else "it hangs"
        if answer != "read\n":
            self.close()
            pytest.fail(f"libgit2 did not come back: {answer or 'it died'}")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """Yield a reader."""
    reader = Reader()
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of a repository with loose and packed objects, all kinds of deltas, a tag, a merge."""
    folder = tmp_path_factory.mktemp("repository")
    git("init", "--quiet", "--initial-branch=main", folder)

    def run(*arguments: str | Path) -> None:
        git("-C", folder, *IDENTITY, *arguments)

    def commit(number: int) -> None:
        (folder / "file").write_text("".join(f"line {line // (number + 1)}\n" for line in range(80)))
        (folder / f"other-{number}").write_text(str(number) * 50)
        run("add", "-A")
        run("commit", "--quiet", "--message", f"Commit {number}")

    for number in range(4):
        commit(number)
    run("tag", "--annotate", "--message", "A tag", "v1")
    run("repack", "-adq", "--no-write-bitmap-index")
    commit(4)
    run("pack-objects", "--quiet", "--all", folder / ".git/objects/pack/pack")  # its deltas say names
    run("pack-refs", "--all")
    commit(5)
    (folder / ".git/MERGE_HEAD").write_bytes(git("-C", folder, "rev-parse", "HEAD~2"))
    found = (file for file in sorted(folder.rglob("*")) if file.is_file() and "hooks" not in file.parts)
    return {f"{REPOSITORY}/{file.relative_to(folder)}": file.read_bytes() for file in found}


@st.composite
def damaged(draw: st.DrawFn, sound: dict[str, bytes]) -> dict[str, bytes]:
    """Draw a few of the repository's files, cut, written over, or in the place of others."""
    files: dict[str, bytes] = {}
    names = [name for name in sound if "/.git/" in name]
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(names))
        data = bytearray(files.get(name, sound[name]))
        at = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(["cut", "write over", "flip", "exchange"]))
        if how == "cut":
            del data[at:]
        elif how == "write over":
            data[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
        elif how == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "exchange":
            data[:] = sound[draw(st.sampled_from(names))]
        files[name] = bytes(data)
    return files


@given(data=st.data())
def test_any_damage_is_refused_or_survived(
    reader: Reader, files: dict[str, bytes], data: st.DataObject
) -> None:
    """libgit2 neither dies of a session nor reads for ever."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            session = unpacked(Path(scratch), archive(*{**files, **data.draw(damaged(files))}.items()))
        except (SessionCorrupt, SessionTooLarge):
            return
        reader.read(session.folders.tree / REPOSITORY)


def test_what_is_not_damaged_is_read(reader: Reader, files: dict[str, bytes], tmp_path: Path) -> None:
    """The repository is one that is unpacked."""
    session = unpacked(tmp_path, archive(*files.items()))
    reader.read(session.folders.tree / REPOSITORY)
