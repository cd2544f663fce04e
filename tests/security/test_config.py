"""Whatever configures git in a session or on the machine: none of it is obeyed, all of it comes back."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from github_worker.errors import UnsupportedRepository
from tests.conftest import WRITE_TOKEN
from tests.operations.conftest import SESSION
from tests.security.conftest import REPOSITORY, Attack, Outside, link
from tests.support.worker import Worker

# {evil}: a server of the attacker's; {good}: the repository's; {outside}: a folder outside of the session
CONFIGS = {
    "insteadOf": '[url "{evil}/"]\n\tinsteadOf = {good}/',
    "pushInsteadOf": '[url "{evil}/"]\n\tpushInsteadOf = {good}/',
    "url": '[remote "origin"]\n\turl = {evil}/octo/demo.git',
    "pushurl": '[remote "origin"]\n\tpushurl = {evil}/octo/demo.git',
    "proxy": "[http]\n\tproxy = {evil}",
    "proxy of origin": '[remote "origin"]\n\tproxy = {evil}',
    "proxy of a URL": '[http "{good}"]\n\tproxy = {evil}',
    "extraHeader": "[http]\n\textraHeader = Authorization: Basic evil",
    "followRedirects": "[http]\n\tfollowRedirects = true",
    "sslVerify": "[http]\n\tsslVerify = false\n\tsslCAInfo = {outside}/config",
    "cookieFile": "[http]\n\tcookieFile = {outside}/config\n\tsaveCookies = true",
    "worktree": "[core]\n\tworktree = {outside}",
    "bare": "[core]\n\tbare = true",
    "fsmonitor": "[core]\n\tfsmonitor = {pwn}",
    "hooksPath": "[core]\n\thooksPath = {outside}",
    "commands": "[core]\n\tsshCommand = {pwn}\n\taskPass = {pwn}\n\teditor = {pwn}\n\tgitProxy = {pwn}",
    "credential helper": '[credential]\n\thelper = "!{pwn}"',
    "include": "[include]\n\tpath = {outside}/gitconfig",
    "includeIf": '[includeIf "gitdir:/"]\n\tpath = {outside}/gitconfig',
    "filter": '[filter "evil"]\n\tclean = {pwn}\n\tsmudge = {pwn}\n\tprocess = {pwn}\n\trequired = true',
    "drivers": '[diff]\n\texternal = {pwn}\n[merge "evil"]\n\tdriver = {pwn}',
    "signing": "[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = {pwn}",
    "who": "[user]\n\tname = Evil\n\temail = evil@example.com\n[committer]\n\tname = Evil",
    "refspecs": '[remote "origin"]\n\tfetch = +refs/*:refs/*\n\tpush = +refs/heads/*:refs/heads/main',
    "mirror": '[remote "origin"]\n\tmirror = true',
    "branch": '[branch "main"]\n\tremote = {evil}/octo/demo.git\n\tpushRemote = {evil}/octo/demo.git',
    "submodules": "[submodule]\n\trecurse = true\n[fetch]\n\trecurseSubmodules = true",
    "uploadpack": '[remote "origin"]\n\tuploadpack = {pwn}\n\treceivepack = {pwn}\n\tvcs = evil',
    "worktreeConfig": "[extensions]\n\tworktreeConfig = true",
    "objects elsewhere": "[core]\n\talternateRefsCommand = {pwn}\n[gc]\n\tauto = 1",
    "not text": "\udcff\udcfe [core\n\tworktree",
}


def _filled(text: str, attack: Attack) -> str:
    good = attack.origin.url.removesuffix("/octo/demo.git")
    pwn = f"touch {attack.outside}/pwned"
    return "\n" + text.format(evil=attack.evil.origin, good=good, outside=attack.outside, pwn=pwn) + "\n"


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
async def test_no_word_of_the_sessions_config_is_obeyed(config: str, attack: Attack) -> None:
    """The edit is pushed to the repository itself, by us, and every byte of the config comes back."""
    attack.change(
        {"new.txt": "new\n", ".git/config.worktree": _filled(CONFIGS["worktree"], attack)},
        config=_filled(config, attack).encode(errors="surrogateescape").decode("latin-1"),
    )
    result = await attack.commit()
    assert (result.pushed, result.files_changed) == (True, 1)
    assert attack.origin.files(attack.branch) == ["README.md", "new.txt", "src/app.py"]
    assert attack.origin.log(attack.branch)[0].committer == "GitHub Worker"


@pytest.mark.parametrize("word", ["excludesFile", "attributesFile"])
async def test_no_file_of_rules_elsewhere_is_read(word: str, attack: Attack) -> None:
    """Git would go by it, so there is no commit rather than another one."""
    attack.change({"new.txt": "new\n"}, config=f"\n[core]\n\t{word} = {attack.outside}/exclude\n")
    with pytest.raises(UnsupportedRepository, match=word):
        await attack.commit()


@pytest.mark.parametrize(
    "word", ["symlinks = false", "ignorecase = true", "filemode = false", "autocrlf = true"]
)
async def test_a_word_that_is_obeyed_leads_nowhere(word: str, attack: Attack) -> None:
    """What says how files become blobs is git's business; a link is still not read through."""
    config = link("config", f"{attack.outside}/config")
    attack.change({"config": config, "src/app.py": None}, config=f"\n[core]\n\t{word}\n")
    attack.change({"src": link("src", f"{attack.outside}/src")})
    assert (await attack.commit()).pushed
    assert attack.origin.read(attack.branch, "config") == f"{attack.outside}/config".encode()


FILES = {
    "commondir": {".git/commondir": "{outside}\n"},
    "alternates": {".git/objects/info/alternates": "{outside}\n"},
    "http alternates": {".git/objects/info/http-alternates": "{evil}/octo/demo.git\n"},
    "worktrees": {
        ".git/worktrees/w/gitdir": "{outside}/.git\n",
        ".git/worktrees/w/HEAD": "ref: refs/heads/x\n",
    },
    "gitdir": {".git/gitdir": "{outside}\n"},
    "modules": {".git/modules/m/config": "[core]\n\tworktree = {outside}\n"},
    "remotes": {".git/remotes/origin": "URL: {evil}/octo/demo.git\n", ".git/branches/origin": "{evil}/x\n"},
    "grafts": {".git/info/grafts": "{outside}\n"},
    "sparse checkout": {".git/info/sparse-checkout": "/nothing\n"},
    "hooks": {
        f".git/hooks/{hook}": "#!/bin/sh\n{pwn}\n" for hook in ("pre-commit", "pre-push", "post-index")
    },
    "submodule": {".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = {evil}/x.git\n\tupdate = !{pwn}\n'},
}


@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
async def test_no_file_of_the_repository_leads_elsewhere(files: dict[str, str], attack: Attack) -> None:
    """What git would follow is kept from it, and comes back."""
    changed = {name: _filled(text, attack).lstrip("\n") for name, text in files.items()}
    attack.change({"new.txt": "new\n", **changed})
    result = await attack.commit()
    assert result.pushed
    assert {"README.md", "new.txt", "src/app.py"} <= set(attack.origin.files(attack.branch))
    stored = attack.sessions.get(SESSION)
    assert {name: stored.read(f"{REPOSITORY}/{name}").decode() for name in files} == changed


@pytest.mark.parametrize(
    "name",
    ["config", "packed-refs", "shallow", "info/exclude", "info/attributes", "refs/heads/evil", "logs/HEAD"],
)
async def test_a_link_within_the_repository_is_not_followed(name: str, attack: Attack) -> None:
    """Wherever git would open a file of its own."""
    attack.change({"new.txt": "new\n", f".git/{name}": None})
    attack.change({f".git/{name}": link(f".git/{name}", f"{attack.outside}/config")})
    result = await attack.commit()
    assert result.pushed
    entry = attack.sessions.get(SESSION).members()[f"{REPOSITORY}/.git/{name}"]
    assert entry.isreg() if name == "logs/HEAD" else entry.issym()  # which the commit writes, as git would


@pytest.mark.parametrize("target", ["config", "new-config", "."])
async def test_a_config_that_is_a_link_is_not_written_through(target: str, attack: Attack) -> None:
    """Nor is one whose folder is a link: a branch that is started there is not recorded in it."""
    attack.change({".git/config": None})
    attack.change({".git/config": link(".git/config", f"{attack.outside}/{target}")})
    result = await attack.runner.branch("Something else entirely")
    assert result.pushed
    attack.assert_nothing_leaked()


def test_the_machines_configuration_is_not_read(
    attack: Attack, worker_env: dict[str, str], tmp_path: Path
) -> None:
    """Neither a home, nor XDG, nor any variable of git's says anything to the process."""
    attack.change({"new.txt": "new\n"})
    home = tmp_path / "home"
    (home / "git").mkdir(parents=True)
    for name in (".gitconfig", "git/config", "system"):
        (home / name).write_text(_filled(f"{CONFIGS['insteadOf']}\n{CONFIGS['worktree']}", attack))
    body = {"sessionId": SESSION, "githubAccessToken": WRITE_TOKEN}
    with Worker(worker_env | _machine(home, attack.outside), tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        url = f"{worker.base_url}/commit-and-push"
        stream = httpx.post(url, json=body, trust_env=False, timeout=30).text
    assert '"pushed":true' in stream
    assert attack.origin.log(attack.branch)[0].committer == "GitHub Worker"
    attack.assert_nothing_leaked()


def _machine(home: Path, elsewhere: Outside) -> dict[str, str]:
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "GIT_CONFIG": f"{home}/system",
        "GIT_CONFIG_GLOBAL": f"{home}/system",
        "GIT_CONFIG_SYSTEM": f"{home}/system",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.worktree",
        "GIT_CONFIG_VALUE_0": str(elsewhere),
        "GIT_DIR": str(elsewhere),
        "GIT_WORK_TREE": str(elsewhere),
        "GIT_INDEX_FILE": f"{elsewhere}/index",
        "GIT_OBJECT_DIRECTORY": str(elsewhere),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(elsewhere),
        "GIT_COMMON_DIR": str(elsewhere),
        "GIT_NAMESPACE": "evil",
        "GIT_SSL_NO_VERIFY": "1",
        "GIT_AUTHOR_NAME": "Evil",
        "GIT_TRACE": f"{elsewhere}/trace",
    }
