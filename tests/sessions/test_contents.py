"""What is remembered of the files that were unpacked."""

from __future__ import annotations

import hashlib

import pytest

from github_worker.archive.contents import ContentHash


@pytest.mark.parametrize("pieces", [[b"\r\n"], [b"a\r"], [b"a", b"\rb"], [b"a\r\n", b"b"]])
def test_a_carriage_return_is_seen_wherever_it_is(pieces: list[bytes]) -> None:
    """Git may convert such a file, so that its content alone does not say which blob it is."""
    content = ContentHash(sum(map(len, pieces)))
    for piece in pieces:
        content.update(memoryview(piece))
    assert content.has_returns


def test_a_content_has_the_id_that_git_gives_it() -> None:
    """The id of a blob, whatever the pieces that the content came in."""
    content = ContentHash(4)
    for piece in (b"a\n", b"", b"b\n"):
        content.update(piece)
    assert content.digest() == hashlib.sha1(b"blob 4\0a\nb\n", usedforsecurity=False).digest()
    assert not content.has_returns
