"""Runs a program as on a kernel that answers Landlock's first system call with an error.

`python -m tests.support.without_landlock ERRNO PROGRAM ARGUMENT…`; a filter (seccomp(2)) gives the error.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

_PR_SET_SECCOMP, _MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_CREATE_RULESET = 444
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000


def fail_landlock(error: int) -> None:
    """Let landlock_create_ruleset(2) fail in this process and in what it becomes."""
    steps = [(_LOAD, 0, 0, 0), (_JUMP_IF_EQUAL, 0, 1, _CREATE_RULESET), (_RETURN, 0, 0, _ERROR | error)]
    steps.append((_RETURN, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0)))
    if prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), program):
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    fail_landlock(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 (a program of the test's)
