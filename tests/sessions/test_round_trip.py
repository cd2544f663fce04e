"""A session that is unpacked and packed again is the session that it was."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from github_worker.archive.quarantine import Inventory
from tests.sessions.archives import OBJECT, REPOSITORY, Unpacked, archive, listing, member, packed, unpacked

pytestmark = pytest.mark.usefixtures("either_way")

GIT = f"{REPOSITORY}/.git"

KEPT: dict[str, list[tarfile.TarInfo | tuple[str, bytes]]] = {
    "a file": [("workspace/notes.txt", b"hello")],
    "an empty file": [("workspace/empty", b"")],
    "a large file": [
        ("workspace/large.bin", os.urandom(3_000_000)),
        ("workspace/large.txt", b"text\n" * 500_000),
    ],
    "a large compressed file": [("workspace/image.png", os.urandom(2_500_001)), ("workspace/after", b"x")],
    "another worker's folder": [(".claude/projects/x.jsonl", b"{}"), (".codex/config", b"")],
    "an empty folder": [member("workspace/empty", tarfile.DIRTYPE, mode=0o755, mtime=1_000_000_000)],
    "a relative link": [member("workspace/link", tarfile.SYMTYPE, linkname="a/b", mode=0o777, mtime=5)],
    "a dangling absolute link": [
        member("workspace/.venv/bin/python", tarfile.SYMTYPE, linkname="/no/such/python", mode=0o777)
    ],
    "a link out of the session": [member("up", tarfile.SYMTYPE, linkname="../../../etc", mode=0o777)],
    "a link in place of the workspace": [member("workspace", tarfile.SYMTYPE, linkname="/etc", mode=0o777)],
    "a hard link": [("a", b"one file"), member("b", tarfile.LNKTYPE, linkname="a")],
    "an executable": [member("run.sh", size=3, mode=0o755)],
    "odd modes": [
        member("a", mode=0o4755),
        member("b", mode=0o000),
        member("c", mode=0o666),
        member("d", mode=0o444),
        member("e", tarfile.DIRTYPE, mode=0o555),
        member("f", tarfile.DIRTYPE, mode=0o1777),
    ],
    "modification times": [member("a", mtime=1), member("b", tarfile.DIRTYPE, mode=0o755, mtime=2**32 + 7)],
    "fractions of a second": [member("a", mtime=1700000000.25), member("b", mtime=3)],
    "a time before 1970": [member("a", mtime=-1.5)],
    "owners": [
        member("a", uid=1000, gid=1000, uname="node", gname="node"),
        member("b", uid=0, gid=5, uname="root", gname="tty"),
        member("c", uid=3_000_000, gid=4_000_000, uname="n" * 40),
    ],
    "non-ASCII names": [
        ("workspace/ünï/日本.txt", b"x"),
        member("ß", tarfile.SYMTYPE, linkname="é", mode=0o777),
    ],
    "names of no encoding": [("workspace/\udcff\udcfe", b"x"), ("w" * 150 + "/\udcff", b"y")],
    "long names": [
        ("a" * 100, b""),
        ("b" * 101, b""),
        ("d" * 155 + "/" + "e" * 100, b""),
        ("/".join("x" * 200 for _ in range(18)), b"deep"),
        member("l", tarfile.SYMTYPE, linkname="t" * 300, mode=0o777),
    ],
    "newlines and quotes": [("a\nb", b""), ("c'd\"e\\f", b"")],
    "devices and pipes": [
        member("dev/null", tarfile.CHRTYPE, devmajor=1, devminor=3),
        member("dev/disk", tarfile.BLKTYPE, devmajor=8, devminor=0),
        member("pipe", tarfile.FIFOTYPE, mtime=7.5),
    ],
    "extended attributes": [member("a", pax_headers={"SCHILY.xattr.user.x": "y"})],
    "hooks and config": [
        (f"{GIT}/HEAD", b"ref: refs/heads/main\n"),
        (f"{GIT}/config", b"[core]\n\tfsmonitor = evil\n"),
        member(f"{GIT}/hooks/pre-commit", size=4, mode=0o755),
        (f"{GIT}/objects/info/alternates", b"/elsewhere\n"),
        member(f"{GIT}/hooks/empty", tarfile.DIRTYPE, mode=0o755, mtime=9),
        member(f"{GIT}/refs/heads/odd", tarfile.SYMTYPE, linkname="/etc/passwd", mode=0o777),
    ],
    "objects": [
        (f"{GIT}/objects/pack/pack-1.pack", os.urandom(200_000)),
        (f"{GIT}/objects/ab/{'c' * 38}", OBJECT),
    ],
    "nested repositories": [
        (f"{REPOSITORY}/vendor/.git/config", b"[core]\n"),
        (f"{REPOSITORY}/vendor/code.c", b"int x;\n"),
        (f"{REPOSITORY}/module/.git", b"gitdir: ../.git/modules/module\n"),
    ],
}


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
@pytest.mark.parametrize("members", KEPT.values(), ids=KEPT)
def test_it_comes_back_as_it_was(
    members: list[tarfile.TarInfo | tuple[str, bytes]], format: int, tmp_path: Path
) -> None:
    """Content, kind, mode, time, owner, link and name of each member are what they were."""
    before = archive(*members, format=format)
    after = listing(packed(unpacked(tmp_path / "session", before)))
    came = listing(before)
    assert {name: after.get(name) for name in came} == came
    parents = {str(parent) for name in came for parent in Path(name).parents}
    assert after.keys() - came.keys() <= parents


def test_it_comes_back_twice(tmp_path: Path) -> None:
    """What this worker writes, it reads the same, and writes the same again."""
    everything = [
        each
        for name, members in KEPT.items()
        if name in ("owners", "odd modes", "long names")
        for each in members
    ]
    once = packed(unpacked(tmp_path / "1", archive(*everything)))
    assert packed(unpacked(tmp_path / "2", once)) == once


@pytest.mark.parametrize("names", [["."], ["./workspace"], ["workspace"]])
@pytest.mark.parametrize("format", ["gnu", "pax", "ustar", "v7", "oldgnu"])
def test_what_gnu_tar_wrote_comes_back(format: str, names: list[str], tmp_path: Path) -> None:
    """GNU tar reads the same from what it wrote and from what went through, down to `./` before names."""
    source = tmp_path / "source"
    (source / "workspace" / "empty").mkdir(parents=True)
    (source / "workspace" / "file").write_text("text")
    (source / "workspace" / "run").write_text("#!")
    (source / "workspace" / "run").chmod(0o755)
    (source / "workspace" / "link").symlink_to("/nowhere")
    os.link(source / "workspace" / "file", source / "workspace" / "same")
    before, after = tmp_path / "before.tgz", tmp_path / "after.tgz"
    command = ["tar", "--sort=name", f"--format={format}", "-czf", str(before), "-C", str(source), *names]
    subprocess.run(command, check=True)
    after.write_bytes(packed(unpacked(tmp_path / "session", before.read_bytes())))
    assert _seen_by_tar(after) == _seen_by_tar(before)


def _seen_by_tar(path: Path) -> list[str]:
    listed = subprocess.run(
        ["tar", "-tvzf", path, "--full-time"], check=True, capture_output=True, text=True, env={"TZ": "UTC"}
    )
    assert not listed.stderr
    return sorted(listed.stdout.splitlines())


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_gnu_tar_unpacks_every_name(locale: str, tmp_path: Path) -> None:
    """Long, non-ASCII and undecodable names are on the disk what they were, without a complaint."""
    members = [
        each for name in ("non-ASCII names", "names of no encoding", "long names") for each in KEPT[name]
    ]
    session = unpacked(tmp_path / "session", archive(*members), on_disk=True)
    out = tmp_path / "out"
    out.mkdir()
    command = ["tar", "-xz", "-C", str(out)]
    done = subprocess.run(
        command, input=packed(session), check=True, capture_output=True, env={"LC_ALL": locale}
    )
    assert not done.stderr
    assert _tree(out) == _tree(session.folders.tree)


def _tree(folder: Path) -> set[bytes]:
    root = os.fsencode(folder)
    return {os.path.relpath(os.path.join(at, each), root) for at, _, files in os.walk(root) for each in files}


def test_a_later_member_replaces_an_earlier_one(tmp_path: Path) -> None:
    """As tar has it, the last member of a name is the one that counts, whatever the earlier was."""
    session = unpacked(
        tmp_path / "session",
        archive(
            ("a", b"first"),
            ("a", b"second"),
            member("b", tarfile.SYMTYPE, linkname="/x"),
            ("b", b"file"),
            ("c", b"file"),
            member("c", tarfile.SYMTYPE, linkname="target"),
            member("d", tarfile.FIFOTYPE, uid=7),
            ("d", b"file"),
        ),
    )
    after = listing(packed(session))
    assert (after["a"][6], after["b"][6], after["c"][4], after["d"][6]) == (
        b"second",
        b"file",
        "target",
        b"file",
    )


def test_the_session_is_split_in_two(tmp_path: Path) -> None:
    """Git's data and the worktree are where libgit2 looks; config, hooks and nested repositories are not."""
    members = [*KEPT["hooks and config"], *KEPT["nested repositories"]]
    folders, inventory = unpacked(tmp_path / "session", archive(*members), on_disk=True)
    assert os.listdir(folders.tree / GIT) == ["HEAD"]
    assert sorted(os.listdir(folders.quarantine / GIT)) == ["config", "hooks", "objects", "refs"]
    assert sorted(os.listdir(folders.tree / REPOSITORY / "vendor")) == ["code.c"]
    assert inventory.quarantined_repositories == {
        f"{REPOSITORY}/{name}".encode() for name in ("vendor", "module")
    }


def test_an_unwritable_session_can_be_worked_in(tmp_path: Path) -> None:
    """Whatever the archive's modes, folders can be written to, and git's own files too."""
    folders, _ = unpacked(
        tmp_path / "session",
        archive(
            member("workspace", tarfile.DIRTYPE, mode=0),
            member(f"{GIT}/logs/HEAD", mode=0o444),
            member("workspace/file", mode=0),
        ),
        on_disk=True,
    )
    assert (folders.tree / "workspace").stat().st_mode & 0o700 == 0o700
    assert (folders.tree / GIT / "logs" / "HEAD").stat().st_mode & 0o600 == 0o600
    assert (folders.tree / "workspace" / "file").stat().st_mode & 0o400


def test_a_changed_mode_is_not_undone(tmp_path: Path) -> None:
    """The mode that an archive had goes back only while nobody set another."""
    session = unpacked(tmp_path / "session", archive(member("a", mode=0), member("b", mode=0)), on_disk=True)
    (session.folders.tree / "a").chmod(0o755)
    after = listing(packed(session))
    assert (after["a"][1], after["b"][1]) == (0o755, 0)


def test_a_new_session_begins_with_an_empty_inventory(tmp_path: Path) -> None:
    """Without an archive, what is in the folders becomes one, in this process's name."""
    session = unpacked(tmp_path / "session", archive())
    (session.folders.tree / "workspace").mkdir()
    (session.folders.tree / "workspace" / "new").write_text("x")
    after = listing(packed(Unpacked(session.folders, Inventory())))
    assert after.keys() == {"workspace", "workspace/new"}
    assert after["workspace/new"][3] == (os.getuid(), os.getgid(), "", "")


def test_an_archive_is_one_gzip_member(tmp_path: Path) -> None:
    """Readers that stop after the first member miss nothing."""
    data = packed(unpacked(tmp_path / "session", archive(*KEPT["objects"], *KEPT["a large file"])))
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as tar:
        assert len(tar.getnames()) > 4
    assert data.count(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff") == 1


@pytest.mark.parametrize("prefix", ["", "./"])
def test_names_begin_as_they_did_wherever_the_root_stands(prefix: str, tmp_path: Path) -> None:
    """The root is `./` in every archive, and says nothing of how the other names begin."""
    root, file = member(".", tarfile.DIRTYPE, mode=0o700), (f"{prefix}file", b"")
    for number, data in enumerate((archive(root, file), archive(file, root))):
        once = packed(unpacked(tmp_path / f"{number}", data))
        twice = packed(unpacked(tmp_path / f"again-{number}", once))
        assert set(listing(once)) == set(listing(twice)) == {".", f"{prefix}file"}
