"""The limits of a session, and a tally of how far reading or writing one has come."""

from __future__ import annotations

from msgspec import Struct

from github_worker.errors import SessionTooLarge

_MIB = 2**20
# Bytes, roughly, that a path costs in a dict or a set beside its own, and a pax record that is kept
ENTRY, RECORD = 300, 150


class Limits(Struct, frozen=True, kw_only=True):
    """The most that an archive may ask of this worker; sizes are in bytes.

    `max_bytes` counts the unpacked archive, headers and all. Text seldom compresses better than 30:1 and
    the most repetitive log 100:1, while a bomb comes near deflate's 1032:1; so past `ratio_free_bytes`,
    which any disk bears, more than `max_ratio` is taken for one. `max_kept_bytes` bounds the memory for
    what a disk cannot keep.
    """

    max_bytes: int = 8 * 1024 * _MIB
    max_files: int = 1_000_000
    max_depth: int = 128
    max_name: int = 255
    max_path: int = 4096
    max_header: int = _MIB
    max_ratio: int = 200
    ratio_free_bytes: int = 256 * _MIB
    max_kept_bytes: int = 128 * _MIB


class Tally:
    """Counts against the limits; any thread may read `received`, `unpacked` (bytes) and `files`."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.received = self.unpacked = self.files = self._inflated = self._kept = 0

    def add_unpacked(self, size: int) -> None:
        """Count bytes of the archive; raise SessionTooLarge when they are too many."""
        self.check_room(size)
        self.unpacked += size

    def check_room(self, size: int) -> None:
        """Raise SessionTooLarge if `size` more bytes would be too many."""
        if self.unpacked + size > self.limits.max_bytes:
            raise SessionTooLarge(f"The session is larger than {self.limits.max_bytes} bytes")

    def check_ratio(self) -> None:
        """Raise SessionTooLarge if there is too much for what was received."""
        limits = self.limits
        if self.unpacked > max(limits.ratio_free_bytes, self.received * limits.max_ratio):
            raise SessionTooLarge(f"The session's archive unpacks to over {limits.max_ratio} times its size")

    def add_inflated(self, size: int) -> None:
        """Count bytes that an object inflates to; raise SessionTooLarge when they are too many."""
        self._inflated += size
        limits = self.limits
        allowed = max(limits.ratio_free_bytes, self.received * limits.max_ratio)
        if self._inflated > min(limits.max_bytes, allowed):
            raise SessionTooLarge("The session's repository has objects that inflate to more than is allowed")

    def add_file(self) -> None:
        """Count a member of whatever kind; raise SessionTooLarge when they are too many."""
        self.files += 1
        if self.files > self.limits.max_files:
            raise SessionTooLarge(f"The session has more than {self.limits.max_files} files")

    def add_kept(self, size: int) -> None:
        """Count bytes that stay in memory; raise SessionTooLarge when they are too many."""
        self._kept += size
        if self._kept > self.limits.max_kept_bytes:
            raise SessionTooLarge("The session has more folders, links and odd files than fit in memory")
