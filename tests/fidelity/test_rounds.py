"""Random rounds: whatever an agent does to a session, git agrees with what the service makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fidelity.arena import Arena
from tests.fidelity.judge import Sides, commit
from tests.fidelity.rounds import KINDS, play, replay

CASES = Path(__file__).parents[2] / ".fuzz"
# How many of each kind there are in the suite; scripts/fuzz asks for others.
SEEDS = {
    "commit": range(20),
    "clone": range(8),
    "rebase": range(12),
    "sync": range(16),
    "switch": range(8),
    "inspect": range(8),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each seed: those of the suite, or those that were asked for."""
    first, _, count = metafunc.config.getoption("--rounds").partition(":")
    if "seed" in metafunc.fixturenames:
        seeds = {
            kind: range(int(first), int(first) + int(count or 1)) if first else SEEDS[kind] for kind in KINDS
        }
        cases = [(kind, seed) for kind in KINDS for seed in seeds[kind]]
        metafunc.parametrize(("kind", "seed"), cases, ids=[f"{kind}-{seed}" for kind, seed in cases])


async def test_rounds(arena: Arena, kind: str, seed: int) -> None:
    """Tree, index, status, refs, config and files are git's, or it was said that they are not."""
    await play(arena, kind, seed, CASES)


async def test_a_disagreement_can_be_replayed(tmp_path: Path) -> None:
    """What a round leaves is the session and the remote as they were, for git to judge again."""
    with Arena(tmp_path / "arena") as arena:
        arena.start({"a": "a\n"})
        arena.write({"b": "b\n"})
        facts = {"kind": "commit", "seed": 1, "fields": {}}
        file = arena.save(arena.pack(), arena.remote.path, tmp_path / "case.tar", **facts)
    verdict = await replay(file, tmp_path / "replay")
    assert verdict.result.files_changed == 1
    assert not verdict.differences


async def test_the_judge_can_disagree(arena: Arena, tmp_path: Path) -> None:
    """Where the service commits another tree than git, the judge says in what they differ."""
    arena.start({"a": "a\n"})
    archive = arena.pack()
    arena.write({"b": "b\n"})
    arena.put(arena.pack())
    sides = Sides(arena)
    arena.put(archive)
    await arena.runner.commit(message="Nothing of it")
    git = sides.git()
    commit(git)
    found = {(difference.aspect, difference.key) for difference in sides.compare(git)}
    assert {("tree", "b"), ("index", "b 0"), ("files", "b"), ("commits", "new commit 1")} <= found
