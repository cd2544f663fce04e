"""The attributes of a path, with git as the judge."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from github_worker.git.attributes import NAMES, Attributes, Value
from tests.support.repositories import git

Found = dict[bytes, dict[bytes, Value]]

PATHS = [
    *(
        b"a.txt",
        b"b.bin",
        b"A.TXT",
        b"d/a.txt",
        b"d/b.bin",
        b"d/e/a.txt",
        b"d/e/f/c",
        b"x y",
        b"#x",
        b"!x",
        b'"q"',
    ),
    *(
        b"d/x y",
        b"foo",
        b"d/foo",
        b"foobar",
        b"foo/bar/baz",
        b"[x]",
        b"caf\xc3\xa9",
        b"\xff",
        b"a\nb",
        b"tab\there",
    ),
    *(b".gitattributes", b"d/.gitattributes", b"binary", b"dd/a.txt"),
]
STATES = {b"set": True, b"unset": False}


def of_git(folder: Path, paths: list[bytes], *, ignore_case: bool = False, cached: bool = False) -> Found:
    """Ask git for the attributes of paths."""
    command = ["-c", f"core.ignoreCase={str(ignore_case).lower()}", "check-attr", "-z", "--stdin"]
    names = sorted(name.decode() for name in NAMES)
    source = ["--cached"] if cached else []
    listed = git("-C", folder, *command, *source, *names, stdin=b"".join(path + b"\0" for path in paths))
    found: Found = {path: {} for path in paths}
    fields = iter(listed.split(b"\0")[:-1])
    for path, name, value in zip(fields, fields, fields, strict=True):
        if value != b"unspecified":
            found[path][name] = STATES.get(value, value)
    return found


def of_ours(
    files: Mapping[bytes, bytes], paths: list[bytes], *, ignore_case: bool = False, cached: bool = False
) -> Found:
    """Tell the same by our reader."""
    info = files.get(b".git/info", b"")
    attributes = Attributes(files.get, info, ignore_case=ignore_case, from_index=cached)
    return {path: attributes.of(path) for path in paths}


def write(root: Path, files: Mapping[bytes, bytes]) -> None:
    """Make a repository with .gitattributes files, by their folders; `.git/info` is info/attributes."""
    git("init", "-q", root)
    for folder, content in files.items():
        path = Path(os.fsdecode(os.path.join(os.fsencode(root), folder)))
        path.mkdir(parents=True, exist_ok=True)
        (path / ("attributes" if folder == b".git/info" else ".gitattributes")).write_bytes(content)


@pytest.mark.parametrize(
    "top",
    [
        b"* text=auto\n*.txt eol=crlf\n*.bin binary\n",
        b"*.txt text\n*.txt -text\n*.txt !text\n",
        b"*.txt !text\n* text=auto\n",
        b"a.txt text # a comment is no attribute\n",
        b"  # a comment\n\n \t a.txt \t text  eol=lf \r\nfoo -crlf\r\n",
        b'"x y" text\n"caf\\303\\251" eol=lf\n"\\377" ident\n'
        b'"a\\nb" text\n"tab\\there" text\n"\\"q\\"" filter=lfs\n',
        b'"a.txt"text\n"foo\n"bad\\x" text\n"\\400" text\n"" text\n"a\\000b" text\nx\\ y text\n',
        b'!x text\n\\!x text\n"!x" ident\n\\#x text\n[[]x] text\n',
        b"d/ text\nd/** eol=lf\n/foo crlf\nfoo/ -text\n**/foo ident\nd/e text\n//foo text\n/ text\n",
        b"[attr]windows text eol=crlf\n*.txt windows\n*.bin -windows\nfoo !windows\nd/* windows=yes\n",
        b"[attr]one two\n[attr]two three\n[attr]three one text=auto -ident\n* one\n",
        b"[attr]binary text eol=lf\n*.bin binary\n",
        b"[attr]text eol=lf\n* text\na.txt -text\n",
        b"[attr]w text\n[attr]w eol=crlf\n* w\n",
        b"*.txt -binary\n* binary\n",
        b"*.txt binary text\n*.bin text binary\n",
        b'[attr]-bad text\n[attr] text\n[attr]b@d text\n"[attr]good text" eol=lf\n* good\n',
        b"a.txt text=\nfoo eol=a=b\nfoobar -text=x\nd/foo !eol=x\n",
        b"a.txt te@xt text\nfoo --text ident\nfoobar =x text\nx text=auto text=input -text text\n",
        b"a.txt text" + b" " * 2040 + b"\nfoo text" + b" " * 2039 + b"\nfoobar text" + b" " * 2036 + b"\n",
        b"\xef\xbb\xbfa.txt text\nfoo text\n\xef\xbb\xbffoobar text\n",
        b"a.txt text\0 eol=lf\nfoo text\n",
        b"a.txt text\r\n\rfoo text\rident\n",
        b"a.txt working-tree-encoding=UTF-16 filter\nfoo -working-tree-encoding -filter\n",
        b"a**/b.bin text\nfoo** text\nfoo/** ident\nd** text\n[d]**/a.txt eol=lf\n",
        b"A.txt text\n*.TXT eol=lf\n[A].txt ident\nD/a.txt text\nfoo/BAR/* -text\n",
        b"builtin_x text\n* diff=x merge=union -whitespace export-ignore\n",
        b"a.txt text" * 3000,
        b"",
    ],
)
@pytest.mark.parametrize(("cached", "ignore_case"), [(False, False), (True, False), (False, True)])
def test_a_file_says_of_each_path_what_git_says(
    tmp_path: Path, top: bytes, cached: bool, ignore_case: bool
) -> None:
    """Patterns, quotes, macros, comments and lines that git leaves out, read from a file and the index."""
    write(tmp_path, {b"": top})
    if cached:
        git("-C", tmp_path, "add", ".gitattributes")
    ours = of_ours({b"": top}, PATHS, ignore_case=ignore_case, cached=cached)
    assert ours == of_git(tmp_path, PATHS, ignore_case=ignore_case, cached=cached)


def test_info_wins_over_deeper_files_over_shallower_ones(tmp_path: Path) -> None:
    """Each attribute is decided by itself, and only the top and info may define macros."""
    files = {
        b"": b"[attr]top text eol=lf\n*.txt top\n*.bin binary\nd/e/*.txt filter=top\n",
        b"d": b"[attr]deep text\n*.txt -ident eol=crlf\ne/f/* text=auto\n/a.txt ident\nx* deep\n",
        b"d/e": b"a.txt !eol !text\nf/c eol=lf\nd/e/a.txt ident\n",
        b".git/info": b"[attr]top -text\n[attr]more top ident\nfoo more\nd/e/f/* !text crlf\n",
    }
    write(tmp_path, files)
    ours = of_ours(files, PATHS)
    assert ours == of_git(tmp_path, PATHS)
    assert ours[b"d/e/a.txt"] == {b"ident": False, b"filter": b"top"}


@pytest.mark.parametrize("seed", range(40))
def test_random_files_agree_with_git(tmp_path: Path, seed: int) -> None:
    """Files in several folders, of random patterns and attributes, say what they say to git."""
    dice = random.Random(seed)  # noqa: S311
    pieces = [*b"a b d e / . * ? ** *.txt **/ /** [ab] \\ d/ d/e a.txt foo !".split(), b"*", b"*"]
    states = b"text -text !text text=auto eol=lf eol=crlf !eol ident -ident crlf binary -binary m n=1 m n -m"
    extra = b"crlf=input filter=lfs -filter working-tree-encoding=UTF-16 diff=x b@d".split()
    names = [*states.split(), *states.split(), *extra]

    def line(macros: bool) -> bytes:
        pattern = b"".join(dice.choices(pieces, k=dice.randint(1, 4)))
        start = (
            b"[attr]" + dice.choice([b"m", b"n", b"binary"]) if macros and dice.random() < 0.2 else pattern
        )
        start = b'"%b"' % start.replace(b"\\", b"\\\\") if dice.random() < 0.1 else start
        return b" ".join([start, *dice.choices(names, k=dice.randint(0, 3))])

    folders = [b"", b"d", b"d/e", b"b", b".git/info"]
    files = {
        folder: b"\n".join(line(dice.random() < 0.9) for _ in range(dice.randint(6, 16)))
        for folder in folders
    }
    words = (
        b"/".join(dice.choices([b"a", b"b", b"d", b"e", b"a.txt", b"foo", b"B"], k=dice.randint(1, 4)))
        for _ in range(120)
    )
    paths = sorted({*PATHS, *words})
    write(tmp_path, files)
    ignore_case = bool(seed % 2)
    ours = of_ours(files, paths, ignore_case=ignore_case)
    assert ours == of_git(tmp_path, paths, ignore_case=ignore_case)
    assert any(ours.values())


def test_a_folder_is_read_once_and_only_when_it_is_asked_for() -> None:
    """Nothing is read before the first path, and of a path only the folders above it."""
    asked: list[bytes] = []
    attributes = Attributes(asked.append)
    assert asked == []
    for path in (b"d/e/x", b"d/e/y", b"d/z", b"top"):
        attributes.of(path)
    assert asked == [b"", b"d", b"d/e"]


def test_a_path_of_thousands_of_folders_is_no_trouble() -> None:
    """Depth costs neither the stack nor a reading more than once."""
    attributes = Attributes(lambda folder: b"x -ident\n* text" if folder in {b"", b"a/a"} else None)
    assert attributes.of(b"a/" * 2000 + b"x") == {b"text": True, b"ident": False}


def test_a_chain_of_thousands_of_macros_is_no_trouble() -> None:
    """Macros may lead to each other as long as they like."""
    chain = b"".join(b"[attr]m%d m%d\n" % (at, at + 1) for at in range(3000))
    top = chain + b"[attr]m3000 text m0\nx m0\n"
    assert of_ours({b"": top}, [b"x"]) == {b"x": {b"text": True}}


def test_a_file_of_100_mib_is_left_out() -> None:
    """git warns and goes on as if it were empty."""
    size = 100 * 2**20
    assert Attributes({b"": b"* text\n".ljust(size - 1)}.get).of(b"x") == {b"text": True}
    assert Attributes({b"": b"* text\n".ljust(size)}.get).of(b"x") == {}
