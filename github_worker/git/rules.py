"""The rules of a worktree that its config and the files beside its `.git` state."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from github_worker.git.config import RepositoryConfig
from github_worker.git.ignore import SparseCheckout

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Rules(Struct, frozen=True, kw_only=True):
    """What git-config(1) calls core.fileMode, core.symlinks and so on, and the texts of `info/`."""

    filemode: bool = True
    symlinks: bool = True
    ignore_case: bool = False
    autocrlf: str | None = None
    eol: str | None = None
    refuses_conversion: bool = False  # core.safecrlf: where text would not come back as it is
    sparse: SparseCheckout = SparseCheckout(None)
    exclude: bytes = b""
    attributes: bytes = b""

    @property
    def may_convert(self) -> bool:
        """Whether text may be converted without any attribute that says so."""
        return (self.autocrlf or "false").lower() not in {"false", "no", "off", "0", ""}


def rules_of(git: Path, config: RepositoryConfig, sparse_checkout: bytes | None) -> Rules:
    """Read the rules of the worktree whose `.git` folder is given.

    `sparse_checkout` is the content of `info/sparse-checkout`, which is obeyed where the config says so.
    """
    is_sparse = config.is_true("core.sparsecheckout")
    return Rules(
        filemode=config.is_true("core.filemode", default=True),
        symlinks=config.is_true("core.symlinks", default=True),
        ignore_case=config.is_true("core.ignorecase"),
        autocrlf=config.get("core.autocrlf"),
        eol=config.get("core.eol"),
        refuses_conversion=config.is_true("core.safecrlf"),
        sparse=SparseCheckout(sparse_checkout if is_sparse else None),
        exclude=_read(git / "info" / "exclude"),
        attributes=_read(git / "info" / "attributes"),
    )


def _read(file: Path) -> bytes:
    try:
        with open(file, "rb", opener=lambda name, _: os.open(name, _READ)) as content:
            return content.read()
    except OSError:
        return b""
