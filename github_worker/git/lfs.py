"""Git LFS pointers: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:[a-z0-9.-]+ [^\n]*\n)*oid sha256:[0-9a-f]{64}\n"
    rb"size [0-9]+\n"
)
_LONGEST = 1024  # bytes of a pointer


def is_pointer(data: bytes) -> bool:
    """Tell whether a file's content is a pointer, as it is where no `git lfs pull` has run."""
    return len(data) < _LONGEST and _POINTER.fullmatch(data) is not None


def pointer_to(file: Path | bytes, size: int) -> bytes:
    """Return the pointer that stands in a commit for the content of `file`."""
    with open(file, "rb", buffering=0) as content:
        digest = hashlib.file_digest(content, "sha256")
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:%b\nsize %d\n" % (
        digest.hexdigest().encode(),
        size,
    )
