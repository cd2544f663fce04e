"""The session's own config: read like git reads it, never obeyed, never rewritten."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from github_worker.contract import RepositoryUrl
from github_worker.errors import UnsupportedRepository
from github_worker.git.config import RepositoryConfig, config_of_clone
from tests.support.repositories import git

URL = RepositoryUrl.parse("https://github.com/octo/demo")
HOSTILE = """\
# a comment
[core]
\trepositoryformatversion = 0
\tfilemode = false ; trailing
\tautocrlf = input
\tworktree = /etc
\thooksPath = /tmp/evil
\tfsmonitor = "touch /tmp/evil"
[url "http://evil.example/"]
\tinsteadOf = https://github.com/
[include]
\tpath = /etc/gitconfig
[remote "origin"]
\turl = "https://github.com/octo/\\"demo\\"" # quoted
\tpushurl = https://evil.example/
[branch "with \\"quotes\\""]
\tmerge = refs/heads/x
[alias] co = check\\
out
\tempty
"""


@pytest.mark.parametrize(
    "key",
    [
        "core.filemode",
        "core.worktree",
        "core.fsmonitor",
        "url.http://evil.example/.insteadof",
        "remote.origin.url",
        'branch.with "quotes".merge',
        "alias.co",
    ],
)
def test_values_are_what_git_reads(key: str, tmp_path: Path) -> None:
    """Comments, quotes, escapes, continued lines and subsections mean what they mean to git."""
    file = tmp_path / "config"
    file.write_text(HOSTILE)
    value = git("config", "--file", file, key).decode().removesuffix("\n")
    assert RepositoryConfig(HOSTILE).get(key) == value


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://x-access-token:t@github.com/o/r", "https://github.com/o/r"),
        ("https://t@github.com/o/r", "https://github.com/o/r"),
        ("HTTP://a@b:c@d@github.com/o/r@1", "HTTP://github.com/o/r@1"),
        ("https://github.com/o/r@1", "https://github.com/o/r@1"),
        ("ssh://git@github.com/o/r", "ssh://git@github.com/o/r"),
        ("git@github.com:o/r", "git@github.com:o/r"),
    ],
)
@pytest.mark.parametrize("name", ["url", "pushurl", "pushUrl"])
def test_credentials_go_from_the_remotes_urls(url: str, clean: str, name: str) -> None:
    """And nothing else, however many remotes there are."""
    text = f'[remote "a.b"]\n\t{name} = "{url}" ; one\r\n[core]\n\tx\n[remote "origin"]\n{name}={url}\n'
    assert RepositoryConfig(text).without_credentials().text == text.replace(url, clean)


def test_a_name_without_a_value_is_true() -> None:
    """As git-config(1) has it."""
    assert RepositoryConfig(HOSTILE).is_true("alias.empty")


def test_the_working_config_has_origin_and_nothing_hostile(tmp_path: Path) -> None:
    """What is not known to be needed is not there, and git reads the rest."""
    file = tmp_path / "config"
    file.write_text(RepositoryConfig(HOSTILE).working(URL))
    lines = git("config", "--file", file, "--list").decode().splitlines()
    listed = dict(line.split("=", 1) for line in lines)
    assert listed == {
        "pack.windowmemory": "2097152",
        "core.repositoryformatversion": "0",
        "core.bare": "false",
        "core.filemode": "false",
        "core.autocrlf": "input",
        "remote.origin.url": "https://github.com/octo/demo.git",
        "remote.origin.fetch": "+refs/heads/*:refs/remotes/origin/*",
    }


def test_tracking_is_added_and_every_other_byte_stays() -> None:
    """A branch that follows origin already is left alone."""
    config = RepositoryConfig(HOSTILE.removesuffix("\n"))
    tracking = config.tracking("webedt/x")
    assert tracking.text.startswith(HOSTILE)
    assert tracking.get("branch.webedt/x.merge") == "refs/heads/webedt/x"
    assert tracking.tracking("webedt/x").text == tracking.text


def test_a_branch_with_quotes_is_tracked(tmp_path: Path) -> None:
    """Its name is escaped as git wants it."""
    file = tmp_path / "config"
    file.write_text(config_of_clone(URL, 'a"b', single=True).text)
    assert git("config", "--file", file, 'branch.a"b.merge') == b'refs/heads/a"b\n'


@pytest.mark.parametrize(
    "text",
    [
        "[extensions]\nobjectFormat = sha256",
        "[extensions]\npartialClone = origin",
        "[extensions]\nrefStorage = reftable",
        "[core]\nrepositoryFormatVersion = 1\n[extensions]\nfoo = true",
        "[core]\nrepositoryFormatVersion = 2",
        "[core]\nexcludesFile = ../ignored",
        "[core]\nattributesFile = ../attributes",
    ],
)
def test_a_layout_that_libgit2_misreads_is_refused(text: str) -> None:
    """Better no commit than one that drops files."""
    with pytest.raises(UnsupportedRepository):
        RepositoryConfig(text).check_supported()


def test_git_takes_the_config_of_a_fresh_clone(tmp_path: Path) -> None:
    """The real git works in a repository that has it."""
    git("init", "-q", tmp_path)
    (tmp_path / ".git/config").write_text(config_of_clone(URL, "main", single=False).text)
    assert git("-C", tmp_path, "remote", "get-url", "origin") == b"https://github.com/octo/demo.git\n"
    with pytest.raises(subprocess.CalledProcessError):
        git("-C", tmp_path, "config", "core.worktree")
