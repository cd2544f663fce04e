"""Keeps others out of this process's memory, which holds tokens."""

from __future__ import annotations

import ctypes
import sys

_PR_SET_DUMPABLE = 4  # prctl(2)


def seal() -> None:
    """Forbid other processes of this user to look into the memory, and the kernel to dump it.

    A limit on the size of core files would not hold where the kernel pipes dumps to a program (core(5)).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
