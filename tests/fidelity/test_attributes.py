"""Attributes and line endings, at a commit and at a clone."""

from __future__ import annotations

import codecs
import hashlib

import pytest

from tests.fidelity.arena import Arena
from tests.fidelity.judge import agree, agree_on_clone

TEXTS: dict[str, bytes] = {
    "#first.txt": b"a\nb\n",
    "(group)/page.tsx": b"a\nb\n",
    "a.txt": b"a\nb\n",
    "crlf.txt": b"a\r\nb\r\n",
    "mixed.txt": b"a\r\nb\nc\r\n",
    "cr.txt": b"a\rb\rc\n",
    "crcrlf.txt": b"a\r\r\nb\n",
    "nul.txt": b"a\0b\nc\r\n",
    "vt.txt": b"a\x0bb\nc\x0c\n",
    "esc.txt": b"\x1b[1mbold\x08\n" * 3,
    "control.txt": b"\x01\x02\x03\x04 few letters\n",
    "del.txt": b"a\x7f\n",
    "eof.txt": b"a\nb\n\x1a",
    "high.txt": b"\xe9t\xe9\n" * 9,
    "empty.txt": b"",
    "ends.txt": b"a\r",
    "id.txt": b"$Id$\n$Id$ and $Id$\n$Id: old$\n$Id: not closed\n$Id:$ $Id: a $ $ID$\n",
    "d/sub.txt": b"a\nb\n",
    "d/id.txt": b"$Id: 1234567890123456789012345678901234567890 $\n",
    "d/#x": b"a\n$Id$\n",
    "script.sh": b"#!/bin/sh\n",
}
RULES = {
    "auto": "* text=auto",
    "auto crlf": "* text=auto eol=crlf",
    "auto lf": "* text=auto eol=lf",
    "text": "* text",
    "text crlf": "* text eol=crlf",
    "crlf alone": "* eol=crlf",
    "old crlf": "* crlf",
    "old input": "* crlf=input",
    "not text": "* -text",
    "binary": "* binary",
    "ident": "* ident",
    "ident and crlf": "* ident text eol=crlf",
    "by name": "*.txt text eol=crlf\n*.sh text eol=lf\nd/** -text\n/(group)/** eol=crlf",
    "quoted": '"a.txt" text eol=crlf\n"d/\\163ub.txt" eol=crlf',
    "negative": "* text eol=crlf\n!a.txt -text\na.txt !eol",
    "odd values": "* text=foo eol=bar\na.txt text=input",
    "a folder": "d/ text eol=crlf\nd text eol=crlf",
    "one star": "d/* eol=crlf\n*/page.tsx eol=crlf",
    "case": "A.TXT text eol=crlf",
}
MACRO = "[attr]dos text eol=crlf\n*.txt dos\nd/*.txt -dos\n#first.txt dos"
CONFIGS: dict[str, dict[str, str]] = {
    "none": {},
    "autocrlf": {"core_autocrlf": "true"},
    "input": {"core_autocrlf": "input"},
    "eol": {"core_eol": "crlf"},
}


async def test_a_clone_has_gits_bytes(arena: Arena) -> None:
    """Every file, those that sort before .gitattributes and itself too, in a folder for each set of rules."""
    files = {f"{name}/{path}": content for name in RULES for path, content in TEXTS.items()}
    modes = {path: "100755" for path in files if path.endswith(".sh")}
    rules = {f"{name}/.gitattributes": rules + "\n" for name, rules in RULES.items()}
    arena.remote.commit({**files, **rules}, modes=modes)
    await agree_on_clone(arena)


async def test_a_commit_has_gits_bytes(arena: Arena) -> None:
    """New files, and those that were there when the rules came."""
    arena.start(
        {f"{name}/{path}": TEXTS[path] for name in RULES for path in TEXTS if "c" in path or "d" in path}
    )
    for name, rules in RULES.items():
        arena.write({f"{name}/{path}": content for path, content in TEXTS.items()})
        arena.write({f"{name}/new.txt": b"a\r\nb\r\n", f"{name}/cr.txt": b"c\r\n"})
        arena.write({f"{name}/.gitattributes": f"{rules}\r\n"})
    await agree(arena)


@pytest.mark.parametrize("rules", ["* text=auto eol=crlf", MACRO])
async def test_rules_at_the_top(arena: Arena, rules: str) -> None:
    """In the first .gitattributes, the one place for macros; a folder's own comes on top of it."""
    arena.remote.commit({**TEXTS, ".gitattributes": f"{rules}\n", "d/.gitattributes": "id.txt ident\n"})
    await agree_on_clone(arena)
    arena.lay_out()
    arena.write({name: content + b"more\r\n" for name, content in TEXTS.items()})
    await agree(arena)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
@pytest.mark.parametrize("rules", ["", "* text=auto\n*.sh text eol=lf\nd/*.txt -text"])
async def test_a_config_of_line_endings(arena: Arena, config: dict[str, str], rules: str) -> None:
    """What the session's config says counts, at each commit."""
    arena.start({**TEXTS, ".gitattributes": rules})
    for key, value in config.items():
        arena.git("config", key.replace("_", "."), value)
    crlf = {name: content.replace(b"\n", b"\r\n") + b"more\r\n" for name, content in TEXTS.items()}
    arena.write({**crlf, "new.txt": b"a\r\nb\r\n", "bin": b"\0\r\n\xff"})
    await agree(arena)


async def test_files_in_the_index_with_their_line_endings(arena: Arena) -> None:
    """text=auto leaves the line endings of a file whose committed version has them."""
    arena.start({"a.txt": b"a\r\nb\r\n", "b.txt": b"a\nb\n"})
    arena.write({".gitattributes": "* text=auto\n", "a.txt": b"a\r\nb\r\nc\r\n", "b.txt": b"a\r\nb\r\nc\r\n"})
    await agree(arena)


@pytest.mark.parametrize("rules", ["* -text\n", "", None, {".gitattributes/inner": "f\n"}])
async def test_rules_that_change_what_nobody_touched(
    arena: Arena, rules: str | dict[str, str] | None
) -> None:
    """A file that was committed by other rules is what the rules of now make of it."""
    arena.start(
        {".gitattributes": "* text ident\n", "a.txt": b"a\r\n$Id: x $\n", "d/b": b"b\r\n", "k": "k\n"}
    )
    if isinstance(rules, dict):
        arena.write({".gitattributes": None})
        arena.write(rules)
    else:
        arena.write({".gitattributes": rules})
    await agree(arena)


@pytest.mark.parametrize("early", ["(group)/a.txt", "d/#early"])
async def test_rules_that_go_after_a_file_was_read_by_them(arena: Arena, early: str) -> None:
    """Git adds files in their order, and reads the rules of a folder once."""
    rules = {".gitattributes": "* text\n", "d/.gitattributes": "* ident\n"}
    arena.start({**rules, early: b"a\r\n", "z.txt": b"z\r\n", "d/z.txt": b"$Id: x $\r\n"})
    arena.write(dict.fromkeys(rules))
    await agree(arena)


async def test_a_folder_in_the_place_of_rules(arena: Arena) -> None:
    """Git reads it as an empty file, also while it adds the files before it."""
    arena.start({".gitattributes": "* text\n", "(group)/a.txt": b"a\r\n"})
    arena.write({".gitattributes": None})
    (arena.folder / ".gitattributes").mkdir()
    await agree(arena)


async def test_attributes_of_the_repository_itself(arena: Arena) -> None:
    """info/attributes counts, before all others."""
    arena.start({"a.txt": "a\n", ".gitattributes": "* -text\n"})
    (arena.folder / ".git/info").mkdir(exist_ok=True)
    (arena.folder / ".git/info/attributes").write_text("*.txt text\n")
    arena.write({"a.txt": b"a\r\nb\r\n", "n.txt": b"n\r\n", "n": b"n\r\n"})
    await agree(arena)


async def test_an_identity_that_was_expanded(arena: Arena) -> None:
    """`$Id: …$` is committed as `$Id$`."""
    arena.start({"a": b"$Id$\n"})
    arena.write({".gitattributes": "* ident\n", "a": b"$Id: 12 $\n$Id: 34 $ x\n", "b": TEXTS["id.txt"]})
    await agree(arena)


ENCODINGS = (
    *("UTF-16", "UTF-16LE-BOM", "UTF-16BE", "UTF-16LE", "UTF-32", "SHIFT-JIS"),
    *("ISO-8859-1", "windows-1252", "UTF-8", "utf8"),
)


async def test_a_clone_in_encodings(arena: Arena) -> None:
    """working-tree-encoding is what the files are written in, with their line endings; a folder for each."""
    files = {}
    for encoding in ENCODINGS:
        narrow = encoding in {"SHIFT-JIS", "ISO-8859-1", "windows-1252"}
        files[f"{encoding}/a.ps1"] = "Write\n" if narrow else "Write ¥ é\n"
        files |= {
            f"{encoding}/crlf.ps1": "a\nb\n",
            f"{encoding}/empty.ps1": "",
            f"{encoding}/b.txt": "日本\n",
        }
        files[f"{encoding}/.gitattributes"] = rules_of(encoding)
    arena.remote.commit(files)
    await agree_on_clone(arena)


async def test_commits_in_encodings(arena: Arena) -> None:
    """Files are committed as UTF-8, whatever they are written in here; a folder for each encoding."""
    first: dict[str, bytes] = {}
    then: dict[str, bytes] = {}
    for encoding in sorted({*ENCODINGS} - {"SHIFT-JIS"}):
        bom = codecs.BOM_UTF16_LE if encoding == "UTF-16LE-BOM" else b""
        python = {"UTF-16LE-BOM": "utf-16-le", "windows-1252": "cp1252"}.get(encoding, encoding.lower())
        first[f"{encoding}/.gitattributes"] = rules_of(encoding).encode()
        first[f"{encoding}/a.ps1"] = bom + "a\n".encode(python)
        then[f"{encoding}/a.ps1"] = bom + "a\nb\n".encode(python)
        then[f"{encoding}/crlf.ps1"] = bom + "a\r\nb\r\n".encode(python)
        then |= {f"{encoding}/empty.ps1": b"", f"{encoding}/b.txt": b"b\n"}
    arena.start(first)
    arena.write(then)
    await agree(arena)


async def test_an_encoding_that_python_reads_otherwise(arena: Arena) -> None:
    """Where Python's codec and git's differ in a few characters, nothing is committed."""
    arena.start({".gitattributes": rules_of("SHIFT-JIS"), "k": "k\n"})
    arena.write({"a.ps1": b"a\n", "k": "2\n"})
    await agree(arena, allowed="unsupported_repository: a.ps1")


def rules_of(encoding: str) -> str:
    """Return rules by which files are in an encoding, and some have other line endings too."""
    return f"*.ps1 working-tree-encoding={encoding}\ncrlf.ps1 text eol=crlf\n"


@pytest.mark.parametrize(
    "content", [b"a\n", b"\xff\xfea\0\n\0\0", b"\xff\xfe\0\xd8", b"\xff", b"\xfe\xff\0a\0\n"]
)
async def test_a_file_that_is_not_in_its_encoding(arena: Arena, content: bytes) -> None:
    """Where git cannot read a file in its encoding, no other content is committed."""
    arena.start({"k": "k\n", ".gitattributes": "*.ps1 working-tree-encoding=UTF-16\n"})
    arena.write({"a.ps1": content, "k": "2\n"})
    await agree(arena, allowed="unsupported_repository: a.ps1")


async def test_an_encoding_that_nobody_knows(arena: Arena) -> None:
    """Git refuses it, and so does the service, or it leaves the file out with a warning."""
    arena.start({"k": "k\n", ".gitattributes": "*.ps1 working-tree-encoding=klingon\n"})
    arena.write({"a.ps1": b"a\n", "k": "2\n"})
    await agree(arena)


def pointer(content: bytes) -> str:
    """Return the LFS pointer of a content."""
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"


LFS = {
    ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
    "a.bin": pointer(b"a" * 99),
    "k": "k\n",
}


async def test_a_pointer_is_renamed(arena: Arena) -> None:
    """A pointer is a file like any other, new or under another name."""
    arena.start(LFS)
    (arena.folder / "a.bin").rename(arena.folder / "b.bin")
    arena.write({"c.bin": pointer(b"c"), "k": "2\n"})
    verdict = await agree(arena)
    assert verdict.error is None


async def test_a_pointers_content_was_fetched(arena: Arena) -> None:
    """Content that `git lfs pull` fetched is its pointer still."""
    arena.start(LFS)
    arena.write({"a.bin": b"a" * 99, "k": "2\n"})
    before = arena.git("ls-tree", "HEAD", "a.bin")
    await commits_all_but_content(arena)
    assert arena.remote.git("ls-tree", "main", "a.bin") == before
    assert arena.remote.read("main", "k") == b"2\n"


async def test_fetched_content_is_renamed(arena: Arena) -> None:
    """Its pointer goes with it."""
    arena.start(LFS)
    arena.write({"a.bin": None, "b.bin": b"a" * 99})
    await commits_all_but_content(arena)
    assert arena.remote.read("main", "b.bin") == pointer(b"a" * 99).encode()
    assert "a.bin" not in arena.remote.files()


async def commits_all_but_content(arena: Arena) -> None:
    """Commit where the judge, who has no git-lfs, would commit the raw content."""
    arena.put(arena.pack())
    result = await arena.runner.commit(message="Change it")
    assert result.pushed
    assert arena.warnings() == []


async def test_new_raw_content_is_refused(arena: Arena) -> None:
    """What LFS would have to store is not committed raw."""
    arena.start(LFS)
    arena.write({"new.bin": b"raw\n", "k": "2\n"})
    arena.git("config", "filter.lfs.clean", "false")
    arena.git("config", "filter.lfs.required", "true")
    await agree(arena)
