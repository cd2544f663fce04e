"""The engine, the image and the stack that the tests share, and the remote and the store beside them."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from github_worker_client import GitHubWorker
from swarm.collector import read_points
from swarm.engine import ADDRESS, Engine, remove_control_groups
from swarm.events import Events
from swarm.figures import Figures
from swarm.image import BASE, build, import_base, package_index
from swarm.ingress import PUBLISHED, StandIn, has_ipvs
from swarm.load import Call, Counting, read
from swarm.stack import NAME, SERVICE, Stack, begin_swarm, wait_until
from tests.support.collector import Point, total
from tests.support.git_server import GitServer
from tests.support.s3 import S3Server

REPOSITORY = Path(__file__).parent.parent
CACHE = Path(os.environ["SWARM_CACHE"])
WORKER_TOKEN = "worker-token-0123456789"
GIT_TOKEN = "git-token-0123456789"
STORE_KEY = "store-key-0123456789"
COLLECTOR = REPOSITORY / "swarm" / "collector.yml"
INGRESS = f"http://{ADDRESS}:{PUBLISHED}"
SECRETS = {
    "github_worker_token": WORKER_TOKEN,
    "anthropic_api_key": "no-key",
    "storage_key_id": "key-id",
    "storage_key": STORE_KEY,
}
_FILES = {f"src/module{number}.py": f"VALUE = {number}\n" * 50 for number in range(20)}


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """Collect what is measured, and print it at the end."""
    figures = Figures()
    figures.add("ingress", "Swarm's own" if has_ipvs() else "by nftables: this kernel has no IPVS")
    yield figures
    figures.show()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Start an engine."""
    state = CACHE / "state"
    shutil.rmtree(state, ignore_errors=True)
    remove_control_groups()  # of a run that was killed
    with Engine(CACHE / "engine", REPOSITORY, state) as engine:
        yield engine
    remove_control_groups()


@pytest.fixture(scope="session")
def image(engine: Engine, figures: Figures) -> str:
    """Build the image under two tags and return the first."""
    import_base(engine, CACHE / "base")
    shutil.rmtree(CACHE / "index", ignore_errors=True)
    with package_index(CACHE / "wheels", CACHE / "index") as index:
        for tag in ("one", "two"):
            build(engine, REPOSITORY, index, tag)
    sizes = {name: engine.get(f"/images/{name}/json")["Size"] for name in (BASE, "github-worker:one")}
    figures.add("image", ", ".join(f"{name} {size // 10**6} MB" for name, size in sizes.items()))
    return "one"


@pytest.fixture(scope="session")
def git_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """Serve repositories where containers reach them."""
    with GitServer(tmp_path_factory.mktemp("remote"), {GIT_TOKEN: "write"}, host=ADDRESS) as server:
        server.seed("owner", "small", _FILES)
        yield server


@pytest.fixture(scope="session")
def store(engine: Engine) -> Iterator[S3Server]:
    """Serve S3 where containers reach it."""
    with S3Server(ADDRESS) as server:
        yield server


@pytest.fixture(scope="session")
def bucket(store: S3Server) -> str:
    """Return the name of the bucket that holds the sessions."""
    return store.create_bucket()


@pytest.fixture(scope="session")
def settings(store: S3Server, bucket: str, git_server: GitServer) -> dict[str, str]:
    """Return what the stacks' files ask for."""
    return {
        "STORAGE_URL": f"s3://{bucket}",
        "STORE": store.endpoint,
        "GIT_ALLOWED_HOSTS": git_server.origin,
        "MODEL": f"http://{ADDRESS}:9",  # nobody listens: names and messages are made without one
    }


@pytest.fixture(scope="session")
def swarm(engine: Engine) -> Engine:
    """Make the engine a Swarm of one node."""
    begin_swarm(engine, "127.0.0.1", SECRETS)
    return engine


@pytest.fixture(scope="session")
def events(swarm: Engine) -> Iterator[Events]:
    """Listen to what happens to the stack's containers, and balance between them where the kernel cannot."""
    events = Events(swarm, SERVICE, StandIn(swarm).on_event if not has_ipvs() else _ignore)
    yield events
    events.close()


@pytest.fixture(scope="session")
def stack(swarm: Engine, image: str, settings: dict[str, str], events: Events) -> Iterator[Stack]:
    """Deploy swarm.yml."""
    stack = Stack([swarm], {**settings, "REPOSITORY": str(REPOSITORY)}, more=[COLLECTOR])
    stack.deploy(image)
    stack.wait_until_ready()
    label = f"com.docker.swarm.service.name={NAME}_collector"
    wait_until(lambda: len(swarm.containers(label)) == 1, "a collector")
    yield stack
    stack.remove()


@pytest.fixture(scope="session")
def call(engine: Engine, image: str, git_server: GitServer) -> Callable[..., list[Call]]:
    """Return what runs callers in a container, on this network namespace or on a stack's network."""
    repository = f"{git_server.origin}/owner/small.git"

    def run(
        base_url: str, *arguments: str, network: str = "host", on: Engine = engine, hosts: Sequence[str] = ()
    ) -> list[Call]:
        output = on.docker(
            *("run", "--rm", "--no-healthcheck", "--user", "0", "--network", network),
            *(f"--add-host={host}" for host in hosts),
            *("--workdir", REPOSITORY, "--volume", f"{REPOSITORY}:{REPOSITORY}:ro"),
            *("--env", f"PYTHONPATH={REPOSITORY}/clients"),
            *("--env", f"GITHUB_WORKER_TOKEN={WORKER_TOKEN}", "--env", f"GIT_TOKEN={GIT_TOKEN}"),
            *(f"github-worker:{image}", "python", "-m", "swarm.load", base_url, repository, *arguments),
        )
        return read(output)

    return run


class Hundred(NamedTuple):
    """What the callers of a hundred jobs saw, and what the workers told the collector since."""

    calls: list[Call]
    points: list[Point]


@pytest.fixture(scope="session")
def hundred(stack: Stack, call: Callable[..., list[Call]]) -> Hundred:
    """Return what came of a hundred jobs by ten callers through the ingress, as fast as they could."""
    before = len(read_points(stack.engine))
    calls = call(INGRESS, "--name", "hundred", "--jobs", "100", "--callers", "10")
    stack.wait_until_ready()
    done = sum(call.error is None for call in calls)  # a worker's last words come after its client's

    def points() -> list[Point]:
        return read_points(stack.engine)[before:]

    wait_until(lambda: total(points(), "github_worker.jobs") >= done, "their metrics")
    return Hundred(calls, points())


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[GitHubWorker]:
    """Yield a client of the stack's workers, through the ingress."""
    async with GitHubWorker(INGRESS, WORKER_TOKEN, transport=Counting()) as client:
        yield client


def _ignore(event: object) -> None:
    """Leave the balancing to Swarm."""
