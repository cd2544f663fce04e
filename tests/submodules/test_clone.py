"""Clones with submodules: what `git clone` and `git submodule update --init` leave."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from github_worker.errors import RemoteUnavailable, SessionCorrupt
from tests.conftest import READ_TOKEN, WRITE_TOKEN
from tests.fidelity.snapshot import files
from tests.operations.conftest import SESSION
from tests.submodules.conftest import Scene
from tests.support.faults import Answer
from tests.support.git_server import GitServer

VARIANTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "one level": ({"submodules": True}, []),
    "all levels": ({"submodules": "recursive"}, ["--recursive"]),
    "all branches": ({"submodules": True, "all_branches": True}, []),
    "depth": ({"submodules": True, "depth": 1}, ["--depth=1"]),
    "depth, all levels": ({"submodules": "recursive", "depth": 2}, ["--recursive", "--depth=2"]),
}


@pytest.mark.parametrize(("fields", "options"), VARIANTS.values(), ids=VARIANTS.keys())
async def test_a_clone_is_gits(scene: Scene, fields: dict[str, Any], options: list[str]) -> None:
    """Status, files, HEADs, refs, configs and where each repository is are git's."""
    library, inner = scene.library(), scene.library("inner")
    scene.add(library, "deep/inner", inner.branches()["main"], "../inner.git")
    old = library.branches()["main"]
    library.commit({"later.txt": "later\n"})
    library.tag("v1", old)
    library.branch("other", "main~2")
    scene.add(scene.demo, "vendor/lib", old, name="the library")
    scene.add(scene.demo, "inner", inner.branches()["main"], inner.url, more="\tupdate = merge\n")
    library.configure("uploadpack.allowAnySHA1InWant", "true")
    await scene.runner.clone(scene.demo.url, **fields)
    assert scene.warnings() == []
    ours, theirs = scene.lay_out(), _clone(scene, fields, options)
    assert _state(scene, ours) == _state(scene, theirs)
    assert scene.git(ours, "status", "--porcelain", "--untracked-files=all") == ""
    for path in ("vendor/lib", "inner", "vendor/lib/deep/inner"):
        assert (ours / path / ".git").exists() == (theirs / path / ".git").exists()
        if (ours / path / ".git").exists():
            assert _repository(scene, ours / path) == _repository(scene, theirs / path)


def _clone(scene: Scene, fields: dict[str, Any], options: list[str]) -> Path:
    folder = scene.folder / "git"
    single = "--no-single-branch" if "all_branches" in fields else "--single-branch"
    depth = [f"--depth={fields['depth']}"] if "depth" in fields else []
    scene.git(scene.folder, "clone", "--quiet", single, *depth, scene.demo.url, str(folder))
    scene.git(folder, "submodule", "--quiet", "update", "--init", *options)
    return folder


def _state(scene: Scene, folder: Path) -> dict[str, Any]:
    """Return what git says of a repository and of its submodules."""
    config = sorted(scene.git(folder, "config", "--local", "--list").splitlines())
    return {
        # merge is what git copies of .gitmodules, and what it does when nothing is said: a checkout at first
        "config": [line for line in config if not line.endswith(".update=merge")],
        "status": scene.git(folder, "submodule", "status", "--recursive"),
        "files": files(folder),
        "refs": scene.git(folder, "for-each-ref"),
    }


def _repository(scene: Scene, folder: Path) -> dict[str, Any]:
    git = Path(scene.git(folder, "rev-parse", "--absolute-git-dir").strip())
    shallow = git / "shallow"
    return _state(scene, folder) | {
        "HEAD": scene.git(folder, "rev-parse", "HEAD", "--symbolic-full-name", "HEAD"),
        "folder": (folder / ".git").read_text(),
        "shallow": sorted(shallow.read_text().split()) if shallow.exists() else None,
        "status": scene.git(folder, "status", "--porcelain=v2", "--branch"),
        "fsck": scene.git(folder, "fsck", "--strict", "--no-dangling"),
    }


async def test_a_new_session_has_them_too(scene: Scene) -> None:
    """init-session clones them, and its branch records them as they are."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.branches()["main"])
    result = await scene.runner.init(scene.demo.url, submodules=True)
    assert result.pushed
    folder = scene.lay_out()
    assert scene.git(folder, "submodule", "status").startswith(f" {library.branches()['main']} lib")
    assert scene.git(folder, "status", "--porcelain") == ""


async def test_a_new_session_at_an_older_commit(scene: Scene) -> None:
    """Its submodules are at the commits that this one records."""
    library = scene.library()
    old, new = library.log()[1].sha, library.branches()["main"]
    scene.add(scene.demo, "lib", old)
    base = scene.demo.branches()["main"]
    scene.move(scene.demo, "lib", new)
    await scene.runner.init(scene.demo.url, submodules=True, base_commit=base)
    assert scene.warnings() == []
    folder = scene.lay_out()
    assert scene.git(folder, "submodule", "status").startswith(f" {old} lib")
    assert scene.git(folder, "status", "--porcelain") == ""


async def test_nothing_is_asked_of_them_unless_asked_for(scene: Scene) -> None:
    """Without the field a submodule is an empty folder."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.branches()["main"])
    await scene.runner.clone(scene.demo.url)
    assert not any("lib.git" in request.path for request in scene.server.requests)
    assert scene.git(scene.lay_out(), "submodule", "status").startswith("-")


async def test_a_commit_that_no_branch_has(scene: Scene) -> None:
    """It is fetched by its id."""
    library = scene.library()
    lost = library.commit({"lost.txt": "lost\n"}, branch="lost")
    library.git("update-ref", "-d", "refs/heads/lost")
    library.configure("uploadpack.allowAnySHA1InWant", "true")
    scene.add(scene.demo, "lib", lost)
    await scene.runner.clone(scene.demo.url, submodules=True)
    assert scene.git(scene.lay_out() / "lib", "rev-parse", "HEAD").strip() == lost


async def test_a_shallow_clone_of_a_server_that_gives_no_commit_by_its_id(scene: Scene) -> None:
    """All of its history is fetched then."""
    library = scene.library(commits=6)
    old = library.log()[4].sha
    scene.add(scene.demo, "lib", old)
    await scene.runner.clone(scene.demo.url, submodules=True, depth=1)
    assert scene.warnings() == []
    assert scene.git(scene.lay_out() / "lib", "rev-parse", "HEAD").strip() == old


async def test_a_clone_in_a_folder_below_others(scene: Scene) -> None:
    """Submodules find their way there too, and the next commit finds them."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.branches()["main"])
    await scene.runner.clone(scene.demo.url, submodules=True, directory="apps/web")
    folder = scene.lay_out()
    assert scene.git(folder, "submodule", "status").startswith(" ")
    (folder / "new.txt").write_text("new\n")
    (folder / "lib/new.txt").write_text("new\n")
    scene.save(folder, "apps/web")
    await scene.runner.commit(message="New")
    assert scene.warnings() == ["What was changed in lib was left out: it is a submodule"]


# What cannot be had

LEFT_OUT = {
    "a remote that is not there": ("../none.git", "not found|does not exist"),
    "another host": ("https://evil.example/octo/lib.git", "https://evil.example, which is not allowed"),
    "http where https is allowed": ("http://github.com/octo/lib.git", "http://github.com, which is not"),
    "a file": ("file:///etc/lib.git", "is not https://host/owner/repo"),
    "a path": ("/srv/octo/lib.git", "is not https://host/owner/repo"),
    "ssh": ("ssh://git@github.com/octo/lib.git", "on github.com is not https://host/owner/repo"),
    "a host of ssh that is not allowed": ("git@evil.example:octo/lib.git", "https://evil.example, which"),
    "a command": ("ext::sh -c touch% /tmp/x", "is not https://host/owner/repo"),
    "an option": ("--upload-pack=touch x", "is not https://host/owner/repo"),
    "credentials": ("https://ada:s3cret@github.com/octo/lib.git", "on github.com is not https://host"),
    "out of the host": ("../../../evil.example/octo/lib.git", "http://evil.example, which is not allowed"),
    "nothing": ("", "is not https://host/owner/repo"),
}


@pytest.mark.parametrize(("url", "why"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
async def test_a_submodule_that_cannot_be_had(scene: Scene, url: str, why: str) -> None:
    """It is left out with a warning that names its path, and the others are there."""
    library = scene.library()
    scene.add(scene.demo, "a/bad", library.branches()["main"], url)
    scene.add(scene.demo, "good", library.branches()["main"])
    await scene.runner.clone(scene.demo.url, submodules=True)
    [warning] = scene.warnings()
    assert warning.startswith("The submodule a/bad was left out: ")
    assert "s3cret" not in warning
    assert re.search(why, warning), warning
    folder = scene.lay_out()
    status = scene.git(folder, "submodule", "status").splitlines()
    assert [line[0] for line in status] == ["-", " "]
    assert scene.git(folder, "status", "--porcelain") == ""
    assert list((folder / "a/bad").iterdir()) == []


async def test_a_commit_that_its_remote_lacks(scene: Scene) -> None:
    """It is left out, and nothing of its repository stays."""
    scene.library()
    scene.add(scene.demo, "lib", "1" * 40)
    await scene.runner.clone(scene.demo.url, submodules=True)
    assert scene.warnings() == ["The submodule lib was left out: its remote lacks the commit 1111111"]
    folder = scene.lay_out()
    assert not (folder / ".git/modules").exists()
    assert list((folder / "lib").iterdir()) == []


async def test_a_submodule_that_is_not_to_be_updated(scene: Scene) -> None:
    """It is left out, as git leaves it."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.branches()["main"], more="\tupdate = none\n")
    await scene.runner.clone(scene.demo.url, submodules=True)
    assert scene.warnings() == ["The submodule lib was left out: its update in .gitmodules is none"]


@pytest.mark.parametrize("update", ["!touch pwned", "sometimes"])
async def test_an_update_by_a_command(scene: Scene, update: str) -> None:
    """A repository that asks for it is refused, as libgit2 refuses it without submodules too."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.branches()["main"], more=f"\tupdate = {update}\n")
    with pytest.raises(SessionCorrupt, match="update"):
        await scene.runner.clone(scene.demo.url, submodules=True)
    assert not scene.sessions.archive(SESSION).exists()


async def test_a_submodule_that_gitmodules_does_not_name(scene: Scene) -> None:
    """It is left out, as git leaves it."""
    scene.move(scene.demo, "lib", "1" * 40)
    await scene.runner.clone(scene.demo.url, submodules=True)
    assert scene.warnings() == ["The submodule lib was left out: .gitmodules does not name it"]


async def test_a_server_that_fails(scene: Scene) -> None:
    """What may be over in a moment ends the job, which is asked again: no session is made."""
    library = scene.library()
    scene.add(scene.demo, "lib", library.branches()["main"])
    scene.server.faults.add(Answer(503), "/octo/lib.git", times=9)
    with pytest.raises(RemoteUnavailable):
        await scene.runner.clone(scene.demo.url, submodules=True)
    assert not scene.sessions.archive(SESSION).exists()


async def test_the_token_goes_to_its_own_origin_alone(scene: Scene, tmp_path: Path) -> None:
    """Another server that is allowed is asked without it, at whatever it asks for."""
    with GitServer(tmp_path / "other", {WRITE_TOKEN: "write", READ_TOKEN: "read"}) as other:
        library, public = other.seed("octo", "lib"), other.create("octo", "public", public=True)
        public.commit({"a.txt": "a\n"})
        scene.add(scene.demo, "private", library.branches()["main"], library.url)
        scene.add(scene.demo, "public", public.branches()["main"], public.url)
        env = scene.runner.env
        env["GIT_ALLOWED_HOSTS"] = f"{env['GIT_ALLOWED_HOSTS']},{other.origin}"
        await scene.runner.clone(scene.demo.url, submodules=True)
        assert scene.warnings() == ["The submodule private was left out: The repository needs a token"]
        assert {request.authorization for request in other.requests} == {None}
        assert (scene.lay_out() / "public/a.txt").read_text() == "a\n"


async def test_many_submodules(scene: Scene) -> None:
    """A job looks at a number of them, and says which one is the first beyond."""
    links = "".join(f"M 160000 {'1' * 40} lib-{number:03}\n" for number in range(205))
    scene.demo.fast_import(
        b"commit refs/heads/main\ncommitter A <a@example.com> 1 +0000\ndata 1\nx\n"
        + f"from refs/heads/main^0\n{links}".encode()
    )
    await scene.runner.clone(scene.demo.url, submodules=True)
    assert len(scene.warnings()) == 201
    beyond = "The submodule lib-200 was left out: a job brings 200 submodules, and it is beyond them"
    assert scene.warnings()[-1] == beyond


async def test_submodules_of_submodules_have_an_end(scene: Scene) -> None:
    """A repository that is its own submodule is cloned to a depth, and no deeper."""
    scene.add(scene.demo, "me", scene.demo.branches()["main"], "../demo.git")
    scene.move(scene.demo, "me", scene.demo.branches()["main"])
    for _ in range(9):
        scene.move(scene.demo, "me", scene.demo.branches()["main"])
    await scene.runner.clone(scene.demo.url, submodules="recursive")
    [warning] = scene.warnings()
    assert "me/me/me/me/me/me/me/me/me was left out: a job brings 8 levels" in warning
