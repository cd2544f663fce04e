"""What a stage tells of itself, how often, and in which order."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from github_worker.contract import AnyEvent, Progress, Stage, Transferred, Warned
from github_worker.progress import ByteCount, Report, watch
from github_worker.redaction import MASK, Secret


@pytest.fixture
def events() -> list[AnyEvent]:
    """Return where a report's events go."""
    return []


@pytest.fixture
def report(events: list[AnyEvent]) -> Report:
    """Return a report."""
    return Report(events.append)


def percents(events: list[AnyEvent]) -> list[int | None]:
    """Return the counts' percents."""
    return [event.percent for event in events if isinstance(event, Transferred)]


def test_a_stage_tells_four_times_a_second_at_most(report: Report, events: list[AnyEvent]) -> None:
    """Its beginning and its end are two of them, and the end is never dropped."""
    report("cloning", "Cloning")
    told = [began := time.monotonic()]
    while (now := time.monotonic()) < began + 0.95:
        report.count(int(1000 * (now - began)), 10_000, 0)
        told += [now] * (len(events) - len(told))
        time.sleep(0.0005)
    report.count_last(10_000, 0)
    told.append(time.monotonic())
    assert percents(events)[-1] == 100
    assert len(events) == len(told) >= 3
    assert max(sum(at <= other < at + 1 for other in told) for at in told) <= 4


@pytest.mark.parametrize(
    ("received", "total", "percent"),
    [(0, 10, 0), (999, 1000, 99), (10, 10, 99), (12, 10, 99), (3, None, None)],
)
def test_no_count_but_the_last_says_100(
    received: int, total: int | None, percent: int | None, report: Report, events: list[AnyEvent]
) -> None:
    """Not even of a total that was wrong; without a total there is no percent."""
    report("cloning", "Cloning")
    time.sleep(0.35)
    report.count(received, total, 7)
    counted = events[-1]
    assert isinstance(counted, Transferred)
    assert (counted.percent, counted.received, counted.total, counted.bytes) == (
        percent,
        received,
        total,
        7,
    )


def test_a_stage_begins_before_its_counts(report: Report, events: list[AnyEvent]) -> None:
    """Each stage is told with its words, and what a short one counts last is told too."""
    report.count(1, 2, 0)
    report.count_last(2, 0)
    stages: tuple[Stage, ...] = ("cloning", "uploading")
    for stage in stages:
        report(stage, stage.title())
        report.count(1, 2, 0)
        report.count_last(2, 0)
    told = [(type(event), event.stage) for event in events if isinstance(event, Progress | Transferred)]
    assert told == [(kind, stage) for stage in stages for kind in (Progress, Transferred)]


def test_a_stage_that_comes_again_is_told_once(report: Report, events: list[AnyEvent]) -> None:
    """A person reads every line; what the stage counts then is told as at first."""
    for number in range(3):
        report("pushing", f"Pushing for the {number}. time")
        report("rebasing", "Rebasing")
    report("pushing", "Pushing again")
    report.count_last(2, 0)
    assert [event.message for event in events if isinstance(event, Progress)] == [
        "Pushing for the 0. time",
        "Rebasing",
    ]
    assert [event.stage for event in events if isinstance(event, Transferred)] == ["pushing"]


def test_a_stage_that_comes_again_adds_up(report: Report) -> None:
    """The timings are milliseconds by stage, and the report is over with them."""
    stages: tuple[Stage, ...] = ("pushing", "rebasing", "pushing")
    for stage in stages:
        report(stage, stage)
        time.sleep(0.02)
    timings = report.finish()
    assert list(timings) == ["pushing", "rebasing"]
    assert timings["pushing"] >= 40
    assert report.stage is None
    assert report.finish() == timings


def test_what_is_told_is_scrubbed(report: Report, events: list[AnyEvent]) -> None:
    """Stages and warnings may quote a remote."""
    secret = Secret("token-of-nobody-0123456789")
    report("pushing", f"remote: {secret.reveal()}")
    report.warning("odd", f"remote: {secret.reveal()}")
    assert [event.message for event in events if isinstance(event, Progress | Warned)] == [
        f"remote: {MASK}"
    ] * 2


def test_threads_may_tell_at_once(report: Report, events: list[AnyEvent]) -> None:
    """Nothing is lost or torn."""
    report("uploading", "Uploading")

    def tell(number: int) -> None:
        for each in range(200):
            report.count(each, 1000, 0)
            report.warning(str(number), str(each))

    threads = [threading.Thread(target=tell, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        said = [event.message for event in events if isinstance(event, Warned) and event.code == str(number)]
        assert said == [str(each) for each in range(200)]


async def test_work_is_watched_until_it_is_done() -> None:
    """Counts come while it lasts; its result and its error come through."""
    counts: list[int] = []
    assert await watch(asyncio.sleep(0.8, "done"), lambda: counts.append(1)) == "done"
    assert 1 <= len(counts) <= 2

    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await watch(fail(), lambda: counts.append(1))


def test_bytes_are_counted_as_they_pass() -> None:
    """Another thread may read how many there were by now."""
    count = ByteCount()
    seen = [(chunk, count.size) for chunk in count.count_chunks(iter([b"ab", b"", b"c"]))]
    assert seen == [(b"ab", 2), (b"", 2), (b"c", 3)]


async def test_a_transfer_says_at_last_that_all_bytes_are_there(
    report: Report, events: list[AnyEvent]
) -> None:
    """However short it was, and whether or not the total was known."""
    report("uploading", "Saving")
    count = ByteCount()

    async def move() -> str:
        count.size = 5
        return "moved"

    assert await report.transfer(move(), count) == "moved"
    assert percents(events) == [100]
