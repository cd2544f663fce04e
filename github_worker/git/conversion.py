"""The changes that git makes to a file's content between worktree and repository (convert.c of git 2.39.5).

Line ends, `$Id$` and encodings; a filter driver is a command of its user's, and is
not run here. Encodings are Python's codecs, not iconv: the name comes from a stranger, and glibc's converters
have been a way in.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from github_worker.git.attributes import Value
from github_worker.git.encodings import from_utf8, is_utf8, to_utf8

_BINARY_SIGNS = bytes({*range(32), 127} - set(b"\b\t\033\014\r\n"))
_OTHERS = bytes(set(range(256)) - set(_BINARY_SIGNS))
_COLLAPSIBLE = re.compile(rb"\$Id:[^$\n]*\$")
# An expansion with a space within is another system's, and stays as it is.
_EXPANDABLE = re.compile(rb"\$Id(?::[^$\n]?[^$\n ]*[^$\n]?)?\$")
# git has a second expansion, which sees the content byte by byte: it does not go back once a `$` led nowhere,
# loses what looked like the start of another id right before one (the first group), and finds the spaces of a
# foreign one differently.
_STREAM = re.compile(
    rb"((?>(?:\$Id[^$:\0])*))(\$Id(?:\$|:[^$\n]*[$\n]))|(?>(?:\$Id[^$:\0])+)|\$Id\0.|\$I[^d]|\$[^I]",
    re.DOTALL,
)
_FOREIGN = re.compile(rb"\$Id: [^\0]*?[ \t\r\n](?!\$)")
_TRUE = re.compile(r"true|yes|on|[+-]?0*[1-9][0-9]*[kmg]?", re.IGNORECASE)


class CannotConvert(ValueError):
    """git cannot convert a file's content; the message says why.

    `content` is what git writes into the worktree all the same, None where it ends with an error.
    """

    def __init__(self, message: str, content: bytes | None = None) -> None:
        super().__init__(message)
        self.content = content


class Kind(Enum):
    """The kinds that git takes files for."""

    BINARY = 0
    TEXT = 1
    AUTO = 2  # text unless it looks binary


@dataclass(frozen=True, slots=True)
class Conversion:
    """The conversion of the files that have the same attributes."""

    kind: Kind
    crlf: bool  # text has CRLF in the worktree
    ident: bool
    encoding: str | None  # "" if the attribute is there and names none
    check_roundtrip: bool
    is_streamed: bool  # git's checkout does not look at the whole content before it writes

    @property
    def is_identity(self) -> bool:
        """Whether no content is changed, in either direction."""
        return self.kind is Kind.BINARY and not self.ident and self.encoding is None

    @property
    def keeps_blobs(self) -> bool:
        """Whether a file's content in the worktree is that of the repository, whatever it is."""
        return not (self.crlf or self.ident) and self.encoding is None

    @property
    def needs_index(self) -> bool:
        """Whether `to_git` looks at what the index has for the path."""
        return self.kind is Kind.AUTO

    def to_git(self, data: bytes, *, in_index: bytes | None) -> bytes:
        """Return what `git add` stores for a file, given the content that the index has for its path.

        Raises CannotConvert where `git add` ends with an error.
        """
        data = self._decode(data)
        if self._strips_cr(data, in_index):
            data = data.replace(b"\r\n", b"\n")
        return _COLLAPSIBLE.sub(b"$Id$", data) if self.ident else data

    def to_worktree(self, data: bytes) -> bytes:
        """Return what a checkout writes for a blob.

        Raises CannotConvert where git reports an error.
        """
        if self.ident:
            data = (_expand_in_stream if self.is_streamed else _expand)(data)
        # A guess leaves alone what has any CR, as a CRLF would not come back from the repository.
        if self.crlf and (self.kind is Kind.TEXT or not (b"\r" in data or _is_binary(data))):
            data = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return self._encode(data)

    def _strips_cr(self, data: bytes, in_index: bytes | None) -> bool:
        if self.kind is Kind.BINARY or b"\r\n" not in data:
            return False
        return self.kind is Kind.TEXT or not (_is_binary(data) or _has_crlf(in_index))

    def _decode(self, data: bytes) -> bytes:
        if self.encoding is None or (self.encoding and not data):
            return data
        self._check_name()
        try:
            text = to_utf8(data, self.encoding)
            same = not self.check_roundtrip or from_utf8(text, self.encoding) == data
        except (LookupError, UnicodeError) as error:
            raise CannotConvert(f"Its working-tree-encoding is {self.encoding}: {_explain(error)}") from error
        if not same:
            raise CannotConvert(
                f"It does not come back the same from {self.encoding}, its working-tree-encoding."
            )
        return text

    def _encode(self, data: bytes) -> bytes:
        if self.encoding is None or (self.encoding and not data):
            return data
        self._check_name()
        try:
            return from_utf8(data, self.encoding)
        except (LookupError, UnicodeError) as error:
            reason = f"It is not written in {self.encoding}, its working-tree-encoding: {_explain(error)}"
            raise CannotConvert(reason, data) from error

    def _check_name(self) -> None:
        if not self.encoding:
            raise CannotConvert("Its attribute working-tree-encoding names no encoding.")


def choose_conversion(
    attributes: Mapping[bytes, Value],
    *,
    autocrlf: str | None,
    eol: str | None,
    check_roundtrip: str = "SHIFT-JIS",
) -> Conversion:
    """Decide on the conversion of a file by its attributes and by core.autocrlf, core.eol and
    core.checkRoundtripEncoding, as they are written in the config.
    """
    auto = (autocrlf or "").lower()
    wants_crlf = _TRUE.fullmatch(auto) is not None
    native = wants_crlf or (auto != "input" and (eol or "").lower() == "crlf")
    said, crlf = _decide_kind(attributes, native=native)
    kind = said
    if kind is None:
        kind, crlf = (Kind.AUTO, wants_crlf) if wants_crlf or auto == "input" else (Kind.BINARY, False)
    always_lf = not crlf and (said is None or attributes.get(b"eol") == b"lf")
    encoding = _parse_encoding(attributes.get(b"working-tree-encoding"))
    return Conversion(
        kind,
        crlf,
        ident=attributes.get(b"ident") is True,
        encoding=encoding,
        check_roundtrip=(encoding or "").lower() in re.split(r"[\s,]+", check_roundtrip.lower()),
        is_streamed=encoding is None and (kind is not Kind.AUTO or always_lf),
    )


def _decide_kind(attributes: Mapping[bytes, Value], *, native: bool) -> tuple[Kind | None, bool]:
    """Tell by the attributes what a file is, and whether it has CRLF; None if they do not say."""
    kind, crlf = _parse_text(attributes.get(b"text"), native=native)
    if kind is None:
        kind, crlf = _parse_text(attributes.get(b"crlf"), native=native)
    eol = attributes.get(b"eol")
    if kind is Kind.BINARY or eol not in (b"lf", b"crlf"):
        return kind, crlf
    return kind or Kind.TEXT, eol == b"crlf"


def _parse_text(value: Value | None, *, native: bool) -> tuple[Kind | None, bool]:
    if value is True:
        return Kind.TEXT, native
    if value is False:
        return Kind.BINARY, False
    if value == b"input":
        return Kind.TEXT, False
    return (Kind.AUTO, native) if value == b"auto" else (None, False)


def _parse_encoding(value: Value | None) -> str | None:
    """Return the name of an encoding other than UTF-8, or "" where git has an error for it."""
    if value is True:
        return ""
    name = value.decode("latin-1") if isinstance(value, bytes) else ""
    return None if not name or is_utf8(name) else name


def _explain(error: LookupError | UnicodeError) -> str:
    if isinstance(error, UnicodeDecodeError | UnicodeEncodeError):
        return f"{error.reason} at {error.start}."
    return f"{error.args[0]}."


def _expand(data: bytes) -> bytes:
    return _EXPANDABLE.sub(_make_expansion(data), data) if b"$Id" in data else data


def _expand_in_stream(data: bytes) -> bytes:
    if b"$Id" not in data:
        return data
    expansion = _make_expansion(data)

    def replacement(found: re.Match[bytes]) -> bytes:
        before, ident = found[1], found[2]
        if ident is None or ident.endswith(b"\n"):
            return found[0]
        if ident == b"$Id$":
            return before + expansion
        return found[0] if not before and _FOREIGN.match(ident) else expansion

    return _STREAM.sub(replacement, data)


def _make_expansion(data: bytes) -> bytes:
    digest = hashlib.sha1(b"blob %d\0" % len(data), usedforsecurity=False)
    digest.update(data)
    return b"$Id: %b $" % digest.hexdigest().encode()


def _is_binary(data: bytes) -> bool:
    """Guess as git does: a NUL, a lone CR, or more than one control character to 128 others."""
    line_ends = data.count(b"\r\n")
    if b"\0" in data or data.count(b"\r") != line_ends:
        return True
    signs = len(data.translate(None, _OTHERS))
    printable = len(data) - signs - data.count(b"\r") - data.count(b"\n")
    return printable >> 7 < signs - data.endswith(b"\x1a")


def _has_crlf(blob: bytes | None) -> bool:
    return blob is not None and b"\r\n" in blob and not _is_binary(blob)
