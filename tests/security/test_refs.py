"""Refs that a stranger wrote: none leads outside, and what cannot be worked with is said."""

from __future__ import annotations

import pytest

from github_worker.errors import UnsupportedRepository
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


DANGLING = {
    "HEAD of the remote": {".git/refs/remotes/origin/HEAD": "ref: refs/remotes/origin/gone\n"},
    "HEAD of another remote": {".git/refs/remotes/upstream/HEAD": "ref: refs/remotes/upstream/gone\n"},
    "a branch": {".git/refs/heads/alias": "ref: refs/heads/gone\n"},
    "a note": {".git/refs/notes/commits": "ref: refs/notes/gone\n"},
    "garbage": {".git/refs/remotes/origin/other": "canary\n"},
}
ABSENT = {
    "HEAD of the remote": {".git/refs/remotes/origin/HEAD": f"{'1' * 40}\n"},
    "a branch": {".git/refs/remotes/origin/other": f"{'1' * 40}\n"},
    "a branch by zeros": {".git/refs/remotes/origin/other": f"{'0' * 40}\n"},
}


@pytest.mark.parametrize("files", DANGLING.values(), ids=DANGLING)
async def test_a_ref_that_leads_to_nothing_is_not_in_the_way(files: dict[str, str], attack: Attack) -> None:
    """As when a remote's default branch was renamed, and the old one pruned; git commits and pushes too."""
    attack.change({"new.txt": "new\n", **files})
    assert (await attack.commit()).pushed
    attack.change({"newer.txt": "newer\n"})
    attack.origin.commit({"theirs.txt": "1\n"}, branch=attack.branch)
    assert (await attack.commit()).pushed
    assert (await attack.runner.branch("Something else")).pushed


@pytest.mark.parametrize("files", ABSENT.values(), ids=ABSENT)
async def test_a_ref_to_a_commit_that_is_not_there_is_not_in_the_way(
    files: dict[str, str], attack: Attack
) -> None:
    """It says nothing of what the remote has, and git passes it over."""
    attack.change({"new.txt": "new\n", **files})
    assert (await attack.commit()).pushed


HEADS = ["refs/heads/HEAD", "refs/heads/-x", "refs/heads/-", "refs/heads/--delete"]


@pytest.mark.parametrize("is_born", [True, False])
@pytest.mark.parametrize("head", HEADS)
async def test_a_head_on_what_no_forge_takes_for_a_branch_is_refused(
    head: str, is_born: bool, attack: Attack
) -> None:
    """Git makes no such branch, and nothing is pushed to one."""
    before = attack.origin.branches()
    tip = {f".git/{head}": f"{before[attack.branch]}\n"} if is_born else {}
    attack.change({"new.txt": "new\n", ".git/HEAD": f"ref: {head}\n", **tip})
    error = await commit_or_sentence(attack)
    assert isinstance(error, UnsupportedRepository)
    assert head.removeprefix("refs/heads/") in str(error)
    assert attack.origin.branches() == before
