"""Rounds of random work, each with a seed, and a file of each that git does not agree with."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.fidelity.agent import Agent
from tests.fidelity.arena import Arena, load
from tests.fidelity.branch_judge import judge_inspection, judge_switch, judge_sync
from tests.fidelity.judge import Verdict, judge_clone, judge_commit

# What git would make of it is not certain, or it would overwrite an ignored file.
UNCERTAIN = r"MERGE_CONFLICT: (It is not certain|.* cannot be rebased)|uncommitted_changes: "
FORMATS = (("--format=gnu",), ("--format=posix",), ("--format=gnu", "--mtime=@1700000000"))


class Disagreement(AssertionError):
    """Git does not agree with what the service did; the message says where the session is kept."""


class Round:
    """One random round of a kind; what fails is left as a file in `cases`."""

    def __init__(self, arena: Arena, name: str, seed: int, cases: Path) -> None:
        self.arena = arena
        self.name = name
        self.seed = seed
        self.cases = cases
        self.random = Random(seed)  # noqa: S311 (a test's)
        self.agent = Agent(self.random, arena.git)

    async def commit(self) -> None:
        """Work on a session, and commit it, some times over."""
        self._begin()
        for number in range(self.random.randint(1, 3)):
            if number:
                self.arena.lay_out()
            self.agent.work(self.random.randint(2, 12))
            verdict = await self._judge("commit", self.random.choice(FORMATS))
            if verdict.error is not None:
                return

    async def clone(self) -> None:
        """Clone what a random history left on the remote, and commit some work in it."""
        self._begin()
        for branch in self.random.sample(("topic", "feature/x", "other"), k=self.random.randint(0, 3)):
            self._commit("checkout", "--quiet", "-B", branch)
            self.arena.git("push", "--quiet", "--force", "origin", branch)
        fields: dict[str, Any] = {}
        if self.random.random() < 0.5:
            fields["branch"] = self.random.choice(("main", "topic", "feature/x", "none"))
        if self.random.random() < 0.4:
            fields["depth"] = self.random.randint(1, 3)
        fields["all_branches"] = self.random.random() < 0.4
        verdict = await self._judge("clone", fields=fields)
        if verdict.error is None:
            self.arena.lay_out()
            self.agent.work(self.random.randint(1, 6))
            await self._judge("commit", self.random.choice(FORMATS))

    async def rebase(self) -> None:
        """Let the remote move on before some work is committed."""
        self._begin(attributes=self.random.random() < 0.3)
        archive = self.arena.pack()
        self.agent.edit_files(self.random.randint(1, 5))
        self._commit("push", "--quiet", "origin", "main")
        self.arena.put(archive)
        self.arena.lay_out()
        for _ in range(self.random.choice((0, 0, 1, 2))):
            self.agent.edit_files(self.random.randint(1, 3))
            self._commit()
        self.agent.edit_files(self.random.randint(1, 5))
        await self._judge("commit", FORMATS[0])

    async def sync(self) -> None:
        """Let main move on, and the session's branch too, and bring the one into the other."""
        await self._diverge()
        fields: dict[str, Any] = {"base": "main"}
        if self.random.random() < 0.25:
            fields["method"] = "rebase"
            self._commit()  # git would take edits apart and put them together again
        else:
            fields["leave_conflicts"] = self.random.random() < 0.8
        await self._judge("sync", FORMATS[0], fields)

    async def switch(self) -> None:
        """Put the session, with some edits, on another branch."""
        await self._diverge()
        await self._judge("switch", FORMATS[0], {"branch": "main"})

    async def inspect(self) -> None:
        """Look at what an agent did to a session."""
        self._begin()
        self.agent.work(self.random.randint(2, 12))
        await self._judge("inspect", self.random.choice(FORMATS))

    async def _diverge(self) -> None:
        """Let the session be on a branch with commits and edits of its own, while main moves on."""
        self._begin(attributes=self.random.random() < 0.3)
        if self.random.random() < 0.5:
            self.arena.git("checkout", "--quiet", "-b", "work")
            archive = self.arena.pack()
            self.arena.git("checkout", "--quiet", "main")
        else:
            self.arena.git("checkout", "--quiet", "-b", "work")
            self.arena.git("branch", "--quiet", "--delete", "--force", "main")
            archive = self.arena.pack()
            self.arena.git("checkout", "--quiet", "-b", "main")
        self.agent.edit_files(self.random.randint(1, 5))
        self._commit("push", "--quiet", "origin", "main")
        self.arena.put(archive)
        self.arena.lay_out()
        for _ in range(self.random.choice((0, 1, 1, 2))):
            self.agent.edit_files(self.random.randint(1, 3))
            self._commit()
        for _ in range(self.random.choice((0, 1, 2))):
            self.agent.edit_files(1)
            if self.random.random() < 0.4:
                self.arena.git.try_("add", "--all")

    def _begin(self, *, attributes: bool = True) -> None:
        self.arena.start(
            {"README.md": "# Demo\n", "src/a": "alpha\nbeta\ngamma\n" * 5, "d/e/c.py": "1\n2\n3\n" * 9}
        )
        for _ in range(self.random.randint(1, 3)):
            self.agent.edit_files(self.random.randint(2, 8))
            if attributes:
                self.random.choice((self.agent.attribute, self.agent.ignore, self.agent.configure))()
            self._commit()
        self.arena.git("push", "--quiet", "origin", "main")

    def _commit(self, *before: str) -> None:
        if before[:1] == ("checkout",):
            self.arena.git(*before)
        self.arena.git.try_("add", "--all")
        self.arena.git("commit", "--quiet", "--allow-empty", "--message=Work")
        if before[:1] == ("push",):
            self.arena.git(*before)

    async def _judge(
        self, kind: str, options: tuple[str, ...] = (), fields: dict[str, Any] | None = None
    ) -> Verdict:
        if kind != "clone":
            self.arena.put(self.arena.pack(*options))
        archive, remote = self.arena.get(), self.arena.root / "remote-before.git"
        shutil.rmtree(remote, ignore_errors=True)
        shutil.copytree(self.arena.remote.path, remote, symlinks=True)
        verdict = await judge(self.arena, kind, fields or {})
        if verdict.differences:
            file = self.cases / f"{self.name}-{self.seed}.tar"
            self.arena.save(archive, remote, file, kind=kind, seed=self.seed, fields=fields or {})
            steps = "\n".join(self.agent.said)
            raise Disagreement(
                f"{verdict}\nseed {self.seed}, left as {file.resolve()}\nafter these steps:\n{steps}"
            )
        return verdict


def judge(arena: Arena, kind: str, fields: dict[str, Any]) -> Awaitable[Verdict]:
    """Let git judge one job."""
    match kind:
        case "commit":
            return judge_commit(arena)
        case "sync":
            return judge_sync(arena, UNCERTAIN, **fields)
        case "switch":
            return judge_switch(arena, **fields)
        case "inspect":
            return judge_inspection(arena)
    return judge_clone(arena, **fields)


async def replay(file: Path, root: Path) -> Verdict:
    """Let git judge a case that was left, in the folder `root`."""
    arena, facts = load(file, root)
    with arena:
        fields = facts["fields"]
        assert isinstance(fields, dict)
        return await judge(arena, str(facts["kind"]), fields)


_KINDS: dict[str, Callable[[Round], Awaitable[None]]] = {
    "commit": Round.commit,
    "clone": Round.clone,
    "rebase": Round.rebase,
    "sync": Round.sync,
    "switch": Round.switch,
    "inspect": Round.inspect,
}
KINDS = (*_KINDS,)


def play(arena: Arena, kind: str, seed: int, cases: Path) -> Awaitable[None]:
    """Play a round; raise Disagreement, with the session left in `cases`, where git does not agree."""
    return _KINDS[kind](Round(arena, kind, seed, cases))
