"""The kernel's confinement, tried as an attacker would: by code of his own inside of a job's process."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import github_worker
from github_worker.sandbox import Rules, find_lack, landlock_version, rules_for
from github_worker.settings import from_env
from tests.life.conftest import ROOT, StartWorker, events, post, start
from tests.support.worker import Worker

__all__ = ["start"]  # a fixture

try:
    VERSION = landlock_version()
except OSError:
    VERSION = 0
REFUSED = {"EACCES", "EPERM", "EXDEV"}
PRELUDE = """
import ctypes, errno, os, signal, socket, subprocess

def attempt(act, *arguments):
    try:
        act(*arguments)
    except OSError as error:
        said.append(errno.errorcode[error.errno])
    else:
        said.append("done")
"""


def needs_landlock(version: int) -> pytest.MarkDecorator:
    """Skip a test where the kernel's Landlock is older."""
    reason = f"this kernel's Landlock ({VERSION or 'none'}) is older than {version}, so nothing is refused"
    return pytest.mark.skipif(version > VERSION, reason=reason)


class Burglar:
    """Runs an attacker's code in the job of a worker that shares its TMP_DIR with others."""

    def __init__(self, start: StartWorker, folder: Path) -> None:
        self._start = start
        self.scratch, self.store, outside = (folder / name for name in ("scratch", "store", "outside"))
        for made in (self.scratch, self.store, outside):
            made.mkdir()
        self.outside = outside / "secret.txt"
        self.outside.write_text("secret\n")

    def start(self, **env: str) -> Worker:
        """Start a worker."""
        return self._start(**{"TMP_DIR": str(self.scratch), "STORAGE_URL": self.store.as_uri(), **env})

    def try_out(self, code: str, worker: Worker, **variables: Any) -> list[str]:
        """Return what became of each `attempt` of the code: `done`, or the error's name."""
        answer = post(worker, ("python", [PRELUDE + code, variables]))
        *told, last = events(answer.text)
        assert last["type"] == "completed", last
        return [event["message"] for event in told if event["type"] == "warning"]

    def assert_refused(self, code: str, **variables: Any) -> None:
        """Fail unless all attempts are refused, and none without the sandbox."""
        assert set(self.try_out(code, self.start(SANDBOX="off"), **variables)) == {"done"}
        assert set(self.try_out(code, self.start(), **variables)) <= REFUSED


@pytest.fixture
def burglar(start: StartWorker, tmp_path: Path) -> Burglar:
    """Return a burglar who knows his way about."""
    return Burglar(start, tmp_path)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Yield a service on this machine that no setting names."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@needs_landlock(2)
def test_a_file_outside_is_not_read(burglar: Burglar) -> None:
    """Neither the machine's nor another's, by whatever way; what is in its folder is not listed."""
    burglar.assert_refused(
        """
attempt(open, "/etc/passwd")
attempt(open, outside)
attempt(open, f"/proc/self/root{outside}")
attempt(os.listdir, os.path.dirname(outside))
attempt(os.listdir, "/")
""",
        outside=str(burglar.outside),
    )


@needs_landlock(2)
def test_another_sessions_folder_is_not_entered(burglar: Burglar) -> None:
    """Not read, not written and not emptied, though it lies beside the job's own and is the same user's."""
    burglar.start()
    (folder,) = burglar.scratch.iterdir()
    (folder / "session.txt").write_text("theirs\n")
    burglar.assert_refused(
        """
attempt(open, f"{folder}/session.txt")
attempt(open, f"{folder}/new-{os.getpid()}", "w")
attempt(os.mkdir, f"{folder}/new-folder-{os.getpid()}")
attempt(os.listdir, folder)
attempt(os.listdir, os.path.dirname(folder))
""",
        folder=str(folder),
    )
    code = "attempt(os.remove, file)"
    assert burglar.try_out(code, burglar.start(), file=str(folder / "session.txt")) == ["EACCES"]


@needs_landlock(2)
def test_nothing_is_written_beside_the_scratch_folder(burglar: Burglar) -> None:
    """No file, folder, link or pipe, and modules stay as they are."""
    burglar.assert_refused(
        """
beside = f"{folder}/{os.getpid()}"
attempt(open, f"{beside}-file", "w")
attempt(os.mkdir, f"{beside}-folder")
attempt(os.symlink, "/etc/passwd", f"{beside}-link")
attempt(os.mkfifo, f"{beside}-pipe")
attempt(open, module, "a")
""",
        folder=str(burglar.scratch),
        module=os.__file__,
    )


@needs_landlock(2)
def test_what_is_written_is_not_moved_out(burglar: Burglar) -> None:
    """Nor is a file from outside linked to where it could be read."""
    burglar.assert_refused(
        """
with open(f"{store}/file-{os.getpid()}", "w") as file:
    pass
attempt(os.rename, file.name, f"{os.path.dirname(outside)}/file-{os.getpid()}")
attempt(os.link, outside, f"{store}/link-{os.getpid()}")
""",
        store=str(burglar.store),
        outside=str(burglar.outside),
    )


@needs_landlock(3)
def test_nothing_outside_is_truncated(burglar: Burglar) -> None:
    """Not even without being opened."""
    burglar.assert_refused("attempt(os.truncate, outside, 3)", outside=str(burglar.outside))


@needs_landlock(2)
def test_no_program_is_executed(burglar: Burglar) -> None:
    """Neither the machine's, nor the interpreter, nor one that the job has written."""
    burglar.assert_refused(
        """
with open(f"{store}/program-{os.getpid()}", "w") as file:
    file.write("#!/bin/sh\\n")
    os.fchmod(file.fileno(), 0o700)
attempt(subprocess.run, ["/bin/true"])
attempt(subprocess.run, [python, "-c", ""])
attempt(subprocess.run, [file.name])
""",
        store=str(burglar.store),
        python=sys.executable,
    )


@needs_landlock(4)
def test_a_port_that_is_not_named_is_not_reached(burglar: Burglar, listener: socket.socket) -> None:
    """What no setting names is not connected to, and no other port is bound than the service's own."""
    burglar.assert_refused(
        """
attempt(socket.create_connection, ("127.0.0.1", port))
attempt(socket.create_server, ("127.0.0.1", 0))
""",
        port=listener.getsockname()[1],
    )


@needs_landlock(2)
def test_a_sibling_is_not_traced(burglar: Burglar) -> None:
    """Its memory, which holds another job's tokens, is neither attached to nor read."""
    code = """
def seize(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(0x4206, pid, None, None):
        raise OSError(ctypes.get_errno(), "ptrace")

attempt(seize, pid)
attempt(open, f"/proc/{pid}/mem", "rb")
attempt(open, f"/proc/{pid}/environ", "rb")
"""
    said = burglar.try_out(code, burglar.start(), pid=burglar.start().pid)
    assert [name in REFUSED for name in said] == [True] * 3


@needs_landlock(6)
def test_a_sibling_is_not_signalled(burglar: Burglar) -> None:
    """Nor is the process that started it; without the sandbox both are the same user's."""
    code = "attempt(os.kill, pid, 0)\nattempt(os.kill, os.getppid(), 0)"
    burglar.assert_refused(code, pid=burglar.start().pid)


@needs_landlock(6)
def test_an_abstract_socket_of_others_is_not_reached(burglar: Burglar) -> None:
    """Services that listen without a file are out of reach."""
    name = f"\0github-worker-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        burglar.assert_refused("attempt(socket.socket(socket.AF_UNIX).connect, name)", name=name)


@needs_landlock(2)
def test_a_link_in_the_embedded_stores_place_gives_no_right(burglar: Burglar) -> None:
    """What it leads to is as closed as before."""
    (burglar.scratch / "github-worker-sessions").symlink_to(burglar.outside.parent)
    code = "attempt(open, outside)\nattempt(open, f'{outside}-new', 'w')"
    worker = burglar.start(STORAGE_URL="")
    assert burglar.try_out(code, worker, outside=str(burglar.outside)) == ["EACCES", "EACCES"]


@pytest.mark.parametrize("sandbox", ["auto", "off"])
def test_what_a_job_needs_is_there(burglar: Burglar, listener: socket.socket, sandbox: str) -> None:
    """The store, modules, time zones, names, trust, and a port that the settings name, as without it."""
    code = """
import ssl, zoneinfo
attempt(open, f"{store}/file", "w")
attempt(os.mkdir, f"{store}/folder")
attempt(os.rename, f"{store}/file", f"{store}/folder/moved")
attempt(os.symlink, "/etc/passwd", f"{store}/link")
attempt(os.listdir, store)
attempt(open, os.__file__)
attempt(__import__, "imaplib")
attempt(zoneinfo.ZoneInfo, "Europe/Berlin")
attempt(ssl.create_default_context)
attempt(socket.getaddrinfo, "localhost", 443)
attempt(socket.create_connection, ("127.0.0.1", port))
attempt(os.kill, os.getpid(), 0)
"""
    port = listener.getsockname()[1]
    worker = burglar.start(SANDBOX=sandbox, GIT_ALLOWED_HOSTS=f"http://127.0.0.1:{port}")
    assert burglar.try_out(code, worker, store=str(burglar.store), port=port) == ["done"] * 12


@needs_landlock(2)
def test_every_thread_is_confined(tmp_path: Path) -> None:
    """None is older than the confinement, which binds only what is started after it."""
    with Worker({"TMP_DIR": str(tmp_path)}, tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        states = [task.read_text() for task in Path(f"/proc/{worker.pid}/task").glob("*/status")]
    assert len(states) > 1
    assert all("NoNewPrivs:\t1\n" in state for state in states)


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({}, f"landlock {VERSION}, no-new-privs"),
        ({"GIT_ALLOWED_HOSTS": "*"}, f"landlock {VERSION}, no-new-privs, any port"),
        ({"SANDBOX": "off"}, "off"),
    ],
)
@needs_landlock(2)
def test_health_and_the_log_say_how_far(tmp_path: Path, env: dict[str, str], says: str) -> None:
    """An operator sees it at the start and at any time."""
    with Worker({"TMP_DIR": str(tmp_path), **env}, tmp_path / "worker.log") as worker:
        assert worker.wait_until_healthy()["sandbox"] == says
        assert worker.log_lines()[0]["sandbox"] == says


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters system calls so")
@pytest.mark.parametrize(
    ("error", "why"),
    [
        (errno.ENOSYS, "this kernel has no Landlock"),
        (errno.EOPNOTSUPP, "this kernel's Landlock is turned off"),
        (errno.EPERM, "Landlock's system calls are filtered"),
    ],
)
def test_a_kernel_without_landlock(tmp_path: Path, error: int, why: str) -> None:
    """The service works and says that nothing holds; where it is required, it does not start."""
    service = (str(error), sys.executable, "-m", "github_worker", "serve")
    program = ("-m", "tests.support.without_landlock", *service)
    env = {"TMP_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with Worker(env, tmp_path / "auto.log", program=program) as worker:
        assert worker.wait_until_healthy()["sandbox"] == f"none: {why}"
    with Worker(env | {"SANDBOX": "require"}, tmp_path / "require.log", program=program) as worker:
        assert worker.wait() == 2
    assert (tmp_path / "require.log").read_text() == (
        f"github-worker: SANDBOX is require, and cannot be met: {why}\n"
    )


@needs_landlock(6)
def test_what_is_required_and_there_starts(tmp_path: Path) -> None:
    """A kernel with all of it confines the process as without being told to."""
    with Worker({"TMP_DIR": str(tmp_path), "SANDBOX": "require"}, tmp_path / "worker.log") as worker:
        assert worker.wait_until_healthy()["sandbox"] == f"landlock {VERSION}, no-new-privs"


@pytest.mark.parametrize(
    ("version", "mode", "lack"),
    [
        (1, "auto", "moves between folders"),
        (2, "auto", ""),
        (2, "require", "truncation, TCP ports, devices, signals and abstract sockets"),
        (5, "require", "signals and abstract sockets"),
        (6, "require", ""),
        (9, "require", ""),
    ],
)
def test_what_an_older_kernel_lacks_is_named(version: int, mode: str, lack: str) -> None:
    """Landlock's first version would break every commit, so it is not used; `require` wants all there is."""
    assert find_lack(version, mode) == lack


BASE = {53, 443}


@pytest.mark.parametrize(
    ("env", "ports"),
    [
        ({}, BASE),
        (
            {"GIT_ALLOWED_HOSTS": "git.example:8443,http://127.0.0.1:3000,http://[::1]"},
            BASE | {8443, 3000, 80},
        ),
        (
            {"GITHUB_API_URL": "https://ghe:4430", "STORAGE_WORKER_URL": "http://store"},
            BASE | {4430, 80},
        ),
        ({"ANTHROPIC_BASE_URL": "http://model:9000"}, BASE | {9000}),
        ({"HTTPS_PROXY": "http://user:pass@proxy:3128", "http_proxy": "old:8080"}, BASE | {3128, 8080}),
        ({"all_proxy": "socks5://proxy", "HTTP_PROXY": "http://proxy:many"}, BASE | {1080}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, BASE | {4318}),
        ({"STORAGE_URL": "s3://bucket"}, BASE | {80}),
        ({"STORAGE_URL": "s3://bucket", "AWS_ACCESS_KEY_ID": "key"}, BASE),
        (
            {"STORAGE_URL": "s3://b", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://x:81/"},
            BASE | {80, 81},
        ),
        (
            {"STORAGE_URL": "s3://b", "AWS_ENDPOINT_URL": "http://s:9000", "AWS_ACCESS_KEY_ID": "key"},
            BASE | {9000},
        ),
        ({"STORAGE_URL": "gs://bucket", "AWS_ACCESS_KEY_ID": "key"}, BASE | {80}),
        ({"STORAGE_URL": "gs://bucket", "GOOGLE_APPLICATION_CREDENTIALS": "/key.json"}, BASE),
        ({"STORAGE_URL": "az://bucket", "AZURE_STORAGE_ACCOUNT_KEY": "key"}, BASE),
        ({"STORAGE_URL": "az://bucket", "AZURE_STORAGE_USE_EMULATOR": "true"}, BASE | {10_000}),
        ({"STORAGE_URL": "file:///", "AWS_ENDPOINT_URL": "http://s:9000"}, BASE),
        ({"GIT_ALLOWED_HOSTS": "github.com,*"}, None),
        ({"LFS_ALLOWED_HOSTS": "*,bucket:8443,http://127.0.0.1:9000"}, BASE | {8443, 9000}),
    ],
)
def test_the_ports_are_those_that_the_settings_name(env: dict[str, str], ports: set[int] | None) -> None:
    """The metadata service of a cloud only where no key is given; every port where every https host is."""
    assert decide(env).connect == ports


def test_the_folders_are_those_that_the_settings_name(tmp_path: Path) -> None:
    """A job writes in its own folder and the store's, and nowhere else."""
    env = {"TMP_DIR": str(tmp_path), "PORT": "5003"}
    (tmp_path / "a store").mkdir()
    embedded, elsewhere = decide(env), decide(env | {"STORAGE_URL": f"{tmp_path.as_uri()}/a%20store"})
    cloud = decide(env | {"STORAGE_URL": "s3://bucket"})
    assert embedded.change == (SCRATCH, tmp_path / "github-worker-sessions")
    assert elsewhere.change == (SCRATCH, tmp_path / "a store")
    assert cloud.change == (SCRATCH,)
    assert (cloud.remove, cloud.listen) == (tmp_path, 5003)


def test_files_that_the_settings_name_are_read() -> None:
    """A token that is replaced while it is used has its folder open, a key the file alone."""
    env = {
        "SSL_CERT_FILE": "/certs/ca.pem",
        "SSL_CERT_DIR": "/certs/one:/certs/two",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/run/secrets/aws/token",
        "AWS_ACCESS_KEY_ID_FILE": __file__,
        "GOOGLE_APPLICATION_CREDENTIALS": "/home/me/key.json",
    }
    named = {"/certs/ca.pem", "/certs/one", "/certs/two", "/run/secrets/aws"}
    assert named <= set(decide(env).read)
    assert not {"/home/me/key.json", __file__} & set(decide(env).read)
    assert "/home/me/key.json" in decide(env | {"STORAGE_URL": "gs://bucket"}).read


def test_nothing_wide_is_read() -> None:
    """Not the root, nobody's home, no folder of secrets."""
    wide = {"/", "/etc", "/etc/ssl", "/run", "/run/secrets", "/home", "/root", "/proc", "/tmp", "/var"}
    assert not wide & set(decide({}).read)


def test_where_the_program_is_started_is_not_read(tmp_path: Path) -> None:
    """Python looks for modules there first, whatever else it holds."""
    (tmp_path / "show.py").write_text(SHOW)
    command = [sys.executable, "-m", "show"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in shown.splitlines()
    assert str(Path(github_worker.__file__).parent) in shown.splitlines()


SHOW = """
from pathlib import Path
from github_worker.sandbox import rules_for
from github_worker.settings import from_env

print(*rules_for(from_env({}), Path("/scratch")).read, sep="\\n")
"""
SCRATCH = Path("/scratch/github-worker-job-1")


def decide(env: dict[str, str]) -> Rules:
    """Return what a process with this environment may touch."""
    return rules_for(from_env(env), SCRATCH)
