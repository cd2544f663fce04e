"""The files that people deploy with: what they set is read, what they ask for can be had."""

from __future__ import annotations

import plistlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from github_worker.jobs import Timeouts
from github_worker.settings import from_env
from tests.conftest import WRITE_TOKEN
from tests.support.git_server import GitServer
from tests.support.worker import Worker
from tests.test_documents import Recorder

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "github-worker.service"
PROGRAM = {"/opt/github-worker/bin/github-worker", "python", "-m", "github_worker"}
# What systemd 252 says of the unit, in tenths: sockets, the network and the machine's root are what is left.
EXPOSURE = 11
# prctl(2), PR_SET_MDWE: from then on no memory of the process can be written and executed.
FORBID = "import ctypes, os, sys; assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0"
SERVE = 'os.execv(sys.executable, [sys.executable, "-m", "github_worker", "serve"])'


class Deployment(NamedTuple):
    """What a file runs, with which variables, and how many seconds the service has to end."""

    command: Sequence[str]
    env: Mapping[str, str]
    grace: float


def systemd() -> Deployment:
    """Read the unit."""
    fields = re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE)
    (command,) = (value for name, value in fields if name == "ExecStart")
    (grace,) = (value for name, value in fields if name == "TimeoutStopSec")
    env = dict(value.split("=", 1) for name, value in fields if name == "Environment")
    return Deployment(command.split(), env, _seconds(grace))


def launchd() -> Deployment:
    """Read the property list."""
    fields = plistlib.loads((DEPLOY / "github-worker.plist").read_bytes())
    return Deployment(fields["ProgramArguments"], fields["EnvironmentVariables"], fields["ExitTimeOut"])


def kubernetes() -> Deployment:
    """Read the Deployment."""
    pod = pod_template()
    (container,) = pod["containers"]
    env = {each["name"]: each["value"] for each in container["env"]}
    command = [*container["command"], *container["args"]]
    return Deployment(command, env, pod["terminationGracePeriodSeconds"])


def compose() -> Deployment:
    """Read compose.yml, as it is where no variable is set."""
    return _read_service("compose.yml")


def swarm() -> Deployment:
    """Read swarm.yml, as it is where no variable is set; its command is the image's, one job and the end."""
    return _read_service("swarm.yml")


READERS = [systemd, launchd, kubernetes, compose]
each_file = pytest.mark.parametrize("read", READERS, ids=lambda reader: str(reader.__name__))
each_file_and_swarm = pytest.mark.parametrize(
    "read", [*READERS, swarm], ids=lambda reader: str(reader.__name__)
)


def _read_service(name: str) -> Deployment:
    text = re.sub(r"\$\{\w+(?::-|:\?)([^}]*)\}", r"\1", (ROOT / name).read_text())
    worker = yaml.safe_load(text)["services"]["worker"]
    env = {name: value or "" for name, value in worker["environment"].items()}
    return Deployment(worker.get("command", []), env, _seconds(worker["stop_grace_period"]))


def pod_template() -> dict[str, Any]:
    """Return what the Deployment makes pods of."""
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    (deployment,) = (each for each in documents if each["kind"] == "Deployment")
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return pod


def _seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(m|min|s)?", text).groups()  # type: ignore[union-attr]
    return int(number) * (60 if unit in {"m", "min"} else 1)


@each_file_and_swarm
def test_every_variable_is_one_that_is_read(read: Callable[[], Deployment]) -> None:
    """A name that is spelled wrong would be passed over in silence."""
    known = Recorder()
    from_env(known)
    names = {name.removesuffix("_FILE") for name in read().env}
    assert {name for name in names - known.asked if not name.startswith("AWS_")} == set()


@each_file
def test_the_service_starts_with_these_flags_and_variables(
    read: Callable[[], Deployment], tmp_path: Path
) -> None:
    """As many work at once as the file says, and a caller's token is asked for."""
    command, env, _ = read()
    arguments = [word for word in command if word not in PROGRAM]
    (tmp_path / "token").write_text("caller-token-0123456789")
    secret = {name: str(tmp_path / "token") for name in env if name.endswith("_FILE")}
    here = {**env, **secret, "TMP_DIR": str(tmp_path), "HOST": "127.0.0.1"}
    with Worker(here, tmp_path / "log", program=("-m", "github_worker", *arguments)) as worker:
        assert worker.wait_until_healthy()["status"] == "ok"
        answer = httpx.get(f"{worker.base_url}/status", trust_env=False).json()
        assert answer["workers"]["limit"] == int(arguments[arguments.index("--workers") + 1])
        assert httpx.post(f"{worker.base_url}/clone-repository", trust_env=False).status_code == 401
        worker.terminate()
        assert worker.wait(10) == 0


@each_file_and_swarm
def test_a_job_is_given_the_time_to_finish(read: Callable[[], Deployment]) -> None:
    """Who is told to end is not killed before its jobs have ended by themselves."""
    deployment, limits = read(), Timeouts()
    timeout = from_env({name: deployment.env[name] for name in ("JOB_TIMEOUT",) if name in deployment.env})
    longest = timeout.job_timeout + 2 * limits.grace + limits.linger + limits.overdue
    assert deployment.grace >= longest


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_unit_and_calls_it_hardened(tmp_path: Path) -> None:
    """Every line of it is known, and its exposure is what docs/deploy.md says."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/github-worker/bin/github-worker", sys.executable))
    verified = analyze("verify", str(unit))
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = analyze("security", "--offline=yes", f"--threshold={EXPOSURE}", "--no-pager", str(unit))
    assert judged.returncode == 0, judged.stdout
    assert f"exposure level of {EXPOSURE / 10}" in " ".join((ROOT / "docs" / "deploy.md").read_text().split())


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze."""
    return subprocess.run(["systemd-analyze", *arguments], check=False, capture_output=True, text=True)


def test_a_pod_may_do_no_more_than_it_must() -> None:
    """It is nobody of importance, writes to its scratch space alone, and has no token of the cluster's."""
    pod, env = pod_template(), kubernetes().env
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    writable = [path for path, mount in mounts.items() if not mount.get("readOnly")]
    assert writable == [env["TMP_DIR"]]
    assert "emptyDir" in volumes[mounts[env["TMP_DIR"]]["name"]]
    assert str(Path(env["GITHUB_WORKER_TOKEN_FILE"]).parent) in mounts
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert probes == [{"path": "/health", "port": "http"}] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forbid it so")
def test_no_job_needs_memory_that_is_written_and_executed(
    git_server: GitServer, worker_env: dict[str, str], tmp_path: Path
) -> None:
    """The unit forbids it, and callbacks that are made at run time would need it."""
    if subprocess.run([sys.executable, "-c", FORBID], check=False).returncode:
        pytest.skip("needs Linux 6.3")
    origin = git_server.seed("octo", "demo")
    body = {"sessionId": "s-12345678", "repoUrl": origin.url, "userRequest": "Add a mode"}
    with Worker(worker_env, tmp_path / "log", program=("-c", f"{FORBID}; {SERVE}")) as worker:
        worker.wait_until_healthy()
        url = f"{worker.base_url}/init-session"
        answer = httpx.post(url, json={**body, "githubAccessToken": WRITE_TOKEN}, trust_env=False, timeout=30)
    assert '"type":"completed"' in answer.text
    assert '"pushed":true' in answer.text
