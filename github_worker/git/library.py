"""libgit2's process-wide settings: no configuration but ours, and no wait without an end."""

from __future__ import annotations

import pygit2
from pygit2.enums import ConfigLevel

from github_worker import __version__

_LEVELS = (ConfigLevel.PROGRAMDATA, ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL)


def isolate(timeout: float) -> None:
    """Cut libgit2 off from the machine's configuration; `timeout` is seconds without a byte from a server."""
    for level in _LEVELS:
        pygit2.settings.search_path[level] = ""
    pygit2.settings.homedir = ""
    pygit2.settings.owner_validation = False  # what would be validated was written by this process
    pygit2.settings.server_connect_timeout = pygit2.settings.server_timeout = round(timeout * 1000)
    pygit2.settings.user_agent_product = f"github-worker/{__version__} git"
