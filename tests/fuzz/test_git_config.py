"""Config files of any text, with git itself as the judge."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from github_worker.contract import is_branch_name
from github_worker.git.config import RepositoryConfig

PIECES = [
    "[core]",
    '[remote "origin"]',
    '[branch "a\\"b\\\\c"]',
    "[branch.Old]",
    "[core] bare = true",
    '[a-b.C "D"]',
    "[ core]",
    "[core",
    "\turl = https://github.com/octo/demo.git",
    "\tautocrlf = input ; comment",
    '\tvalue = "a;b#c" # comment',
    '\tvalue = "a" b "c"',
    '\tvalue = a\\tb\\nc\\\\d\\"e',
    "\tvalue = continued \\",
    '\tvalue = "continued \\',
    "\tvalue = trailing   ",
    '\tvalue = "trailing   "',
    "\tvalue=",
    "\tvalue",
    "\tMixedCase = X",
    "\t1value = x",
    "\tvalue = \\x",
    '\tvalue = "open',
    "# comment \\",
    "; [core]",
    "",
    "\r",
]
NOISE = '\t \\"#;=[]\r\n\x0b\x0c\x1c\x85\N{LINE SEPARATOR}\N{NO-BREAK SPACE}aZ09.-ü\ufeff'

noise = st.text(NOISE, max_size=12)
line = st.sampled_from(PIECES) | st.sampled_from(PIECES) | noise
texts = st.tuples(st.lists(line, max_size=8).map("\n".join), st.sampled_from(["", "\n"])).map("".join)


def listed(text: str) -> dict[str, str | None] | None:
    """Return each variable's last value as git reads it (None: no value), or None if git refuses the file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config"
        file.write_bytes(text.encode())
        command = ["git", "config", "--file", str(file), "--no-includes", "--null", "--list"]
        done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode:
        return None
    entries = (entry.partition("\n") for entry in done.stdout.decode().split("\0")[:-1])
    return {key: value if equals else None for key, equals, value in entries}


@given(texts)
def test_values_are_what_git_reads(text: str) -> None:
    """Every variable of a file that git takes has the value that git gives it."""
    config = RepositoryConfig(text)
    for key, value in (listed(text) or {}).items():
        assert (key, _spaced(config.get(key))) == (key, "true" if value is None else _spaced(value))


@given(texts, st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(is_branch_name))
def test_any_branch_can_be_tracked(text: str, branch: str) -> None:
    """What is added says to git what it should, and what was there is there, byte for byte."""
    before = listed(text)
    tracking = RepositoryConfig(text).tracking(branch)
    assert tracking.text.startswith(text)
    assert tracking.tracking(branch).text == tracking.text
    if before is not None:
        after = listed(tracking.text)
        assert after is not None
        assert after[f"branch.{branch}.merge"] == f"refs/heads/{branch}"
        assert {**before, **_added(after, branch)} == after


def _added(after: dict[str, str | None], branch: str) -> dict[str, str | None]:
    keys = ("remote.origin.fetch", f"branch.{branch}.remote", f"branch.{branch}.merge")
    return {key: after[key] for key in keys if key in after}


def _spaced(value: str | None) -> str | None:
    """Older gits make a space of each tab between words."""
    return value and value.replace("\t", " ").replace("\r", " ")
