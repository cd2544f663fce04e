"""`github-worker sessions`, as a process, against real stores."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import hide_package, run, run_in_terminal
from tests.conftest import WRITE_TOKEN
from tests.support.git_server import GitServer
from tests.support.repositories import Repository, git
from tests.support.s3 import S3Server
from tests.support.sessions import METADATA, Session, SessionFolder, clone, metadata, pack
from tests.support.storage_worker import StorageWorker

NAME = "Ada Lovelace"


@pytest.fixture
def store_env(sessions: SessionFolder, tmp_path: Path) -> dict[str, str]:
    """Return an environment of a store alone."""
    return {"STORAGE_URL": sessions.url, "TMP_DIR": str(tmp_path), "PATH": os.environ["PATH"], "TZ": "UTC"}


def commit(worktree: Path, message: str) -> None:
    """Commit all that changed."""
    git("-C", worktree, "add", "-A")
    who = ("-c", f"user.name={NAME}", "-c", "user.email=ada@example.com")
    git("-C", worktree, *who, "commit", "--quiet", "-m", message)


@pytest.fixture
def demo(git_server: GitServer, origin: Repository, sessions: SessionFolder, tmp_path: Path) -> SessionFolder:
    """Return a store with a session that has two commits that are not pushed, and three changed files."""
    origin.commit({"old": "old\n", "kept": "kept\n"}, "Add files")
    worktree = clone(origin.url, WRITE_TOKEN, tmp_path / "shop")
    for text in ("first", "second"):
        (worktree / text).write_text(f"{text}\n")
        commit(worktree, f"The {text} step")
    (worktree / "README.md").write_text("# changed\n")
    (worktree / "old").unlink()
    (worktree / "new\x1b[31m").write_text("new\n")
    fields = metadata(
        "demo",
        sessionTitle="Dark mode",
        branch="main",
        github={"repoUrl": origin.url, "baseBranch": "main", "clonedPath": "shop"},
    )
    sessions.put("demo", pack(fields, worktree))
    return sessions


def test_it_shows_what_is_not_pushed(demo: SessionFolder, store_env: dict[str, str]) -> None:
    """Repository, branch, commits and files; names move no cursor, and nothing stays on the disk."""
    before = demo.archive("demo").read_bytes()

    ended = run("sessions", "show", "demo", **store_env)

    assert (ended.returncode, ended.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in ended.stdout.splitlines()]
    assert lines[0].startswith("Session demo, ")
    assert "Title Dark mode" in lines
    assert "Branch main, from main" in lines
    assert lines[lines.index("Unpushed 2 commits") + 1].endswith("The second step")
    changed = lines.index("Changed 3 files, +2 -2 lines")
    assert {line[0] for line in lines[changed + 1 :]} == {"A", "D", "M"}
    assert "\x1b" not in ended.stdout
    assert demo.archive("demo").read_bytes() == before
    assert not list(Path(store_env["TMP_DIR"]).glob("github-worker*"))


def test_it_shows_json_to_programs(demo: SessionFolder, store_env: dict[str, str]) -> None:
    """One object has all of it."""
    shown = json.loads(run("sessions", "show", "demo", "--json", **store_env).stdout)
    assert (shown["id"], shown["branch"], shown["insertions"]) == ("demo", "main", 2)
    assert [line.partition(" ")[2] for line in shown["unpushed"]] == ["The second step", "The first step"]
    assert sorted(shown["changes"])[1:] == ["D old", "M README.md"]


def test_it_shows_less_without_the_servers_packages(
    demo: SessionFolder, store_env: dict[str, str], tmp_path: Path
) -> None:
    """What the metadata says, and what to install for the rest."""
    ended = run("sessions", "show", "demo", **store_env, **hide_package("pygit2", tmp_path))
    assert ended.returncode == 0
    assert "Dark mode" in ended.stdout
    assert "pip install 'github-worker[server]'" in ended.stdout
    assert "Changed" not in ended.stdout


def test_a_session_without_a_repository_is_shown(sessions: SessionFolder, store_env: dict[str, str]) -> None:
    """It is no error, and the note says so."""
    sessions.put("empty", pack(metadata("empty", sessionTitle="Notes")))
    ended = run("sessions", "show", "empty", **store_env)
    assert ended.returncode == 0
    assert "Notes" in ended.stdout
    assert "The session holds no repository." in ended.stdout


def test_a_missing_extra_is_named(demo: SessionFolder, store_env: dict[str, str], tmp_path: Path) -> None:
    """Instead of a traceback."""
    ended = run("sessions", "list", **store_env, **hide_package("obstore", tmp_path))
    assert ended.returncode == 2
    assert "pip install 'github-worker[sessions]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_sessions_are_listed_newest_first(sessions: SessionFolder, store_env: dict[str, str]) -> None:
    """With sizes and times; programs get an object a line."""
    for number, name in enumerate(("old", "new")):
        sessions.put(name, b"x" * 1500)
        os.utime(sessions.archive(name), (1_700_000_000 + number, 1_700_000_000 + number))
    ended = run("sessions", "list", **store_env)
    assert ended.stdout.splitlines() == [
        "new    1.5 kB  2023-11-14 22:13:21",
        "old    1.5 kB  2023-11-14 22:13:20",
    ]
    lines = run("sessions", "list", "--json", **store_env).stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["new", "old"]


def test_an_empty_store_says_so(store_env: dict[str, str]) -> None:
    """On standard error, as there is nothing to print."""
    ended = run("sessions", "list", **store_env)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "the store has no sessions\n")


def test_a_session_goes_out_and_in(demo: SessionFolder, store_env: dict[str, str], tmp_path: Path) -> None:
    """It is unpacked, changed, and saved once; git finds its repository in it."""
    work = tmp_path / "work"
    ended = run("sessions", "checkout", "demo", str(work), **store_env)
    assert ended.returncode == 0
    worktree = Path(ended.stdout.strip())
    assert worktree == work / "workspace/workspace/shop"
    assert b"The second step" in git("-C", worktree, "log", "-1", "--format=%s")
    assert f"github-worker sessions save demo {work}" in ended.stderr

    (worktree / "first").write_text("changed\n")
    assert run("sessions", "save", "demo", str(work), **store_env).stdout == "saved demo\n"
    assert run("sessions", "save", "demo", str(work), **store_env).stdout.startswith("nothing changed")
    assert demo.get("demo").read("workspace/workspace/shop/first") == b"changed\n"


def test_another_writers_session_is_not_overwritten(
    demo: SessionFolder, store_env: dict[str, str], tmp_path: Path
) -> None:
    """The message has both times, and --overwrite replaces it."""
    work = tmp_path / "work"
    run("sessions", "checkout", "demo", str(work), **store_env)
    (work / "ours").touch()
    demo.put("demo", pack(metadata("demo")))
    ended = run("sessions", "save", "demo", str(work), **store_env)
    assert ended.returncode == 1
    assert "Another writer saved the session demo at" in ended.stderr
    assert "ours" not in demo.get("demo").members()
    assert run("sessions", "save", "demo", str(work), "--overwrite", **store_env).returncode == 0
    assert "ours" in demo.get("demo").members()


def test_a_folder_becomes_a_new_session(
    store_env: dict[str, str], sessions: SessionFolder, tmp_path: Path
) -> None:
    """Any folder does, and it is there for a worker."""
    (tmp_path / "work/workspace").mkdir(parents=True)
    (tmp_path / "work" / METADATA).write_text(json.dumps(metadata("new")))
    assert run("sessions", "save", "new", str(tmp_path / "work"), **store_env).returncode == 0
    assert sessions.get("new").metadata["sessionId"] == "new"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["show", "gone"], 1, "There is no session gone"),
        (["checkout", "gone"], 1, "There is no session gone"),
        (["delete", "gone"], 1, "There is no session gone"),
        (["show", "../demo"], 2, "sessionId"),
        (["save", "demo", "/no/such/folder"], 2, "is no folder"),
        (["checkout", "demo", "/"], 2, "is not an empty folder"),
        (["list", "--store", "ftp://x"], 1, "A store is s3://"),
        (["list", "--store", "http://127.0.0.1:1"], 3, "The session storage"),
        (["list", "--store", "/srv/sessions"], 1, "file:///folder"),
    ],
)
def test_what_cannot_be_done_is_said(
    words: list[str], status: int, message: str, demo: SessionFolder, store_env: dict[str, str]
) -> None:
    """In a sentence, with the status of its kind, and nothing is left in the folder where it was called."""
    ended = run("sessions", *words, **store_env)
    assert (ended.returncode, ended.stdout) == (status, "")
    assert ended.stderr.startswith("github-worker: ")
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not Path("gone").exists()


def test_without_a_store_it_says_what_to_set(tmp_path: Path) -> None:
    """Unless a worker that was started here has made one."""
    env = {"TMP_DIR": str(tmp_path), "PATH": os.environ["PATH"]}
    ended = run("sessions", "list", **env)
    assert ended.returncode == 2
    assert "STORAGE_URL" in ended.stderr
    (tmp_path / "github-worker-sessions").mkdir(mode=0o700)
    assert run("sessions", "list", **env).returncode == 0


def test_a_session_is_deleted(demo: SessionFolder, store_env: dict[str, str]) -> None:
    """A program is not asked, a person is, unless they said yes before."""
    demo.put("other", pack(metadata("other")))
    assert run("sessions", "delete", "demo", **store_env).stdout == "deleted demo\n"
    assert not demo.archive("demo").exists()
    status, shown = run_in_terminal("sessions", "delete", "other", "--yes", **store_env)
    assert (status, "deleted other" in shown) == (0, True)


@pytest.fixture
def s3() -> Iterator[S3Server]:
    """Yield an S3 server."""
    with S3Server() as server:
        yield server


def test_sessions_of_s3_are_reached_with_the_environments_keys(s3: S3Server, tmp_path: Path) -> None:
    """As a worker reaches them."""
    bucket = s3.create_bucket()
    s3.write(bucket, "p/demo/session.tar.gz", pack(metadata("demo", sessionTitle="In S3")))
    env = {"TMP_DIR": str(tmp_path), "PATH": os.environ["PATH"], **s3.variables}
    store = ("--store", f"s3://{bucket}/p")
    assert run("sessions", "list", *store, **env).stdout.startswith("demo ")
    assert "In S3" in run("sessions", "show", "demo", *store, **env).stdout
    work = str(tmp_path / "work")
    assert run("sessions", "checkout", "demo", work, *store, **env).returncode == 0
    (tmp_path / "work/new").touch()
    assert run("sessions", "save", "demo", work, *store, **env).returncode == 0
    assert "new" in Session(s3.read(bucket, "p/demo/session.tar.gz") or b"").members()
    assert run("sessions", "delete", "demo", *store, **env).returncode == 0


def test_a_storage_worker_without_a_list_says_so(tmp_path: Path) -> None:
    """And shows a session that is asked for by its id."""
    env = {"TMP_DIR": str(tmp_path), "PATH": os.environ["PATH"]}
    with StorageWorker(etags=True) as worker:
        worker.save("demo", pack(metadata("demo", sessionTitle="Kept there")))
        ended = run("sessions", "list", **env, STORAGE_WORKER_URL=worker.origin)
        assert (ended.returncode, "has no list" in ended.stderr) == (1, True)
        shown = run("sessions", "show", "demo", "--store", f"{worker.origin}/", **env)
    assert "Kept there" in shown.stdout
