"""git's glob patterns, with git as the judge."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from github_worker.git.patterns import compile_path_pattern, compile_pattern, is_literal
from tests.support.repositories import git

# What git's own t3070-wildmatch.sh is about, and what was seen to differ between libraries.
PATTERNS = [
    *rb"""
foo f* *f *foo* *ob*a*r* *ab foo\* foo\*bar f\\oo *[al]? [ten] **[!te] **[!ten] t[a-g]n t[!a-g]n t[^a-g]n
a[]]b a[]-]b a[]a-]b ] foo*bar foo**bar foo?bar foo[/]bar foo[^a-z]bar **/foo f[^eiu][^eiu][^eiu][^eiu][^eiu]r
**/bar* **/bar/* **/bar** **/bar/** */bar/** **/**/** **/a/**/b a/** a/**/b a/**/**/b ** ***/b a**/b foo**
a/**\/b **\/b **\x *\/b */a */* ? ?? a/*/b *a/*b a*/b [[]ab] [[:]ab] [[::]ab] [[:digit]ab] [\[:]ab] \??\?b
\a\b\c [a-c]b* [[:alpha:]][[:digit:]][[:upper:]] [[:digit:][:upper:][:space:]] [a-c[:digit:]x-z] [ [a
[[:alnum:][:blank:][:cntrl:]] [[:alpha:]] [[:graph:]] [[:lower:]] [[:print:]] [[:punct:]] [[:space:]]
[[:upper:]] [[:xdigit:]] [[:blank:]]
[[:cntrl:]] [![:graph:]] [[:foo:]a] [a[:foo:]] [\\-^] [^\\-^] [\-_] [\]] [a- [!a-
[-
[--A] [---] [------] [a-e-n] [!------] []-a] [!]a-] [\\] [a^bc] [a-]b] [!] [\a-\c] [A-\\]
[,-.] [\1-\3]
[Z-y] [[-\]] -*-*-*-*-*-*-12-*-*-*-m-*-*-* XXX/*/*/*/*/*/*/12/*/*/*/m/*/*/* **/*a*b*g*n*t *a*a*b *\* *[\] \[
A \A [A] [A-C] [!A] Foo/\BAR/*z FOO/b* x\
""".split(),
    *("é?".encode(), b"[ --]", b"[\x80-\xff]*", b"*\xff", b"[\xe9]"),
]
TEXTS = [
    *rb"""
foo bar oo ab foobar foo* foo*bar foobarfoo ballxx ten ton a]b a-b aab ] foo/baz/bar foo/bar foo/b/a/r foo-bar
deep/foo deep/bar/x deep/foo/bar/baz deep/foo/bar/baz/x foo/bar/bar a/b a/x/b a/x/y/b
ab/b [ab] ?a?b abc a1B b] a/b]
xA foo/bar/z FOO/BAR/Z XXX/adobe/courier/bold/o/normal/12/120/75/75/m/70/iso8859/1 aaaaab x\
-adobe-courier-bold-o-normal--12-120-75-75-m-70-iso8859-1 abcd/abcdefg/abcdefghijk/abcdefghijklmnop.txt
""".split(),
    *("é".encode(), "éa".encode(), *(bytes([byte]) for byte in range(1, 256) if byte not in b"./")),
]


def quoted(pattern: bytes) -> bytes:
    """Write any pattern as one quoted word of a .gitattributes file."""
    return b'"%b"' % b"".join(
        b"\\%03o" % byte if byte < 33 or byte > 126 or byte in b'"\\' else bytes([byte]) for byte in pattern
    )


def matches_of_git(
    folder: Path, patterns: Sequence[bytes], texts: Sequence[bytes], *, below: bytes = b"", ignore_case: bool
) -> set[tuple[bytes, bytes]]:
    """Ask git which of the patterns, written behind `below`, match which of the paths in the folder `z`."""
    lines = (b"%b p%d\n" % (quoted(below + pattern), at) for at, pattern in enumerate(patterns))
    git("init", "-q", folder)
    (folder / ".gitattributes").write_bytes(b"".join(lines))
    case = f"core.ignoreCase={str(ignore_case).lower()}"
    paths = b"".join(b"z/%b\0" % text for text in texts)
    listed = git("-C", folder, "-c", case, "check-attr", "-z", "--stdin", "-a", stdin=paths)
    fields = iter(listed.split(b"\0")[:-1])
    return {(patterns[int(name[1:])], path[2:]) for path, name, _ in zip(fields, fields, fields, strict=True)}


def matches_of_ours(
    patterns: Sequence[bytes], texts: Sequence[bytes], translate: Callable[[bytes], re.Pattern[bytes] | None]
) -> set[tuple[bytes, bytes]]:
    """Tell the same by the translated expressions."""
    expressions = [(pattern, translate(pattern)) for pattern in patterns]
    return {(pattern, text) for pattern, found in expressions if found for text in texts if found.match(text)}


def random_words(seed: int, alphabet: Sequence[bytes], count: int, longest: int) -> list[bytes]:
    """Return different words of an alphabet's pieces."""
    dice = random.Random(seed)  # noqa: S311
    words = {b"".join(dice.choices(alphabet, k=dice.randint(1, longest))) for _ in range(count)}
    return sorted(words)


def is_path(text: bytes) -> bool:
    """Tell whether git looks a path up as it is written."""
    return not text.startswith(b"/") and not text.endswith(b"/") and b"//" not in text


@pytest.mark.parametrize("ignore_case", [False, True])
def test_known_patterns_match_paths_as_git_does(tmp_path: Path, ignore_case: bool) -> None:
    """With slashes that only `**` crosses, each pattern matches what it matches in git."""
    ours = matches_of_ours(PATTERNS, TEXTS, partial(compile_pattern, pathname=True, ignore_case=ignore_case))
    assert ours == matches_of_git(tmp_path, PATTERNS, TEXTS, below=b"/[z]/", ignore_case=ignore_case)


@pytest.mark.parametrize("ignore_case", [False, True])
def test_known_patterns_match_names_as_git_does(tmp_path: Path, ignore_case: bool) -> None:
    """A pattern without a slash is held against a name, and `**` is a `*`."""
    patterns = [pattern for pattern in PATTERNS if b"/" not in pattern]
    names = [text for text in TEXTS if b"/" not in text]
    ours = matches_of_ours(patterns, names, partial(compile_pattern, pathname=False, ignore_case=ignore_case))
    assert ours == matches_of_git(tmp_path, patterns, names, ignore_case=ignore_case)


@pytest.mark.parametrize("ignore_case", [False, True])
def test_what_comes_before_the_first_special_character_is_compared_by_itself(
    tmp_path: Path, ignore_case: bool
) -> None:
    """`a**/b` matches `ab` in an attributes file, since git sees `**/b` and `b` once it compared the `a`."""
    patterns = [b"z/" + pattern for pattern in PATTERNS]
    paths = [b"z/" + text for text in TEXTS]
    ours = matches_of_ours(patterns, paths, partial(compile_path_pattern, ignore_case=ignore_case))
    git_says = matches_of_git(tmp_path, PATTERNS, TEXTS, below=b"z/", ignore_case=ignore_case)
    assert ours == {(b"z/" + pattern, b"z/" + text) for pattern, text in git_says}
    assert (b"z/a**/b", b"z/ab") in ours


@pytest.mark.parametrize("pattern", [rb"a*c", rb"a?b", rb"a[/]b", rb"**b", rb"**/b", rb"a/**/b", rb"*/*c"])
def test_without_pathname_a_slash_is_any_byte(tmp_path: Path, pattern: bytes) -> None:
    """A pathspec without magic is such a pattern, and `ls-files` tells what it matches."""
    texts = [b"a/b", b"b", b"a/x/b", b"abc", b"a/b/c", b"x/b", b"a/bc"]
    git("init", "-q", tmp_path)
    empty = git("-C", tmp_path, "hash-object", "-w", "--stdin").strip()
    for text in texts:  # one index a path, as `b` cannot be beside `b/c`
        git("-C", tmp_path, "read-tree", "--empty")
        git("-C", tmp_path, "update-index", "--add", "--index-info", stdin=b"100644 %b\t%b\n" % (empty, text))
        listed = git("-C", tmp_path, "ls-files", "--", pattern.decode())
        expression = compile_pattern(pattern, pathname=False)
        assert expression is not None
        assert bool(expression.match(text)) == bool(listed), text


@pytest.mark.parametrize("seed", range(6))
def test_random_patterns_match_as_git_does(tmp_path: Path, seed: int) -> None:
    """Hundreds of patterns of few different pieces agree with git on hundreds of paths."""
    pieces = [*rb"a b / * ** ? **/ /** [ab] [!a] \\ [ ] - A".split(), b"*", b"/"]
    patterns = [word for word in random_words(seed, pieces, 400, 7) if is_path(word)]
    texts = [
        word for word in random_words(seed, [b"a", b"b", b"/", b"B", b"-", b"]"], 200, 8) if is_path(word)
    ]
    ours = matches_of_ours(
        patterns, texts, partial(compile_pattern, pathname=True, ignore_case=bool(seed % 2))
    )
    assert ours == matches_of_git(tmp_path, patterns, texts, below=b"/[z]/", ignore_case=bool(seed % 2))
    assert len(ours) > len(patterns)


@pytest.mark.parametrize("seed", range(4))
def test_random_brackets_match_as_git_does(tmp_path: Path, seed: int) -> None:
    """Bracket expressions of any pieces, many of them malformed, hold the bytes that they hold in git."""
    pieces = rb"[:upper:] [:digit:] [:x:] [: :] [ ! ^ - \\ ] a c A Z 0 - - / .".split()
    patterns = [b"[%b]" % word for word in random_words(seed, pieces, 400, 6)]
    texts = [bytes([byte]) for byte in range(1, 256) if byte not in b"./"]
    ours = matches_of_ours(
        patterns, texts, partial(compile_pattern, pathname=True, ignore_case=bool(seed % 2))
    )
    assert ours == matches_of_git(tmp_path, patterns, texts, below=b"/[z]/", ignore_case=bool(seed % 2))
    assert len(ours) > len(patterns)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (b"*a" * 1000 + b"*b", b"a" * 4000),
        (b"*[ab]" * 1000 + b"*c", b"a" * 4000),
        (b"*?a" * 600 + b"x", b"a" * 4000),
        (b"**/a/" * 400 + b"b", b"a/" * 2000 + b"c"),
        (b"**/*a*a*a*a*b/" * 100 + b"c", b"aaaaaaaab/" * 400 + b"d"),
        (b"a/**/*/" * 300 + b"b", b"a/" * 2000),
        (b"**/" * 1_000 + b"b", b"a/" * 2000),
        (b"*" * 100_000 + b"b", b"a" * 4000),
        (b"**/" + b"*/" * 1000 + b"b", b"a/" * 2000),
    ],
)
@pytest.mark.parametrize("pathname", [False, True])
def test_no_pattern_is_slow(pattern: bytes, text: bytes, pathname: bool) -> None:
    """A search that tried every way to split the text would not end within this universe's age."""
    expression = compile_pattern(pattern, pathname=pathname)
    assert expression is not None
    assert expression.match(text) is None


def test_a_pattern_longer_than_any_path_matches_none() -> None:
    """Nothing is spent on compiling what cannot match."""
    assert compile_pattern(b"a" * 4096, pathname=True) == re.compile(b"a" * 4096 + rb"\Z", re.DOTALL)
    assert compile_pattern(b"a" * 4097, pathname=True) is None


@pytest.mark.parametrize(
    ("pattern", "literal"), [(b"a/b.c", True), (b"a*", False), (b"a\\b", False), (b"[", False)]
)
def test_a_pattern_without_special_characters_is_literal(pattern: bytes, literal: bool) -> None:
    """Such a pattern can be compared instead of matched; a lone `]` is not special."""
    assert is_literal(pattern) is literal
    assert is_literal(b"]")
