"""What git stores and what it checks out, with git as the judge."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from github_worker.git.attributes import Attributes
from github_worker.git.conversion import CannotConvert, Conversion, choose_conversion
from tests.support.repositories import GIT_ENV, git

Contents = dict[str, bytes]
Config = Mapping[str, str]

TEXTS: Contents = {
    "empty": b"",
    "lf": b"a\nb\n",
    "crlf": b"a\r\nb\r\n",
    "mixed": b"a\r\nb\nc",
    "cr": b"a\rb\r",
    "cr and crlf": b"a\rb\r\nc\n",
    "crcrlf": b"a\r\r\nb\n",
    "nul": b"a\0\r\nb\n",
    "one line": b"a",
    "only crlf": b"\r\n",
    "only lf": b"\n",
    "last cr": b"a\r\nb\r",
    "eof": b"a" * 127 + b"\r\n\x1a",
    "two eofs": b"a\r\n\x1a\x1a",
    "eof alone": b"\x1a",
    "utf-8": "é\r\nü\n".encode(),
    "high": bytes(range(128, 256)) + b"\r\n",
    "id": b"$Id$\nx $Id$ $Id: $ $Id:$\r\n$Id: abc $\n",
    "foreign ids": b"$Id: a b c $ $Id$\n$Id: a b $Id$ $Id:a b$ $Id: ab$ $Id:  $ $Id:   $\n",
    "no ids": b"$Id $Id: \n$ $ID$ $id$ $Id\r\n$Idx$Id$Id: y$ $$Id$",
    "open id": b"$Id$ and $Id: never closed\n",
    "cut id": b"$Id$ $Id",
    "dollars": b"$$$Id$$Id:x$$Id:$",
    "half ids": b"$Idx$Id: y$ $Idx$Idy$Id:z$ $I$Id$ $Id\0$Id$ $Idx$Id: a b $ $Idx$Id:\n$",
    "joined ids": b"$Id$Id$ $Idx\n$Id:n$ $Id:$Id$",
    "spaces": b"$Id:\ta b$ $Id: \t$ $Id: a\tb$ $Id: a\0 b$ $Id: a\rb$ $Id: a\r\n$ $Id:  $",
    "large": b"a\nb\r\n\r\r\n$Id$ $Idx$Id: c $\r" * 999,
    **{f"byte {byte}": b"a" * 127 + bytes([byte]) + b"\r\nb\n" for byte in (*range(32), 127, 128)},
    **{f"{count} of 128": b"a" * (128 * count - 1) + b"\x0b" * count + b"b\n\r\n" for count in (1, 2)},
    **{f"{count} short": b"a" * (128 * count - 2) + b"\x0b" * count + b"b\r\n" for count in (1, 2)},
}
CONFIGS: list[Config] = [
    {},
    {"core.autocrlf": "true"},
    {"core.autocrlf": "input"},
    {"core.autocrlf": "false", "core.eol": "crlf"},
    {"core.eol": "native"},
    {"core.autocrlf": "YES", "core.eol": "lf"},
    {"core.autocrlf": "0", "core.eol": "CRLF"},
]
LINES = [
    *("", "text", "-text", "text=auto", "text=input", "text=no", "crlf", "-crlf", "crlf=input", "crlf=auto"),
    *("eol=lf", "eol=crlf", "eol=no", "text eol=lf", "text eol=crlf", "-text eol=crlf", "text=auto eol=lf"),
    *("text=auto eol=crlf", "text=no crlf=input", "-crlf eol=crlf", "crlf=input eol=crlf", "ident", "-ident"),
    *("text ident eol=crlf", "text=auto ident", "ident=x", "binary ident", "!text crlf", "eol", "-eol text"),
]


class Judge:
    """A repository in which git adds and checks out files, a group of them for each line of attributes."""

    def __init__(self, folder: Path, lines: Sequence[str], config: Config) -> None:
        self.folder = folder
        git("init", "-q", folder)
        for key, value in config.items():
            git("-C", folder, "config", key, value)
        rules = "".join(f"{at}-* {line}\n" for at, line in enumerate(lines))
        (folder / ".git/info/attributes").write_text(rules)

    def added(self, contents: Contents) -> Contents:
        """Write the files, add them and return the blobs."""
        for name, content in contents.items():
            (self.folder / name).write_bytes(content)
        git("-C", self.folder, "-c", "core.safecrlf=false", "add", "-A")
        return self.blobs()

    def index(self, blobs: Contents) -> None:
        """Make the index of these blobs alone."""
        stream = b"".join(
            b"blob\nmark :%d\ndata %d\n%b\n" % (mark, len(blob), blob)
            for mark, blob in enumerate(blobs.values(), 1)
        )
        marks = self.folder / ".git/marks"
        git("-C", self.folder, "fast-import", "--quiet", f"--export-marks={marks}", stdin=stream)
        ids = dict(line.split() for line in marks.read_bytes().splitlines())
        entries = b"".join(
            b"100644 %b\t%b\n" % (ids[b":%d" % mark], os.fsencode(name)) for mark, name in enumerate(blobs, 1)
        )
        git("-C", self.folder, "read-tree", "--empty")
        git("-C", self.folder, "update-index", "--add", "--index-info", stdin=entries)

    def blobs(self) -> Contents:
        """Return the content of each path in the index."""
        listed = git("-C", self.folder, "ls-files", "-sz").split(b"\0")[:-1]
        names = [os.fsdecode(entry.partition(b"\t")[2]) for entry in listed]
        ids = b"\n".join(entry.split()[1] for entry in listed)
        rest = git("-C", self.folder, "cat-file", "--batch", "--buffer", stdin=ids)
        found = {}
        for name in names:
            header, _, rest = rest.partition(b"\n")
            size = int(header.split()[2])
            found[name], rest = rest[:size], rest[size + 1 :]
        return found

    def checked_out(self) -> Contents:
        """Return what the index looks like in the worktree."""
        git("-C", self.folder, "checkout-index", "-a", "-f")
        return {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}


def ours(attributes: str, config: Config) -> Conversion:
    """Return our conversion for the same."""
    found = Attributes(lambda _: None, f"* {attributes}\n".encode()).of(b"x")
    return choose_conversion(found, autocrlf=config.get("core.autocrlf"), eol=config.get("core.eol"))


def grouped(lines: Sequence[str], contents: Contents) -> Contents:
    """Name the contents once for each line of attributes."""
    return {f"{at}-{name}": content for at in range(len(lines)) for name, content in contents.items()}


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_files_are_stored_and_checked_out_as_by_git(tmp_path: Path, config: Config) -> None:
    """Line ends and idents, for each way to ask for them and each kind of content."""
    judge, contents = Judge(tmp_path, LINES, config), grouped(LINES, TEXTS)
    converts = [ours(line, config) for line in LINES]
    by_name = {name: converts[int(name.partition("-")[0])] for name in contents}
    stored = {name: by_name[name].to_git(content, in_index=None) for name, content in contents.items()}
    assert stored == judge.added(contents)
    judge.index(contents)
    shown = {name: by_name[name].to_worktree(content) for name, content in contents.items()}
    assert shown == judge.checked_out()
    for name, content in contents.items():
        assert stored[name] == shown[name] == content or not by_name[name].is_identity
        assert shown[name] == content or not by_name[name].keeps_blobs


def test_a_file_keeps_the_crlf_that_the_index_has(tmp_path: Path) -> None:
    """Only a guess asks the index, and only text in it counts."""
    lines = ["text=auto", "text=auto eol=crlf", "text", "-text", "crlf=auto eol=lf"]
    judge, former = Judge(tmp_path, lines, {}), grouped(lines, TEXTS)
    judge.index(former)
    theirs = judge.added({name: content + b"more\r\n" for name, content in former.items()})
    for at, line in enumerate(lines):
        convert, differ = ours(line, {}), False
        for name, content in TEXTS.items():
            stored = convert.to_git(content + b"more\r\n", in_index=content)
            assert stored == theirs[f"{at}-{name}"], (line, name)
            differ |= stored != convert.to_git(content + b"more\r\n", in_index=None)
        assert convert.needs_index == differ


@pytest.mark.parametrize("seed", range(20))
def test_random_contents_are_converted_as_by_git(tmp_path: Path, seed: int) -> None:
    """Random pieces, attributes, configs and former contents come to the same blobs and files."""
    dice = random.Random(seed)  # noqa: S311
    pieces = [b"\n", b"\r\n", b"\r\n", b" ", b"x" * 150, *b"a $ $Id $Id$ : $Id: $Idx".split()]
    rare = [b"\r", b"\0", b"\x0b", b"\x1a", b"\x7f"]

    def content() -> bytes:
        return b"".join(dice.choices([*pieces, dice.choice(rare)], k=dice.randint(0, 12)))

    lines = [dice.choice(LINES) + dice.choice(["", " ident"]) for _ in range(8)]
    config = dice.choice(CONFIGS)
    judge, converts = Judge(tmp_path, lines, config), [ours(line, config) for line in lines]
    former = {f"{at % 8}-{at}": content() for at in range(200)}
    judge.index(former)
    shown = {name: converts[int(name[0])].to_worktree(blob) for name, blob in former.items()}
    assert shown == judge.checked_out()
    new = {f"{at % 8}-{at}": content() for at in range(300)}
    stored = {n: converts[int(n[0])].to_git(data, in_index=former.get(n)) for n, data in new.items()}
    assert stored == judge.added(new)


ENCODINGS = [
    *("UTF-8", "utf8", "UTF-16", "utf16", "UTF-16LE", "UTF-16BE", "UTF16BE", "UTF-16LE-BOM", "utf-16le-bom"),
    *(
        "UTF-16BE-BOM",
        "UTF-32",
        "UTF-32LE",
        "UTF-32BE",
        "UTF32",
        "UTF-32LE-BOM",
        "ISO-8859-1",
        "latin-1",
        "latin1",
    ),
    *(
        "windows-1252",
        "CP1252",
        "KOI8-R",
        "cp949",
        "ASCII",
        "latin_1",
        "hex",
        "zlib",
        "rot13",
        "UTF-8-SIG",
        "u8",
    ),
    *("undefined", "x-unknown", "utf-", "UTF", "cp437", "L1", "idna", "unicode_escape"),
]
UNICODE = [
    "a\r\nb\n",
    "é€\n",
    "\N{CYRILLIC SMALL LETTER ZHE}\n",
    "\N{PILE OF POO}$Id$\r\n",
    "\ufeffa\n",
    "\uac00",
]
ENCODED: Contents = {
    f"{codec} {at}": mark + text.encode(codec, "ignore")
    for codec, mark in [
        *(("utf-8", b""), ("latin-1", b""), ("cp949", b""), ("utf-16-le", b""), ("utf-16-le", b"\xff\xfe")),
        *(
            ("utf-16-be", b"\xfe\xff"),
            ("utf-32-le", b"\xff\xfe\0\0"),
            ("utf-32-be", b"\0\0\xfe\xff"),
            ("koi8-r", b""),
        ),
    ]
    for at, text in enumerate(UNICODE)
    if mark or codec != "utf-16-le" or at
} | {
    "empty": b"",
    "odd": b"\xff\xfea",
    "surrogate": b"\xff\xfe\0\xd8a\0",
    "mark": b"\xff\xfe",
    "bad": b"\xed\xa0\x80",
}


def is_refused(judge: Judge, name: str) -> bool:
    """Tell whether git does not add a file."""
    command = ["git", "-C", str(judge.folder), "add", name]
    return subprocess.run(command, env=GIT_ENV, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encoded_files_are_stored_as_by_git_or_refused_as_by_git(tmp_path: Path, encoding: str) -> None:
    """The names that iconv knows, marks of the byte order, and contents that do not fit."""
    line = f"working-tree-encoding={encoding} text=auto eol=crlf ident"
    judge, convert = Judge(tmp_path, [line], {}), ours(line, {})
    stored: Contents = {}
    for name, content in grouped([line], ENCODED).items():
        try:
            stored[name] = convert.to_git(content, in_index=None)
        except CannotConvert:
            (tmp_path / name).write_bytes(content)
            assert is_refused(judge, name), name
            (tmp_path / name).unlink()
    assert stored == judge.added({name: ENCODED[name.partition("-")[2]] for name in stored})


@pytest.mark.parametrize("more", ["", "text=auto eol=crlf ident", "text ident"])
def test_encoded_files_are_checked_out_as_by_git(tmp_path: Path, more: str) -> None:
    """What has no form in the encoding is refused, and comes with the content that git leaves there."""
    lines = [f"working-tree-encoding={encoding} {more}" for encoding in ENCODINGS]
    judge = Judge(tmp_path, lines, {})
    judge.index(grouped(lines, ENCODED))
    theirs = judge.checked_out()
    for at, line in enumerate(lines):
        for name, content in ENCODED.items():
            try:
                shown = ours(line, {}).to_worktree(content)
            except CannotConvert as error:
                shown = error.content or b"git ends"
            assert shown == theirs[f"{at}-{name}"], (line, name)


@pytest.mark.parametrize(
    ("value", "refused"), [("", True), ("=", False), ("=UTF-16", True), ("=utf8", False)]
)
def test_an_encoding_without_a_name_ends_the_operation(tmp_path: Path, value: str, refused: bool) -> None:
    """git dies of `working-tree-encoding` alone, and takes an empty name for none."""
    attributes = f"working-tree-encoding{value}"
    judge, convert = Judge(tmp_path, [attributes], {}), ours(attributes, {})
    (tmp_path / "0-x").write_bytes(b"ab")
    assert is_refused(judge, "0-x") == refused
    if refused:
        with pytest.raises(CannotConvert):
            convert.to_git(b"ab", in_index=None)
    else:
        assert convert.to_git(b"ab", in_index=None) == b"ab"


@pytest.mark.parametrize("piece", [b"$Idx", b"$Id:", b"$Id: ", b"$Id$", b"$", b"$Id:\n", b"$Idx$Id:"])
@pytest.mark.parametrize("line", ["ident", "ident text=auto"])
def test_no_content_is_slow(line: str, piece: bytes) -> None:
    """A search that begins anew at each id would take hours for this much."""
    data = piece * 300_000
    convert = ours(line, {})
    assert b"$Id" in convert.to_worktree(data) or piece == b"$"
    assert b"$" in convert.to_git(data, in_index=None)
