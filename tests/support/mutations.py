"""A sample of mutations of the code, each run against the tests: what survives is a test that is missing.

How the sample is drawn: a function of `github_worker` or `clients` (a method too; a module's and a class's
own statements count as one each) uniformly from all that can be mutated at all, then one of its mutations,
again uniformly; no mutation twice. The seed decides everything. A mutation changes one thing:

- a comparison: `<` and `<=`, `>` and `>=`, `==` and `!=`, `is` and `is not`, `in` and `not in`;
- a number, by one; True and False; `+` and `-`, `*` and `//`; `and` and `or`; `not x` to `x`;
- the condition of an `if`, a `while` or a comprehension: its opposite;
- what is returned: None;
- a call whose value nobody uses, a `raise`, an augmented assignment: removed.

Strings, annotations, decorators, a class's own arguments and what stands under TYPE_CHECKING stay. Each
mutation is applied alone, in a copy of the repository with an environment of its own, and the tests of its
package run there until one fails. One that survives has to be judged: it may change no behaviour (a faster
way, a message, a bound that nothing reaches).
"""

from __future__ import annotations

import ast
import copy
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer

ROOT = Path(__file__).parents[2]
LIMIT = 600.0  # seconds for a mutation's tests
_SINGLE = sorted(f"tests/{path.name}" for path in (ROOT / "tests").glob("test_*.py"))
# The first prefix of a module's path that fits says which tests are likely to notice; without one, all.
TESTS = {
    "clients/": ["tests/client", "tests/test_contract.py"],
    "github_worker/contract/": ["tests/test_contract.py", "tests/life", "tests/fuzz", "tests/client"],
    "github_worker/git/": [
        "tests/git",
        "tests/operations",
        "tests/security",
        "tests/fuzz/test_git_config.py",
    ],
    "github_worker/github/": ["tests/pull_requests"],
    "github_worker/naming/": ["tests/naming", "tests/operations", "tests/pull_requests"],
    "github_worker/operations/": [
        "tests/operations",
        "tests/pull_requests",
        "tests/security",
        "tests/reliability",
    ],
    "github_worker/sessions/": [
        "tests/sessions",
        "tests/stores",
        "tests/operations",
        "tests/security",
        "tests/fuzz",
    ],
    "github_worker/": ["tests/life", "tests/reliability", "tests/stores", *_SINGLE],
}
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_FUNCTIONS, ast.ClassDef)


@dataclass(frozen=True)
class Mutation:
    """One change: the text from `begin` to `end` (offsets in the file's bytes) becomes `text`."""

    file: Path
    function: str
    line: int
    begin: int
    end: int
    text: str

    def applied(self, source: bytes) -> bytes:
        """Return the file as it is then."""
        return source[: self.begin] + self.text.encode() + source[self.end :]

    def __str__(self) -> str:
        before = " ".join((ROOT / self.file).read_bytes()[self.begin : self.end].decode().split())
        return f"{self.file}:{self.line} {self.function}: {before}  ->  {self.text}"


def mutations(file: Path) -> dict[str, list[Mutation]]:
    """Return all mutations of a file (below the root), by function."""
    source = (ROOT / file).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: dict[str, list[Mutation]] = {}
    for name, node, text in _changes(ast.parse(source), file.stem):
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        found.setdefault(name, []).append(Mutation(file, name, node.lineno, begin, end, text))
    return found


def _changes(scope: ast.AST, name: str) -> Iterator[tuple[str, ast.expr | ast.stmt, str]]:
    """Yield a scope's changes and those of the scopes within: where they are, and what stands there then."""
    for child in _children(scope):
        if isinstance(child, _SCOPES):
            yield from _changes(child, f"{name}.{child.name}")
            continue
        yield from _changes(child, name)
        if isinstance(child, ast.stmt) and _can_go(child):
            yield name, child, "pass"
        for node, changed in _changed(child):
            yield name, node, changed if isinstance(changed, str) else f"({ast.unparse(changed)})"


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may be mutated below: no annotations, no strings, nothing for the type checker alone."""
    if isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ):
        return
    kept = {"annotation", "returns", "bases", "decorator_list"} | (
        {"keywords"} if isinstance(node, ast.ClassDef) else set()
    )
    for field, value in ast.iter_fields(node):
        if field not in kept:
            yield from (each for each in (value if isinstance(value, list) else [value]) if _is_node(each))


def _is_node(value: object) -> bool:
    return isinstance(value, ast.AST)


def _can_go(node: ast.stmt) -> bool:
    call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)
    return call or isinstance(node, ast.Raise | ast.AugAssign)


def _changed(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | str]]:
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _COMPARISONS:
            yield node, ast.Compare(node.left, [_COMPARISONS[type(operator)]()], node.comparators)
        case ast.Constant(value=bool(value)):
            yield node, str(not value)
        case ast.Constant(value=int(value)):
            yield node, str(value + 1)
        case ast.BinOp(op=operator) if type(operator) in _ARITHMETIC:
            yield node, ast.BinOp(node.left, _ARITHMETIC[type(operator)](), node.right)
        case ast.BoolOp(op=operator):
            yield node, ast.BoolOp(ast.And() if isinstance(operator, ast.Or) else ast.Or(), node.values)
        case ast.UnaryOp(op=ast.Not()):
            yield node, node.operand
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield value, "None"
        case ast.comprehension(ifs=conditions):
            yield from ((condition, _opposite(condition)) for condition in conditions)
    if isinstance(node, ast.If | ast.While | ast.IfExp) and not isinstance(node.test, ast.Constant):
        yield node.test, _opposite(node.test)


def _opposite(condition: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), copy.deepcopy(condition))


def sample(seed: int, count: int, below: Sequence[str]) -> list[Mutation]:
    """Draw mutations of the files whose path begins with one of `below`."""
    files = [
        path.relative_to(ROOT) for top in ("github_worker", "clients") for path in (ROOT / top).rglob("*.py")
    ]
    functions = [
        changes
        for file in sorted(files)
        if str(file).startswith(tuple(below))
        for _, changes in sorted(mutations(file).items())
    ]
    draw = random.Random(seed)  # noqa: S311 (no secret)
    drawn: list[Mutation] = []
    while len(drawn) < count and any(functions):
        function = draw.choice([changes for changes in functions if changes])
        drawn.append(function.pop(draw.randrange(len(function))))
    return drawn


def verdict(mutation: Mutation, folder: Path) -> str:
    """Apply a mutation in the copy, run its tests, take it back; say what noticed it, or `SURVIVED`."""
    file = folder / mutation.file
    source = file.read_bytes()
    file.write_bytes(mutation.applied(source))
    try:
        return _tested(folder, _tests(mutation))
    finally:
        file.write_bytes(source)


def _tests(mutation: Mutation) -> list[str]:
    fitting = (tests for prefix, tests in TESTS.items() if str(mutation.file).startswith(prefix))
    return next(fitting, ["tests"])


def _tested(folder: Path, tests: Sequence[str]) -> str:
    # What one mutation made hypothesis remember is not for the next.
    shutil.rmtree(folder / ".hypothesis", ignore_errors=True)
    options = ["--verbose", "--tb=no", "--hypothesis-seed=0", "-p", "no:cacheprovider"]
    command = ["scripts/test", "--numprocesses", "auto", *options, f"--basetemp={folder}-files", *tests]
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        # Not by --exitfirst, which waits for the tests that others are at: they may never end.
        limit = Timer(LIMIT, os.killpg, (process.pid, signal.SIGKILL))
        limit.start()
        assert process.stdout
        line = ""
        for line in process.stdout:
            if {"FAILED", "ERROR"} & set(line.split()):
                limit.cancel()
                os.killpg(process.pid, signal.SIGKILL)
                return f"caught: {line.partition('tests/')[2].strip()}"
        limit.cancel()
    return "SURVIVED" if process.returncode == 0 else f"caught: {line.strip() or f'no end in {LIMIT:.0f} s'}"


def main(seed: str, count: str, *below: str) -> None:
    """Print each mutation of a sample with its verdict, and how many survived."""
    drawn = sample(int(seed), int(count), below or ("",))
    survivors = 0
    with TemporaryDirectory(prefix="github-worker-mutations-") as name:
        folder = Path(name) / "copy"
        names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")[:-1]
        for file in names:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, folder / file)
        subprocess.run(["git", "init", "--quiet", folder], check=True)
        for number, mutation in enumerate(drawn, 1):
            said = verdict(mutation, folder)
            survivors += said == "SURVIVED"
            print(f"{number}/{len(drawn)} {mutation}\n    {said}", flush=True)  # noqa: T201 (it is the answer)
    print(f"{survivors} of {len(drawn)} survived (seed {seed})")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
