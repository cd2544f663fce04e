"""Removal of a folder that anybody may have filled."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

_logger = logging.getLogger("github_worker_client")


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it, however deep, whatever modes it has, or log that it stays."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        if not folder.exists():
            return
        _remove_stubborn(folder)
    except (OSError, RecursionError):
        _remove_stubborn(folder)


def _remove_stubborn(folder: Path) -> None:
    """Bring every folder to the top before it is emptied, so that no path becomes too long."""
    pending = [folder]
    try:
        while pending:
            inner = pending.pop()
            os.chmod(inner, 0o700)
            pending += _empty(inner, folder)
            if inner != folder:
                inner.rmdir()
        folder.rmdir()
    except OSError as error:
        _logger.warning("%s could not be removed: %s", folder, error)


def _empty(folder: Path, top: Path) -> list[Path]:
    """Remove a folder's files, and move its folders to `top`; return where they are."""
    moved = []
    for name in os.listdir(folder):
        path = folder / name
        if path.is_symlink() or not path.is_dir():
            with suppress(FileNotFoundError):
                path.unlink()
        else:
            path.chmod(0o700)
            moved.append(path.rename(top / uuid4().hex))
    return moved
