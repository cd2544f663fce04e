"""Refs that a stranger wrote: none leads outside, and what cannot be worked with is said."""

from __future__ import annotations

import pytest

from tests.security.conftest import Attack, commit_or_sentence

REFS = {
    "HEAD beyond": {".git/HEAD": "ref: ../../../../outside/HEAD\n"},
    "HEAD within refs": {".git/HEAD": "ref: refs/heads/../../../../../outside/HEAD\n"},
    "HEAD absolute": {".git/HEAD": "ref: /etc/passwd\n"},
    "HEAD empty": {".git/HEAD": ""},
    "HEAD garbage": {".git/HEAD": "\0\xff" * 100},
    "HEAD to itself": {".git/HEAD": "ref: HEAD\n"},
    "HEAD to nothing": {".git/HEAD": f"{'0' * 40}\n"},
    "HEAD to what is not there": {".git/HEAD": f"{'1' * 40}\n"},
    "a loop": {
        ".git/HEAD": "ref: refs/heads/a\n",
        ".git/refs/heads/a": "ref: refs/heads/b\n",
        ".git/refs/heads/b": "ref: refs/heads/a\n",
    },
    "a branch beyond": {".git/refs/heads/{branch}": "ref: ../../../outside/HEAD\n"},
    "a branch of garbage": {".git/refs/heads/{branch}": "canary\n"},
    "a branch to what is not there": {".git/refs/heads/{branch}": f"{'1' * 40}\n"},
    "a tracked branch of garbage": {".git/refs/remotes/origin/{branch}": "canary\n"},
    "a tracked branch to what is not there": {".git/refs/remotes/origin/{branch}": f"{'1' * 40}\n"},
    "another branch of garbage": {".git/refs/remotes/origin/other": "canary\n"},
    "another branch beyond": {".git/refs/remotes/origin/other": "ref: ../../../outside/HEAD\n"},
    "another branch to what is not there": {".git/refs/remotes/origin/other": f"{'1' * 40}\n"},
    "a loop of others": {".git/refs/remotes/origin/HEAD": "ref: refs/remotes/origin/HEAD\n"},
    "packed garbage": {".git/packed-refs": "# pack-refs with: sorted\n\xff\0 garbage\n^^\n"},
    "packed beyond": {".git/packed-refs": f"{'1' * 40} ../../outside/HEAD\n"},
    "odd names": {
        ".git/refs/heads/a b": f"{'1' * 40}\n",
        ".git/refs/heads/a..b": f"{'1' * 40}\n",
        ".git/refs/heads/\udcff": f"{'1' * 40}\n",
        ".git/refs/heads/@{0}": f"{'1' * 40}\n",
        ".git/refs/heads/-x": f"{'1' * 40}\n",
    },
    "odd names that are sound": {
        ".git/refs/heads/\udcff": "{head}\n",
        ".git/refs/remotes/origin/\udcff": "{head}\n",
    },
    "replaced objects": {".git/refs/replace/{head}": "{head}\n"},
    "a shallow garbage": {".git/shallow": "garbage\n"},
    "a merge of garbage": {".git/MERGE_HEAD": "garbage\n"},
    "a merge of what is not there": {".git/MERGE_HEAD": f"{'1' * 40}\n"},
}


@pytest.mark.parametrize("files", REFS.values(), ids=REFS)
async def test_odd_refs_are_a_commit_or_a_sentence(files: dict[str, str], attack: Attack) -> None:
    """Nothing outside is read for one, and what cannot be worked with is said."""
    head = attack.origin.branches()[attack.branch]

    def filled(text: str) -> str:
        return text.replace("{branch}", attack.branch).replace("{head}", head)

    attack.change({"new.txt": "new\n", **{filled(name): filled(text) for name, text in files.items()}})
    await commit_or_sentence(attack)
