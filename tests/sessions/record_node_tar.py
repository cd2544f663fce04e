"""Records what node-tar writes, so that its archives are tested where there is no node.

Run it after a change of trees.py: `.venv/bin/python -m tests.sessions.record_node_tar`
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.sessions.readers_and_writers import NODE_TAR_RECORDED, UTF8, write_by_node_tar
from tests.sessions.trees import entries, grow

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        grow(Path(folder), filter(UTF8.record_clone, entries()))
        write_by_node_tar(Path(folder), NODE_TAR_RECORDED)
