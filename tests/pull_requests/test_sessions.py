"""Pull requests of a session: its metadata is read out of the archive, and nothing else."""

from __future__ import annotations

import json
import random
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from github_worker.archive.limits import Limits
from github_worker.contract import AutoPullRequest, CreatePullRequest, Transferred, decode_request
from github_worker.errors import (
    HostNotAllowed,
    JobError,
    SessionCorrupt,
    SessionTooLarge,
    StorageUnavailable,
    UnsupportedRepository,
)
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.sessions.metadata import read_archive
from github_worker.settings import from_env
from github_worker.workspace.pull_request import resolve_target
from tests.pull_requests.conftest import Jobs, metadata_of
from tests.support.faults import Cut, Hang, Moment
from tests.support.github import GitHub
from tests.support.sessions import METADATA, Content, SessionFolder, metadata, pack
from tests.support.storage_worker import StorageWorker

_MIB = 2**20
_DOWNLOAD = "s-1/download"
_REPOSITORY = {"repoUrl": "https://github.com/octocat/hello-world", "clonedPath": "hello-world"}
_FIELDS = metadata("s-1", branch="topic", github=_REPOSITORY)
_JSON = json.dumps(_FIELDS).encode()
_NOISE = random.Random(0).randbytes(8 * _MIB)  # noqa: S311


@pytest.fixture
def storage() -> Iterator[StorageWorker]:
    """Yield a storage worker."""
    with StorageWorker(etags=True) as storage:
        yield storage


@pytest.fixture
def services(sessions: SessionFolder, tmp_path: Path) -> Services:
    """Return what a worker has that knows nothing but github.com."""
    return Services.from_settings(from_env({"TMP_DIR": str(tmp_path), "STORAGE_URL": sessions.url}))


@pytest.fixture
def remote_jobs(env: dict[str, str], storage: StorageWorker) -> Jobs:
    """Return what runs jobs on the storage worker's sessions."""
    env = {name: value for name, value in env.items() if name != "STORAGE_URL"}
    settings = from_env(env | {"STORAGE_WORKER_URL": storage.origin, "STORAGE_TIMEOUT": "2"})
    return Jobs(Services.from_settings(settings))


async def test_a_large_session_is_downloaded_as_far_as_its_metadata(
    github: GitHub, storage: StorageWorker, remote_jobs: Jobs
) -> None:
    """One MiB of eight is all that the storage sends, and all that is needed."""
    archive = pack(metadata_of(github), entries={"workspace/large": _NOISE})
    assert len(archive) > len(_NOISE)
    storage.save("s-1", archive)
    storage.faults.add(Hang(Moment.ANSWER, _MIB), _DOWNLOAD, times=100)
    made = await remote_jobs.run(CreatePullRequest, sessionId="s-1", base="main")
    assert (made.head.ref, made.number) == ("topic", len(github.repository.pulls))
    assert [request.line for request in storage.requests if _DOWNLOAD in request.line] == [
        f"GET /api/storage-worker/sessions/{_DOWNLOAD}"
    ]
    assert remote_jobs.stages[0] == "downloading_session"
    counts = [event for event in remote_jobs.events if isinstance(event, Transferred)]
    assert counts[-1].percent == 100
    assert 0 < counts[-1].bytes <= _MIB


async def test_a_large_session_whose_metadata_comes_last_is_downloaded_whole(
    github: GitHub, storage: StorageWorker, remote_jobs: Jobs
) -> None:
    """So this service saves them: the outcome of a job is known when all else is uploaded."""
    storage.save("s-1", pack(None, entries={"workspace/large": _NOISE, METADATA: _encode(github)}))
    made = await remote_jobs.run(CreatePullRequest, sessionId="s-1", base="main")
    assert made.head.ref == "topic"


async def test_a_download_that_breaks_off_before_the_metadata_is_begun_anew(
    github: GitHub, storage: StorageWorker, remote_jobs: Jobs
) -> None:
    """A storage worker that restarts is not noticed; one that keeps failing is unavailable."""
    storage.save("s-1", pack(None, entries={"workspace/large": _NOISE, METADATA: _encode(github)}))
    storage.faults.add(Cut(Moment.ANSWER, _MIB), _DOWNLOAD, times=3)
    made = await remote_jobs.run(CreatePullRequest, sessionId="s-1", base="main")
    assert made.head.ref == "topic"
    storage.faults.add(Cut(Moment.ANSWER, _MIB), _DOWNLOAD, times=4)
    with pytest.raises(StorageUnavailable, match="broke off"):
        await remote_jobs.run(CreatePullRequest, sessionId="s-1", base="main")


def _encode(github: GitHub) -> str:
    return json.dumps(metadata_of(github))


def _member(kind: bytes, target: str = "", name: str = METADATA) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


_ARCHIVES: dict[str, tuple[bytes | dict[str, Content], str | type[JobError] | None]] = {
    "the first member": (pack(_FIELDS), "topic"),
    "below ./": (pack(_FIELDS, prefix="./"), "topic"),
    "behind other files": (
        {"a": b"a" * 1000, "b": _member(tarfile.DIRTYPE, name="b"), METADATA: _JSON},
        "topic",
    ),
    "in no member": ({"a": b"a"}, None),
    "only below another folder": ({f"old/{METADATA}": _JSON}, None),
    "a symbolic link": ({"a": _JSON, METADATA: _member(tarfile.SYMTYPE, "../a")}, None),
    "a pipe": ({"a": _JSON, METADATA: _member(tarfile.FIFOTYPE)}, None),
    "a hard link": ({"a": _JSON, METADATA: _member(tarfile.LNKTYPE, "a")}, "topic"),
    "a hard link to a hard link": (
        {"a": _JSON, "b": _member(tarfile.LNKTYPE, "a", "b"), METADATA: _member(tarfile.LNKTYPE, "b")},
        "topic",
    ),
    "a hard link to a symbolic link": (
        {"a": _JSON, "b": _member(tarfile.SYMTYPE, "a", "b"), METADATA: _member(tarfile.LNKTYPE, "b")},
        None,
    ),
    "a hard link to nothing": ({METADATA: _member(tarfile.LNKTYPE, "a"), "a": _JSON}, SessionCorrupt),
    "a hard link to itself": ({METADATA: _member(tarfile.LNKTYPE, METADATA)}, SessionCorrupt),
    "a folder": ({METADATA: _member(tarfile.DIRTYPE)}, SessionCorrupt),
    "16 MiB": ({METADATA: _JSON.ljust(16 * _MIB)}, "topic"),
    "over 16 MiB": ({METADATA: _JSON.ljust(16 * _MIB + 1)}, SessionTooLarge),
    "no JSON": ({METADATA: b"{"}, SessionCorrupt),
    "no object": ({METADATA: b"[]"}, SessionCorrupt),
    "of other types": ({METADATA: b'{"branch":1}'}, SessionCorrupt),
    "behind the archive's break": (pack(None, entries={"a": _NOISE, METADATA: _JSON})[:_MIB], SessionCorrupt),
    "in no gzip": (_JSON, SessionCorrupt),
    "in nothing": (b"", SessionCorrupt),
}


@pytest.mark.parametrize(("archive", "branch"), _ARCHIVES.values(), ids=_ARCHIVES)
async def test_metadata_is_read_as_unpacking_reads_it(
    services: Services,
    sessions: SessionFolder,
    archive: bytes | dict[str, Content],
    branch: str | type[JobError] | None,
) -> None:
    """The archive's reader and the unpacked session agree, whatever stands in its place."""
    sessions.put("s-1", archive if isinstance(archive, bytes) else pack(None, entries=archive))
    assert await _branch_by_reader(services) == branch
    assert _branch_by_unpacking(services) == branch


async def _branch_by_reader(services: Services) -> str | type[JobError] | None:
    body = b'{"sessionId":"s-1","base":"main","githubAccessToken":"token-of-nobody"}'
    request = decode_request(CreatePullRequest, body)
    try:
        return (await resolve_target(request, services, Report(lambda _: None)))[1]
    except JobError as error:
        return None if error.code == "no_repository" else type(error)


def _branch_by_unpacking(services: Services) -> str | type[JobError] | None:
    try:
        return services.sessions.load("s-1").metadata.branch
    except JobError as error:
        return type(error)


async def test_of_a_repeated_name_the_first_member_counts(
    services: Services, sessions: SessionFolder
) -> None:
    """Reading ends with it, so that what follows does not have to be downloaded."""
    sessions.put("s-1", pack(_FIELDS, entries={f"./{METADATA}": _JSON.replace(b"topic", b"later")}))
    assert await _branch_by_reader(services) == "topic"


@pytest.mark.parametrize("limit", [{"MAX_SESSION_BYTES": str(_MIB)}, {"MAX_SESSION_FILES": "1"}])
async def test_what_comes_before_the_metadata_is_limited(
    env: dict[str, str], sessions: SessionFolder, limit: dict[str, str]
) -> None:
    """A session that is too large to be unpacked is too large to be searched."""
    sessions.put("s-1", pack(None, entries={"a": _NOISE, METADATA: _JSON}))
    services = Services.from_settings(from_env(env | limit))
    assert await _branch_by_reader(services) is SessionTooLarge


def test_a_search_holds_little_in_memory() -> None:
    """Sixty-four MiB pass by in a few."""
    archive = pack(None, entries={"a": bytes(64 * _MIB), METADATA: _JSON})
    tracemalloc.start()
    try:
        found = read_archive([archive], "s-1", Limits())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is not None
    assert found.branch == "topic"
    assert peak < 4 * _MIB


def _at(url: str) -> dict[str, Any]:
    return {"github": {"repoUrl": url, "clonedPath": "hello-world"}}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (_at("https://gitlab.example/octocat/hello-world"), UnsupportedRepository),
        (_at("https://github.com/octocat/hello-world"), HostNotAllowed),
        (_at("http://127.0.0.1:1/octocat/hello-world"), HostNotAllowed),
        (_at("https://evil.example/octocat/hello-world"), HostNotAllowed),
        (_at("https://github.com/../user"), HostNotAllowed),
        (_at("nowhere"), HostNotAllowed),
        ({"repositoryOwner": ".."}, SessionCorrupt),
        ({"repositoryName": "other"}, SessionCorrupt),
        ({"branch": "../../../../user"}, SessionCorrupt),
        ({"branch": "-x"}, SessionCorrupt),
    ],
)
@pytest.mark.parametrize("kind", [CreatePullRequest, AutoPullRequest])
async def test_nothing_is_asked_for_a_session_of_another_place(
    kind: type[CreatePullRequest | AutoPullRequest],
    fields: dict[str, Any],
    error: type[JobError],
    env: dict[str, str],
    github: GitHub,
    sessions: SessionFolder,
) -> None:
    """The token goes to the API of the forge that the session's repository is on, if that is allowed."""
    env["GIT_ALLOWED_HOSTS"] += ",gitlab.example,github.com,http://127.0.0.1:1"
    sessions.put("s-1", pack(metadata_of(github, **fields)))
    with pytest.raises(error):
        await Jobs(Services.from_settings(from_env(env))).run(kind, sessionId="s-1", base="main")
    assert github.asked == []


async def test_nothing_is_asked_for_a_session_on_a_host_that_is_not_allowed(
    env: dict[str, str], github: GitHub, sessions: SessionFolder
) -> None:
    """Although it is the one whose API this worker knows."""
    env["GIT_ALLOWED_HOSTS"] = "github.com"
    sessions.put("s-1", pack(metadata_of(github)))
    with pytest.raises(HostNotAllowed, match="is not allowed"):
        await Jobs(Services.from_settings(from_env(env))).run(CreatePullRequest, sessionId="s-1", base="main")
    assert github.asked == []
