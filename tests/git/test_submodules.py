"""The URLs of submodules: git resolves them, and none that it would run or read is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from github_worker.git.config import RepositoryConfig
from github_worker.git.submodules import Modules, Unusable, parse_gitdir, resolve_url
from tests.support.repositories import git

PARENTS = ("https://example.com/octo/demo.git", "https://example.com/octo/demo/", "https://example.com/a/b/c")
URLS = (
    *("../lib.git", "./lib", "../../other/lib.git", "../lib.git/", ".././lib", "./../lib", "../a/../lib"),
    *("..//lib", "../../../example.org/a/b", "https://example.org/a/b", "git@example.org:a/b", "/a/b", "lib"),
)


@pytest.mark.parametrize("parent", PARENTS)
@pytest.mark.parametrize("url", URLS)
def test_a_url_is_resolved_as_git_does(parent: str, url: str, tmp_path: Path) -> None:
    """It is what `git submodule init` writes."""
    git("init", "--quiet", tmp_path)
    git("-C", tmp_path, "config", "remote.origin.url", parent)
    (tmp_path / ".gitmodules").write_text(f'[submodule "x"]\n\tpath = x\n\turl = {url}\n')
    git("-C", tmp_path, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x")
    git("-C", tmp_path, "submodule", "--quiet", "init")
    assert resolve_url(parent, url) == git("-C", tmp_path, "config", "submodule.x.url").decode().strip()


@pytest.mark.parametrize("origin", ["https://example.org", "https://example.com:8443", "http://example.com"])
def test_an_origin_that_is_not_allowed(origin: str) -> None:
    """Scheme, host and port count, and the sentence says which they are."""
    modules = _modules(f"{origin}/a/b")
    with pytest.raises(Unusable, match=f"it is on {origin}, which is not allowed"):
        modules.find("x", "1" * 40)


def test_a_url_of_ssh_is_asked_by_https() -> None:
    """As `repoUrl` is; what git would write of it is the URL that was asked."""
    submodule = _modules("git@example.com:a/b").find("x", "1" * 40)
    assert submodule.text == str(submodule.url) == "https://example.com/a/b.git"


def test_a_url_is_written_as_it_was() -> None:
    """Nothing is added to it."""
    assert _modules("https://example.com/a/b/").find("x", "1" * 40).text == "https://example.com/a/b/"


@pytest.mark.parametrize(
    "path", ["", "/x", "../x", "a//b", ".git/x", "a/.GIT", "-x", "a\tb", "x/" * 40 + "x"]
)
def test_a_path_that_is_not_safe(path: str) -> None:
    """It is left out, whoever let it into an index."""
    config = RepositoryConfig(f'[submodule "x"]\n\tpath = "{path}"\n\turl = https://example.com/a/b\n')
    with pytest.raises(Unusable):
        Modules(config, "https://example.com/a/c", _is_allowed).find(path, "1" * 40)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"gitdir: ../.git/modules/x\n", "../.git/modules/x"),
        (b"gitdir: ../a b", "../a b"),
        (b"gitdir: a\nb\n", None),
        (b"gitdir:a\n", None),
        (b"gitdir: a\0b\n", None),
        (b"", None),
    ],
)
def test_where_a_git_file_leads(content: bytes, found: str | None) -> None:
    """It is one line, as git writes it."""
    assert parse_gitdir(content) == found


def _modules(url: str) -> Modules:
    config = RepositoryConfig(f'[submodule "x"]\n\tpath = x\n\turl = {url}\n')
    return Modules(config, "https://example.com/a/c", _is_allowed)


def _is_allowed(origin: str) -> bool:
    return origin == "https://example.com"
