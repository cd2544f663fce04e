"""Gzip in and out."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_worker.archive.gzip import Deflater, inflate
from github_worker.archive.limits import Limits, Tally
from github_worker.errors import SessionCorrupt
from tests.sessions.archives import split

TEXT = b"".join(b"%d lines of text\n" % number for number in range(20_000))


def inflated(data: bytes, size: int = 10_000) -> bytes:
    """Inflate data that comes in chunks."""
    return b"".join(inflate(split(data, size), Tally(Limits())))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 200_000), st.integers(0, 150_000)), max_size=8))
def test_stored_and_compressed_bytes_make_one_stream(parts: list[tuple[bool, int, int]]) -> None:
    """Whatever their order, another reader of gzip gets them back."""
    deflater, out, meant = Deflater(), [], []
    for stored, start, size in parts:
        data = TEXT[start : start + size]
        out.append(deflater.store(data) if stored else deflater.compress(data))
        meant.append(data)
    out.append(deflater.finish())
    assert gzip.decompress(b"".join(out)) == b"".join(meant)


def test_stored_bytes_cost_next_to_nothing() -> None:
    """What is compressed already does not grow by more than its blocks' headers."""
    deflater = Deflater()
    data = bytes(range(256)) * 4096
    assert len(deflater.store(data) + deflater.finish()) < len(data) * 1.0002 + 100


@given(st.lists(st.integers(0, len(TEXT)), max_size=6), st.integers(1, 9000))
def test_members_in_a_row_are_one_stream(cuts: list[int], size: int) -> None:
    """An archive may be any number of gzip members."""
    edges = [0, *sorted(cuts), len(TEXT)]
    data = b"".join(gzip.compress(TEXT[start:end]) for start, end in pairwise(edges))
    assert inflated(data, size) == TEXT


def test_a_hundred_thousand_members_are_read() -> None:
    """Tiny members cost no more than their bytes."""
    assert inflated(gzip.compress(b"x") * 100_000) == b"x" * 100_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x1f",
        b"not gzip at all",
        gzip.compress(TEXT)[:-1],
        gzip.compress(TEXT)[:1000],
        gzip.compress(TEXT)[:-8] + bytes(8),
        gzip.compress(TEXT) + b"garbage",
        gzip.compress(TEXT)[:500] + b"\xff" * 500,
        gzip.compress(TEXT) + gzip.compress(TEXT)[:9],
    ],
    ids=[
        "empty",
        "one byte",
        "no gzip",
        "cut",
        "cut early",
        "wrong sum",
        "garbage after",
        "broken",
        "cut member",
    ],
)
def test_what_is_no_sound_gzip_is_corrupt(data: bytes) -> None:
    """A session that cannot be read whole is not read at all."""
    with pytest.raises(SessionCorrupt, match="session's archive"):
        inflated(data)


def test_what_the_download_raises_comes_through() -> None:
    """A connection that breaks is no corrupt session."""

    def breaking() -> Iterator[bytes]:
        yield gzip.compress(TEXT)[:1000]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        list(inflate(breaking(), Tally(Limits())))
