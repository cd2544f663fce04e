"""Large files pass through a worker without being in its memory."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.lfs.conftest import LargeRunner, StoredSession
from tests.support.lfs import LargeFileServer
from tests.support.repositories import Repository as Origin

MIB = 2**20
_ROOT = Path(__file__).parents[2]
SIZE = 160 * MIB
MOST = 48 * MIB
# Does a small job, then the jobs that are named, and prints how much more memory those took at most.
SCRIPT = """
import asyncio, json, re, sys
from tests.lfs.conftest import LargeRunner
from tests.operations.conftest import SESSION

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

async def main():
    env, url, jobs = json.loads(sys.argv[1])
    runner = LargeRunner(env)
    await runner.clone(url, session_id="small", lfs=False)
    await runner.commit(session_id="small", lfs=False)
    before = peak()
    for job in jobs:
        result = await (runner.clone(url) if job == "clone" else runner.commit(message="Add it"))
        assert job == "clone" or result.pushed, result
    print(peak() - before)

asyncio.run(main())
"""


def grow(runner: LargeRunner, origin: Origin, *jobs: str) -> int:
    """Run jobs in a process of their own, and return by how many bytes it grew."""
    arguments = json.dumps([runner.env, origin.url, jobs])
    done = subprocess.run(
        (sys.executable, "-c", SCRIPT, arguments), capture_output=True, check=False, text=True, cwd=_ROOT
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


async def test_a_large_file_is_never_in_memory(
    runner: LargeRunner, origin: Origin, session: StoredSession, large_files: LargeFileServer, tmp_path: Path
) -> None:
    """It is fetched, packed, unpacked, screened, committed and sent in parts."""
    block = os.urandom(MIB // 16).ljust(MIB, b"\0")
    content = tmp_path / "content"
    with content.open("wb") as file:
        for _ in range(SIZE // MIB):
            file.write(block)
    with content.open("rb") as file:
        oid = hashlib.file_digest(file, "sha256").hexdigest()
    content.rename(large_files.folder / oid)
    version = "version https://git-lfs.github.com/spec/v1"
    origin.commit({"large.bin": f"{version}\noid sha256:{oid}\nsize {SIZE}\n"}, "Add a large file")
    assert grow(runner, origin, "clone") < MOST
    session.write({"new.bin": block * (SIZE // MIB - 1)})
    assert grow(runner, origin, "commit") < MOST
    assert len(large_files.verified) == 1
