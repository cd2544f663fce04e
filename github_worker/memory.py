"""This process's memory, which holds tokens."""

from __future__ import annotations

import ctypes
import sys

_PR_SET_DUMPABLE = 4  # prctl(2)


def seal() -> None:
    """Let no other process of this user look into it, nor a core dump be made of it.

    Unlike the limit on a core file's size this holds where the kernel pipes dumps to a program (core(5)).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
