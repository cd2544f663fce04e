"""Three machines: an update, one that is cut off from the network, and one that dies, all of it under load.

There are two stacks on them: nine replicas that do one job each, which callers on the stack's network find by
`tasks.worker`; and a container with three workers on each node, which callers outside find by its address.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec import Struct

from swarm.commits import Commits
from swarm.conftest import CACHE, REPOSITORY, SECRETS
from swarm.engine import Engine
from swarm.figures import Figures, spread
from swarm.load import Call
from swarm.nodes import Node, has_vxlan, join, state, three_nodes
from swarm.stack import FOLDER, MANY, NAME, Stack, begin_swarm, wait_until
from tests.support.faults import Delay
from tests.support.git_server import GitServer
from tests.support.s3 import S3Server

_REPLICAS, _WORKERS = 9, 3
_PORT = 5004
_JOBS = 50  # each way
_CALLERS = {"tasks.worker": 10, "nodes": 5}
_BEGUN = 10  # so many are done each way before something happens
_PAUSE = 2.0  # seconds that the remote takes for a push: a worker that waits costs the machine nothing
_PATIENCE = 600.0  # seconds: two cores are three machines here, and the callers


@pytest.fixture(scope="module")
def nodes(engine: Engine, image: str) -> Iterator[list[Node]]:
    """Start three nodes that have the image, and make them one Swarm that the first manages."""
    if not has_vxlan(engine):
        pytest.skip("the kernel has no VXLAN, by which Swarm joins the networks of nodes")
    images = CACHE / "images.tar"
    engine.docker("save", "--output", images, "github-worker:one", "github-worker:two")
    with three_nodes(engine, CACHE / "engine", REPOSITORY, CACHE / "nodes") as nodes:
        with ThreadPoolExecutor() as aside:
            list(aside.map(lambda node: node.docker("load", "--input", images), nodes))
        images.unlink()
        begin_swarm(nodes[0], nodes[0].address, SECRETS)
        join(nodes)
        yield nodes


class Cluster(Struct):
    """The stacks by how they are found, and callers of both."""

    nodes: list[Node]
    stacks: dict[str, Stack]
    call: Callable[..., list[Call]]
    commits: Commits

    def deploy(self, tag: str) -> None:
        """Deploy an image."""
        for stack in self.stacks.values():
            stack.deploy(tag)

    def begin(self, name: str, aside: ThreadPoolExecutor, folder: Path) -> dict[str, Future[list[Call]]]:
        """Let callers begin, and return when jobs of both stacks are done and most are not."""
        for way in self.stacks:
            self.commits.add(f"{name}-{way}", _JOBS, folder / way)
        calling = {way: aside.submit(self._run, way, name) for way in self.stacks}
        for way in self.stacks:
            self.commits.wait_until_done(f"{name}-{way}", _BEGUN, _PATIENCE)
        return calling

    def _run(self, way: str, name: str) -> list[Call]:
        load = ("--commits", "--name", f"{name}-{way}", "--jobs", str(_JOBS), "--callers", str(_CALLERS[way]))
        if way == "tasks.worker":
            return self.call("http://tasks.worker:5002", *load, network=f"{NAME}_default", on=self.nodes[0])
        return self.call(
            f"http://nodes:{_PORT}", *load, hosts=[f"nodes:{node.address}" for node in self.nodes]
        )


@pytest.fixture(scope="module")
def cluster(
    nodes: list[Node],
    settings: dict[str, str],
    call: Callable[..., list[Call]],
    git_server: GitServer,
    store: S3Server,
    bucket: str,
) -> Iterator[Cluster]:
    """Deploy both stacks."""
    many = settings | {"NODES": "3", "WORKERS": str(_WORKERS), "PUBLISHED_PORT": str(_PORT)}
    stacks = {
        "tasks.worker": Stack(nodes, settings, more=[FOLDER / "nodes.yml"], replicas=_REPLICAS),
        "nodes": Stack(nodes, many, name="many", more=[MANY], replicas=3),
    }
    cluster = Cluster(nodes, stacks, call, Commits.make(git_server, store, bucket))
    cluster.deploy("one")
    for stack in stacks.values():
        stack.wait_until_ready(_PATIENCE)
    git_server.faults.add(Delay(_PAUSE), "POST /owner/commits.git/git-receive-pack", times=sys.maxsize)
    yield cluster
    git_server.faults.clear()


def test_an_update_of_three_nodes_loses_nothing(cluster: Cluster, figures: Figures, tmp_path: Path) -> None:
    """Every job is done once while all workers are replaced, and the new image runs everywhere at the end."""
    with ThreadPoolExecutor() as aside:
        calling = cluster.begin("update", aside, tmp_path)
        began = time.time()
        cluster.deploy("two")
        for way, stack in cluster.stacks.items():
            stack.wait_until_updated(_PATIENCE)
            figures.add(f"3 nodes, update under load, {way}", f"{time.time() - began:.0f} s")
        for way, calls in calling.items():
            _report(figures, f"3 nodes, update, {way}", calls.result(), began)
            cluster.commits.assert_once(calls.result(), tmp_path)

    for stack in cluster.stacks.values():
        stack.wait_until_ready(_PATIENCE)
        assert {each["Config"]["Image"] for each in stack.containers()} == {"github-worker:two"}


def test_a_node_that_is_cut_off_takes_no_job_with_it(
    cluster: Cluster, figures: Figures, tmp_path: Path
) -> None:
    """Its jobs are done once, elsewhere; its replicas run elsewhere; it comes back and does no job again."""
    first, second, third = cluster.nodes
    with ThreadPoolExecutor() as aside:
        calling = cluster.begin("cut", aside, tmp_path)
        began = time.time()
        third.cut_off()
        try:
            _see_replicas_move(cluster, figures, "cut off", [first, second], began)
            for way, calls in calling.items():
                _report(figures, f"3 nodes, one cut off, {way}", calls.result(), began)
        finally:
            third.restore()
            restored = time.time()

    wait_until(lambda: state(first, third) == "ready", "the node's return", _PATIENCE)
    figures.add("3 nodes, restored to ready", f"{time.time() - restored:.0f} s")
    for stack in cluster.stacks.values():
        stack.wait_until_ready(_PATIENCE)  # so what ran there when it was cut off has ended
    figures.add("3 nodes, restored to no replica too many", f"{time.time() - restored:.0f} s")
    for calls in calling.values():
        cluster.commits.assert_once(calls.result(), tmp_path)


def test_a_node_that_dies_takes_no_job_with_it(cluster: Cluster, figures: Figures, tmp_path: Path) -> None:
    """Its jobs are done once, by the others, and its replicas run there."""
    first, second, third = cluster.nodes
    with ThreadPoolExecutor() as aside:
        calling = cluster.begin("killed", aside, tmp_path)
        began = time.time()
        second.kill()
        _see_replicas_move(cluster, figures, "killed", [first, third], began)
        for way, calls in calling.items():
            _report(figures, f"3 nodes, one killed, {way}", calls.result(), began)
            cluster.commits.assert_once(calls.result(), tmp_path)


def _see_replicas_move(
    cluster: Cluster, figures: Figures, what: str, others: Sequence[Node], began: float
) -> None:
    """Block until the replicas run on the other nodes."""
    (gone,) = (node for node in cluster.nodes if node not in others)
    wait_until(lambda: state(cluster.nodes[0], gone) == "down", f"notice of the node {what}", _PATIENCE)
    noticed = time.time() - began
    stack, seen = cluster.stacks["tasks.worker"], set[str]()

    def all_seen() -> bool:
        seen.update(stack.slots(others))  # one after another: each is gone again when its job is done
        return len(seen) == _REPLICAS

    wait_until(all_seen, f"{_REPLICAS} replicas elsewhere", _PATIENCE)
    moved = time.time() - began
    figures.add(
        f"3 nodes, one {what}", f"known after {noticed:.0f} s, replicas elsewhere after {moved:.0f} s"
    )


def _report(figures: Figures, name: str, calls: list[Call], began: float) -> None:
    """Say how long the jobs took, some of which must have been under way at `began`."""
    during = [each for each in calls if each.submitted < began < each.ended]
    assert during, f"no job was under way: {name}"
    seconds = [each.seconds for each in calls]
    last = max(each.ended for each in during) - began
    figures.add(
        name,
        f"{spread(seconds)}, at most {max(seconds):.0f} s; {len(during)} met it, done after {last:.0f} s",
    )
