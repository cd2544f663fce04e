"""Many jobs on one port: a process that never reads a request, and its children, one for each job.

It has imported everything, and has neither threads nor an event loop, so a fork is a whole worker within
milliseconds. One child, the acceptor, reads requests and answers all that is no job. Every other one waits
for a single request (spare, then offered to the acceptor), takes it and waits for its turn, works, and sends
what is left of its stream (done). The supervisor decides whose turn it is, and outlives them all.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import gc
import itertools
import logging
import os
import selectors
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NoReturn

from github_worker import __version__, worker
from github_worker import channel as channels
from github_worker.channel import Channel, Flag, Kind, Message
from github_worker.errors import ConfigurationError
from github_worker.jobs import Timeouts
from github_worker.measurements import (
    BUILD,
    BUSY,
    GIVEN_UP,
    KILLED,
    LENGTH,
    LIMIT,
    OLDEST,
    ROOM,
    TIMEOUT,
    Account,
    Ledger,
)
from github_worker.oom import OomScore
from github_worker.scratch import Scratch
from github_worker.settings import Settings
from github_worker.web.address import CannotListen, explain
from github_worker.web.server import address_of

logger = logging.getLogger(__name__)

_SPARE = 2  # children that can take a request, or are about to
_BACKLOG = 2048
_TELL = 1.0  # seconds between two places in line that a caller is told
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds before a child is started after one that could not
_FAILURES = 3  # in a row, after which `/health` says so
_TO_START, _TO_END = 60.0, 10.0  # seconds that a child may take
_LONGEST_SLEEP = 5.0
_WRONG_SETTINGS = 2  # the exit status that says so
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)


class State(enum.Enum):
    """What a child does."""

    STARTING = enum.auto()
    SPARE = enum.auto()
    OFFERED = enum.auto()
    WAITING = enum.auto()
    WORKING = enum.auto()
    DONE = enum.auto()


class Child:
    """A process as the supervisor sees it; `ticket` is the end of it that the acceptor is to get."""

    def __init__(self, pid: int, channel: Channel, ticket: socket.socket | None = None) -> None:
        self.pid = pid
        self.channel = channel
        self.state = State.STARTING
        self.has_turn = False
        self.offer = 0  # counts up
        self.place = 0
        self.told_at = 0.0
        self.account: Account | None = None  # of its job
        self.kill_at = time.monotonic() + _TO_START
        self._ticket = ticket

    def pop_ticket(self) -> socket.socket | None:
        """Give the ticket away."""
        ticket, self._ticket = self._ticket, None
        return ticket

    def close(self) -> None:
        """Close the supervisor's ends."""
        self.channel.close()
        self.withdraw()

    def withdraw(self) -> None:
        """Close the ticket, if it is still here: the child ends."""
        if self._ticket is not None:
            self._ticket.close()


class Supervisor:
    """Keeps children, until a signal ends it."""

    def __init__(
        self, settings: Settings, limits: Timeouts, make_operations: Callable[[], worker.Operations]
    ) -> None:
        self._settings, self._limits, self._make_operations = settings, limits, make_operations
        self._limit, self._queue = settings.workers or 1, settings.queue
        self._pid = os.getpid()
        self._acceptor: Child | None = None
        self._children: dict[int, Child] = {}
        self._line: list[Child] = []  # in the order of arrival
        self._janitor: int | None = None
        self._dirty = True  # an earlier supervisor's children may have left something
        self._failures, self._fork_at = 0, 0.0
        self._ever_ready = self._wrong_settings = False
        self._offers = itertools.count()
        self._told: tuple[int, ...] = ()
        self._ledger = Ledger()
        self._signals: list[int] = []
        self._draining = False
        self._score = OomScore()
        self._woken, self._wake = socket.socketpair()
        self._selector = selectors.PollSelector()  # has no descriptor that a fork would share

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT and the end of all jobs; return the exit status."""
        try:
            self._listen()
        except CannotListen as error:
            logger.critical(str(error))
            return 1
        worker.warm_up(self._settings)
        gc.collect()
        gc.freeze()
        self._heed_signals()
        fields = worker.describe(self._settings, address_of(self._listener))
        level = logging.WARNING if fields["warning"] else logging.INFO
        more = {"workers": str(self._limit), "metrics": self._monitor and address_of(self._monitor)}
        logger.log(level, "listening", extra={"fields": fields | more})
        if risk := describe_risk(sys.platform):
            logger.warning(risk)
        while (status := self._take_stock()) is None:
            for key, _ in self._selector.select(self._pause()):
                self._hear(key.data)
        return status

    def _listen(self) -> None:
        """Open the ports; raise CannotListen."""
        settings = self._settings
        self._listener = _listen(settings.host, settings.port, "PORT")
        self._monitor = None
        if settings.metrics_port is not None:
            self._monitor = _listen(settings.host, settings.metrics_port, "METRICS_PORT")

    def _take_stock(self) -> int | None:
        """Do what is to be done by now; return the exit status once that was all."""
        self._reap()
        if len(self._signals) > 1:
            logger.warning("told to end by another signal: all jobs are given up")
            return self._kill_all(128 + self._signals[-1])
        if self._wrong_settings:
            return self._kill_all(_WRONG_SETTINGS)
        self._clean_up()
        self._kill_overdue()
        if self._signals:
            self._say_that_it_drains()
            self._withdraw_tickets()
            if not self._children:
                return self._end()
        self._promote()
        self._start_missing()  # last, as a fork takes longer than all the rest
        return None

    def _heed_signals(self) -> None:
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: self._signals.append(number))

    def _pause(self) -> float:
        """Return the seconds until something is to be done without being told."""
        moments = [child.told_at + _TELL for place, child in enumerate(self._line, 1) if child.place != place]
        moments += [child.kill_at for child in self._all()]
        if self._is_short():
            moments.append(self._fork_at)
        return max(0.0, min([_LONGEST_SLEEP, *(moment - time.monotonic() for moment in moments)]))

    # What children say, and what they are told

    def _hear(self, child: Child | None) -> None:
        """Take in what a child says; None stands for a signal."""
        if child is None:
            self._woken.recv(4096)
            return
        try:
            for message in child.channel.receive():
                self._heed(child, message)
        except EOFError:  # it is about to end
            self._selector.unregister(child.channel)
            child.kill_at = time.monotonic() + _TO_END
        except ValueError as error:
            logger.error(f"a child is killed: {error}", extra={"fields": {"pid": child.pid}})
            _kill(child)

    def _heed(self, child: Child, message: Message) -> None:
        match child.state, message.kind:
            case State.STARTING, Kind.READY:
                child.state, child.kill_at = State.SPARE, float("inf")
                if child is not self._acceptor:
                    self._failures, self._ever_ready = 0, True
            case State.OFFERED, Kind.TAKEN:
                child.account = Account(self._ledger, message.numbers[0])
                if child.has_turn:
                    self._set_to_work(child)
                else:
                    child.state = State.WAITING
                    self._line.append(child)
            case State.WORKING, Kind.STAGE | Kind.AMOUNT | Kind.CODE if child.account:
                child.account.take(message.kind, message.numbers)
            case State.WORKING, Kind.DONE:
                child.state, child.has_turn = State.DONE, False
            case State.SPARE, Kind.REFUSED if child is self._acceptor:
                code, number, _ = message.numbers
                self._ledger.add_refusals(code, number)
            case State.SPARE, Kind.ASK if child is self._acceptor:
                self._tell_measurements(child)
            case state, kind:
                raise ValueError(f"it says {kind.name} while it is {state.name}")

    def _promote(self) -> None:
        """Begin jobs, offer spare children, and tell everybody how things stand."""
        beginning = self._give_turns()
        # The acceptor first: who sees a job's stream finds it in `/status`.
        self._tell_acceptor()
        for child in beginning:
            self._send(child, Kind.BEGIN)
        now = time.monotonic()
        for place, child in enumerate(self._line, 1):
            if child.place != place and now >= child.told_at + _TELL:
                child.place, child.told_at = place, now
                self._send(child, Kind.POSITION, place)

    def _give_turns(self) -> list[Child]:
        """Give turns to those in line, and ahead of their requests to those on offer; return them all."""
        free = self._limit - sum(child.has_turn for child in self._children.values())
        # In the order in which the acceptor uses them: those without a turn come last.
        offered = sorted(self._list(State.OFFERED), key=lambda child: child.offer)
        beginning = [child for child in (*self._line, *offered) if not child.has_turn][:free]
        for child in beginning:
            child.has_turn = True
            if child.state is State.WAITING:
                self._line.remove(child)
                self._set_to_work(child)
        return beginning

    def _set_to_work(self, child: Child) -> None:
        child.state = State.WORKING
        if child.account:
            child.account.begin()
        child.kill_at = time.monotonic() + self._longest()

    def _tell_acceptor(self) -> None:
        acceptor = self._acceptor
        if acceptor is None or acceptor.state is State.STARTING:
            return
        spare = [] if self._signals else self._list(State.SPARE)
        for child in spare:
            if self._has_room() and (ticket := child.pop_ticket()):
                child.state, child.offer = State.OFFERED, next(self._offers)
                with ticket:
                    self._send(acceptor, Kind.TICKET, descriptor=ticket.fileno())
        flags = Flag.ROOM if self._has_room() else Flag(0)
        flags |= Flag.FAILING if self._failures >= _FAILURES else Flag(0)
        flags |= Flag.DRAINING if self._signals else Flag(0)
        told = (self._count(State.WORKING), len(self._line), flags.value)
        if told != self._told:
            self._told = told
            self._send(acceptor, Kind.STATE, *told)

    def _tell_measurements(self, acceptor: Child) -> None:
        """Send all that was measured, in a file without a name: a message has room for three numbers."""
        self._look()
        try:
            with _open_file(self._settings.tmp_dir) as file:
                file.write(self._ledger.encode())
                file.flush()
                self._send(acceptor, Kind.SNAPSHOT, descriptor=file.fileno())
        except OSError as error:
            logger.error(f"the metrics cannot be told: {error.strerror}")

    def _look(self) -> None:
        """Let the gauges say how things stand."""
        ledger, settings = self._ledger, self._settings
        begun = [child.account.began for child in self._list(State.WORKING) if child.account]
        oldest = min((moment for moment in begun if moment is not None), default=None)
        ledger.set(BUSY, value=self._count(State.WORKING))
        ledger.set(LIMIT, value=self._limit)
        ledger.set(LENGTH, value=len(self._line))
        ledger.set(ROOM, value=self._queue)
        ledger.set(OLDEST, value=0.0 if oldest is None else time.monotonic() - oldest)
        ledger.set(TIMEOUT, value=settings.job_timeout)
        ledger.set(BUILD, __version__, settings.build.commit_sha, value=1)

    def _send(self, child: Child, kind: Kind, *numbers: int, descriptor: int | None = None) -> None:
        try:
            child.channel.send(kind, *numbers, descriptor=descriptor)
        except OSError:  # it has ended, or hangs so that it has not read a hundred messages
            _kill(child)

    def _has_room(self) -> bool:
        admitted = self._count(State.OFFERED, State.WAITING, State.WORKING)
        return admitted < self._limit + self._queue

    def _count(self, *states: State) -> int:
        return len(self._list(*states))

    def _list(self, *states: State) -> list[Child]:
        return [child for child in self._children.values() if child.state in states]

    def _longest(self) -> float:
        limits = self._limits
        return self._settings.job_timeout + 2 * limits.grace + limits.linger + limits.overdue

    # Their beginning

    def _is_short(self) -> bool:
        spare = self._count(State.STARTING, State.SPARE, State.OFFERED)
        return self._acceptor is None or (spare < _SPARE and not self._signals)

    def _start_missing(self) -> None:
        """Start one of those that are missing, but after a failure not at once."""
        if self._is_short() and time.monotonic() >= self._fork_at:
            if self._acceptor is None:
                self._start_acceptor()
            else:
                self._start_child()

    def _start_acceptor(self) -> None:
        def run(channel: Channel) -> None:
            worker.accept(self._settings, self._limits, channel, self._listener, self._monitor)

        self._acceptor = self._start(run)
        self._told = ()

    def _start_child(self) -> None:
        ticket, end = socket.socketpair()
        end.setblocking(False)

        def run(channel: Channel) -> None:
            ticket.close()
            self._listener.close()
            if self._monitor is not None:
                self._monitor.close()
            worker.serve_handed(self._settings, self._make_operations(), self._limits, channel, end)

        with end, self._score.raised():
            child = self._start(run, ticket)
        if child is None:
            ticket.close()
        else:
            self._children[child.pid] = child

    def _start(self, run: Callable[[Channel], None], ticket: socket.socket | None = None) -> Child | None:
        ours, theirs = channels.pair()

        def run_there() -> None:
            ours.close()
            run(theirs)

        pid = self._fork(run_there)
        theirs.close()
        if pid is None:
            ours.close()
            return None
        child = Child(pid, ours, ticket)
        self._selector.register(ours, selectors.EVENT_READ, child)
        return child

    def _fork(self, run: Callable[[], None]) -> int | None:
        """Start a process that does `run` and ends; return its id, or None where none can be started."""
        sys.stdout.flush()
        try:
            pid = os.fork()
        except OSError as error:
            self._note_failure(f"no process can be started: {error.strerror}")
            return None
        if pid == 0:
            self._become_child(run)
        return pid

    def _become_child(self, run: Callable[[], None]) -> NoReturn:
        try:
            _die_with(self._pid)
            for number in (signal.SIGTERM, signal.SIGINT):  # the supervisor heeds them
                signal.signal(number, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            self._score.close()
            self._woken.close()
            self._wake.close()
            for child in self._all():
                child.close()
            run()
        except ConfigurationError as error:
            logger.critical(str(error))
            os._exit(_WRONG_SETTINGS)
        except BaseException:
            logger.critical("a child failed", exc_info=True)
        finally:
            os._exit(1)

    def _all(self) -> Iterator[Child]:
        if self._acceptor is not None:
            yield self._acceptor
        yield from self._children.values()

    # Their end

    def _reap(self) -> None:
        """Take leave of children that have ended."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._bury(*ended)

    def _bury(self, pid: int, wait_status: int) -> None:
        status = os.waitstatus_to_exitcode(wait_status)
        if pid == self._janitor:
            self._janitor = None
        elif self._acceptor is not None and pid == self._acceptor.pid:
            child, self._acceptor = self._acceptor, None
            self._part(child, status)
        elif pid in self._children:
            child = self._children.pop(pid)
            self._hear_last(child)
            if child.account and not child.account.ended:
                child.account.end(KILLED if status else GIVEN_UP)
            self._part(child, status)

    def _hear_last(self, child: Child) -> None:
        """Take in what a process said before it ended, as far as it makes sense."""
        with contextlib.suppress(EOFError, ValueError):
            while messages := child.channel.receive():
                for message in messages:
                    self._heed(child, message)

    def _part(self, child: Child, status: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(child.channel)
        child.close()
        if child in self._line:
            self._line.remove(child)
        if child.state is State.STARTING:
            self._wrong_settings = status == _WRONG_SETTINGS and not self._ever_ready
            self._note_failure(f"a process could not start; {_explain(status)}")
        elif status:
            logger.error(
                f"a process failed; {_explain(status)}",
                extra={"fields": {"pid": child.pid, "state": child.state.name.lower()}},
            )
        self._dirty |= status != 0

    def _note_failure(self, what: str) -> None:
        self._failures += 1
        pause = min(_FIRST_PAUSE * 2 ** (self._failures - 1), _LONGEST_PAUSE)
        self._fork_at = time.monotonic() + pause
        logger.error(what, extra={"fields": {"failures": self._failures, "pause": pause}})

    def _clean_up(self) -> None:
        """Let a process remove what others left that failed: that may take long."""
        if self._dirty and self._janitor is None:
            self._janitor = self._fork(self._sweep)
            self._dirty = self._janitor is None

    def _sweep(self) -> None:
        scratch = Scratch(self._settings.tmp_dir)
        scratch.sweep()
        scratch.remove()

    def _kill_overdue(self) -> None:
        for child in self._all():
            if time.monotonic() >= child.kill_at:
                _kill(child)

    def _say_that_it_drains(self) -> None:
        """Log once that no more jobs are taken, and which are finished first."""
        if not self._draining:
            self._draining = True
            name = signal.Signals(self._signals[0]).name
            busy, queued = self._count(State.WORKING), len(self._line)
            after = f"{busy} jobs at work and {queued} in line"
            fields = {"signal": name, "busy": busy, "queued": queued}
            logger.info(f"draining: told to end by {name}, after {after}", extra={"fields": fields})

    def _withdraw_tickets(self) -> None:
        for child in self._list(State.SPARE):
            child.withdraw()

    def _end(self) -> int:
        """Let the acceptor send its last answers; return the exit status."""
        logger.info("all jobs have ended")
        if self._acceptor is not None:
            self._send(self._acceptor, Kind.END)
            deadline = time.monotonic() + _TO_END
            while self._acceptor is not None and time.monotonic() < deadline:
                self._selector.select(0.1)
                self._reap()
        return self._kill_all(0)

    def _kill_all(self, status: int) -> int:
        for child in self._all():
            _kill(child)
            os.waitpid(child.pid, 0)
        if self._janitor is not None:
            os.waitpid(self._janitor, 0)
        self._sweep()
        return status


def describe_risk(platform: str) -> str | None:
    """Say what is not known of forks on a platform, or None where they are known to be safe."""
    if platform == "linux":
        return None
    return (
        "--workers forks a process for each job, which was tried on Linux alone: where such a process crashes"
        " in a library of this system's own, run serve without it"
    )


def _listen(host: str, port: int, variable: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise CannotListen(explain(host, port, error, variable)) from error
    listener.setblocking(False)
    return listener


def _open_file(folder: Path) -> IO[bytes]:
    """Open a file that has no name, in memory where the system has such."""
    if sys.platform != "linux":
        return tempfile.TemporaryFile(dir=folder)
    return os.fdopen(os.memfd_create("measurements"), "wb")


def _die_with(parent: int) -> None:
    """Let the kernel end this process with its parent; where it cannot, the end of its channel has to do."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before that
        os._exit(1)


def _kill(child: Child) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGKILL)


def _explain(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
