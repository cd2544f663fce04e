"""The session's metadata: what is kept of it, and where it is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from github_worker.contract import CommitAndPush, RepositoryUrl
from github_worker.errors import SessionTooLarge
from github_worker.redaction import Secret
from github_worker.sessions.metadata import PATH, Metadata

URL = RepositoryUrl.parse("https://github.com/octo/demo")


def asked(request_id: str) -> CommitAndPush:
    """Return a request with this id."""
    return CommitAndPush(session_id="s-1", access_token=Secret("token-of-nobody"), request_id=request_id)


@pytest.mark.parametrize("kind", ["hard link", "symbolic link"])
def test_metadata_that_is_a_link_is_replaced(tmp_path: Path, kind: str) -> None:
    """What an archive linked it to keeps its content, whatever it is."""
    other, file = tmp_path / "other", tmp_path / PATH
    other.write_text("mine")
    file.parent.mkdir()
    if kind == "hard link":
        file.hardlink_to(other)
    else:
        file.symlink_to(other)
    Metadata.new("s-1").write(tmp_path)
    assert other.read_text() == "mine"
    assert json.loads(file.read_bytes())["sessionId"] == "s-1"
    assert not file.is_symlink()


def test_metadata_behind_a_link_is_not_read(tmp_path: Path) -> None:
    """Nothing is believed that is not the session's own file."""
    (tmp_path / "other").write_text('{"sessionId": "other", "branch": "theirs"}')
    (tmp_path / PATH).parent.mkdir()
    (tmp_path / PATH).symlink_to(tmp_path / "other")
    assert Metadata.read(tmp_path, "s-1").branch is None


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (1, False)])
def test_metadata_has_a_size_that_is_read(tmp_path: Path, spare: int, fits: bool) -> None:
    """16 MiB are, and not a byte more."""
    file = tmp_path / PATH
    file.parent.mkdir()
    file.write_bytes(b'{"branch": "main"}'.ljust(16 * 2**20 + spare))
    if fits:
        assert Metadata.read(tmp_path, "s-1").branch == "main"
    else:
        with pytest.raises(SessionTooLarge, match="16,777,216 bytes"):
            Metadata.read(tmp_path, "s-1")


def test_the_last_twenty_outcomes_are_kept() -> None:
    """An older one is forgotten; each is of its request and its operation alone."""
    metadata = Metadata.new("s-1")
    for number in range(21):
        metadata.remember(f"r-{number}", "commit-and-push", {"number": number})
    assert [metadata.outcome(asked(f"r-{number}")) for number in (0, 1, 20)] == [
        None,
        {"number": 1},
        {"number": 20},
    ]
    assert metadata.remembers("r-1", "commit-and-push")
    assert not metadata.remembers("r-1", "create-branch")
    assert not metadata.remembers("r-0", "commit-and-push")


def test_what_nobody_knows_is_kept() -> None:
    """Fields beside ours stay, at the top and within `github`."""
    metadata = Metadata(
        {"sessionId": "s-1", "colour": "blue", "github": {"clonedPath": "x", "repoUrl": "u", "k": 1}}
    )
    metadata.record_clone(URL, "main", "demo")
    metadata.record_branch("webedt/x", "dev", "Title", "octo__demo__x", "Do x")
    assert metadata._fields["colour"] == "blue"
    assert metadata._fields["github"] == {
        "repoUrl": "https://github.com/octo/demo.git",
        "baseBranch": "dev",
        "clonedPath": "demo",
        "k": 1,
    }
    assert (metadata.branch, metadata.base_branch, metadata.session_title) == ("webedt/x", "dev", "Title")
    assert metadata.is_for("Do x")
    assert not metadata.is_for("Do y")


def test_another_version_follows_what_was_recorded() -> None:
    """The repository, the branch and what it was started for come along; its other fields are its own."""
    ours, newer = Metadata.new("s-1"), Metadata({"sessionId": "s-1", "colour": "blue"})
    ours.record_clone(URL, "main", "demo")
    ours.record_branch("webedt/x", "main", "Title", "octo__demo__x", "Do x")
    newer.copy_from(ours)
    assert (newer.branch, newer.session_title, newer.session_path) == ("webedt/x", "Title", "octo__demo__x")
    assert (newer.repository_owner, newer.repository_name) == ("octo", "demo")
    assert newer.github == ours.github
    assert newer.is_for("Do x")
    assert newer._fields["colour"] == "blue"
