"""Confines itself as a worker does; prints the CPU seconds of importing what does it, and of doing it."""

from __future__ import annotations

import os
import time

import github_worker.web.app
import github_worker.web.server  # noqa: F401 (what a start imports all the same costs nothing here)
from github_worker.settings import from_env

_settings = from_env(os.environ)
_began = time.process_time()

from github_worker.sandbox import confine  # noqa: E402
from github_worker.scratch import Scratch  # noqa: E402

_imported = time.process_time()
_scratch = Scratch(_settings.tmp_dir)
_outcome = confine(_settings, _scratch.open())
_confined = time.process_time()
_scratch.remove()
if not _outcome.startswith("landlock "):
    raise SystemExit(f"nothing is measured: {_outcome}")
print(_imported - _began, _confined - _imported)
