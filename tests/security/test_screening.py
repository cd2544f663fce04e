"""What must not be pushed: credentials, and files that the forge refuses."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from github_worker.contract import Author, ModelCredentials, Warned
from github_worker.errors import FileTooLarge, SecretDetected, UnsupportedRepository
from tests.conftest import WRITE_TOKEN
from tests.operations.conftest import SESSION, JobRunner
from tests.security.conftest import Attack
from tests.support.model import Model, Say
from tests.support.repositories import git
from tests.support.sessions import pack

# put together here, so that no scanner takes this file for a leak
GITHUB = "ghp_" + "a1B2" * 9
AWS = "AKIA" + "A1B2" * 4
KEY = "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIE\n-----END RSA PRIVATE " + "KEY-----\n"
OAUTH = "own-oauth-token/with+signs=="
OWN = {
    "as it is": WRITE_TOKEN,
    "in a URL": f"https://x-access-token:{WRITE_TOKEN}@github.com/o/r",
    "for HTTP Basic": base64.b64encode(f"x-access-token:{WRITE_TOKEN}".encode()).decode(),
    "in base64": base64.b64encode(WRITE_TOKEN.encode()).decode(),
    "the model's": OAUTH,
    "the model's in a URL": quote(OAUTH, safe=""),
}


async def refused(runner: JobRunner, **fields: Any) -> tuple[str, list[dict[str, Any]]]:
    """Return the message and the findings of a job that must stop."""
    with pytest.raises(SecretDetected) as caught:
        await runner.commit(**fields)
    told = f"{caught.value}{caught.value.data}{runner.events}"
    for secret in (GITHUB, AWS, "MIIE", *OWN.values()):
        assert secret not in told
    return str(caught.value), caught.value.data["found"]


def warnings(attack: Attack, code: str) -> list[str]:
    """Return the warnings of a kind that the last job told."""
    events = attack.runner.events
    return [event.message for event in events if isinstance(event, Warned) and event.code == code]


@pytest.mark.parametrize("text", OWN.values(), ids=OWN)
async def test_the_requests_own_credentials_are_not_pushed(text: str, attack: Attack) -> None:
    """In whatever form they stand in a file; nothing is sent, and the session is as it was."""
    attack.change({"config.env": f"first\nX={text}\n"})
    before, sent = attack.sessions.get(SESSION).data, len(attack.origin.branches())
    credentials = ModelCredentials(json.dumps({"claudeAiOauth": {"accessToken": OAUTH}}))
    message, found = await refused(attack.runner, claude_credentials=credentials)
    assert {(place["path"], place["line"]) for place in found} == {("config.env", 2)}
    assert "config.env:2" in message
    assert attack.sessions.get(SESSION).data == before
    assert len(attack.origin.branches()) == sent
    assert len(attack.origin.log(attack.branch)) == 1


async def test_well_known_credentials_are_not_pushed(attack: Attack) -> None:
    """All of them are named, by file and line and kind."""
    attack.change({"a.txt": f"x\n{GITHUB}\n{AWS}\n", "src/key.pem": KEY, "fine.txt": "ghp_short\n"})
    message, found = await refused(attack.runner)
    assert found == [
        {"path": "a.txt", "line": 2, "kind": "GitHub token"},
        {"path": "a.txt", "line": 3, "kind": "AWS access key"},
        {"path": "src/key.pem", "line": 1, "kind": "private key"},
    ]
    for place in ("a.txt:2", "a.txt:3", "src/key.pem:1"):
        assert place in message


async def test_a_request_may_allow_them(attack: Attack) -> None:
    """They are pushed, and warnings say which."""
    attack.change({"fixture.txt": f"{GITHUB}\n"})
    result = await attack.runner.commit(on_secret="allow")
    assert result.pushed
    (warning,) = warnings(attack, "secret_allowed")
    assert "fixture.txt:1" in warning
    assert GITHUB not in warning


async def test_a_file_with_a_credential_may_be_left_out(attack: Attack, tmp_path: Path) -> None:
    """All else is pushed; it stays in the worktree as it is, and git says that it alone has changed."""
    leaks = {"README.md": f"# Demo\n{GITHUB}\n", "new/leak.txt": f"x\n{AWS}\n", f"new/{GITHUB}.txt": "1\n"}
    attack.change({"src/app.py": "print('ho')\n", "new/fine.txt": "fine\n", **leaks})
    result = await attack.runner.commit(on_secret="leave-out")
    assert (result.pushed, result.files_changed) == (True, 2)
    worktree = attack.sessions.get(SESSION).extract(tmp_path / "after")
    status = git("-C", worktree, "status", "--porcelain", "--untracked-files=all").decode().splitlines()
    assert status == [" M README.md", f"?? new/{GITHUB}.txt", "?? new/leak.txt"]
    assert {name: (worktree / name).read_text() for name in leaks} == leaks
    pushed = {name: attack.origin.read(attack.branch, name) for name in attack.origin.files(attack.branch)}
    assert pushed == {"README.md": b"# Demo\n", "src/app.py": b"print('ho')\n", "new/fine.txt": b"fine\n"}
    assert warnings(attack, "secret_left_out") == [
        "Not committed, as a credential is in it: README.md:2 (GitHub token)",
        "Not committed, as a credential is in it: new/***.txt (GitHub token in its name)",
        "Not committed, as a credential is in it: new/leak.txt:2 (AWS access key)",
    ]


async def test_what_was_left_out_is_committed_once_it_is_clean(attack: Attack) -> None:
    """It is a change like any other then, and until then there is nothing to do."""
    attack.change({"README.md": f"# Demo\n{GITHUB}\n", "new.txt": "new\n"})
    assert (await attack.runner.commit(on_secret="leave-out")).pushed
    again = await attack.runner.commit(on_secret="leave-out")
    assert (again.skipped, "left out" in again.reason) == (True, True)
    attack.change({"README.md": "# Demo\nclean\n"})
    assert (await attack.runner.commit(on_secret="leave-out")).files_changed == 1
    assert attack.origin.read(attack.branch, "README.md") == b"# Demo\nclean\n"


async def test_what_is_left_out_survives_a_rebase(attack: Attack, tmp_path: Path) -> None:
    """The remote moved on: the commit goes on top of it, and the file stays as it is in the worktree."""
    attack.change({"README.md": f"# Demo\n{GITHUB}\n", "new.txt": "new\n"})
    attack.origin.commit({"theirs.txt": "theirs\n"}, branch=attack.branch)
    assert (await attack.runner.commit(on_secret="leave-out")).pushed
    assert set(attack.origin.files(attack.branch)) == {"README.md", "src/app.py", "new.txt", "theirs.txt"}
    worktree = attack.sessions.get(SESSION).extract(tmp_path / "after")
    assert git("-C", worktree, "status", "--porcelain").decode().splitlines() == [" M README.md"]
    assert GITHUB in (worktree / "README.md").read_text()


async def test_what_is_in_no_file_cannot_be_left_out(attack: Attack, tmp_path: Path) -> None:
    """A message, a branch, or an older commit that is not pushed: it is refused, and the error says why."""
    attack.change({"new.txt": "new\n"})
    message, _ = await refused(attack.runner, on_secret="leave-out", message=f"Use {GITHUB}")
    assert "the commit's message:1 (GitHub token). They are in no file that can be left out" in message
    _commit_in_session(attack, tmp_path, {"leak.txt": f"{GITHUB}\n"})
    attack.change({"other.txt": f"{AWS}\n"})
    message, found = await refused(attack.runner, on_secret="leave-out")
    assert [place["path"] for place in found] == ["leak.txt"]


async def test_nothing_is_left_out_of_a_merge(attack: Attack, tmp_path: Path) -> None:
    """Git commits a merge whole: without a file it would undo what the other side made of it."""
    worktree = attack.sessions.get(SESSION).extract(tmp_path / "session")
    attack.origin.commit({"theirs.txt": "theirs\n"})
    git("-C", worktree, "fetch", "--quiet", attack.origin.path, "main:refs/remotes/origin/main")
    _git(worktree, "merge", "--quiet", "--no-ff", "--no-commit", "origin/main")
    (worktree / "theirs.txt").write_text(f"{GITHUB}\n")
    _put(attack, worktree)
    message, found = await refused(attack.runner, on_secret="leave-out")
    assert [place["path"] for place in found] == ["theirs.txt"]
    assert "Nothing can be left out of a merge" in message


async def test_a_file_in_the_place_of_a_folder_is_left_out(attack: Attack, tmp_path: Path) -> None:
    """And a file in a folder that took a file's place; what they stand in the place of is gone."""
    worktree = attack.sessions.get(SESSION).extract(tmp_path / "session")
    shutil.rmtree(worktree / "src")
    (worktree / "src").write_text(f"{GITHUB}\n")
    (worktree / "README.md").unlink()
    (worktree / "README.md").mkdir()
    (worktree / "README.md" / "leak.txt").write_text(f"{GITHUB}\n")
    (worktree / "README.md" / "fine.txt").write_text("fine\n")
    _put(attack, worktree)
    assert (await attack.runner.commit(on_secret="leave-out")).pushed
    assert set(attack.origin.files(attack.branch)) == {"README.md/fine.txt"}
    worktree = attack.sessions.get(SESSION).extract(tmp_path / "after")
    status = git("-C", worktree, "status", "--porcelain", "--untracked-files=all").decode().splitlines()
    assert status == ["?? README.md/leak.txt", "?? src"]


@pytest.mark.parametrize("choice", ["refuse", "leave-out", "allow"])
async def test_the_worker_has_a_choice_of_its_own(choice: str, attack: Attack) -> None:
    """`ON_SECRET` is what holds for a request that does not say."""
    attack.runner.env["ON_SECRET"] = choice
    attack.change({"fine.txt": "fine\n", "leak.txt": f"{GITHUB}\n"})
    if choice == "refuse":
        await refused(attack.runner)
    else:
        assert (await attack.runner.commit()).pushed
    pushed = {"refuse": set(), "leave-out": {"fine.txt"}, "allow": {"fine.txt", "leak.txt"}}[choice]
    assert set(attack.origin.files(attack.branch)) == {"README.md", "src/app.py", *pushed}


async def test_what_the_remote_has_already_stops_nobody(attack: Attack) -> None:
    """A file may be changed, moved or copied in part; a credential that is new in it still counts."""
    attack.origin.commit({"a.txt": f"x\n{GITHUB}\n"}, branch=attack.branch)
    await attack.runner.clone(attack.origin.url)
    attack.change({"a.txt": None, "b.txt": f"more\nx\n{GITHUB}\n"})
    assert (await attack.runner.commit()).pushed
    attack.change({"b.txt": f"more\nx\n{GITHUB}\n{AWS}\n"})
    _, found = await refused(attack.runner)
    assert found == [{"path": "b.txt", "line": 4, "kind": "AWS access key"}]


async def test_an_unpushed_commit_is_screened(attack: Attack, tmp_path: Path) -> None:
    """Even if a later commit has taken the credential away again: the push would send both."""
    worktree = _commit_in_session(attack, tmp_path, {"leak.txt": f"{GITHUB}\n"}, {"leak.txt": "gone\n"})
    attack.change({"other.txt": "1\n"})
    message, found = await refused(attack.runner)
    leak = git("-C", worktree, "rev-parse", "HEAD~1").decode().strip()
    assert found == [{"path": "leak.txt", "line": 1, "kind": "GitHub token", "commit": leak}]
    assert leak[:10] in message
    attack.change({"other.txt": None})
    await refused(attack.runner)


async def test_an_unpushed_commit_is_screened_for_a_branch_too(attack: Attack, tmp_path: Path) -> None:
    """The branch is in the session, and not on the remote."""
    _commit_in_session(attack, tmp_path, {"leak.txt": f"{GITHUB}\n"})
    result = await attack.runner.branch("Something else", base_branch=attack.branch)
    assert (result.pushed, result.push_error.code) == (False, "secret_detected")
    assert set(attack.origin.branches()) == {"main", attack.branch}


async def test_a_merge_brings_what_others_pushed(attack: Attack, tmp_path: Path) -> None:
    """What came from the remote's main is there already, and stops nobody."""
    attack.origin.commit({"theirs.txt": f"{GITHUB}\n"})
    worktree = attack.sessions.get(SESSION).extract(tmp_path / "session")
    git("-C", worktree, "fetch", "--quiet", attack.origin.path, "main:refs/remotes/origin/main")
    _git(worktree, "merge", "--quiet", "--no-ff", "-m", "Merge", "origin/main")
    _put(attack, worktree)
    assert (await attack.runner.commit()).pushed
    assert "theirs.txt" in attack.origin.files(attack.branch)


@pytest.mark.parametrize("sides", [1, 2], ids=["merge", "octopus"])
async def test_what_a_merge_in_progress_brings_is_screened(
    sides: int, attack: Attack, tmp_path: Path
) -> None:
    """Files, removed files and messages of every other parent: the push would send them all."""
    worktree = attack.sessions.get(SESSION).extract(tmp_path / "session")
    _begin_merge(worktree, attack.branch, {"leak.txt": f"{GITHUB}\n"}, sides)
    _put(attack, worktree)
    _, found = await refused(attack.runner)
    assert {(place["path"], place["kind"]) for place in found} == {
        ("leak.txt", "GitHub token"),
        ("the commit's message", "a credential of this request"),
    }
    leaking = {git("-C", worktree, "rev-parse", f"side{side}~1").decode().strip() for side in range(sides)}
    assert {place["commit"] for place in found} == leaking


async def test_a_large_file_of_a_merge_in_progress_is_not_pushed(attack: Attack, tmp_path: Path) -> None:
    """It is of a commit that the merge brings, which removes it again."""
    worktree = attack.sessions.get(SESSION).extract(tmp_path / "session")
    _begin_merge(worktree, attack.branch, {"large.bin": "0" * (100 * 1024 * 1024 + 1)}, message="Local")
    _put(attack, worktree)
    with pytest.raises(FileTooLarge, match=r"large\.bin"):
        await attack.runner.commit()
    assert attack.origin.log(attack.branch)[0].message == "Begin"


async def test_a_merge_in_progress_of_what_is_pushed_stops_nobody(attack: Attack, tmp_path: Path) -> None:
    """What it brings is there already."""
    attack.origin.commit({"theirs.txt": f"{GITHUB}\n"})
    worktree = attack.sessions.get(SESSION).extract(tmp_path / "session")
    git("-C", worktree, "fetch", "--quiet", attack.origin.path, "main:refs/remotes/origin/main")
    _git(worktree, "merge", "--quiet", "--no-ff", "--no-commit", "origin/main")
    _put(attack, worktree)
    assert (await attack.runner.commit()).pushed
    assert "theirs.txt" in attack.origin.files(attack.branch)


async def test_a_name_that_is_not_utf8_is_told(attack: Attack, tmp_path: Path) -> None:
    """In an unpushed merge too, whose other side has such names."""
    worktree = attack.sessions.get(SESSION).extract(tmp_path / "session")
    for branch, name, text in (("side", b"/caf\xe9", "1\n"), (attack.branch, b"/leak\xe9", f"{GITHUB}\n")):
        _git(worktree, "checkout", "--quiet", "-B", branch, "origin/main")
        Path(os.fsdecode(os.fsencode(worktree) + name)).write_text(text)
        _git(worktree, "add", "-A")
        _git(worktree, "commit", "--quiet", "-m", "Local")
    _git(worktree, "merge", "--quiet", "--no-ff", "-m", "Merge", "side")
    _put(attack, worktree)
    _, found = await refused(attack.runner)
    assert [place["path"] for place in found] == ["leak\\udce9"]


async def test_a_message_is_screened(attack: Attack) -> None:
    """The one that the request gives, like those of commits that are still to be pushed."""
    attack.change({"new.txt": "new\n"})
    _, found = await refused(attack.runner, message=f"Use it\n\n{WRITE_TOKEN}")
    assert found == [{"path": "the commit's message", "line": 3, "kind": "a credential of this request"}]


NAMED = {
    "userId": ({"user_id": f"user {GITHUB}"}, "the commit's message"),
    "author": ({"author": Author(GITHUB, "ada@example.com")}, "the commit's author"),
    "e-mail": ({"author": Author("Ada", f"{GITHUB}@example.com")}, "the commit's author"),
}


@pytest.mark.parametrize(("fields", "place"), NAMED.values(), ids=NAMED)
async def test_people_are_screened(fields: dict[str, Any], place: str, attack: Attack) -> None:
    """Those that the request names."""
    attack.change({"new.txt": "new\n"})
    _, found = await refused(attack.runner, **fields)
    assert [(finding["path"], finding["kind"]) for finding in found] == [(place, "GitHub token")]


async def test_the_people_of_an_unpushed_commit_are_screened(attack: Attack, tmp_path: Path) -> None:
    """Its author, its committer and what else its header says."""
    worktree = attack.sessions.get(SESSION).extract(tmp_path / "session")
    people = ("-c", f"user.name={GITHUB}", "-c", "user.email=a@example.com")
    git("-C", worktree, *people, "commit", "--quiet", "--allow-empty", "-m", "Local", "--author=A <a@b.c>")
    raw = git("-C", worktree, "cat-file", "commit", "HEAD").replace(GITHUB.encode(), b"A")
    header, _, message = raw.partition(b"\n\n")
    (tmp_path / "commit").write_bytes(b"%b\nencoding %b\n\n%b" % (header, AWS.encode(), message))
    oid = git("-C", worktree, "hash-object", "-t", "commit", "-w", tmp_path / "commit").decode().strip()
    git("-C", worktree, "checkout", "--quiet", "-B", attack.branch)
    _git(worktree, "merge", "--quiet", "--no-ff", "-m", "Merge", oid)
    _put(attack, worktree)
    _, found = await refused(attack.runner)
    assert {(finding["path"], finding["kind"]) for finding in found} == {
        ("the commit's committer", "GitHub token"),
        ("the commit's header", "AWS access key"),
    }


@pytest.mark.parametrize("name", [f"{GITHUB}.txt", f"a/{GITHUB}/b.txt", f"{WRITE_TOKEN.encode().hex()}.txt"])
async def test_the_names_of_files_and_folders_are_screened(name: str, attack: Attack) -> None:
    """The finding tells where it is, and not what it is."""
    attack.change({name: "1\n"})
    message, found = await refused(attack.runner)
    secret = GITHUB if GITHUB in name else WRITE_TOKEN.encode().hex()
    kind = "GitHub token" if GITHUB in name else "a credential of this request"
    assert found == [{"path": name.replace(secret, "***"), "kind": f"{kind} in its name"}]
    assert secret not in message


async def test_a_name_that_the_remote_has_already_stops_nobody(attack: Attack) -> None:
    """The file may be changed, and moved."""
    attack.origin.commit({f"{GITHUB}.txt": "x\n"}, branch=attack.branch)
    await attack.runner.clone(attack.origin.url)
    attack.change({f"{GITHUB}.txt": "y\n"})
    assert (await attack.runner.commit()).pushed
    attack.change({f"{GITHUB}.txt": None, f"a/{GITHUB}.txt": "y\n"})
    assert (await attack.runner.commit()).pushed


async def test_a_submodules_name_is_screened(attack: Attack, tmp_path: Path) -> None:
    """It is in the tree of an unpushed commit, though nothing of it is pushed."""
    worktree = attack.sessions.get(SESSION).extract(tmp_path / "session")
    head = git("-C", worktree, "rev-parse", "HEAD").decode().strip()
    _git(worktree, "update-index", "--add", "--cacheinfo", f"160000,{head},libs/{GITHUB}")
    _git(worktree, "commit", "--quiet", "-m", "Local")
    _put(attack, worktree)
    _, found = await refused(attack.runner)
    assert [finding["path"] for finding in found] == ["libs/***"]


async def test_a_branchs_name_is_screened(attack: Attack, tmp_path: Path) -> None:
    """Unless the remote has the branch."""
    worktree = attack.sessions.get(SESSION).extract(tmp_path / "session")
    _git(worktree, "checkout", "--quiet", "-b", f"fix/{GITHUB}")
    _put(attack, worktree)
    _, found = await refused(attack.runner)
    assert found == [{"path": "the branch's name", "kind": "GitHub token"}]
    git("-C", worktree, "push", "--quiet", attack.origin.path, "HEAD")
    git("-C", worktree, "fetch", "--quiet", attack.origin.path, "+refs/heads/*:refs/remotes/origin/*")
    _put(attack, worktree)
    attack.change({"new.txt": "new\n"})
    assert (await attack.runner.commit()).pushed


async def test_only_so_many_findings_are_told(attack: Attack) -> None:
    """A file full of them makes no endless message."""
    attack.change({"many.txt": f"{GITHUB}\n" * 1000})
    _, found = await refused(attack.runner)
    assert [place["line"] for place in found] == list(range(1, 21))


async def test_a_secret_far_into_a_large_binary_file_is_found(attack: Attack) -> None:
    """Files are read to their end, whatever they hold, on either side of the parts they are read in."""
    lines, part = 999, 8 * 1024 * 1024
    content = bytearray(b"\0" * (2 * part))
    content[:lines] = b"\n" * lines
    content[part - 5 : part - 5 + len(GITHUB)] = GITHUB.encode()
    attack.change({"large.bin": bytes(content)})
    _, found = await refused(attack.runner)
    assert found == [{"path": "large.bin", "line": lines + 1, "kind": "GitHub token"}]


async def test_the_model_sees_no_secret_of_the_change(attack: Attack, model: Model) -> None:
    """What a request allows to be pushed is still not told to the model."""
    model.script(Say.json(subject="Add a fixture"))
    attack.change({"fixture.txt": f"{GITHUB}\n{WRITE_TOKEN}\nDB_PASS=hunter2hunter2\n"})
    key = ModelCredentials("sk-ant-api03-" + "k" * 30)
    await attack.runner.commit(on_secret="allow", claude_credentials=key)
    (request,) = model.requests
    assert "fixture.txt" in request.prompt
    for secret in (GITHUB, WRITE_TOKEN, "hunter2hunter2", key.reveal()):
        assert secret not in request.prompt


async def test_a_file_over_the_forges_limit_is_not_pushed(attack: Attack) -> None:
    """Neither now nor as part of an unpushed commit."""
    large = b"\0" * (100 * 1024 * 1024 + 1)
    attack.change({"large.bin": large})
    before = attack.sessions.get(SESSION).data
    with pytest.raises(FileTooLarge, match=r"large\.bin"):
        await attack.runner.commit()
    assert attack.sessions.get(SESSION).data == before
    assert attack.origin.log(attack.branch)[0].message == "Begin"


async def test_a_large_file_of_an_unpushed_commit_is_not_pushed(attack: Attack, tmp_path: Path) -> None:
    """That a later commit removes it does not help: the push would send it."""
    large = "0" * (100 * 1024 * 1024 + 1)
    _commit_in_session(attack, tmp_path, {"large.bin": large}, {"large.bin": "small\n"})
    with pytest.raises(FileTooLarge, match=r"large\.bin"):
        await attack.runner.commit()
    assert attack.origin.log(attack.branch)[0].message == "Begin"


async def test_a_file_that_lfs_should_convert_is_refused(attack: Attack) -> None:
    """It would be pushed raw."""
    attack.change({".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "a.bin": "raw\n"})
    with pytest.raises(UnsupportedRepository, match=r"a\.bin.*filter=lfs"):
        await attack.runner.commit()


def _commit_in_session(attack: Attack, tmp_path: Path, *commits: dict[str, str]) -> Path:
    worktree = attack.sessions.get(SESSION).extract(tmp_path / "session")
    for files in commits:
        for name, content in files.items():
            (worktree / name).write_text(content)
        _git(worktree, "add", "-A")
        _git(worktree, "commit", "--quiet", "-m", "Local")
    _put(attack, worktree)
    return worktree


def _begin_merge(
    worktree: Path, branch: str, files: dict[str, str], sides: int = 1, message: str = f"Use {WRITE_TOKEN}"
) -> None:
    """Leave a merge in progress of sides that had the files, and removed them again."""
    names = [f"side{side}" for side in range(sides)]
    for side in names:
        _git(worktree, "checkout", "--quiet", "-b", side, "origin/main")
        for name, content in files.items():
            (worktree / name).write_text(content)
        (worktree / f"{side}.txt").write_text(side)
        _git(worktree, "add", "-A")
        _git(worktree, "commit", "--quiet", "-m", f"{message} {side}")
        _git(worktree, "rm", "--quiet", *files)
        _git(worktree, "commit", "--quiet", "-m", "Remove it")
    _git(worktree, "checkout", "--quiet", branch)
    _git(worktree, "merge", "--quiet", "--no-ff", "--no-commit", *names)


def _put(attack: Attack, worktree: Path) -> None:
    attack.sessions.put(SESSION, pack(attack.sessions.get(SESSION).metadata, worktree))


def _git(worktree: Path, *arguments: str) -> None:
    git("-C", worktree, "-c", "user.name=A", "-c", "user.email=a@example.com", *arguments)
