"""A commit's copy on another parent, as `git rebase` writes it, byte for byte."""

from __future__ import annotations

import re

_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_BLANK_LINES = re.compile(rb"\A(?:[ \t\n\v\f\r]*\n)*")


def copy(raw: bytes, tree: str, parent: str, committer: bytes) -> bytes:
    """Return the object that has the author and the message of the commit `raw`, in UTF-8.

    Signatures and other headers are of the old commit and stay behind, as do blank lines before the message.
    """
    header, _, message = _utf8(raw).partition(b"\n\n")
    author = next(line for line in header.split(b"\n") if line.startswith(b"author "))
    head = [f"tree {tree}".encode(), f"parent {parent}".encode(), author, b"committer " + committer, b"", b""]
    return b"\n".join(head) + _BLANK_LINES.sub(b"", message.partition(b"\0")[0])


def _utf8(raw: bytes) -> bytes:
    """Convert from the encoding that the commit names; what is not UTF-8 then is taken for Latin-1."""
    encoding = re.search(rb"^encoding (.+)$", raw.partition(b"\n\n")[0], re.MULTILINE)
    try:
        text = raw.decode(encoding[1].decode() if encoding else "utf-8")
    except (LookupError, UnicodeDecodeError):
        text = raw.decode("utf-8", "surrogateescape")
    return _NOT_UTF8.sub(lambda found: chr(ord(found[0]) - 0xDC00), text).encode()
