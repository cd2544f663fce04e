"""Whole jobs against the same job done by a shell, and how their cost grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench import peers
from bench.lab import CHANGED, Lab
from bench.measure import Result, Samples, Usage, compared, exponent
from bench.repositories import Shape
from bench.stand_ins import TOKEN

Work = Callable[[Lab, Shape], Usage]
Limits = tuple[float | None, float | None]
_LINEAR = 1.1  # an exponent that leaves room for noise


def clone(lab: Lab) -> Iterator[Result]:
    """Yield the rows of clone-repository."""
    yield from _sizes(
        lab, "clone-repository", peers.CLONE, _clone, peers.clone, limits=((0.9, 0.9), (0.9, 0.9))
    )


def commit(lab: Lab) -> Iterator[Result]:
    """Yield the rows of commit-and-push."""
    what = f"commit-and-push of {CHANGED} files"
    yield from _sizes(lab, what, peers.COMMIT, _commit, peers.commit, limits=((0.6, None), (0.35, None)))


def branch(lab: Lab) -> Iterator[Result]:
    """Yield the rows of create-branch."""
    for shape, limit in ((lab.mid, 0.5), (lab.large, 0.2)):
        pairs = _measured(lab, shape, _branch, peers.branch)
        yield from compared(f"create-branch, {shape.name}", peers.BRANCH, pairs, limit, None)


def _sizes(
    lab: Lab,
    what: str,
    against: str,
    ours: Work,
    theirs: Work,
    *,
    limits: tuple[Limits, Limits],
) -> Iterator[Result]:
    """Yield the rows of each size; `limits` are those of mid and large, by the clock and of the processor."""
    measured = {shape.name: _measured(lab, shape, ours, theirs) for shape in (lab.small, lab.mid, lab.large)}
    # The small one shows what a job costs whatever its size: it has no target.
    for (name, pairs), limit in zip(measured.items(), ((None, None), *limits), strict=True):
        yield from compared(f"{what}, {name}", against, pairs, *limit)
    for less, more in ((lab.small, lab.mid), (lab.mid, lab.large)):
        yield _growth(lab, what, (less, more), (measured[less.name], measured[more.name]))


def _measured(lab: Lab, shape: Shape, ours: Work, theirs: Work) -> list[tuple[Usage, ...]]:
    repeat = lab.heavy_repeat if shape is lab.large else lab.repeat
    return lab.interleaved(repeat, lambda: ours(lab, shape), lambda: theirs(lab, shape))


def _growth(
    lab: Lab, what: str, shapes: tuple[Shape, Shape], measured: tuple[Sequence[tuple[Usage, ...]], ...]
) -> Result:
    less, more = shapes
    # What is linear in both costs at most as many times as the one that grew more.
    growth = max(lab.size(more) / lab.size(less), lab.files(more) / lab.files(less))

    def power(side: int) -> Samples:
        small, great = (Samples(tuple(pair[side].cpu for pair in pairs)).median for pairs in measured)
        return Samples((exponent(small, great, growth),))

    return Result(
        what=f"{what}: CPU's exponent, {less.name} to {more.name}",
        unit="",
        ours=power(0),
        limit=_LINEAR,
        note=f"({growth:.1f} times as large; the peer's is {power(1).median:.2f})",
    )


def _clone(lab: Lab, shape: Shape) -> Usage:
    return lab.job("/clone-repository", lab.clone_body(shape))


def _commit(lab: Lab, shape: Shape) -> Usage:
    with lab.rewound(shape):
        return lab.job("/commit-and-push", {"sessionId": lab.session(shape), "accessToken": TOKEN})


def _branch(lab: Lab, shape: Shape) -> Usage:
    with lab.rewound(shape):
        return lab.job("/create-branch", branch_body(lab, shape))


def branch_body(lab: Lab, shape: Shape) -> dict[str, str]:
    """Return a request to start a branch in a session."""
    return {
        "sessionId": lab.session(shape),
        "userRequest": "Add a dark mode toggle",
        "baseBranch": lab.branch(shape),
        "accessToken": TOKEN,
    }
