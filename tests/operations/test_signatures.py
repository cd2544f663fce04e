"""Signed commits and tags: `git verify-commit` and `git verify-tag` are the judges."""

from __future__ import annotations

import re
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import httpx
import pytest

from github_worker.contract import AnyEvent, Author, Committed, NewTag, PrivateKey, Warned, encode_event
from github_worker_client.errors import InvalidRequest, JobFailed
from github_worker_client.sync import GitHubWorker
from tests.conftest import WRITE_TOKEN
from tests.operations.conftest import SESSION, JobRunner
from tests.support.repositories import Repository as Origin
from tests.support.repositories import git
from tests.support.sessions import SessionFolder
from tests.support.signing import Key, needs_ssh_keygen, read, trusting, verify
from tests.support.worker import RestartLoop, Worker

pytestmark = needs_ssh_keygen
ADA = Author("Ada Lovelace", "ada@example.com", "+05:30")
WORKER = "worker@github-worker.local"
REPOSITORY = "workspace/workspace/demo"


@pytest.fixture
def key(tmp_path: Path) -> Key:
    """Return a key."""
    return Key.make(tmp_path)


@pytest.fixture
def trust(tmp_path: Path, key: Key) -> dict[str, str]:
    """Return an environment in which git knows the key for Ada's, and for the worker's."""
    return trusting(tmp_path, f"{ADA.email},{WORKER}", key)


def warnings(runner: JobRunner, code: str) -> list[str]:
    """Return what the last job warned of."""
    return [event.message for event in runner.events if isinstance(event, Warned) and event.code == code]


async def test_a_commit_is_signed_by_the_requests_key(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, key: Key, trust: dict[str, str]
) -> None:
    """Git verifies it, and its author is the committer, whose key it is."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    result = await runner.commit(signing_key=PrivateKey(key.text), author=ADA, message="Add it")
    assert result.pushed
    assert f'Good "git" signature for {ADA.email}' in verify(origin.path, result.commit_hash, trust)
    [commit, _] = origin.log(branch)
    assert (commit.committer, commit.committer_email) == (ADA.name, ADA.email)


async def test_a_signed_commit_is_gits_own(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, key: Key, trust: dict[str, str]
) -> None:
    """Git makes the same commit of the same words, to its id."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    result = await runner.commit(signing_key=PrivateKey(key.text), author=ADA, message="Add it")
    header = read(origin.path, result.commit_hash).decode().partition("\n\n")[0]
    [tree, parent] = re.findall(r"^(?:tree|parent) (.+)$", header, re.MULTILINE)
    [when, _] = re.findall(r"^(?:author|committer) .*> (.+)$", header, re.MULTILINE)
    roles = {
        f"GIT_{role}_{word}": value
        for role in ("AUTHOR", "COMMITTER")
        for word, value in (("NAME", ADA.name), ("EMAIL", ADA.email), ("DATE", when))
    }
    command = ("commit-tree", f"-S{key.file}", tree, "-p", parent)
    made = git("--git-dir", origin.path, *command, stdin=b"Add it\n", env=trust | roles)
    assert made.decode().strip() == result.commit_hash


async def test_a_key_without_an_author(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, key: Key, trust: dict[str, str]
) -> None:
    """The worker commits, and the key signs."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    result = await runner.commit(signing_key=PrivateKey(key.text))
    assert "Good" in verify(origin.path, result.commit_hash, trust)
    assert origin.log(branch)[0].committer_email == WORKER


async def test_the_workers_own_key_signs_all_commits(
    runner: JobRunner,
    origin: Origin,
    sessions: SessionFolder,
    branch: str,
    key: Key,
    tmp_path: Path,
    trust: dict[str, str],
) -> None:
    """Encrypted in a file, with its passphrase in another: whoever is the author, the worker commits."""
    encrypted, words = Key.make(tmp_path, "ecdsa-384", "correct horse"), tmp_path / "passphrase"
    words.write_text("correct horse\n")
    runner.env |= {"GIT_SIGNING_KEY_FILE": str(encrypted.file), "GIT_SIGNING_PASSPHRASE_FILE": str(words)}
    sessions.edit(SESSION, {"new.txt": "new\n"})
    result = await runner.commit(author=ADA)
    trust = trusting(tmp_path, WORKER, encrypted)
    assert f'Good "git" signature for {WORKER}' in verify(origin.path, result.commit_hash, trust)
    assert origin.log(branch)[0].author == ADA.name
    sessions.edit(SESSION, {"new.txt": "newer\n"})
    result = await runner.commit(signing_key=PrivateKey(key.text), author=ADA)
    with pytest.raises(CalledProcessError):
        verify(origin.path, result.commit_hash, trust)
    assert "Good" in verify(origin.path, result.commit_hash, trusting(tmp_path, ADA.email, key))


async def test_a_rebased_commit_is_signed_anew(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, key: Key, trust: dict[str, str]
) -> None:
    """It has no signature of another text, and nothing is warned of."""
    origin.commit({"theirs.txt": "1\n"}, branch=branch)
    sessions.edit(SESSION, {"ours.txt": "1\n"})
    result = await runner.commit(signing_key=PrivateKey(key.text), author=ADA)
    assert "rebasing" in runner.stages
    assert "Good" in verify(origin.path, result.commit_hash, trust)
    assert read(origin.path, result.commit_hash).count(b"BEGIN SSH SIGNATURE") == 1
    assert not warnings(runner, "signature_lost")


def commit_in_session(
    sessions: SessionFolder, folder: Path, trust: dict[str, str], key: Key | None, name: str
) -> str:
    """Let an agent commit a file in the session, signed if there is a key, and return the commit."""
    stored = sessions.get(SESSION)
    worktree = stored.extract(folder / name)
    (worktree / name).write_text("1\n")
    people = {f"GIT_{role}_{word}": "agent" for role in ("AUTHOR", "COMMITTER") for word in ("NAME", "EMAIL")}
    git("-C", worktree, "add", name)
    sign = [f"-S{key.file}"] if key else []
    git("-C", worktree, "commit", "--quiet", "-m", f"Add {name}", *sign, env=trust | people)
    tree = {
        f".git/{file.relative_to(worktree / '.git')}": file.read_bytes()
        for file in (worktree / ".git").rglob("*")
        if file.is_file()
    }
    sessions.edit(SESSION, {**tree, name: "1\n"})
    return git("-C", worktree, "rev-parse", "HEAD").decode().strip()


async def test_what_a_session_says_of_signing_is_not_obeyed(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, key: Key, tmp_path: Path
) -> None:
    """No program that its config names is run, and no key that it names is opened."""
    program, proof = tmp_path / "program", tmp_path / "proof"
    program.write_text(f"#!/bin/sh\ntouch {proof}\n")
    program.chmod(0o755)
    config = sessions.get(SESSION).read(f"{REPOSITORY}/.git/config").decode()
    words = f"[commit]\n\tgpgSign = true\n[tag]\n\tgpgSign = true\n[user]\n\tsigningKey = {key.file}\n"
    words += f'[gpg]\n\tformat = ssh\n\tprogram = {program}\n[gpg "ssh"]\n\tprogram = {program}\n'
    words += f'[trailer "x"]\n\tcommand = {program}\n'
    sessions.edit(SESSION, {".git/config": config + words, "new.txt": "new\n"})
    result = await runner.commit(tag=NewTag("v1", "One"), sign_off=True)
    assert result.pushed
    assert b"gpgsig" not in read(origin.path, result.commit_hash)
    assert b"SIGNATURE" not in read(origin.path, "v1")
    assert not proof.exists()


@pytest.mark.parametrize("signs", [True, False])
async def test_a_rebase_says_which_signatures_are_lost(
    runner: JobRunner,
    origin: Origin,
    sessions: SessionFolder,
    branch: str,
    tmp_path: Path,
    key: Key,
    trust: dict[str, str],
    signs: bool,
) -> None:
    """One that another key made cannot be made again; the warning names its commit, and no unsigned one."""
    agents = Key.make(tmp_path)
    lost = commit_in_session(sessions, tmp_path, trust, agents, "signed.txt")
    plain = commit_in_session(sessions, tmp_path, trust, None, "plain.txt")
    origin.commit({"theirs.txt": "1\n"}, branch=branch)
    result = await runner.commit(**({"signing_key": PrivateKey(key.text), "author": ADA} if signs else {}))
    assert result.pushed
    [warning] = warnings(runner, "signature_lost")
    assert lost[:7] in warning
    assert plain[:7] not in warning
    assert ("signed by another key now" if signs else "not signed any more") in warning
    for commit in origin.log(branch)[:2]:
        assert (b"gpgsig" in read(origin.path, commit.sha)) == signs
        assert not signs or "Good" in verify(origin.path, commit.sha, trust)


async def test_a_signed_commit_that_is_pushed_as_it_is_stays_signed(
    runner: JobRunner,
    origin: Origin,
    sessions: SessionFolder,
    branch: str,
    tmp_path: Path,
    key: Key,
    trust: dict[str, str],
) -> None:
    """Nothing is made anew without need."""
    commit = commit_in_session(sessions, tmp_path, trust, key, "signed.txt")
    assert (await runner.commit()).commit_hash == commit == origin.branches()[branch]
    assert not warnings(runner, "signature_lost")


async def test_an_annotated_tag_is_signed(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, key: Key, trust: dict[str, str]
) -> None:
    """Git verifies it; a lightweight one has nothing to sign."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    tag = NewTag("v1", "Version 1\n\nWith words.")
    result = await runner.commit(signing_key=PrivateKey(key.text), author=ADA, tag=tag)
    assert result.tag.pushed
    assert "Good" in verify(origin.path, "v1", trust, "tag")
    origin.git("fsck", "--strict")


def test_a_key_that_cannot_sign_is_refused_before_anything_is_touched(worker: Worker, tmp_path: Path) -> None:
    """With a 400 that names the field and tells nothing of the key; the worker waits for the next request."""
    encrypted = Key.make(tmp_path, "ed25519", "correct horse")
    half = encrypted.text[: len(encrypted.text) // 2]
    wrong: list[dict[str, object]] = [
        {"signingKey": "ssh-ed25519 AAAA"},
        {"signingKey": half},
        {"signingKey": encrypted.text},
        {"signingKey": encrypted.text, "signingKeyPassphrase": "a wrong passphrase"},
        {"signingKey": encrypted.public},
        {"signingKey": 1},
        {"signingKeyPassphrase": "correct horse"},
        {"signingKey": Key.make(tmp_path, "ecdsa-256").text, "signingKeyPassphrase": "a\nb"},
    ]
    for body in wrong:
        given = {"sessionId": SESSION, "githubAccessToken": WRITE_TOKEN} | body
        answer = httpx.post(f"{worker.base_url}/commit-and-push", json=given, trust_env=False)
        assert answer.status_code == 400, body
        assert "`signingKey" in answer.json()["message"]
        assert "a wrong passphrase" not in answer.json()["message"]
    told = worker.log.read_text()
    lines = [line for line in encrypted.text.splitlines() if len(line) > 6]
    assert not [line for line in [*lines, "a wrong passphrase"] if line in told]
    assert httpx.get(f"{worker.base_url}/status", trust_env=False).json()["status"] == "idle"


def test_a_worker_signs_and_tells_nothing_of_the_key(
    restart_loop: RestartLoop, origin: Origin, sessions: SessionFolder, branch: str, tmp_path: Path
) -> None:
    """In its sandbox; a message that has the key is refused, and nothing that is told or kept has a line."""
    key = Key.make(tmp_path, "ed25519", "correct horse")
    secrets = [*key.text.splitlines()[1:-1], "correct horse"]
    sessions.edit(SESSION, {"new.txt": "new\n"})
    events: list[AnyEvent] = []

    def commit(message: str) -> Committed:
        with GitHubWorker(restart_loop.base_url) as client:
            return client.commit_and_push(
                session_id=SESSION,
                access_token=WRITE_TOKEN,
                signing_key=key.text,
                signing_key_passphrase="correct horse",
                author=ADA,
                message=message,
                on_event=events.append,
            )

    with pytest.raises(JobFailed, match="Credentials would be pushed"):
        commit(f"Say {key.text}")
    done = commit("Add it")
    assert "Good" in verify(origin.path, str(done.commit_hash), trusting(tmp_path, ADA.email, key))
    restart_loop.wait_until_ended(2)
    told = [encode_event(event) for event in events]
    told += [generation.log.read_bytes() for generation in restart_loop.ended]
    archive = sessions.get(SESSION)
    told += [archive.read(name) for name, member in archive.members().items() if member.isreg()]
    assert not [secret for secret in secrets if secret.encode() in b"".join(told)]


def test_each_of_many_jobs_signs_by_its_own_key(
    worker_env: dict[str, str], origin: Origin, sessions: SessionFolder, branch: str, tmp_path: Path
) -> None:
    """Under `--workers`: the worker's, which was read before the fork, or its request's."""
    own, users = Key.make(tmp_path, "rsa", "correct horse"), Key.make(tmp_path, "ecdsa-521", "other words")
    env = worker_env | {"GIT_SIGNING_KEY_FILE": str(own.file), "GIT_SIGNING_PASSPHRASE": "correct horse"}
    program = ("-m", "github_worker", "serve", "--workers", "2")
    job: dict[str, Any] = {"session_id": SESSION, "access_token": WRITE_TOKEN}
    brought: dict[str, Any] = {"signing_key": users.text, "signing_key_passphrase": "other words"}
    with Worker(env, tmp_path / "worker.log", program=program) as worker:
        worker.wait_until_healthy()
        with GitHubWorker(worker.base_url) as client:
            for key in (own, users):
                sessions.edit(SESSION, {"new.txt": key.public})
                commit = client.commit_and_push(**job, **brought if key is users else {}).commit_hash
                assert "Good" in verify(origin.path, str(commit), trusting(tmp_path, WORKER, key))
            with pytest.raises(InvalidRequest, match="`signingKey` cannot be decrypted"):
                client.commit_and_push(**job, **brought | {"signing_key_passphrase": "wrong words"})


async def test_a_job_with_a_key_has_events_without_it(
    runner: JobRunner, sessions: SessionFolder, branch: str, key: Key
) -> None:
    """What a remote or a message repeats of it is masked."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    line = key.text.splitlines()[1]
    await runner.commit(signing_key=PrivateKey(key.text), message=f"Say {line}", on_secret="allow")
    assert line.encode() not in b"".join(encode_event(event) for event in runner.events)
